"""The last letters of names, joined: a generated task of any length (Wei et al. 2022)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from cotkit.benchmarks._generated import Choose, make_split, name_range, pick_names, read_range
from cotkit.types import AnswerKind, Problem, Question

_MAX_N = 2000
_MAX_WORDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLetters:
    """``last-letters:words=2-6``; the card is ``benchmarks/last-letters/card.md``.

    Source: arXiv:2201.11903, section 5. The names and the wording are ours.
    """

    words: int | str = 2
    """Names in a problem, 2..20, or a range of them."""
    exemplar_words: int | str | None = None
    """Names in an exemplar, as ``words``; None: as many as in the problems."""
    seed: int = 0
    """Which problems."""
    n: int = 500
    """Problems, 1..2000."""
    name: str = field(default="last-letters", init=False)
    answer_kind: AnswerKind = field(default="text", init=False)
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
        return f"1-words{lengths}-seed{self.seed}-n{self.n}"

    def problems(self) -> Sequence[Problem]:
        """Return ``n`` problems, the lengths in turn."""
        return _make_split(self._lengths, self._pool_lengths, self.seed, self.n)[1]

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return 32 more, with their rationales."""
        return _make_split(self._lengths, self._pool_lengths, self.seed, self.n)[0]

    @property
    def _lengths(self) -> range:
        return read_range("words", self.words, 2, _MAX_WORDS)

    @property
    def _pool_lengths(self) -> range:
        if self.exemplar_words is None:
            return self._lengths
        return read_range("exemplar_words", self.exemplar_words, 2, _MAX_WORDS)


@functools.lru_cache(maxsize=8)
def _make_split(
    lengths: range, pool_lengths: range, seed: int, n: int
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    place = f"last-letters/{name_range(lengths)}-words-seed{seed}"
    return make_split(_make_problem, place, lengths, pool_lengths, n)


def _make_problem(choose: Choose, length: int, _turn: int, problem_id: str) -> Problem:
    names = pick_names(choose, length)
    gold = "".join(name[-1] for name in names)
    steps = [f'The last letter of "{name}" is "{name[-1]}".' for name in names]
    return Problem(
        question=Question(
            id=problem_id,
            text=f'Take the last letter of each word in "{" ".join(names)}" and join them.',
            answer_kind="text",
        ),
        gold=gold,
        rationale=f'{" ".join(steps)} Joined, they are "{gold}".',
        n_steps=length,
    )
