"""150 grade-school word problems of our own, 1 to 8 steps; needs no download."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cotkit.benchmarks._files import FileBenchmark, Record
from cotkit.benchmarks._problems import check_problems
from cotkit.paths import resource
from cotkit.types import AnswerKind, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class GsmMini(FileBenchmark):
    """The released file as a benchmark; its card is ``benchmarks/gsm-mini/card.md``.

    The number of steps goes round 1..8. Every problem is evaluated; the built-in exemplars are
    separate.
    """

    name: str = field(default="gsm-mini", init=False)
    answer_kind: AnswerKind = field(default="number", init=False)

    def find_file(self, _split: str, /) -> Path:
        """Return the released file."""
        return resource("benchmarks/gsm-mini/problems.v1.jsonl")

    def make_problems(self, records: Sequence[Record], _split: str, /) -> Iterable[Problem]:
        """Make the problems: the file has the form of a user's own."""
        return check_problems(records, answer_kind="number")
