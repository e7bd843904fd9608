"""Gains over the control, all of a report at once: their levels depend on how many there are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cotkit.analysis.values import Gain, Label
from cotkit.errors import UsageError
from cotkit.stats.hypotheses import holm, mcnemar_midp, minimum_detectable_effect, sidak_level
from cotkit.stats.intervals import Interval, tango
from cotkit.stats.sequential import ConfidenceSequence, is_decided, shared_level
from cotkit.store.rows import AttemptRow
from cotkit.types import Outcome


def compute_gains(
    paired: Mapping[tuple[str, str], Sequence[Pair]],
    counting: Grading,
    *,
    margin: float,
    level: float,
    sequential: bool = False,
) -> tuple[Gain, ...]:
    """One gain for each (arm, control) of ``paired``, in its order, under one way of counting.

    Intervals are at the Sidak level over all of them, p-values also adjusted by Holm.
    ``sequential``: both allow for a run that was looked at after every problem (Bonferroni level);
    the pairs must then come in the order drawn.
    """
    n_gains = max(1, len(paired))
    each = shared_level(level, n_gains) if sequential else sidak_level(level, n_gains)
    raw = [
        _compute_gain(names, pairs, counting, margin=margin, level=each, sequential=sequential)
        for names, pairs in paired.items()
    ]
    adjusted = holm([gain.p_value for gain in raw])
    return tuple(dataclasses.replace(gain, p_holm=p) for gain, p in zip(raw, adjusted, strict=True))


def _compute_gain(
    names: tuple[str, str],
    pairs: Sequence[Pair],
    counting: Grading,
    *,
    margin: float,
    level: float,
    sequential: bool,
) -> Gain:
    judged = [verdict for pair in pairs if (verdict := counting.judge(pair)) is not None]
    n = len(judged)
    n_better = sum(arm > control for arm, control in judged)
    n_worse = sum(arm < control for arm, control in judged)
    if sequential:
        found = ConfidenceSequence(level)
        for arm, control in judged:
            found.update((arm > control) - (arm < control))
        interval, p_value = found.interval, found.p_value
    else:
        interval = tango(n_better, n_worse, n, level)
        p_value = mcnemar_midp(n_better, n_worse)
    rate = sum(control for _, control in judged) / n if n else math.nan
    return Gain(
        arm=names[0],
        control=names[1],
        reader=counting.reader,
        n=n,
        n_better=n_better,
        n_worse=n_worse,
        gain=(n_better - n_worse) / n if n else math.nan,
        interval=interval,
        p_value=p_value,
        p_holm=p_value,
        label=label_gain(interval, margin),
        mde=minimum_detectable_effect(n, rate, level) if n else math.nan,
    )


# Ways of counting a pair of attempts: by which reader, and what to do with unreadable answers.
#
# Only the run's own reader decides the outcome of a row, so the other readers count by
# ``correct_by``; the treatments of unreadable answers bend the outcome.


UNREADABLE: frozenset[Outcome] = frozenset({"unparsed", "truncated", "refused"})
"""Outcomes in which the model answered and no answer could be read."""

Pair: TypeAlias = tuple[tuple[AttemptRow, ...], tuple[AttemptRow, ...]]
"""(arm, control) on one problem: the attempts of each, one or several; none of them failed."""
Side: TypeAlias = Literal["arm", "control"]
"""Of a pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """One way of deciding who is right in a pair."""

    name: str
    """As ``Variant.name`` gives it; for the main one the reader's name."""
    kind: Literal["main", "reader", "treatment"]
    """What it varies: nothing, the reader, or the treatment of unreadable answers."""
    reader: str
    """Whose readings it counts."""
    is_right: Callable[[AttemptRow, Side], bool | None]
    """Whether an attempt of the arm or of the control counts as right; None leaves it out."""

    def judge(self, pair: Pair) -> tuple[float, float] | None:
        """Return the share of right attempts of the arm and of the control.

        None: one of the two has no attempt that counts, so the pair is left out.
        """
        arm, control = (self._share_right(pair[0], "arm"), self._share_right(pair[1], "control"))
        return None if arm is None or control is None else (arm, control)

    def _share_right(self, attempts: Sequence[AttemptRow], side: Side) -> float | None:
        counted = [right for row in attempts if (right := self.is_right(row, side)) is not None]
        if len(counted) < 2:
            return counted[0] if counted else None
        return sum(counted) / len(counted)


def list_gradings(rows: Sequence[AttemptRow], reader: str) -> tuple[Grading, ...]:
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
        Grading(name=reader, kind="main", reader=reader, is_right=_by_outcome),
        *(
            Grading(name=f"reader {name}", kind="reader", reader=name, is_right=_by_reader(name))
            for name in others
        ),
        Grading(
            name="unparsed and truncated left out",
            kind="treatment",
            reader=reader,
            is_right=_by_outcome_if_readable,
        ),
        Grading(
            name="unreadable counted for the control",
            kind="treatment",
            reader=reader,
            is_right=_unreadable_for_control,
        ),
        Grading(
            name="unreadable counted for the arm",
            kind="treatment",
            reader=reader,
            is_right=_unreadable_for_arm,
        ),
    )


def _is_mute(name: str, rows: Sequence[AttemptRow]) -> bool:
    readings = [row.readings.get(name) for row in rows]
    return name.startswith("task:") and all(one and one.value is None for one in readings)


def _by_outcome(row: AttemptRow, side: Side) -> bool:  # noqa: ARG001 - counts both sides alike
    return row.outcome == "correct"


def _by_reader(name: str) -> Callable[[AttemptRow, Side], bool]:
    return lambda row, side: row.correct_by[name]  # noqa: ARG005 - counts both sides alike


def _by_outcome_if_readable(row: AttemptRow, side: Side) -> bool | None:
    return None if row.outcome in UNREADABLE else _by_outcome(row, side)


def _unreadable_for_control(row: AttemptRow, side: Side) -> bool:
    """Worst case for the arm: what the control left unreadable was right, its own was wrong."""
    return row.outcome == "correct" or (side == "control" and row.outcome in UNREADABLE)


def _unreadable_for_arm(row: AttemptRow, side: Side) -> bool:
    """Best case for the arm: what it left unreadable was right, the control's was wrong."""
    return row.outcome == "correct" or (side == "arm" and row.outcome in UNREADABLE)


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


# From an interval to a word: the labels of the onset rule.


def label_gain(interval: Interval, margin: float) -> Label:
    """What an interval of a gain shows against the smallest gain that counts as material.

    Args:
        interval: Of the gain, -1..1; ends that touch a bound do not cross it.
        margin: In 0..1, more than 0.
    """
    if interval.low > margin:
        return "helps"
    if interval.low > 0:
        return "some_help"
    if interval.high < 0:
        return "harms"
    if interval.high < margin:
        return "no_material_help"
    return "undetermined"


def label_direction(of: Label) -> int:
    """+1 if the label says better, -1 if it says worse, 0 if it says neither."""
    return {"helps": 1, "some_help": 1, "harms": -1}.get(of, 0)


# When a run has shown what it can: every gain is decided, whatever the problems left may say.


def make_stop_rule(
    pairs: Sequence[tuple[str, str]],
    *,
    margin: float,
    level: float,
    not_asked: Collection[str] = (),
) -> Callable[[Mapping[str, AttemptRow]], bool]:
    """A judge to be told each problem's attempts (arm -> row), in the order drawn.

    ``not_asked``: arms whose gains need not be decided, though they share the level of the report.
    It says True from the problem on at which no gain of ``pairs`` can change its side of the
    margin. A problem that one of a pair failed at says nothing of that pair.

    Raises:
        UsageError: there is no pair.
    """
    judged = [pair for pair in pairs if pair[0] not in not_asked]
    if not judged:
        raise UsageError(
            "--stop-when decided: no strategy here is measured against another",
            hint="name one that has a control, or a --baseline",
        )
    each = shared_level(level, len(pairs))
    sequences = {pair: ConfidenceSequence(each) for pair in judged}

    def tell(attempts: Mapping[str, AttemptRow]) -> bool:
        for (arm, control), sequence in sequences.items():
            ours, theirs = attempts[arm].outcome, attempts[control].outcome
            if "failed" not in {ours, theirs}:
                sequence.update((ours == "correct") - (theirs == "correct"))
        return all(is_decided(one.interval, margin) for one in sequences.values())

    return tell
