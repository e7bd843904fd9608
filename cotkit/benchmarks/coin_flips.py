"""Is the coin still heads up? A generated task of any length (Wei et al. 2022)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from cotkit.benchmarks._generated import Choose, make_split, name_range, pick_names, read_range
from cotkit.types import AnswerKind, Problem, Question

_MAX_N = 2000
_MAX_PEOPLE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CoinFlips:
    """``coin-flips:people=2-6``; the card is ``benchmarks/coin-flips/card.md``.

    Source: arXiv:2201.11903, section 5. The names and the wording are ours. Of each length half of
    the answers are ``yes``.
    """

    people: int | str = 2
    """People who flip the coin or do not, 2..20, or a range of them."""
    exemplar_people: int | str | None = None
    """People in an exemplar, as ``people``; None: as many as in the problems."""
    seed: int = 0
    """Which problems."""
    n: int = 500
    """Problems, 1..2000."""
    name: str = field(default="coin-flips", init=False)
    answer_kind: AnswerKind = field(default="choice", init=False)
    has_own_exemplars: ClassVar[bool] = True
    """``builtin:K`` draws from the pool here: word problems would show another task."""

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: names the field and its range.
        """
        if not 1 <= self.n <= _MAX_N:
            raise ValueError(f"n is {self.n}, must be 1 to {_MAX_N}")
        _ = self._lengths, self._pool_lengths

    @property
    def version(self) -> str:
        """Generator version and parameters: together they are the problems."""
        lengths = f"{name_range(self._lengths)}-shown{name_range(self._pool_lengths)}"
        return f"1-people{lengths}-seed{self.seed}-n{self.n}"

    def problems(self) -> Sequence[Problem]:
        """Return ``n`` problems, the lengths in turn."""
        return _make_split(self._lengths, self._pool_lengths, self.seed, self.n)[1]

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return 32 more, with their rationales."""
        return _make_split(self._lengths, self._pool_lengths, self.seed, self.n)[0]

    @property
    def _lengths(self) -> range:
        return read_range("people", self.people, 2, _MAX_PEOPLE)

    @property
    def _pool_lengths(self) -> range:
        if self.exemplar_people is None:
            return self._lengths
        return read_range("exemplar_people", self.exemplar_people, 2, _MAX_PEOPLE)


@functools.lru_cache(maxsize=8)
def _make_split(
    lengths: range, pool_lengths: range, seed: int, n: int
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    place = f"coin-flips/{name_range(lengths)}-people-seed{seed}"
    return make_split(_make_problem, place, lengths, pool_lengths, n)


def _make_problem(choose: Choose, length: int, turn: int, problem_id: str) -> Problem:
    """Make a problem; of each length ``yes`` and ``no`` come in turn."""
    flips = [choose(2) == 1 for _ in range(length - 1)]
    flips.append(sum(flips) % 2 != turn % 2)
    acts: list[str] = []
    steps = ["The coin is heads up."]
    is_heads = True
    for name, flipped in zip(pick_names(choose, length), flips, strict=True):
        acts.append(f"{name} {'flips' if flipped else 'does not flip'} the coin.")
        is_heads ^= flipped
        side = "heads" if is_heads else "tails"
        steps.append(f"{name} {f'flips it: {side}' if flipped else f'does not: still {side}'} up.")
    return Problem(
        question=Question(
            id=problem_id,
            text=f"A coin is heads up. {' '.join(acts)} Is the coin still heads up?",
            choices=("yes", "no"),
            answer_kind="choice",
        ),
        gold="yes" if is_heads else "no",
        rationale=" ".join(steps),
        n_steps=length,
    )
