"""The question and an instruction to be unbiased, nothing else (Ganguli et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from cotkit.strategies._base import DecodingStrategy
from cotkit.strategies.self_correct import SelfCorrect
from cotkit.types import Flow, Question


@dataclass(frozen=True, kw_only=True)
class QIf(DecodingStrategy):
    """``standard`` with an instruction to leave prejudice out; nothing else differs.

    Source: the condition Q+IF of arXiv:2302.07459, section 3. It asks exactly what
    ``self-correct:instruction=unbiased`` asks, whose default asks for care instead.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "prompt"
    prompts: ClassVar[tuple[str, ...]] = ("self-correct.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = False
    max_tokens: int = 32

    def solve(self, question: Question) -> Flow:
        """Send one request; the cue is put back before the completion for the readers."""
        decoding = {field.name: getattr(self, field.name) for field in fields(DecodingStrategy)}
        return SelfCorrect(instruction="unbiased", condition="q-if", **decoding).solve(question)
