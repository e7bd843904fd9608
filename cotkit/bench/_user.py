"""A benchmark of the user's own: ``--bench ./my.jsonl``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import get_args

from cotkit.bench._jsonl import each_line
from cotkit.bench._problems import labels_in, read_problems
from cotkit.errors import UnknownNameError
from cotkit.types import AnswerKind, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFile:
    """Problems in a JSON-lines file; read when asked for, never cached: the user edits it.

    Raises:
        UnknownNameError: ``kind`` is not an answer kind.
    """

    path: Path
    """The file."""
    kind: str | None = None
    """``number``, ``choice`` or ``text``; None: choice if its first line has choices or a label,
    else number. On the command line: ``./my.jsonl:answer_kind=text``."""
    exemplars: Path | None = None
    """A second file, of problems to draw exemplars from (``--exemplars train:8``, and the label
    strategies); None: none. On the command line: ``./my.jsonl:exemplars=./train.jsonl``."""

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist."""
        if self.kind is not None and self.kind not in get_args(AnswerKind):
            raise UnknownNameError("answer_kind", self.kind, get_args(AnswerKind))

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return self.path.name

    @property
    def version(self) -> str:
        """First 12 hex characters of the SHA-256 of the file, or of both files together."""
        digest = hashlib.sha256()
        for path in self._files:
            next(each_line(path))  # so that a missing file is told as such
            digest.update(path.read_bytes())
        return digest.hexdigest()[:12]

    @property
    def answer_kind(self) -> AnswerKind:
        """What the file's gold answers are."""
        for kind in get_args(AnswerKind):
            if kind == self.kind:
                return kind
        first = next(each_line(self.path)).fields
        return "choice" if first.get("choices") or "label" in first else "number"

    def problems(self) -> Sequence[Problem]:
        """Every line, in the file's order."""
        return self._read(self.path)

    def exemplar_pool(self) -> Sequence[Problem]:
        """Every line of the second file; empty without one: a file is one split."""
        return self._read(self.exemplars) if self.exemplars else ()

    @property
    def _files(self) -> tuple[Path, ...]:
        return (self.path, self.exemplars) if self.exemplars else (self.path,)

    def _read(self, path: Path) -> tuple[Problem, ...]:
        kind = self.answer_kind
        lines = chain.from_iterable(map(each_line, self._files))
        labels = labels_in(lines) if kind == "choice" else ()
        return read_problems(path, answer_kind=kind, labels=labels)
