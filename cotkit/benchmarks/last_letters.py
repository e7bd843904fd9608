"""The last letters of names, joined: a generated task of any length (Wei et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from cotkit.benchmarks._generated import Choose, GeneratedBenchmark, pick_names
from cotkit.types import AnswerKind, Problem, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLetters(GeneratedBenchmark):
    """``last-letters:words=2-6``; the card is ``benchmarks/last-letters/card.md``.

    Source: arXiv:2201.11903, section 5. The names and the wording are ours.
    """

    words: int | str = 2
    """Names in a problem, 2..20, or a range of them."""
    exemplar_words: int | str | None = None
    """Names in an exemplar, as ``words``; None: as many as in the problems."""
    length_name: ClassVar[str] = "words"
    name: str = field(default="last-letters", init=False)
    answer_kind: AnswerKind = field(default="text", init=False)

    @staticmethod
    def make_problem(choose: Choose, length: int, turn: int, problem_id: str) -> Problem:  # noqa: ARG004 - as all
        """Make a problem."""
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
