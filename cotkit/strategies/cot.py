"""Few-shot chain-of-thought: exemplars that show worked reasoning (Wei et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.strategies._base import DecodingStrategy, few_shot_turn
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
        flow = few_shot_turn(self, "cot", question, self.exemplars)
        return _calculated(flow) if self.calculator else flow


def _calculated(flow: Flow) -> Flow:
    attempt = yield from flow
    return replace(attempt, text=calculate(attempt.text))
