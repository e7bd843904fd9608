"""What a lab found, arranged in sections; nothing is computed here."""

from __future__ import annotations

import math
import re

from cotkit.analysis.lab import Lab, Line, Plot
from cotkit.analysis.values import Interval
from cotkit.report.document import Column, Document, Number, Span, Table, Tone, Value, Words
from cotkit.report.words import say_level

GOOD, BAD = ("holds", "selects", "follows"), ("fails", "metric_artefact")
"""Words of findings that have a colour."""


def lab_document(lab: Lab) -> Document:
    """The answer, the findings and one table for each plot."""
    return Document(
        headline=lab.answers,
        caption=lab.caption,
        facts=lab.facts,
        tables=(_findings(lab), *map(_table, lab.plots)),
        notes=lab.notes,
    )


def _findings(lab: Lab) -> Table:
    levels = {finding.interval.level for finding in lab.findings}
    return Table(
        key="findings",
        title="What was asked",
        note=f"{lab.finding_name}; intervals: {', '.join(map(say_level, sorted(levels)))}",
        columns=(
            Column(key="what", header="what"),
            Column(key="value", header=lab.finding_name),
            Column(key="interval", header="interval"),
            Column(key="verdict", header="verdict"),
        ),
        rows=tuple(
            (
                Words(text=one.what, raw=one.what),
                Number(value=one.value, form=one.form),
                Span(interval=one.interval, form=one.form),
                Words(text=one.verdict, raw=one.word, tone=_tone(one.word)),
            )
            for one in lab.findings
        ),
    )


def _tone(word: str) -> Tone:
    if word in GOOD:
        return "good"
    return "bad" if word in BAD else "quiet" if word == "undetermined" else "plain"


def _table(plot: Plot) -> Table:
    """A row for each place; a line that was not measured there has none to give."""
    places = sorted({x for line in plot.lines for x in line.x})
    key = "_".join(re.findall(r"\w+", plot.x_name))
    columns = [Column(key=key, header=plot.x_name)]
    for line in plot.lines:
        columns.append(Column(key=line.key, header=line.key, opens=True))
        if line.intervals:
            columns.append(Column(key=f"{line.key} interval", header="interval"))
    unit = " in %" if plot.y_form == "share" else ""
    return Table(
        key=plot.key,
        title=plot.title,
        note=f"{plot.y_name}{unit}; {plot.caption}",
        columns=tuple(columns),
        rows=tuple(
            (
                Number(value=x, form=plot.x_form),
                *(v for one in plot.lines for v in _at(one, x, plot)),
            )
            for x in places
        ),
    )


def _at(line: Line, x: float, plot: Plot) -> tuple[Value, ...]:
    i = line.x.index(x) if x in line.x else None
    value = Number(value=math.nan if i is None else line.y[i], form=plot.y_form)
    if not line.intervals:
        return (value,)
    nothing = Interval(low=math.nan, high=math.nan, level=line.intervals[0].level)
    return value, Span(interval=nothing if i is None else line.intervals[i], form=plot.y_form)
