"""Step-back: first the principle behind the question, then the answer by it (Zheng et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.stops import answer_line_end
from cotkit.strategies._base import FIRST_LINE, Bounds, DecodingStrategy, make_request, one_turn
from cotkit.types import Flow, Question


@dataclass(frozen=True, kw_only=True)
class StepBack(DecodingStrategy):
    """A prompt that asks for the principle alone, then a prompt of its own that reasons from it.

    Source: arXiv:2310.06117, section 2, without exemplars.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "several turns"
    prompts: ClassVar[tuple[str, ...]] = (
        "step-back.principle.v1.jinja",
        "step-back.answer.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"principle_tokens": (1, None)}
    max_tokens: int = 320
    """Of the answer, with its reasoning."""
    principle_tokens: int = 96
    """Of the principle."""

    def same_cost(self) -> str:
        """Return the control with as many calls."""
        return "zero-shot-cot"

    def solve(self, question: Question) -> Flow:
        """Send two requests, the second with the words of the first one's completion."""
        kind, words = question.answer_kind, format_question(question)
        prompt = render("step-back.principle", 1, question=words)
        decoding = self.decoding(
            stop=("\nQ:",), stop_after=FIRST_LINE, max_tokens=self.principle_tokens
        )
        (reply,) = yield make_request(prompt, decoding)
        principle = " ".join(reply.text.split())
        prompt = render("step-back.answer", 1, question=words, kind=kind, principle=principle)
        decoding = self.decoding(stop=("\nQ:",), stop_after=answer_line_end(kind))
        return (yield from one_turn(prompt, decoding))
