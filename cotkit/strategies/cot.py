"""Few-shot chain-of-thought: exemplars that show worked reasoning (Wei et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import render, shown
from cotkit.stops import answer_line_end
from cotkit.strategies._base import Sampled, one_turn
from cotkit.types import Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class Cot(Sampled):
    """``few-shot`` with each exemplar's rationale before its answer; nothing else differs.

    Source: arXiv:2201.11903, section 2.
    """

    control: ClassVar[str] = "few-shot"
    exemplars: tuple[Exemplar, ...]
    """Shown in this order, at least one."""
    max_tokens: int = 256

    def solve(self, question: Question) -> Flow:
        """One request."""
        prompt = render(
            "cot",
            1,
            question=shown(question),
            kind=question.answer_kind,
            exemplars=self.exemplars,
        )
        stop_after = answer_line_end(question.answer_kind)
        return one_turn(prompt, self.decoding(stop=("\nQ:",), stop_after=stop_after))
