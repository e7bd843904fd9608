"""English chain-of-thought: a question in any language, reasoning in English (Shi et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.strategies._base import Bounds, DecodingStrategy, reason_then_answer
from cotkit.types import Flow, Question


@dataclass(frozen=True, kw_only=True)
class EnglishCot(DecodingStrategy):
    """``zero-shot-cot`` with the wish to reason in English, whatever the question's language.

    Source: EN-CoT of arXiv:2210.03057, section 3, without exemplars; its pair is ``native-cot``.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "prompt"
    prompts: ClassVar[tuple[str, ...]] = (
        "zero-shot-cot.v2.jinja",
        "zero-shot-cot.extract.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"answer_tokens": (1, None)}
    max_tokens: int = 320
    """Of the reasoning turn."""
    answer_tokens: int = 32
    """Of the extraction turn."""

    def same_cost(self) -> str:
        """Return the control with as many calls, which says nothing of a language."""
        return "zero-shot-cot"

    def solve(self, question: Question) -> Flow:
        """Send two requests, the second with the first one's completion."""
        prompt = render(
            "zero-shot-cot",
            2,
            question=format_question(question),
            kind=question.answer_kind,
            trigger="Let's think step by step in English.",
        )
        return reason_then_answer(self, prompt, question, answer_tokens=self.answer_tokens)
