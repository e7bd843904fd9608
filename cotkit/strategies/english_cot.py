"""English chain-of-thought: a question in any language, reasoning in English (Shi et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.strategies.zero_shot_cot import ZeroShotCot


@dataclass(frozen=True, kw_only=True)
class EnglishCot(ZeroShotCot):
    """``zero-shot-cot`` with the wish to reason in English, whatever the question's language.

    Source: EN-CoT of arXiv:2210.03057, section 3, without exemplars; its pair is ``native-cot``.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "prompt"
    prompts: ClassVar[tuple[str, ...]] = (
        "zero-shot-cot.v2.jinja",
        "zero-shot-cot.extract.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "standard"
    trigger: str = "Let's think step by step in English."

    def same_cost(self) -> str:
        """Return the control with as many calls, which says nothing of a language."""
        return "zero-shot-cot"
