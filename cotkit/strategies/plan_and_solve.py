"""Plan-and-solve: a zero-shot trigger that plans, then carries the plan out (Wang et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.stops import answer_line_end
from cotkit.strategies._base import DecodingStrategy, after_cue
from cotkit.types import Attempt, Flow, Message, Question, Request


@dataclass(frozen=True, kw_only=True)
class PlanAndSolve(DecodingStrategy):
    """``zero-shot-cot`` with a trigger that understands, plans and carries out.

    Source: arXiv:2305.04091, section 2 (PS; PS+ with ``plus``). The second turn is that of
    ``zero-shot-cot``.
    """

    version: ClassVar[int] = 1
    prompts: ClassVar[tuple[str, ...]] = (
        "plan-and-solve.v1.jinja",
        "zero-shot-cot.extract.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = True
    max_tokens: int = 320
    """Of the reasoning turn."""
    answer_tokens: int = 32
    """Of the extraction turn, at least 1."""
    plus: bool = False
    """Whether the trigger also asks to note the quantities and to work out each value with care."""

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: names the field and its range.
        """
        DecodingStrategy.__post_init__(self)
        if self.answer_tokens < 1:
            raise ValueError(f"answer_tokens is {self.answer_tokens}, must be at least 1")

    def solve(self, question: Question) -> Flow:
        """Two requests, the second holding the first one's completion."""
        kind = question.answer_kind
        prompt = render(
            "plan-and-solve", 1, question=format_question(question), kind=kind, plus=self.plus
        )
        ask = Message(role="user", content=prompt)
        (reasoning,) = yield Request(messages=(ask,), decoding=self.decoding(stop=("\nQ:",)))
        said = Message(role="assistant", content=reasoning.text)
        extract = Message(role="user", content=render("zero-shot-cot.extract", 1))
        decoding = self.decoding(
            stop=("\nQ:",),
            stop_after=answer_line_end(kind, cue_spoken=True),
            max_tokens=self.answer_tokens,
        )
        (answer,) = yield Request(messages=(ask, said, extract), decoding=decoding)
        text = after_cue("The answer is", answer.text)
        return Attempt(text=text, stop_reason=answer.stop_reason)
