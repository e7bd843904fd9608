"""Chain-of-draft: steps of five words at most, for fewer tokens (Xu et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.stops import answer_line_end
from cotkit.strategies._base import DecodingStrategy, one_turn
from cotkit.types import Flow, Question


@dataclass(frozen=True, kw_only=True)
class Draft(DecodingStrategy):
    """Reasoning is asked for, and kept short by the prompt alone; no limit is lower.

    Source: arXiv:2502.18600, section 3, without exemplars.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "prompt"
    prompts: ClassVar[tuple[str, ...]] = ("draft.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = True
    max_tokens: int = 256

    def solve(self, question: Question) -> Flow:
        """Send one request."""
        prompt = render("draft", 1, question=format_question(question), kind=question.answer_kind)
        stop_after = answer_line_end(question.answer_kind)
        return one_turn(prompt, self.decoding(stop=("\nQ:",), stop_after=stop_after))
