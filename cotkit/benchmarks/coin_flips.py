"""Is the coin still heads up? A generated task of any length (Wei et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from cotkit.benchmarks._generated import Choose, GeneratedBenchmark, pick_names
from cotkit.types import AnswerKind, Problem, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class CoinFlips(GeneratedBenchmark):
    """``coin-flips:people=2-6``; the card is ``benchmarks/coin-flips/card.md``.

    Source: arXiv:2201.11903, section 5. The names and the wording are ours. Of each length half of
    the answers are ``yes``.
    """

    people: int | str = 2
    """People who flip the coin or do not, 2..20, or a range of them."""
    exemplar_people: int | str | None = None
    """People in an exemplar, as ``people``; None: as many as in the problems."""
    length_name: ClassVar[str] = "people"
    name: str = field(default="coin-flips", init=False)
    answer_kind: AnswerKind = field(default="choice", init=False)

    @staticmethod
    def make_problem(choose: Choose, length: int, turn: int, problem_id: str) -> Problem:
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
            steps.append(
                f"{name} {f'flips it: {side}' if flipped else f'does not: still {side}'} up."
            )
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
