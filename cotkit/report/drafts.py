"""Tables made from drafts: corrections round by round, and votes of fewer samples."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.analysis.results import Transition, VoteCurve
from cotkit.report.document import Column, Number, Table, Words


def draft_tables(
    transitions: Sequence[Transition], votes: Sequence[VoteCurve]
) -> tuple[Table, ...]:
    """Only the tables that have rows."""
    return tuple(table for table in (_transitions(transitions), _votes(votes)) if table.rows)


def _transitions(transitions: Sequence[Transition]) -> Table:
    return Table(
        key="transitions",
        title="What correction did",
        note="Fixed: not correct before, correct after; broken: the reverse; n: problems that went"
        " through the round",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="step", header="step"),
            Column(key="n", header="n"),
            Column(key="fixed", header="fixed"),
            Column(key="broken", header="broken"),
            Column(key="kept_right", header="kept right"),
            Column(key="kept_wrong", header="kept wrong"),
        ),
        rows=tuple(
            (
                Words(text=t.arm, raw=t.arm),
                Words(text=t.step, raw=t.step),
                *(
                    Number(value=count, form="count")
                    for count in (t.n, t.fixed, t.broken, t.kept_right, t.kept_wrong)
                ),
            )
            for t in transitions
        ),
    )


def _votes(votes: Sequence[VoteCurve]) -> Table:
    return Table(
        key="votes",
        title="What more samples bring",
        note="Solve rate of a vote of so many samples, all from one set; of equal answers the one"
        " read first wins",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="n_samples", header="samples"),
            Column(key="solve_rate", header="solve rate %"),
            Column(key="n", header="n"),
        ),
        rows=tuple(
            (
                Words(text=curve.arm, raw=curve.arm),
                Number(value=j, form="count"),
                Number(value=rate, form="share"),
                Number(value=curve.n, form="count"),
            )
            for curve in votes
            for j, rate in enumerate(curve.rates, start=1)
        ),
    )
