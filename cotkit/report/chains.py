"""The table of first wrong steps: where chains of equations leave the gold chain."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.analysis.results import ChainStep
from cotkit.report.document import Column, Number, Table, Words


def chain_tables(found: Sequence[ChainStep]) -> tuple[Table, ...]:
    """One table; none if no chain was judged."""
    if not found:
        return ()
    table = Table(
        key="first_wrong_step",
        title="First wrong step: where do the written chains go wrong?",
        note="Reached: attempts with every step before it right; wrong there: it differs from the"
        " gold chain or is missing; none written: of all attempts, those without an equation",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="step", header="step"),
            Column(key="n_reached", header="reached"),
            Column(key="n_wrong", header="wrong there"),
            Column(key="share_wrong", header="wrong %"),
        ),
        rows=tuple(
            (
                Words(text=one.arm, raw=one.arm),
                Words(
                    text="none written" if one.step is None else str(one.step),
                    raw="none" if one.step is None else str(one.step),
                ),
                Number(value=one.n_reached, form="count"),
                Number(value=one.n_wrong, form="count"),
                Number(value=one.n_wrong / one.n_reached if one.n_reached else None, form="share"),
            )
            for one in found
        ),
    )
    return (table,)
