"""Answer first: exemplars that show the answer, then its reasoning (Wei et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.strategies._base import DecodingStrategy, few_shot_turn
from cotkit.types import Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class AnswerFirst(DecodingStrategy):
    """The exemplars of ``cot`` with the answer line in front: does seeing reasoning suffice?

    Source: "reasoning after answer" of arXiv:2201.11903, section 3.3. The text ends after its first
    answer line, as everywhere: an answer cannot depend on what would be written after it, so the
    reasoning that would follow changes nothing and is not paid for.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "controls"
    prompts: ClassVar[tuple[str, ...]] = ("answer-first.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "few-shot"
    reasons: ClassVar[bool] = False
    exemplars: tuple[Exemplar, ...]
    """Shown in this order, at least one."""
    max_tokens: int = 32
    """As ``few-shot``: room for an answer line, none for reasoning before it."""

    def solve(self, question: Question) -> Flow:
        """Send one request."""
        return few_shot_turn(self, "answer-first", question, self.exemplars)
