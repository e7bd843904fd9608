"""Figures of gains: a forest plot, and gains by number of steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cotkit.analysis.scale.values import Point
from cotkit.analysis.steps import format_steps
from cotkit.analysis.values import Comparison, Difficulty, Gain
from cotkit.events import printable
from cotkit.report.document import (
    Field,
    Table,
    Words,
    make_table,
    say_ends,
    say_level,
    say_number,
)
from cotkit.report.html.figure import (
    COLORS,
    TONE_COLORS,
    RenderedFigure,
    draw_figure,
    draw_legend,
    label_unit,
    make_axes,
    series_style,
    shorten_name,
)
from cotkit.report.verdicts import VERDICTS, VerdictLabel
from cotkit.stats.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_ROW = 62  # pixels of a row: two lines of words, and the interval under them


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """One line of a forest plot."""

    name: str
    """What it is about."""
    gain: float
    """The point; NaN: none."""
    interval: Interval
    """The line."""
    label: VerdictLabel
    """Its verdict."""


def gain_row(gain: Gain, model: str | None) -> ForestRow:
    """The line of a gain; ``model``: named where a page has several."""
    name = f"{gain.arm} over {gain.control}"
    return ForestRow(
        name=name if model is None else f"{model}: {name}",
        gain=gain.gain,
        interval=gain.interval,
        label=gain.label,
    )


def size_row(point: Point) -> ForestRow:
    """One size of a scale analysis, by its intervals, which hold over all sizes and pairs."""
    return ForestRow(
        name=point.rung.model,
        gain=point.gain,
        interval=point.interval,
        label=point.label,
    )


def draw_forest(key: str, title: str, rows: Sequence[ForestRow], margin: float) -> RenderedFigure:
    """Each gain with its interval on one axis; zero and the margin marked."""
    levels = sorted({row.interval.level for row in rows})
    said = "; ".join(
        f"{row.name}: {say_number(row.gain, 'points')} points, "
        f"{say_ends(row.interval.low, row.interval.high, 'points')}, {VERDICTS[row.label].words}"
        for row in rows
    )
    return draw_figure(
        key,
        title=title,
        caption=f"Points; lines: simultaneous {' and '.join(map(say_level, levels))} intervals; "
        f"solid line: no gain; shaded: gains below the margin of {say_number(margin, 'share')} "
        "points, which do not count as material",
        says=printable(said),
        height=_ROW * len(rows) + 40,
        paint=lambda figure: _paint_forest(figure, rows, margin),
    )


def _paint_forest(figure: Figure, rows: Sequence[ForestRow], margin: float) -> None:
    on = make_axes(figure, left=8, right=8, top=0, bottom=36)
    on.set_ylim(_ROW * len(rows), 0)
    on.set_xlim(*_axis_limits([row.interval for row in rows], [row.gain for row in rows], margin))
    on.spines["left"].set_visible(False)
    on.set_yticks([])
    on.set_xlabel("gain, points", loc="right")
    on.xaxis.set_major_formatter(lambda x, _: f"{x:+g}" if x else "0")
    for i, row in enumerate(rows):
        top, verdict = _ROW * i, VERDICTS[row.label]
        color = TONE_COLORS[verdict.tone]
        ends = say_ends(row.interval.low, row.interval.high, "points")
        value = f"{say_number(row.gain, 'points')}  ({ends})"
        across = on.get_yaxis_transform()
        name = shorten_name(printable(row.name), 44)
        on.text(0, top + 16, name, fontweight="bold", transform=across)
        on.text(1, top + 16, verdict.words, ha="right", color=color, transform=across)
        on.text(1, top + 32, value, ha="right", color=COLORS["muted"], transform=across)
        _mark_zero(on, top, margin)
        middle = top + 46
        if math.isfinite(row.interval.low) and math.isfinite(row.interval.high):
            ends_at = (100 * row.interval.low, 100 * row.interval.high)
            on.plot(ends_at, (middle, middle), color=color, solid_capstyle="butt")
            on.plot(ends_at, (middle, middle), "|", color=color, markersize=8)
        if math.isfinite(row.gain):
            on.plot(100 * row.gain, middle, "o", color=color, markersize=7)


def _mark_zero(on: Axes, top: float, margin: float) -> None:
    """No gain, and up to the margin, behind the interval of one row only: words stay clear."""
    corners = ([0, 100 * margin, 100 * margin, 0], [top + 37, top + 37, top + 55, top + 55])
    on.fill(*corners, color=COLORS["band"], linewidth=0)
    on.plot((0, 0), (top + 37, top + 55), color=COLORS["muted"], linewidth=1)


def draw_gains_by_steps(key: str, found: Sequence[Difficulty], margin: float) -> RenderedFigure:
    """Gain of each arm of one model where a problem takes so many steps."""
    groups = [format_steps(group) for group in found[0].groups]
    said = "; ".join(
        f"{one.arm} over {one.control} at {format_steps(group)} steps: "
        f"{say_number(group.gain.gain, 'points')} points, {VERDICTS[group.gain.label].words}"
        for one in found
        for group in one.groups
    )
    level = say_level(found[0].groups[0].gain.interval.level)
    return draw_figure(
        key,
        title="Gain by number of steps",
        caption=f"{'; '.join(one.sentence for one in found)}. Lines: {level} intervals; shaded: "
        "below the margin",
        says=printable(said),
        height=260 + 16 * len(found),
        paint=lambda figure: _paint_steps(figure, found, groups, margin),
    )


def _paint_steps(
    figure: Figure, found: Sequence[Difficulty], groups: Sequence[str], margin: float
) -> None:
    on = make_axes(figure, left=36, right=8, top=28 + 16 * len(found), bottom=40)
    gains = [group.gain for one in found for group in one.groups]
    on.set_ylim(*_axis_limits([g.interval for g in gains], [g.gain for g in gains], margin))
    on.set_xlim(-0.5, len(groups) - 0.5)
    on.set_xticks(range(len(groups)), groups)
    on.set_xlabel("steps of the worked solution")
    label_unit(on, "gain, points")
    on.yaxis.set_major_formatter(lambda y, _: f"{y:+g}" if y else "0")
    on.grid(visible=True, axis="y")
    on.axhspan(0, 100 * margin, color=COLORS["band"], linewidth=0)
    on.axhline(0, color=COLORS["muted"], linewidth=1)
    for i, one in enumerate(found):
        color, marker = series_style(i)
        shift = (i - (len(found) - 1) / 2) * min(0.12, 0.6 / len(found))
        at = [j + shift for j in range(len(one.groups))]
        known = [group.gain for group in one.groups]
        low = [100 * gain.interval.low for gain in known]
        high = [100 * gain.interval.high for gain in known]
        on.vlines(at, low, high, color=color, linewidth=1.5)
        name = shorten_name(printable(f"{one.arm} over {one.control}"), 52)
        on.plot(at, [100 * gain.gain for gain in known], marker, color=color, label=name)
    draw_legend(on, above=20)


def _axis_limits(
    intervals: Sequence[Interval], points: Sequence[float], margin: float
) -> tuple[float, float]:
    """Ends of an axis in points: room for zero, the margin and all that is finite."""
    ends = [end for one in intervals for end in (one.low, one.high)]
    known = [0.0, 2 * margin, *(value for value in (*ends, *points) if math.isfinite(value))]
    room = 0.06 * max(max(known) - min(known), 0.05)
    return 100 * (min(known) - room), 100 * (max(known) + room)


# A grid of gains: models by number of steps; the onset moves as problems take more of them.


def step_grids(comparisons: Iterable[Comparison]) -> tuple[Table, ...]:
    """One grid for each benchmark, arm, control and grouping of steps, a row for each model."""
    rows: dict[tuple[str, ...], list[tuple[str, Difficulty]]] = {}
    for comparison in comparisons:
        for difficulty in comparison.difficulty:
            groups = (format_steps(group) for group in difficulty.groups)
            bench = comparison.bench, comparison.bench_version
            key = (*bench, difficulty.arm, difficulty.control, *groups)
            rows.setdefault(key, []).append((comparison.model, difficulty))
    return tuple(_step_grid(i, *grid) for i, grid in enumerate(rows.items(), start=1))


def _step_grid(i: int, key: tuple[str, ...], rows: list[tuple[str, Difficulty]]) -> Table:
    bench, _, arm, control, *steps = key
    gains = [group.gain for _, difficulty in rows for group in difficulty.groups]
    styles = dict.fromkeys(VERDICTS[gain.label] for gain in gains)
    marks = ", ".join(f"{style.mark} {style.words}" for style in styles)
    return make_table(
        f"steps-{i}",
        f"Gain by model and steps: {arm} over {control}",
        (
            (
                Field("model", "model", model),
                *(
                    Field(f"steps_{name}", name, _grid_cell(group.gain))
                    for name, group in zip(steps, difficulty.groups, strict=True)
                ),
            )
            for model, difficulty in rows
        ),
        note=f"{bench}; points, by the steps of the worked solution; {marks}, by"
        f" {say_level(gains[0].interval.level)} intervals that hold together in each row",
    )


def _grid_cell(gain: Gain) -> Words:
    style = VERDICTS[gain.label]
    text = f"{say_number(gain.gain, 'points')} {style.mark}"
    return Words(text=text, raw=text, tone=style.tone)
