"""SVAMP: 1,000 short arithmetic stories with a twist (Patel et al. 2021)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from cotkit.benchmarks._files import TaskExample, find_user_file, read_task
from cotkit.errors import BadInputError
from cotkit.scoring.canonical import canonical_number
from cotkit.types import AnswerKind, Problem, Question

_OPERATORS = "+-*/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Svamp:
    """``$COTKIT_DATA_DIR/svamp/SVAMP.json``; the card is ``benchmarks/svamp/card.md``."""

    name: str = field(default="svamp", init=False)
    """Registry name."""
    answer_kind: AnswerKind = field(default="number", init=False)
    """Every gold answer is an exact number."""

    @property
    def version(self) -> str:
        """``1-`` and the first 12 hex characters of the file's SHA-256."""
        return f"1-{hashlib.sha256(_data_path().read_bytes()).hexdigest()[:12]}"

    def problems(self) -> Sequence[Problem]:
        """Every item, in the file's order; ``n_steps`` counts the operators of its equation.

        Raises:
            BadInputError: an item cannot be used; names file, item and field.
            MissingDataError: the file is not there.
        """
        return _read_problems(_data_path())

    def exemplar_pool(self) -> Sequence[Problem]:
        """Empty: the items are one challenge set."""
        return ()


def _data_path() -> Path:
    return find_user_file("svamp", "SVAMP.json")


def _read_problems(path: Path) -> tuple[Problem, ...]:
    problems = tuple(map(_make_problem, read_task(path).examples))
    if len({problem.question.id for problem in problems}) != len(problems):
        raise BadInputError(path, "two items have one ID", field="ID")
    return problems


def _make_problem(example: TaskExample) -> Problem:
    value = example.fields.get("Answer")
    is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    gold = canonical_number(f"{value:f}" if isinstance(value, Decimal) else str(value))
    if not is_number or gold is None:
        raise example.bad(f"cannot read {value!r} as a number", field="Answer")
    body = example.text("Body").strip()
    stop = "" if body.endswith((".", "?", "!", ",")) else "."
    equation = example.optional_text("Equation") or ""
    return Problem(
        question=Question(
            id=f"svamp/{example.text('ID')}",
            text=f"{body}{stop} {example.text('Question').strip()}",
        ),
        gold=gold,
        n_steps=sum(word in _OPERATORS for word in equation.split()) or None,
        tags={"type": kind} if (kind := example.optional_text("Type")) else {},
    )
