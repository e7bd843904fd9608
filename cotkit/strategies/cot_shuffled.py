"""Shuffled chain-of-thought: each exemplar shows another one's reasoning (a control of ours)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.strategies._base import DecodingStrategy, few_shot_turn
from cotkit.types import Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class CotShuffled(DecodingStrategy):
    """The prompt of ``cot`` with the rationales moved on by ``shift``: must the reasoning be right?

    Questions, final answers and the words of the prompt as a whole stay. After the ablations of
    Wei et al. 2022, arXiv:2201.11903, section 3.3.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "controls"
    prompts: ClassVar[tuple[str, ...]] = ("cot.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "few-shot"
    reasons: ClassVar[bool] = True
    exemplars: tuple[Exemplar, ...]
    """Shown in this order, at least two."""
    max_tokens: int = 256
    shift: int = 1
    """Exemplar i shows the rationale of exemplar i + shift, around the end; 1 to exemplars - 1."""

    def __post_init__(self) -> None:
        """Refuse a shift that leaves a rationale where it was.

        Raises:
            ValueError: names the field and its range, or the exemplar.
        """
        DecodingStrategy.__post_init__(self)
        n = len(self.exemplars)
        if n < 2:
            raise ValueError(f"exemplars: {n} given, rationales can be exchanged among 2 or more")
        if not 1 <= self.shift < n:
            raise ValueError(f"shift is {self.shift}, must be in 1 to {n - 1} for {n} exemplars")
        for number, (own, other) in enumerate(
            zip(self.exemplars, self._moved(), strict=True), start=1
        ):
            if own.rationale == other.rationale:
                raise ValueError(
                    f"shift is {self.shift}, exemplar {number} gets its own rationale back"
                )

    def solve(self, question: Question) -> Flow:
        """Send one request."""
        return few_shot_turn(self, "cot", question, self._moved())

    def _moved(self) -> list[Exemplar]:
        from_here = self.exemplars[self.shift :] + self.exemplars[: self.shift]
        return [
            replace(x, rationale=other.rationale)
            for x, other in zip(self.exemplars, from_here, strict=True)
        ]
