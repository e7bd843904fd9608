"""Few-shot chain-of-thought: exemplars that show worked reasoning (Wei et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.stops import answer_line_end
from cotkit.strategies._base import DecodingStrategy, one_turn
from cotkit.strategies._calculator import calculate
from cotkit.types import Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class Cot(DecodingStrategy):
    """``few-shot`` with each exemplar's rationale before its answer; nothing else differs.

    Source: arXiv:2201.11903, section 2.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "exemplars"
    prompts: ClassVar[tuple[str, ...]] = ("cot.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "few-shot"
    reasons: ClassVar[bool] = True
    exemplars: tuple[Exemplar, ...]
    """Shown in this order, at least one."""
    max_tokens: int = 256
    calculator: bool = False
    """Whether the chain's equations are worked out again and their results carried on."""

    def solve(self, question: Question) -> Flow:
        """Send one request."""
        prompt = render(
            "cot",
            1,
            question=format_question(question),
            kind=question.answer_kind,
            exemplars=self.exemplars,
        )
        stop_after = answer_line_end(question.answer_kind)
        flow = one_turn(prompt, self.decoding(stop=("\nQ:",), stop_after=stop_after))
        return _calculated(flow) if self.calculator else flow


def _calculated(flow: Flow) -> Flow:
    attempt = yield from flow
    return replace(attempt, text=calculate(attempt.text))
