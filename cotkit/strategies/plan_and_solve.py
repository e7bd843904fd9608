"""Plan-and-solve: a zero-shot trigger that plans, then carries the plan out (Wang et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.strategies._base import Bounds, DecodingStrategy, reason_then_answer
from cotkit.types import Flow, Question


@dataclass(frozen=True, kw_only=True)
class PlanAndSolve(DecodingStrategy):
    """``zero-shot-cot`` with a trigger that understands, plans and carries out.

    Source: arXiv:2305.04091, section 2 (PS; PS+ with ``plus``). The second turn is that of
    ``zero-shot-cot``.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "prompt"
    prompts: ClassVar[tuple[str, ...]] = (
        "plan-and-solve.v1.jinja",
        "zero-shot-cot.extract.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"answer_tokens": (1, None)}
    max_tokens: int = 320
    """Of the reasoning turn."""
    answer_tokens: int = 32
    """Of the extraction turn, at least 1."""
    plus: bool = False
    """Whether the trigger also asks to note the quantities and to work out each value with care."""

    def solve(self, question: Question) -> Flow:
        """Send two requests, the second with the first one's completion."""
        kind = question.answer_kind
        prompt = render(
            "plan-and-solve", 1, question=format_question(question), kind=kind, plus=self.plus
        )
        return reason_then_answer(self, prompt, question, answer_tokens=self.answer_tokens)
