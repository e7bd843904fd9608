"""Figures of gains: a forest plot, and gains by number of steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cotkit.analysis.scale.values import Point
from cotkit.analysis.steps import format_steps
from cotkit.analysis.values import Comparison, Difficulty, Gain
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
    WIDTHS,
    Chart,
    Style,
    draw_legend,
    fit_name,
    label_unit,
    legend_height,
    make_axes,
)
from cotkit.report.verdicts import VERDICTS, VerdictLabel, verdict_cell
from cotkit.stats.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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


_ROW, _WIDE_ROW, _AXIS = 38.0, 20.0, 26.0  # points of a row, and of the axis below the last


def draw_forest(
    key: str,
    title: str,
    rows: Sequence[ForestRow],
    margin: float,
    quantity: Literal["gain", "difference"] = "gain",
) -> Chart:
    """Draw each gain with its interval on one axis; zero and the margin marked.

    ``quantity``: a difference of two models is held against the margin on both sides.
    """
    levels = sorted({row.interval.level for row in rows})
    return Chart(
        key=key,
        title=title,
        caption=f"Points; lines: simultaneous {' and '.join(map(say_level, levels))} intervals; "
        f"solid line: no {quantity}; shaded: {quantity}s below the margin of "
        f"{say_number(margin, 'share')} points, which do not count as material",
        data=make_table(
            f"{quantity}s",
            title,
            (
                (
                    Field("what", "what", row.name),
                    Field(quantity, quantity, row.gain, "points"),
                    Field("interval", "interval", row.interval, "points"),
                    Field("label", "verdict", verdict_cell(row.label)),
                )
                for row in rows
            ),
        ),
        height=lambda width: (_WIDE_ROW if width > WIDTHS[1] else _ROW) * len(rows) + _AXIS,
        paint=lambda figure: _paint_forest(figure, rows, margin, quantity),
    )


def _paint_forest(figure: Figure, rows: Sequence[ForestRow], margin: float, quantity: str) -> None:
    """Paint names, intervals and words: side by side where the figure is wide, else stacked."""
    width, height = figure.bbox.size
    is_wide = width > WIDTHS[1]
    start, end = (0.36 * width, 0.7 * width) if is_wide else (12.0, width - 12.0)
    axes = make_axes(figure, x=start, y=0, width=end - start, height=height - _AXIS)
    row_height = _WIDE_ROW if is_wide else _ROW
    axes.set_ylim(row_height * len(rows), 0)
    axes.set_xlim(*_axis_limits([row.interval for row in rows], [row.gain for row in rows], margin))
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.set_xlabel(f"{quantity}, points")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:+g}" if x else "0")
    for i, row in enumerate(rows):
        top, verdict = row_height * i, VERDICTS[row.label]
        color = TONE_COLORS[verdict.tone]
        ends = say_ends(row.interval.low, row.interval.high, "points")
        value = f"{say_number(row.gain, 'points')} ({ends})"
        if is_wide:
            name_y = words_y = middle = top + row_height / 2
            words_x, name_width = end + 8, start - 10
        else:
            name_y, words_y, middle = top + 6, top + 16, top + 28
            words_x, name_width = 2, width - 4
        place: dict[str, Any] = {"transform": _points_across(axes, figure), "va": "center"}
        name = fit_name(row.name, name_width, bold=True)
        axes.text(2, name_y, name, fontweight="bold", **place)
        axes.text(words_x, words_y, verdict.words, color=color, **place)
        axes.text(width - 2, words_y, value, ha="right", color=COLORS["muted"], **place)
        _mark_zero(axes, middle, -margin if quantity == "difference" else 0.0, margin)
        if math.isfinite(row.interval.low) and math.isfinite(row.interval.high):
            ends_at = (100 * row.interval.low, 100 * row.interval.high)
            axes.plot(ends_at, (middle, middle), color=color, solid_capstyle="butt")
            axes.plot(ends_at, (middle, middle), "|", color=color, markersize=5)
        if math.isfinite(row.gain):
            axes.plot(100 * row.gain, middle, "o", color=color, markersize=4.2)


def _points_across(axes: Axes, figure: Figure) -> Any:  # noqa: ANN401 - a Transform
    """Return the transform of points from the figure's left edge, and data below each other."""
    from matplotlib.transforms import Affine2D, blended_transform_factory

    across = Affine2D().scale(1 / 72) + figure.dpi_scale_trans
    return blended_transform_factory(across, axes.transData)


def _mark_zero(axes: Axes, middle: float, low: float, high: float) -> None:
    """Mark zero and what is not material, behind one row's interval only: words stay clear."""
    top, bottom = middle - 6, middle + 6
    corners = ([100 * low, 100 * high, 100 * high, 100 * low], [top, top, bottom, bottom])
    axes.fill(*corners, color=COLORS["band"], linewidth=0)
    axes.plot((0, 0), (top, bottom), color=COLORS["muted"], linewidth=0.6)


_STEPS = 140.0  # points of the axes of gains by steps


def draw_gains_by_steps(
    key: str, difficulties: Sequence[Difficulty], margin: float, styles: Mapping[str, Style]
) -> Chart:
    """Draw the gain of each arm of one model where a problem takes so many steps.

    ``styles``: of the arms.
    """
    groups = [format_steps(group) for group in difficulties[0].groups]
    level = say_level(difficulties[0].groups[0].gain.interval.level)
    names = [f"{difficulty.arm} over {difficulty.control}" for difficulty in difficulties]
    return Chart(
        key=key,
        title="Gain by number of steps",
        caption=f"{'; '.join(difficulty.sentence for difficulty in difficulties)}. Lines: {level} "
        "intervals; shaded: below the margin",
        data=make_table(
            "gains_by_steps",
            "Gain by number of steps",
            (
                (
                    Field("arm", "arm", difficulty.arm),
                    Field("control", "over", difficulty.control),
                    Field("steps", "steps", format_steps(group)),
                    Field("gain", "gain", group.gain.gain, "points"),
                    Field("interval", "interval", group.gain.interval, "points"),
                    Field("label", "verdict", verdict_cell(group.gain.label)),
                )
                for difficulty in difficulties
                for group in difficulty.groups
            ),
        ),
        height=lambda width: 18 + legend_height(names, width) + _STEPS + _AXIS,
        paint=lambda figure: _paint_steps(figure, difficulties, groups, margin, styles),
    )


def _paint_steps(
    figure: Figure,
    difficulties: Sequence[Difficulty],
    groups: Sequence[str],
    margin: float,
    styles: Mapping[str, Style],
) -> None:
    width, height = figure.bbox.size
    axes = make_axes(figure, x=24, y=height - _AXIS - _STEPS, width=width - 32, height=_STEPS)
    gains = [group.gain for difficulty in difficulties for group in difficulty.groups]
    axes.set_ylim(*_axis_limits([g.interval for g in gains], [g.gain for g in gains], margin))
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_xlabel("steps of the worked solution")
    label_unit(axes, "gain, points")
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:+g}" if y else "0")
    axes.grid(visible=True, axis="y")
    axes.axhspan(0, 100 * margin, color=COLORS["band"], linewidth=0)
    axes.axhline(0, color=COLORS["muted"], linewidth=0.6)
    for i, difficulty in enumerate(difficulties):
        color, marker = styles[difficulty.arm]
        shift = (i - (len(difficulties) - 1) / 2) * min(0.12, 0.6 / len(difficulties))
        places = [j + shift for j in range(len(difficulty.groups))]
        group_gains = [group.gain for group in difficulty.groups]
        low = [100 * gain.interval.low for gain in group_gains]
        high = [100 * gain.interval.high for gain in group_gains]
        axes.vlines(places, low, high, color=color, linewidth=0.9)
        name = fit_name(f"{difficulty.arm} over {difficulty.control}", width - 40)
        axes.plot(
            places, [100 * gain.gain for gain in group_gains], marker, color=color, label=name
        )
    draw_legend(axes)


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
