"""Tables of why two tools that scored the same problems do not agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cotkit.analysis.disagreements import CAUSES, Disagreement
from cotkit.report.document import Column, Number, Table, Value, Words


def disagreement_tables(found: Sequence[Disagreement]) -> tuple[Table, ...]:
    """How often for each reason, then every problem; none if the tools agree."""
    if not found:
        return ()
    counts = Counter((one.arm, one.control, one.cause) for one in found)
    summary = Table(
        key="disagreement_causes",
        title="Why the two tools disagree",
        note="problems that one of them called solved and the other not; each is counted under the"
        " first reason that applies, in this order",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="control", header="against"),
            Column(key="cause", header="because"),
            Column(key="n", header="problems"),
        ),
        rows=tuple(
            (
                _words(arm),
                _words(control),
                Words(text=CAUSES[cause], raw=cause),
                Number(value=counts[arm, control, cause], form="count"),
            )
            for arm, control in dict.fromkeys((one.arm, one.control) for one in found)
            for cause in CAUSES
            if (arm, control, cause) in counts
        ),
    )
    items = Table(
        key="disagreements",
        title="Problem by problem",
        note="",
        columns=(
            Column(key="problem", header="problem"),
            Column(key="right", header="solved, says"),
            Column(key="why", header="because"),
        ),
        rows=tuple(_row(one) for one in found),
    )
    return summary, items


def _row(one: Disagreement) -> tuple[Value, ...]:
    return _words(one.problem), _words(one.right), _words(one.why)


def _words(text: str) -> Words:
    return Words(text=text, raw=text)
