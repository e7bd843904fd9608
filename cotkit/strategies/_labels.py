"""What in-context label experiments share: which exemplars, which flips, and the prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from cotkit.prompting import render
from cotkit.stops import answer_line_end
from cotkit.strategies._base import DecodingStrategy
from cotkit.types import Exemplar, Message, Question, Request

CUE = "The answer is"
"""``Output:`` speaks the answer cue; the readers see it in the words that they know."""


@dataclass(frozen=True, kw_only=True)
class LabelStrategy(DecodingStrategy):
    """Base of strategies that show k exemplars of each label and ask for one label more."""

    pool: tuple[Exemplar, ...]
    """All exemplars of the benchmark; their answers are its labels."""
    k: int = 8
    """Exemplars of each label, 1..16."""
    seed: int = 0
    """Which exemplars are shown, in which order, which are flipped; seeds sampled decoding, too."""
    max_tokens: int = 16

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: names the field and its range.
        """
        DecodingStrategy.__post_init__(self)
        if not 1 <= self.k <= 16:
            raise ValueError(f"k is {self.k}, must be 1 to 16")
        if len(self.labels) < 2:
            raise ValueError("the exemplar pool must show at least two labels")
        for label in self.labels:
            if (n_pool := len(self._of(label))) < self.k:
                raise ValueError(f"k is {self.k}, but there are only {n_pool} exemplars of {label}")

    @property
    def labels(self) -> tuple[str, ...]:
        """The natural labels, sorted."""
        return tuple(sorted({exemplar.answer for exemplar in self.pool}))

    def drawn(self) -> tuple[Exemplar, ...]:
        """Draw k of each label, mixed; a larger k shows those of a smaller one, too."""
        chosen = chain.from_iterable(
            ranked("exemplars", self.seed, self._of(label))[: self.k] for label in self.labels
        )
        return tuple(ranked("order", self.seed, chosen))

    def request(self, exemplars: Sequence[Exemplar], question: Question) -> Request:
        """Return the one request; the answer ends with its line."""
        prompt = render("labels", 1, exemplars=exemplars, question=question.text)
        stop_after = answer_line_end(question.answer_kind, cue_spoken=True)
        return Request(
            messages=(Message(role="user", content=prompt),),
            decoding=self.decoding(stop=("\nInput:",), stop_after=stop_after),
        )

    def _of(self, label: str) -> list[Exemplar]:
        return [exemplar for exemplar in self.pool if exemplar.answer == label]


def ranked(what: str, seed: int, exemplars: Iterable[Exemplar]) -> list[Exemplar]:
    """Sort in an order that only ``what``, the seed and each exemplar's text decide."""

    def key(exemplar: Exemplar) -> str:
        return hashlib.sha256(f"{what}\n{seed}\n{exemplar.question}".encode()).hexdigest()

    return sorted(exemplars, key=key)
