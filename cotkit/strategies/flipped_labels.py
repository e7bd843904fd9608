"""Flipped labels: exemplars that contradict what the model knows (Wei et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import ClassVar

from cotkit.strategies._base import after_cue
from cotkit.strategies._labels import CUE, LabelStrategy, ranked
from cotkit.types import Attempt, Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class FlippedLabels(LabelStrategy):
    """A share of the exemplars shows the other label; what is asked is scored by the true one.

    So a model that follows the exemplars falls below chance as the share grows, and one that keeps
    to what it knows stays flat. Source: arXiv:2303.03846, section 3 (two labels, k = 16; the
    ``Input: ... Output: ...`` template and no instruction). The flips are spread evenly over the
    two labels, so that neither is shown more often because of them.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "exemplars"
    needs: ClassVar[str] = "labels to classify by"
    prompts: ClassVar[tuple[str, ...]] = ("labels.v1.jinja",)
    control: ClassVar[str] = "flipped-labels:fraction=0"
    reasons: ClassVar[bool] = False
    fraction: float = 1.0
    """Share of the exemplars whose label is flipped, 0..1; flips of a smaller share stay flipped
    in a larger one."""

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: names the field and its range.
        """
        LabelStrategy.__post_init__(self)
        if not 0 <= self.fraction <= 1:
            raise ValueError(f"fraction is {self.fraction}, must be 0 to 1")
        if self.fraction and len(self.labels) != 2:
            raise ValueError(
                f"fraction is {self.fraction}, but labels are flipped only where there are two;"
                f" here are {len(self.labels)}"
            )

    @property
    def exemplars(self) -> tuple[Exemplar, ...]:
        """Those shown: exactly ``round(fraction * 2k)`` of them flipped."""
        drawn = self.drawn()
        flipped = set(self._flip_order(drawn)[: round(self.fraction * len(drawn))])
        return tuple(self._flip(x) if x in flipped else x for x in drawn)

    def solve(self, question: Question) -> Flow:
        """Send one request."""
        (answer,) = yield self.request(self.exemplars, question)
        return Attempt(text=after_cue(CUE, answer.text), stop_reason=answer.stop_reason)

    def _flip_order(self, drawn: tuple[Exemplar, ...]) -> list[Exemplar]:
        """Take one of each label in turn."""
        order = ranked("flips", self.seed, drawn)
        by_label = [[x for x in order if x.answer == label] for label in self.labels]
        return list(chain.from_iterable(zip(*by_label, strict=True)))

    def _flip(self, exemplar: Exemplar) -> Exemplar:
        first, second = self.labels
        return replace(exemplar, answer=second if exemplar.answer == first else first)
