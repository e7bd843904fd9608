"""200 short reviews of our own with two labels, positive and negative; needs no download."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from cotkit.benchmarks._files import FileBenchmark, Record, hash_files
from cotkit.benchmarks._problems import check_problems
from cotkit.paths import resource
from cotkit.types import AnswerKind, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentMini(FileBenchmark):
    """The released files as a benchmark; its card is ``benchmarks/sentiment-mini/card.md``.

    Its kind is ``choice``, with the labels as the choices of every question: the reader then takes
    a label named in a longer answer, and an answer that names none is unparsed, not wrong. There
    are 100 problems of each label, and 24 exemplars of each about other things, without rationales.
    """

    name: str = field(default="sentiment-mini", init=False)
    answer_kind: AnswerKind = field(default="choice", init=False)
    evaluated_split: ClassVar[str] = "problems"
    exemplar_split: ClassVar[str | None] = "exemplars"

    @property
    def version(self) -> str:
        """``1-`` and the first 12 hex characters of the SHA-256 of both files together."""
        return f"1-{hash_files(self.find_file('problems'), self.find_file('exemplars'))}"

    def find_file(self, split: str, /) -> Path:
        """Return the released file."""
        return resource(f"benchmarks/sentiment-mini/{split}.v1.jsonl")

    def make_problems(self, records: Sequence[Record], _split: str, /) -> Iterable[Problem]:
        """Make the problems: the files have the form of a user's own."""
        return check_problems(records, answer_kind="choice")
