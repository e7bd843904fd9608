"""The table of several samples of each problem: pass@k and maj@k, with intervals over problems."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.analysis.results import Repeats
from cotkit.report.document import Column, Number, Span, Table, Words
from cotkit.report.words import say_level


def repeats_tables(repeats: Sequence[Repeats]) -> tuple[Table, ...]:
    """One table; none if no problem has several samples."""
    if not repeats:
        return ()
    level = say_level(repeats[0].pass_interval.level)
    table = Table(
        key="repeats",
        title="What more samples bring",
        note="pass@k: one of k samples is correct, unbiased; maj@k: the vote of k neighbouring"
        " samples is correct, of equal answers the one read first; both are means over the n"
        " problems, and the intervals hold for problems, not samples",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="k", header="k"),
            Column(key="pass_at_k", header="pass@k %"),
            Column(key="pass_interval", header=f"{level} interval"),
            Column(key="maj_at_k", header="maj@k %"),
            Column(key="maj_interval", header=f"{level} interval"),
            Column(key="n", header="n"),
        ),
        rows=tuple(
            (
                Words(text=one.arm, raw=one.arm),
                Number(value=one.k, form="count"),
                Number(value=one.pass_at_k, form="share"),
                Span(interval=one.pass_interval, form="share"),
                Number(value=one.maj_at_k, form="share"),
                Span(interval=one.maj_interval, form="share"),
                Number(value=one.n, form="count"),
            )
            for one in repeats
        ),
    )
    return (table,)
