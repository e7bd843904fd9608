"""Analogical prompting: the model recalls its own worked examples first (Yasunaga et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.strategies._base import Bounds, DecodingStrategy, reason_then_answer
from cotkit.types import Flow, Question


@dataclass(frozen=True, kw_only=True)
class Analogical(DecodingStrategy):
    """``zero-shot-cot`` that begins by recalling problems like this and solving them.

    Source: arXiv:2310.01714, section 4.1 (self-generated exemplars, in one pass). The second turn
    is that of ``zero-shot-cot``.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "prompt"
    prompts: ClassVar[tuple[str, ...]] = (
        "analogical.v1.jinja",
        "zero-shot-cot.extract.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"problems": (1, 10), "answer_tokens": (1, None)}
    max_tokens: int = 768
    """Of the turn that recalls and reasons."""
    answer_tokens: int = 32
    """Of the extraction turn."""
    problems: int = 3
    """Problems recalled, 1 to 10 (the paper has 3 to 5)."""

    def same_cost(self) -> str:
        """Return the control with as many calls, which may write as long."""
        return f"zero-shot-cot:max_tokens={self.max_tokens}"

    def solve(self, question: Question) -> Flow:
        """Send two requests, the second with the first one's completion."""
        kind, words = question.answer_kind, format_question(question)
        prompt = render("analogical", 1, question=words, kind=kind, problems=self.problems)
        return reason_then_answer(self, prompt, question, answer_tokens=self.answer_tokens)
