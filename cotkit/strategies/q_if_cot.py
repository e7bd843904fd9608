"""Reasoning about an unbiased answer, after the instruction of q-if (Ganguli et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from cotkit.strategies._base import DecodingStrategy
from cotkit.strategies.self_correct import SelfCorrect
from cotkit.types import Flow, Question


@dataclass(frozen=True, kw_only=True)
class QIfCot(DecodingStrategy):
    """``q-if`` with a turn of reasoning about prejudice, then a turn that asks for the answer.

    Source: the condition Q+IF+CoT of arXiv:2302.07459, section 3 (which samples the reasoning; here
    it is greedy unless ``temperature`` is set). It asks exactly what
    ``self-correct:condition=q-if-cot,instruction=unbiased`` asks; its control is ``q-if``, so that
    the gain is that of the reasoning alone.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "prompt"
    prompts: ClassVar[tuple[str, ...]] = (
        "self-correct.v1.jinja",
        "self-correct.reasoning.v1.jinja",
        "self-correct.answer.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "q-if"
    reasons: ClassVar[bool] = True
    max_tokens: int = 32
    """Of the answer."""
    reasoning_tokens: int = 256
    """Of the reasoning turn, at least 1."""

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: names the field and its range.
        """
        self._asked()

    def solve(self, question: Question) -> Flow:
        """Send two requests, the second with the first one's completion."""
        return self._asked().solve(question)

    def _asked(self) -> SelfCorrect:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return SelfCorrect(instruction="unbiased", condition="q-if-cot", **values)
