"""Zero-shot: the question and an answer cue, no exemplars, no reasoning (Kojima et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.stops import answer_line_end
from cotkit.strategies._base import DecodingStrategy, one_turn
from cotkit.types import Flow, Question


@dataclass(frozen=True, kw_only=True)
class Standard(DecodingStrategy):
    """The prompt ends in ``The answer is``, so that the first word must already be the answer.

    Source: "Zero-shot" of arXiv:2205.11916, section 4.1.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "prompt"
    prompts: ClassVar[tuple[str, ...]] = ("standard.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = False
    max_tokens: int = 32

    def solve(self, question: Question) -> Flow:
        """Send one request; the cue is put back before the completion for the readers."""
        prompt = render(
            "standard", 1, question=format_question(question), kind=question.answer_kind
        )
        stop_after = answer_line_end(question.answer_kind, cue_spoken=True)
        return one_turn(
            prompt, self.decoding(stop=("\nQ:",), stop_after=stop_after), cue="The answer is"
        )
