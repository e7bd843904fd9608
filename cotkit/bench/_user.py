"""A benchmark of the user's own: ``--bench ./my.jsonl``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from cotkit.bench._jsonl import read_lines, read_problems
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
    """``number``, ``choice`` or ``text``; None: choice if its first line has choices, else number.
    On the command line: ``./my.jsonl:answer_kind=text``."""

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
        """First 12 hex characters of the file's SHA-256."""
        read_lines(self.path)  # so that a missing file is told as such
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]

    @property
    def answer_kind(self) -> AnswerKind:
        """What the file's gold answers are."""
        for kind in get_args(AnswerKind):
            if kind == self.kind:
                return kind
        return "choice" if read_lines(self.path)[0].fields.get("choices") else "number"

    def problems(self) -> Sequence[Problem]:
        """Every line, in the file's order."""
        return read_problems(self.path, answer_kind=self.answer_kind)

    def exemplar_pool(self) -> Sequence[Problem]:
        """Empty: a file is one split."""
        return ()
