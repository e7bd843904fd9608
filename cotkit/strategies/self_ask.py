"""Self-ask: follow-up questions, asked and answered in one text (Press et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.stops import answer_line_end
from cotkit.strategies._base import DecodingStrategy, one_turn
from cotkit.strategies.least_to_most import decompositions
from cotkit.types import Flow, Question


@dataclass(frozen=True, kw_only=True)
class SelfAsk(DecodingStrategy):
    """Chain-of-thought whose steps are questions; nothing is looked up.

    Source: arXiv:2210.03350, section 3, without a search engine. Its worked examples are those of
    ``least-to-most``; ``--exemplars`` changes its control alone.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "exemplars"
    prompts: ClassVar[tuple[str, ...]] = (
        "self-ask.v1.jinja",
        "exemplars.least-to-most.v1.jsonl",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "cot"
    reasons: ClassVar[bool] = True
    max_tokens: int = 320

    def solve(self, question: Question) -> Flow:
        """Send one request."""
        kind = question.answer_kind
        words, worked = format_question(question), decompositions()
        prompt = render("self-ask", 1, question=words, kind=kind, worked=worked)
        return one_turn(prompt, self.decoding(stop=("\nQ:",), stop_after=answer_line_end(kind)))
