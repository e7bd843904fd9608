"""Figures of gains: a forest plot, and gains by number of steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cotkit.analysis.scale.values import Point
from cotkit.analysis.steps import format_steps
from cotkit.analysis.values import Comparison, Difficulty, Gain
from cotkit.printable import printable
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


def make_gain_row(gain: Gain, model: str | None) -> ForestRow:
    """Return the line of a gain; ``model``: named where a page has several."""
    name = f"{gain.arm} over {gain.control}"
    return ForestRow(
        name=name if model is None else f"{model}: {name}",
        gain=gain.gain,
        interval=gain.interval,
        label=gain.label,
    )


def make_size_row(point: Point) -> ForestRow:
    """Return one size of a scale analysis; its interval holds over all sizes and pairs."""
    return ForestRow(
        name=point.rung.model,
        gain=point.gain,
        interval=point.interval,
        label=point.label,
    )


def draw_forest(key: str, title: str, rows: Sequence[ForestRow], margin: float) -> RenderedFigure:
    """Draw each gain with its interval on one axis; zero and the margin marked."""
    levels = sorted({row.interval.level for row in rows})
    description = "; ".join(
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
        says=printable(description),
        height=_ROW * len(rows) + 40,
        paint=lambda figure: _paint_forest(figure, rows, margin),
    )


def _paint_forest(figure: Figure, rows: Sequence[ForestRow], margin: float) -> None:
    axes = make_axes(figure, left=8, right=8, top=0, bottom=36)
    axes.set_ylim(_ROW * len(rows), 0)
    axes.set_xlim(*_axis_limits([row.interval for row in rows], [row.gain for row in rows], margin))
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.set_xlabel("gain, points", loc="right")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:+g}" if x else "0")
    for i, row in enumerate(rows):
        top, verdict = _ROW * i, VERDICTS[row.label]
        color = TONE_COLORS[verdict.tone]
        ends = say_ends(row.interval.low, row.interval.high, "points")
        value = f"{say_number(row.gain, 'points')}  ({ends})"
        across = axes.get_yaxis_transform()
        name = shorten_name(printable(row.name), 44)
        axes.text(0, top + 16, name, fontweight="bold", transform=across)
        axes.text(1, top + 16, verdict.words, ha="right", color=color, transform=across)
        axes.text(1, top + 32, value, ha="right", color=COLORS["muted"], transform=across)
        _mark_zero(axes, top, margin)
        middle = top + 46
        if math.isfinite(row.interval.low) and math.isfinite(row.interval.high):
            ends_at = (100 * row.interval.low, 100 * row.interval.high)
            axes.plot(ends_at, (middle, middle), color=color, solid_capstyle="butt")
            axes.plot(ends_at, (middle, middle), "|", color=color, markersize=8)
        if math.isfinite(row.gain):
            axes.plot(100 * row.gain, middle, "o", color=color, markersize=7)


def _mark_zero(axes: Axes, top: float, margin: float) -> None:
    """Mark zero and the margin, behind the interval of one row only: words stay clear."""
    corners = ([0, 100 * margin, 100 * margin, 0], [top + 37, top + 37, top + 55, top + 55])
    axes.fill(*corners, color=COLORS["band"], linewidth=0)
    axes.plot((0, 0), (top + 37, top + 55), color=COLORS["muted"], linewidth=1)


def draw_gains_by_steps(
    key: str, difficulties: Sequence[Difficulty], margin: float
) -> RenderedFigure:
    """Draw the gain of each arm of one model where a problem takes so many steps."""
    groups = [format_steps(group) for group in difficulties[0].groups]
    description = "; ".join(
        f"{difficulty.arm} over {difficulty.control} at {format_steps(group)} steps: "
        f"{say_number(group.gain.gain, 'points')} points, {VERDICTS[group.gain.label].words}"
        for difficulty in difficulties
        for group in difficulty.groups
    )
    level = say_level(difficulties[0].groups[0].gain.interval.level)
    return draw_figure(
        key,
        title="Gain by number of steps",
        caption=f"{'; '.join(difficulty.sentence for difficulty in difficulties)}. Lines: {level} "
        "intervals; shaded: below the margin",
        says=printable(description),
        height=260 + 16 * len(difficulties),
        paint=lambda figure: _paint_steps(figure, difficulties, groups, margin),
    )


def _paint_steps(
    figure: Figure, difficulties: Sequence[Difficulty], groups: Sequence[str], margin: float
) -> None:
    axes = make_axes(figure, left=36, right=8, top=28 + 16 * len(difficulties), bottom=40)
    gains = [group.gain for difficulty in difficulties for group in difficulty.groups]
    axes.set_ylim(*_axis_limits([g.interval for g in gains], [g.gain for g in gains], margin))
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_xlabel("steps of the worked solution")
    label_unit(axes, "gain, points")
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:+g}" if y else "0")
    axes.grid(visible=True, axis="y")
    axes.axhspan(0, 100 * margin, color=COLORS["band"], linewidth=0)
    axes.axhline(0, color=COLORS["muted"], linewidth=1)
    for i, difficulty in enumerate(difficulties):
        color, marker = series_style(i)
        shift = (i - (len(difficulties) - 1) / 2) * min(0.12, 0.6 / len(difficulties))
        places = [j + shift for j in range(len(difficulty.groups))]
        group_gains = [group.gain for group in difficulty.groups]
        low = [100 * gain.interval.low for gain in group_gains]
        high = [100 * gain.interval.high for gain in group_gains]
        axes.vlines(places, low, high, color=color, linewidth=1.5)
        name = shorten_name(printable(f"{difficulty.arm} over {difficulty.control}"), 52)
        axes.plot(
            places, [100 * gain.gain for gain in group_gains], marker, color=color, label=name
        )
    draw_legend(axes, above=20)


def _axis_limits(
    intervals: Sequence[Interval], points: Sequence[float], margin: float
) -> tuple[float, float]:
    """Return the ends of an axis in points: room for zero, the margin and all finite numbers."""
    ends = [end for interval in intervals for end in (interval.low, interval.high)]
    finite = [0.0, 2 * margin, *(value for value in (*ends, *points) if math.isfinite(value))]
    room = 0.06 * max(max(finite) - min(finite), 0.05)
    return 100 * (min(finite) - room), 100 * (max(finite) + room)


# A grid of gains: models by number of steps; the onset moves as problems take more of them.


def make_step_grids(comparisons: Iterable[Comparison]) -> tuple[Table, ...]:
    """Return a grid for each benchmark, arm, control and grouping of steps; models are its rows."""
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
