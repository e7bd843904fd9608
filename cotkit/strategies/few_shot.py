"""Few-shot: exemplars that show the answer only, no reasoning (Brown et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.strategies._base import DecodingStrategy, few_shot_turn
from cotkit.types import Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class FewShot(DecodingStrategy):
    """The control of chain-of-thought: the same exemplars in the same order, rationales left out.

    Source: "standard prompting" of Wei et al. 2022, arXiv:2201.11903, section 3.1.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "exemplars"
    prompts: ClassVar[tuple[str, ...]] = ("few-shot.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = False
    exemplars: tuple[Exemplar, ...]
    """Shown in this order, at least one."""
    max_tokens: int = 32

    def solve(self, question: Question) -> Flow:
        """Send one request."""
        return few_shot_turn(self, "few-shot", question, self.exemplars)
