"""Figures of two models of a size, or of two ladders."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cotkit.analysis.scale.contrasts import Contrast, ModelContrasts
from cotkit.report.contrast_tables import contrast_fields
from cotkit.report.document import make_table, say_level, say_number
from cotkit.report.html.figure import (
    COLORS,
    TONE_COLORS,
    Chart,
    draw_legend,
    label_unit,
    legend_height,
    make_axes,
    series_style,
)
from cotkit.report.html.gain_charts import ForestRow, draw_forest
from cotkit.report.html.size_charts import (
    AXES,
    draw_line,
    fit_rates,
    place_on_axis,
    set_size_axis,
    shift_places,
)
from cotkit.report.verdicts import VERDICTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VALUES, _DIFFERENCES, _BELOW, _GAP = 88.0, 72.0, 26.0, 22.0  # points


def draw_contrasts(answers: Sequence[ModelContrasts]) -> list[Chart]:
    """Return the figures of what two models, or two ladders, differ in."""
    return [chart for i, answer in enumerate(answers, start=1) for chart in _draw_answer(i, answer)]


def _draw_answer(i: int, answer: ModelContrasts) -> Iterator[Chart]:
    if answer.axis is None:
        yield _draw_pair(i, answer)
        return
    groups: dict[tuple[str, str | None], list[Contrast]] = {}
    for contrast in (*answer.of_gains(), *answer.contrasts):
        group = groups.setdefault((contrast.arm, contrast.control), [])
        group += [] if contrast in group else [contrast]
    for j, contrasts in enumerate(groups.values(), start=1):
        yield _draw_over_size(f"contrast-{i}-{j}", answer, contrasts)


def _draw_pair(i: int, answer: ModelContrasts) -> Chart:
    rows = [
        ForestRow(
            name=f"gain of {each.arm} over {each.control}" if each.control else each.arm,
            gain=each.difference,
            interval=each.interval,
            label=each.label,
        )
        for each in (*answer.of_gains(), *(c for c in answer.contrasts if c.control is None))
    ]
    title = f"{answer.bench}: {answer.names[0]} less {answer.names[1]}"
    return draw_forest(f"contrast-{i}", title, rows, answer.margin, "difference")


def _draw_over_size(key: str, answer: ModelContrasts, contrasts: Sequence[Contrast]) -> Chart:
    arm, control = contrasts[0].arm, contrasts[0].control
    what = f"Gain of {arm} over {control}" if control else f"Solve rate of {arm}"
    title = f"{what}: {answer.names[0]} against {answer.names[1]}"
    level = say_level(contrasts[0].interval.level)

    def height(width: float) -> float:
        return legend_height(answer.names, width - 20) + 18 + _VALUES + _GAP + _DIFFERENCES + _BELOW

    return Chart(
        key=key,
        title=title,
        caption=f"{answer.bench}. Above: each family, its own intervals; below: the difference, "
        f"paired by problem, with {level} intervals that hold together; grey: within the margin "
        f"of {say_number(answer.margin, 'share')} points",
        data=make_table("contrasts", title, (contrast_fields(answer, each) for each in contrasts)),
        height=height,
        paint=lambda figure: _paint_over_size(figure, answer, contrasts),
    )


def _paint_over_size(figure: Figure, answer: ModelContrasts, contrasts: Sequence[Contrast]) -> None:
    assert answer.axis is not None, "only ladders are drawn over size"
    whole_width, height = figure.bbox.size
    width, y = whole_width - 32, height - _BELOW - _DIFFERENCES
    values = make_axes(figure, x=24, y=y - _GAP - _VALUES, width=width, height=_VALUES)
    differences = make_axes(figure, x=24, y=y, width=width, height=_DIFFERENCES)
    place_by_rung = {each.pair.model: place_on_axis(each.pair.x, answer.axis) for each in contrasts}
    places = list(place_by_rung.values())
    for axes in (values, differences):
        set_size_axis(axes, place_by_rung, answer.axis)
    values.tick_params(labelbottom=False)
    differences.set_xlabel(AXES[answer.axis])
    of_first = [(each.value, each.value_interval) for each in contrasts]
    of_second = [(each.reference, each.reference_interval) for each in contrasts]
    for i, (line, name) in enumerate(zip((of_first, of_second), answer.names, strict=True)):
        shifted = shift_places(values, places, i, 2)
        draw_line(values, shifted, line, series_style(i), name)
    if contrasts[0].control is None:
        fit_rates(values, (*of_first, *of_second))
        label_unit(values, "solve rate, %")
    else:
        values.margins(y=0.1)
        label_unit(values, "gain, points")
    _paint_differences(differences, answer, contrasts, places)
    draw_legend(values)


def _paint_differences(
    axes: Axes, answer: ModelContrasts, contrasts: Sequence[Contrast], places: Sequence[float]
) -> None:
    ends = [end for each in contrasts for end in (each.interval.low, each.interval.high)]
    finite = [
        *(-2 * answer.margin, 2 * answer.margin),
        *(end for end in ends if math.isfinite(end)),
    ]
    room = 0.08 * (max(finite) - min(finite))
    axes.set_ylim(100 * (min(finite) - room), 100 * (max(finite) + room))
    axes.axhspan(-100 * answer.margin, 100 * answer.margin, color=COLORS["band"], linewidth=0)
    axes.axhline(0, color=COLORS["muted"], linewidth=0.6)
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:+g}" if y else "0")
    label_unit(axes, "difference, points")
    for each, x in zip(contrasts, places, strict=True):
        style = VERDICTS[each.label]
        color = TONE_COLORS[style.tone]
        axes.vlines(x, 100 * each.interval.low, 100 * each.interval.high, color=color)
        axes.plot(
            x,
            100 * each.difference,
            style.marker,
            color=color,
            markerfacecolor=COLORS["paper"] if style.marker == "o" else color,
            markersize=4.8,
        )
