"""Equation only: exemplars that show the equations of the reasoning, no words (Wei et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.prompting import render, shown
from cotkit.stops import answer_line_end
from cotkit.strategies._base import Sampled, one_turn
from cotkit.strategies._equations import equation_sentences
from cotkit.types import Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class EquationOnly(Sampled):
    """The prompt of ``cot`` with each rationale cut down to its equations: are words needed?

    Source: "equation only" of arXiv:2201.11903, section 3.3.
    """

    control: ClassVar[str] = "few-shot"
    reasons: ClassVar[bool] = True
    exemplars: tuple[Exemplar, ...]
    """Shown in this order, at least one; every rationale works out an equation."""
    max_tokens: int = 256

    def __post_init__(self) -> None:
        """Refuse an exemplar without an equation.

        Raises:
            ValueError: names the exemplar, or the field and its range.
        """
        Sampled.__post_init__(self)
        equation_sentences(self.exemplars)

    def solve(self, question: Question) -> Flow:
        """One request."""
        left = equation_sentences(self.exemplars)
        prompt = render(
            "cot",
            1,
            question=shown(question),
            kind=question.answer_kind,
            exemplars=[
                replace(x, rationale=equations)
                for x, equations in zip(self.exemplars, left, strict=True)
            ],
        )
        stop_after = answer_line_end(question.answer_kind)
        return one_turn(prompt, self.decoding(stop=("\nQ:",), stop_after=stop_after))
