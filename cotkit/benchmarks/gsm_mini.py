"""150 grade-school word problems of our own, 1 to 8 steps; needs no download."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cotkit.benchmarks._problems import read_problems
from cotkit.paths import resource
from cotkit.types import AnswerKind, Problem

_FILE = "benchmarks/gsm-mini/problems.v1.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class GsmMini:
    """The released file as a benchmark; its card is ``benchmarks/gsm-mini/card.md``."""

    name: str = field(default="gsm-mini", init=False)
    """Registry name."""
    answer_kind: AnswerKind = field(default="number", init=False)
    """Every gold answer is an exact number."""

    @property
    def version(self) -> str:
        """``1-`` and the first 12 hex characters of the file's SHA-256."""
        return f"1-{_sha256(resource(_FILE))[:12]}"

    def problems(self) -> Sequence[Problem]:
        """All 150, in the released order (their number of steps goes round 1..8)."""
        return _read_problems(resource(_FILE))

    def exemplar_pool(self) -> Sequence[Problem]:
        """Empty: every problem is evaluated; the built-in exemplars are separate."""
        return ()


@functools.cache
def _read_problems(path: Path) -> tuple[Problem, ...]:
    return read_problems(path, answer_kind="number")


@functools.cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
