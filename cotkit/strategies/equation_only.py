"""Equation only: exemplars that show the equations of the reasoning, no words (Wei et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.strategies._base import DecodingStrategy, few_shot_turn
from cotkit.strategies._equations import equation_sentences, with_rationales
from cotkit.types import Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class EquationOnly(DecodingStrategy):
    """The prompt of ``cot`` with each rationale cut down to its equations: are words needed?

    Source: "equation only" of arXiv:2201.11903, section 3.3.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "controls"
    prompts: ClassVar[tuple[str, ...]] = ("cot.v1.jinja", "answer.v1.jinja")
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
        DecodingStrategy.__post_init__(self)
        equation_sentences(self.exemplars)

    def solve(self, question: Question) -> Flow:
        """Send one request."""
        equations = equation_sentences(self.exemplars)
        exemplars = with_rationales(self.exemplars, equations)
        return few_shot_turn(self, "cot", question, exemplars)
