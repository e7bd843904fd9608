"""Ways of counting a pair of attempts: by which reader, and what to do with unreadable answers.

Only the run's own reader decides the outcome of a row, so the other readers count by
``correct_by``; the treatments of unreadable answers bend the outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cotkit.errors import UsageError
from cotkit.store.rows import AttemptRow
from cotkit.types import Outcome

UNREADABLE: frozenset[Outcome] = frozenset({"unparsed", "truncated", "refused"})
"""Outcomes in which the model answered and no answer could be read."""

Pair: TypeAlias = tuple[AttemptRow, AttemptRow]
"""(arm, control) on one problem; neither failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """One way of deciding who is right in a pair."""

    name: str
    """As ``Variant.name`` gives it; for the main one the reader's name."""
    kind: Literal["main", "reader", "treatment"]
    """What it varies: nothing, the reader, or the treatment of unreadable answers."""
    reader: str
    """Whose readings it counts."""
    judge: Callable[[Pair], tuple[bool, bool] | None]
    """(arm right, control right); None leaves the pair out."""


def countings(rows: Sequence[AttemptRow], reader: str) -> tuple[Counting, ...]:
    """The main counting, then one for every other reader by name, then the three treatments.

    A reader that a benchmark brings (``task:...``) and that reads nothing at all is left out: it
    was written for other prompts, and nothing depends on it.

    Raises:
        UsageError: a row was not read by every reader, or was scored by another than ``reader``.
    """
    completed = [row for row in rows if row.outcome != "failed"]
    readers = {reader}.union(*(row.correct_by for row in completed))
    for row in completed:
        _check_read(row, readers)
        _check_scored_by(row, reader)
    others = sorted(name for name in readers - {reader} if not _is_mute(name, completed))
    return (
        Counting(name=reader, kind="main", reader=reader, judge=_by_outcome),
        *(
            Counting(name=f"reader {name}", kind="reader", reader=name, judge=_by_reader(name))
            for name in others
        ),
        Counting(
            name="unparsed and truncated left out",
            kind="treatment",
            reader=reader,
            judge=_readable_only,
        ),
        Counting(
            name="unreadable counted for the control",
            kind="treatment",
            reader=reader,
            judge=_for_control,
        ),
        Counting(
            name="unreadable counted for the arm", kind="treatment", reader=reader, judge=_for_arm
        ),
    )


def _is_mute(name: str, rows: Sequence[AttemptRow]) -> bool:
    readings = [row.readings.get(name) for row in rows]
    return name.startswith("task:") and all(one and one.value is None for one in readings)


def _by_outcome(pair: Pair) -> tuple[bool, bool]:
    arm, control = pair
    return arm.outcome == "correct", control.outcome == "correct"


def _by_reader(name: str) -> Callable[[Pair], tuple[bool, bool]]:
    def judge(pair: Pair) -> tuple[bool, bool]:
        arm, control = pair
        return arm.correct_by[name], control.correct_by[name]

    return judge


def _readable_only(pair: Pair) -> tuple[bool, bool] | None:
    return None if any(row.outcome in UNREADABLE for row in pair) else _by_outcome(pair)


def _for_control(pair: Pair) -> tuple[bool, bool]:
    """Worst case for the arm: what the control left unreadable was right, its own was wrong."""
    arm, control = _by_outcome(pair)
    return arm, control or pair[1].outcome in UNREADABLE


def _for_arm(pair: Pair) -> tuple[bool, bool]:
    """Best case for the arm: what it left unreadable was right, the control's was wrong."""
    arm, control = _by_outcome(pair)
    return arm or pair[0].outcome in UNREADABLE, control


def _check_read(row: AttemptRow, readers: set[str]) -> None:
    missing = sorted(readers - set(row.correct_by))
    if missing:
        raise UsageError(
            f"{row.arm} on {row.problem_id} was not read by {', '.join(missing)}",
            hint="score the run again with one panel of readers",
        )


def _check_scored_by(row: AttemptRow, reader: str) -> None:
    # Truncated and refused rows may hold a readable answer: what that is worth is scoring's rule.
    said = {"correct": True, "wrong": False}.get(row.outcome)
    if said is not None and said != row.correct_by[reader]:
        raise UsageError(
            f"{row.arm} on {row.problem_id} is {row.outcome}, but not by reader {reader!r}",
            hint="name the reader that the run chose, or score the run again",
        )
