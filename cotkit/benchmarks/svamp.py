"""SVAMP: 1,000 short arithmetic stories with a twist (Patel et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from cotkit.benchmarks._files import DataFile, FileBenchmark, Record, find_local, obtain
from cotkit.errors import BadInputError
from cotkit.scoring.canonical import canonical_number
from cotkit.types import AnswerKind, Problem, Question

_URL = "https://raw.githubusercontent.com/arkilpatel/SVAMP/main/SVAMP.json"
_FILE = DataFile(
    folder="svamp",
    name="SVAMP.json",
    sha256="5be77703a6d891ae476d7c082787ad361392aa02453b132516cdd5f4e7934e3e",
)
_OPERATORS = "+-*/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Svamp(FileBenchmark):
    """``$COTKIT_DATA_DIR/svamp/SVAMP.json``; the card is ``benchmarks/svamp/card.md``.

    The items are one challenge set: there are no exemplars.
    """

    name: str = field(default="svamp", init=False)
    answer_kind: AnswerKind = field(default="number", init=False)

    def find_file(self, _split: str, /) -> Path:
        """Return the user's file, else the official one, which is downloaded once."""
        return find_local(_FILE) or obtain(_FILE, (_URL,))

    def make_problems(self, records: Sequence[Record], _split: str, /) -> Iterator[Problem]:
        """Make the problems; ``n_steps`` counts the operators of an item's equation."""
        ids: set[str] = set()
        for record in records:
            problem = _make_problem(record)
            if problem.question.id in ids:
                raise BadInputError(record.file, "two items have one ID", field="ID")
            ids.add(problem.question.id)
            yield problem


def _make_problem(record: Record) -> Problem:
    value = record.fields.get("Answer")
    is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    gold = canonical_number(f"{value:f}" if isinstance(value, Decimal) else str(value))
    if not is_number or gold is None:
        raise record.make_error(f"cannot read {value!r} as a number", field="Answer")
    body = record.require_text("Body").strip()
    stop = "" if body.endswith((".", "?", "!", ",")) else "."
    equation = record.find_text("Equation") or ""
    return Problem(
        question=Question(
            id=f"svamp/{record.require_text('ID')}",
            text=f"{body}{stop} {record.require_text('Question').strip()}",
        ),
        gold=gold,
        n_steps=sum(word in _OPERATORS for word in equation.split()) or None,
        tags={"type": kind} if (kind := record.find_text("Type")) else {},
    )
