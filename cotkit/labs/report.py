"""What a lab found, arranged in sections; nothing is computed here."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from cotkit.events import printable
from cotkit.labs.findings import LabReport, Plot, PlotLine
from cotkit.report import render_documents
from cotkit.report.document import (
    Column,
    Document,
    IntervalCell,
    Number,
    Table,
    Tone,
    Value,
    Words,
    say_level,
    say_number,
)
from cotkit.report.html.figure import (
    RenderedFigure,
    draw_figure,
    draw_legend,
    label_unit,
    make_axes,
    series_style,
    shorten_name,
)
from cotkit.report.html.page import PageSection, lay_out
from cotkit.stats.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


GOOD, BAD = ("holds", "selects", "follows"), ("fails", "metric_artefact")
"""Words of findings that have a colour."""

SCHEMA = "cotkit.lab/1"
"""Of the JSON: changes when a key is renamed, removed or changes meaning."""


def render_lab(
    lab: LabReport,
    format: str,  # noqa: A002 - as in ``report.render``
    *,
    width: int = 80,
    color: bool = False,
    encoding: str = "utf-8",
) -> str:
    """Write a report as text, in any format but lm-eval's; see :func:`cotkit.report.render`.

    Raises:
        UnknownNameError: no such format.
    """
    return render_documents(
        (lab_document(lab),), SCHEMA, format, width=width, color=color, encoding=encoding
    )


def lab_document(lab: LabReport) -> Document:
    """The answer, the findings and one table for each plot."""
    return Document(
        headline=lab.answers,
        caption=lab.caption,
        facts=lab.facts,
        tables=(_findings_table(lab), *map(_plot_table, lab.plots)),
        notes=lab.notes,
    )


def _findings_table(lab: LabReport) -> Table:
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
                IntervalCell(interval=one.interval, form=one.form),
                Words(text=one.verdict, raw=one.word, tone=_word_tone(one.word)),
            )
            for one in lab.findings
        ),
    )


def _word_tone(word: str) -> Tone:
    if word in GOOD:
        return "good"
    return "bad" if word in BAD else "quiet" if word == "undetermined" else "plain"


def _plot_table(plot: Plot) -> Table:
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
                *(v for one in plot.lines for v in _values_at(one, x, plot)),
            )
            for x in places
        ),
    )


def _values_at(line: PlotLine, x: float, plot: Plot) -> tuple[Value, ...]:
    i = line.x.index(x) if x in line.x else None
    value = Number(value=math.nan if i is None else line.y[i], form=plot.y_form)
    if not line.intervals:
        return (value,)
    nothing = Interval(low=math.nan, high=math.nan, level=line.intervals[0].level)
    return value, IntervalCell(
        interval=nothing if i is None else line.intervals[i], form=plot.y_form
    )


# The page of a lab: its plots, and what any report has.


_HEIGHT, _BELOW, _LINE = 220, 44, 16  # pixels of the axes, below them, and of a legend's line


def lab_page(lab: LabReport) -> str:
    """Write it; ends in a newline.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    document = lab_document(lab)
    return lay_out(
        title=f"cotkit lab {lab.name}",
        answers=[(claim, numbers) for claim, _, numbers in map(_split_answer, lab.answers)],
        caption=document.caption,
        sections=[PageSection(heading=lab.name, part=None, document=document)],
        figures=[draw_plot(plot) for plot in lab.plots],
    )


def _split_answer(answer: str) -> tuple[str, str, str]:
    """The claim, and the numbers it rests on."""
    return answer.partition("; ")


def draw_plot(plot: Plot) -> RenderedFigure:
    """One plot."""
    said = "; ".join(
        f"{line.name}: "
        + ", ".join(
            f"{say_number(y, plot.y_form)} at {say_number(x, plot.x_form)}"
            for x, y in zip(line.x, line.y, strict=True)
        )
        for line in plot.lines
    )
    head = _head_height(plot)
    return draw_figure(
        f"plot-{plot.key}",
        title=plot.title,
        caption=plot.caption,
        says=printable(said),
        height=head + _HEIGHT + _BELOW,
        paint=lambda figure: _paint_plot(figure, plot, head),
    )


def _head_height(plot: Plot) -> int:
    return 30 + _LINE * len(plot.lines)


def _paint_plot(figure: Figure, plot: Plot, head: int) -> None:
    on = make_axes(figure, left=44, right=12, top=head, bottom=_BELOW)
    if plot.x_is_log:
        on.set_xscale("log")
    for i, line in enumerate(plot.lines):
        _paint_line(on, line, i, 100 if plot.y_form == "share" else 1)
    _paint_ticks(on, plot)
    if plot.y_form == "share":
        on.set_ylim(min(0.0, on.get_ylim()[0]), 102)
    if plot.y_most is not None:
        on.set_ylim(0, plot.y_most)
    on.set_xlabel(plot.x_name)
    label_unit(on, f"{plot.y_name}, %" if plot.y_form == "share" else plot.y_name)
    draw_legend(on, above=20)


def _paint_line(on: Axes, line: PlotLine, i: int, times: int) -> None:
    color, marker = series_style(i)
    y = [times * value for value in line.y]
    name = shorten_name(printable(line.name), 52)
    if line.is_reference:
        on.plot(line.x, y, color=color, linewidth=1.2, linestyle=(0, (4, 2)), label=name)
        return
    if line.intervals:
        low = [times * one.low for one in line.intervals]
        high = [times * one.high for one in line.intervals]
        on.fill_between(line.x, low, high, color=color, alpha=0.14, linewidth=0)
    on.plot(line.x, y, marker=marker, markersize=4, color=color, label=name)


def _paint_ticks(on: Axes, plot: Plot) -> None:
    """Places as ticks, where they are few; the words of the report in place of powers of ten."""
    places = sorted({x for line in plot.lines for x in line.x})
    names = [say_number(x, plot.x_form) for x in places]
    kept: list[int] = []
    at = [math.log10(x) for x in places] if plot.x_is_log else places
    span = max(at[-1] - at[0], 1e-9)
    for i in reversed(range(len(places))):
        if not kept or (at[kept[-1]] - at[i]) / span * on.get_window_extent().width >= 44:
            kept.append(i)
    on.set_xticks([places[i] for i in kept], [names[i] for i in kept])
    on.set_xticks([], minor=True)
    on.grid(visible=True, axis="y")
