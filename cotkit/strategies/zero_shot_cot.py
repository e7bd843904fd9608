"""Zero-shot chain-of-thought: a trigger sentence, then an extraction turn (Kojima et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import format_question, read_trigger, render
from cotkit.strategies._base import Bounds, DecodingStrategy, reason_then_answer
from cotkit.types import Flow, Question


@dataclass(frozen=True, kw_only=True)
class ZeroShotCot(DecodingStrategy):
    """Turn 1 reasons after the trigger; turn 2 asks for the answer to that reasoning.

    Source: arXiv:2205.11916, section 3. Reasoning cut at its limit is still asked for its answer,
    as there; the answer's outcome stands, and the report counts the truncation.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "prompt"
    prompts: ClassVar[tuple[str, ...]] = (
        "zero-shot-cot.v2.jinja",
        "zero-shot-cot.extract.v1.jinja",
        "triggers.v1.jsonl",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"answer_tokens": (1, None)}
    max_tokens: int = 320
    """Of the reasoning turn (the paper has 128)."""
    answer_tokens: int = 32
    """Of the extraction turn."""
    trigger: str = "step-by-step"
    """Name of the sentence that invites the reasoning; ``prompts/triggers.v1.jsonl`` has them."""

    def __post_init__(self) -> None:
        """Refuse a trigger that there is not.

        Raises:
            UnknownNameError: names the triggers that come close.
            ValueError: names the field and its range.
        """
        DecodingStrategy.__post_init__(self)
        read_trigger(self.trigger)

    def solve(self, question: Question) -> Flow:
        """Send two requests, the second with the first one's completion."""
        prompt = render(
            "zero-shot-cot",
            2,
            question=format_question(question),
            kind=question.answer_kind,
            trigger=read_trigger(self.trigger),
        )
        return reason_then_answer(self, prompt, question, answer_tokens=self.answer_tokens)
