"""200 short reviews of our own with two labels, positive and negative; needs no download."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cotkit.benchmarks._problems import read_problems
from cotkit.paths import resource
from cotkit.types import AnswerKind, Problem

_FILE = "benchmarks/sentiment-mini/problems.v1.jsonl"
_POOL = "benchmarks/sentiment-mini/exemplars.v1.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentMini:
    """The released files as a benchmark; its card is ``benchmarks/sentiment-mini/card.md``.

    Its kind is ``choice``, with the labels as the choices of every question: the reader then takes
    a label named in a longer answer, and an answer that names none is unparsed, not wrong.
    """

    name: str = field(default="sentiment-mini", init=False)
    """Registry name."""
    answer_kind: AnswerKind = field(default="choice", init=False)
    """Every gold answer is the text of one of the two labels."""

    @property
    def version(self) -> str:
        """``1-`` and the first 12 hex characters of the SHA-256 of both files together."""
        return f"1-{_sha256(resource(_FILE), resource(_POOL))[:12]}"

    def problems(self) -> Sequence[Problem]:
        """All 200, 100 of each label, in the released order."""
        return _read_problems(resource(_FILE))

    def exemplar_pool(self) -> Sequence[Problem]:
        """48 more, 24 of each label, about other things; without rationales."""
        return _read_problems(resource(_POOL))


@functools.cache
def _read_problems(path: Path) -> tuple[Problem, ...]:
    return read_problems(path, answer_kind="choice")


@functools.cache
def _sha256(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
