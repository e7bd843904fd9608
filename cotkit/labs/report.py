"""What a lab reports: its values, and the document, the text and the page that they become."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cotkit.report import render_documents
from cotkit.report.document import (
    Document,
    Field,
    Form,
    Table,
    Words,
    make_table,
    missing_interval,
    say_level,
    say_number,
)
from cotkit.report.html.figure import (
    Chart,
    draw_legend,
    fit_name,
    label_unit,
    legend_height,
    make_axes,
    series_style,
)
from cotkit.report.html.page import PageSection, lay_out
from cotkit.stats.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# What a lab says, whatever was trained: sentences, what they rest on, and curves.


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotLine:
    """One curve of a plot."""

    key: str
    """What it is, for programs: the same over runs."""
    name: str
    """What the legend calls it."""
    x: tuple[float, ...]
    """Places, rising."""
    y: tuple[float, ...]
    """Values there; NaN: a hole."""
    intervals: tuple[Interval, ...] = ()
    """One for each value; empty: none."""
    is_reference: bool = False
    """Whether it is what the others are held against (drawn thin and dashed)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Curves that share their axes."""

    key: str
    """Unique in its lab; letters, digits and hyphens."""
    title: str
    """Heading."""
    caption: str
    """How to read it."""
    x_name: str
    """What lies below."""
    x_form: Form
    """How its places are written."""
    x_is_log: bool
    """Whether places are spaced by their logarithm."""
    y_name: str
    """What the curves are, unit included."""
    y_form: Form
    """How values are written; ``share``: drawn as percent."""
    lines: tuple[PlotLine, ...]
    """In the order of the legend."""
    y_most: float | None = None
    """Where a figure ends: values beyond it are in the tables only; None: nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was asked, and how it came out."""

    what: str
    """The question."""
    value: float
    """The number that decides."""
    interval: Interval
    """Of the value."""
    form: Form
    """How both are written."""
    verdict: Words
    """For people and for programs."""
    why: str
    """The rule as applied, numbers included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabReport:
    """A whole report."""

    name: str
    """``mirage``."""
    answers: tuple[str, ...]
    """Verdict sentences; never empty."""
    caption: tuple[str, ...]
    """What was done, in short phrases."""
    facts: tuple[tuple[str, str | int | float | None], ...]
    """The same for programs."""
    findings: tuple[Finding, ...]
    """What the answers rest on."""
    finding_name: str
    """What the findings' numbers are."""
    plots: tuple[Plot, ...]
    """Curves; their numbers are tables of the report."""
    notes: tuple[str, ...]
    """What a reader must know."""


# The same as text.


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
    """Return the answer, the findings and one table for each plot."""
    return Document(
        headline=lab.answers,
        caption=lab.caption,
        facts=lab.facts,
        tables=(_findings_table(lab), *map(_plot_table, lab.plots)),
        notes=lab.notes,
    )


def _findings_table(lab: LabReport) -> Table:
    levels = sorted({finding.interval.level for finding in lab.findings})
    return make_table(
        "findings",
        "What was asked",
        [
            (
                Field("what", "what", finding.what),
                Field("value", lab.finding_name, finding.value, finding.form),
                Field("interval", "interval", finding.interval, finding.form),
                Field("verdict", "verdict", finding.verdict),
            )
            for finding in lab.findings
        ],
        note=f"{lab.finding_name}; intervals: {', '.join(map(say_level, levels))}",
    )


def _plot_table(plot: Plot) -> Table:
    """Return a row for each place; a line that was not measured there has no values in it."""
    key = "_".join(re.findall(r"\w+", plot.x_name))
    unit = " in %" if plot.y_form == "share" else ""
    return make_table(
        plot.key,
        plot.title,
        [
            (
                Field(key, plot.x_name, x, plot.x_form),
                *(field for line in plot.lines for field in _fields_at(x, line, plot.y_form)),
            )
            for x in sorted({x for line in plot.lines for x in line.x})
        ],
        note=f"{plot.y_name}{unit}; {plot.caption}",
    )


def _fields_at(x: float, line: PlotLine, form: Form) -> Iterator[Field]:
    """Yield the fields of a line at one place: its value, and its interval if it has any."""
    i = line.x.index(x) if x in line.x else None
    yield Field(line.key, line.key, None if i is None else line.y[i], form, opens=True)
    if line.intervals:
        missing = missing_interval(line.intervals[0].level)
        interval = missing if i is None else line.intervals[i]
        yield Field(f"{line.key} interval", "interval", interval, form)


# The same as a page, with the plots drawn.


_HEIGHT, _BELOW = 132.0, 26.0  # points of the axes, and below them


def lab_page(lab: LabReport) -> str:
    """Write the report as one HTML page; ends in a newline.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    document = lab_document(lab)
    answers = [answer.partition("; ") for answer in lab.answers]
    return lay_out(
        title=f"cotkit lab {lab.name}",
        answers=[(claim, numbers) for claim, _, numbers in answers],
        caption=document.caption,
        sections=[PageSection(heading=lab.name, part=None, document=document)],
        figures=[draw_plot(plot) for plot in lab.plots],
    )


def draw_plot(plot: Plot) -> Chart:
    """Draw one plot."""
    names = [line.name for line in plot.lines]
    return Chart(
        key=f"plot-{plot.key}",
        title=plot.title,
        caption=plot.caption,
        data=_plot_table(plot),
        height=lambda width: legend_height(names, width - 20) + 18 + _HEIGHT + _BELOW,
        paint=lambda figure: _paint_plot(figure, plot),
    )


def _paint_plot(figure: Figure, plot: Plot) -> None:
    width, height = figure.bbox.size
    axes = make_axes(figure, x=28, y=height - _BELOW - _HEIGHT, width=width - 36, height=_HEIGHT)
    if plot.x_is_log:
        axes.set_xscale("log")
    for i, line in enumerate(plot.lines):
        _paint_line(axes, line, i, 100 if plot.y_form == "share" else 1)
    _paint_ticks(axes, plot)
    if plot.y_form == "share":
        axes.set_ylim(min(-2.0, axes.get_ylim()[0]), 102)
    if plot.y_most is not None:
        axes.set_ylim(0, plot.y_most)
    axes.set_xlabel(plot.x_name)
    label_unit(axes, f"{plot.y_name}, %" if plot.y_form == "share" else plot.y_name)
    draw_legend(axes)


def _paint_line(axes: Axes, line: PlotLine, i: int, factor: int) -> None:
    color, marker = series_style(i)
    y = [factor * value for value in line.y]
    name = fit_name(line.name, float(axes.figure.bbox.width) - 40)
    if line.is_reference:
        axes.plot(line.x, y, color=color, linewidth=0.7, linestyle=(0, (4, 2)), label=name)
        return
    if line.intervals:
        low = [factor * interval.low for interval in line.intervals]
        high = [factor * interval.high for interval in line.intervals]
        axes.fill_between(line.x, low, high, color=color, alpha=0.14, linewidth=0)
    axes.plot(line.x, y, marker=marker, markersize=2.6, color=color, label=name)


def _paint_ticks(axes: Axes, plot: Plot) -> None:
    """Write the places as ticks where there is room, formatted as in the report."""
    places = sorted({x for line in plot.lines for x in line.x})
    positions = [math.log10(x) for x in places] if plot.x_is_log else places
    span = max(positions[-1] - positions[0], 1e-9)
    ticks: list[int] = []
    for i in reversed(range(len(places))):
        width = axes.get_window_extent().width
        if not ticks or (positions[ticks[-1]] - positions[i]) / span * width >= 27:
            ticks.append(i)
    names = [say_number(places[i], plot.x_form) for i in ticks]
    axes.set_xticks([places[i] for i in ticks], names)
    axes.set_xticks([], minor=True)
    axes.grid(visible=True, axis="y")
