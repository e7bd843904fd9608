"""Filler: exemplars that show dots for equations, room but no reasoning (Wei et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.prompting import render, shown
from cotkit.stops import answer_line_end
from cotkit.strategies._base import Sampled, one_turn
from cotkit.strategies._equations import equation_sentences
from cotkit.types import Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class Filler(Sampled):
    """The prompt of ``equation-only`` with a dot for every character: is it only more compute?

    Source: "variable compute only" of arXiv:2201.11903, section 3.3.
    """

    control: ClassVar[str] = "few-shot"
    reasons: ClassVar[bool] = False
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
                replace(x, rationale="." * len(equations))
                for x, equations in zip(self.exemplars, left, strict=True)
            ],
        )
        stop_after = answer_line_end(question.answer_kind)
        return one_turn(prompt, self.decoding(stop=("\nQ:",), stop_after=stop_after))
