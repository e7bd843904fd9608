"""A strategy over model size: solve rates, gains with the onset bracket, metrics, costs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from cotkit.analysis.scale.frontier import Cost
from cotkit.analysis.scale.grid import Axis, Rung
from cotkit.analysis.scale.values import (
    CostPoint,
    Jump,
    MetricPoint,
    Onset,
    OnsetAnswer,
    Point,
    Scale,
    SizeLabel,
)
from cotkit.analysis.scale.words import format_most
from cotkit.printable import printable
from cotkit.report.document import Field, Form, make_table, say_level, say_number
from cotkit.report.html.figure import (
    COLORS,
    LINE,
    N_SERIES,
    SMALL_FONT,
    TONE_COLORS,
    WIDTHS,
    Chart,
    Style,
    draw_legend,
    fit_name,
    label_unit,
    legend_height,
    make_axes,
    series_style,
    shorten_name,
)
from cotkit.report.scale_tables import SIZES, shaded_ends
from cotkit.report.verdicts import VERDICTS, verdict_cell
from cotkit.stats.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_BELOW, _LEFT, _RIGHT = 26.0, 24.0, 8.0  # points around axes
_UNIT = 18.0  # points between a legend and the axes below it, where the unit is written


def draw_curve(
    key: str, title: str, scale: Scale, answer: OnsetAnswer, styles: Mapping[str, Style]
) -> Chart:
    """Draw solve rates of an arm and its control over size, and the gain below or beside them.

    ``styles``: of the arms.
    """
    points = [point for point in answer.points if point.x is not None]
    level = say_level(points[0].interval.level) if points else ""
    curve = _Curve(scale=scale, answer=answer, points=points, styles=styles)
    return Chart(
        key=key,
        title=title,
        caption=f"{scale.bench}. Solve rates, each with its own interval, and the gain "
        f"with {level} intervals that hold together; grey: below the margin of "
        f"{say_number(scale.margin, 'share')} points{_say_beyond(answer)}"
        f"{_say_published(scale, answer)}",
        data=make_table(
            "curve",
            title,
            (
                (
                    *_size_fields(scale, point.rung, point.x),
                    Field("arm", "arm", answer.arm),
                    Field("solve_rate", "solve rate", point.arm_rate, "share"),
                    Field("solve_rate_interval", "interval", point.arm_interval, "share"),
                    Field("control", "over", answer.control),
                    Field("control_rate", "solve rate", point.control_rate, "share"),
                    Field("control_interval", "interval", point.control_interval, "share"),
                    Field("gain", "gain", point.gain, "points"),
                    Field("interval", "interval", point.interval, "points"),
                    Field("label", "verdict", verdict_cell(point.label)),
                )
                for point in answer.points
            ),
        ),
        height=curve.height,
        paint=curve.paint,
    )


def _size_fields(scale: Scale, rung: Rung, x: float | None) -> tuple[Field, ...]:
    name, form = SIZES[scale.axis]
    size = -x if x is not None and scale.axis == "loss" else x
    return Field("model", "model", rung.model), Field("size", name, size, form)


def _say_beyond(answer: OnsetAnswer) -> str:
    onset = answer.onset
    sentences = {
        "sustained": f"; every larger size than {_model_name(onset.upper)} helps, too",
        "not_shown_beyond": f"; beyond {_model_name(onset.upper)}, help is not shown at every size",
        "reversed": f"; beyond {_model_name(onset.upper)}, a larger size harms",
    }
    sentence = sentences[onset.after] if onset.after else ""
    if onset.first_detected is not None and onset.first_detected != onset.upper:
        sentence += f"; first gain surely above 0: {onset.first_detected.model}"
    return sentence


def _model_name(rung: Rung | None) -> str:
    return rung.model if rung is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curve:
    """Painter of solve rates and gain."""

    scale: Scale
    answer: OnsetAnswer
    points: Sequence[Point]
    styles: Mapping[str, Style]

    @property
    def labels(self) -> list[SizeLabel]:
        return list(dict.fromkeys(point.label for point in self.points))

    def _layout(self, width: float) -> tuple[float, float, float, float]:
        """Return width and height of each axes, and the heights of their legends."""
        is_wide = width > WIDTHS[1]
        across = (width - 2 * (_LEFT + _RIGHT)) / 2 if is_wide else width - _LEFT - _RIGHT
        names = [self.answer.arm, self.answer.control]
        if self.answer.onset.upper is not None:
            names.append("x" * int(across / 5))  # cut to the width
        if self.answer.onset.model_based is not None:
            names.append(_FIT)
        verdicts = [VERDICTS[label].words for label in self.labels]
        heights = legend_height(names, across), legend_height(verdicts, across)
        return across, 130.0 if is_wide else 88.0, *heights

    def height(self, width: float) -> float:
        _, height, first, second = self._layout(width)
        if width > WIDTHS[1]:
            return max(first, second) + _UNIT + height + _BELOW
        return first + second + 2 * (_UNIT + height) + 8 + _BELOW

    def paint(self, figure: Figure) -> None:
        scale, answer = self.scale, self.answer
        figure_width = float(figure.bbox.width)
        width, height, first, second = self._layout(figure_width)
        is_wide = figure_width > WIDTHS[1]
        y = (max(first, second) if is_wide else first) + _UNIT
        rates = make_axes(figure, x=_LEFT, y=y, width=width, height=height)
        gains = make_axes(
            figure,
            x=figure_width - _RIGHT - width,
            y=y if is_wide else y + height + 8 + second + _UNIT,
            width=width,
            height=height,
        )
        places = [place_on_axis(point.x, scale.axis) for point in self.points]
        place_by_rung = {p.rung: x for p, x in zip(self.points, places, strict=True)}
        published = _list_published(scale, (answer.arm, answer.control))
        for axes in (rates, gains):
            set_size_axis(axes, place_by_rung, scale.axis, published)
            _shade_onset(axes, scale, answer, place_by_rung, is_named=axes is rates)
        if is_wide:
            rates.set_xlabel(AXES[scale.axis])
        else:
            rates.tick_params(labelbottom=False)
        gains.set_xlabel(AXES[scale.axis])
        of_arm = [(point.arm_rate, point.arm_interval) for point in self.points]
        of_control = [(point.control_rate, point.control_interval) for point in self.points]
        _draw_published(rates, published, self.styles)
        lines = {answer.arm: of_arm, answer.control: of_control}
        for i, (name, values) in enumerate(lines.items()):
            draw_line(rates, shift_places(rates, places, i, 2), values, self.styles[name], name)
        fit_rates(rates, (*of_arm, *of_control), published)
        label_unit(rates, "solve rate, %")
        self._paint_gains(gains, places)
        _draw_bracket(gains, answer.onset, place_by_rung)
        for axes in (rates, gains):
            draw_legend(axes, width=width)

    def _paint_gains(self, axes: Axes, places: Sequence[float]) -> None:
        points, margin = self.points, self.scale.margin
        ends = [end for point in points for end in (point.interval.low, point.interval.high)]
        finite = [0.0, 2 * margin, *(end for end in ends if math.isfinite(end))]
        room = 0.08 * (max(finite) - min(finite))
        axes.set_ylim(100 * (min(finite) - room), 100 * (max(finite) + room))
        axes.axhspan(0, 100 * margin, color=COLORS["band"], linewidth=0)
        axes.axhline(0, color=COLORS["muted"], linewidth=0.6)
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:+g}" if y else "0")
        label_unit(axes, "gain, points")
        gains = [100 * point.gain for point in points]
        axes.plot(places, gains, color=COLORS["quiet"], linewidth=0.6)
        for label in self.labels:
            style = VERDICTS[label]
            color = TONE_COLORS[style.tone]
            members = [i for i, point in enumerate(points) if point.label == label]
            x = [places[i] for i in members]
            low = [100 * points[i].interval.low for i in members]
            high = [100 * points[i].interval.high for i in members]
            axes.vlines(x, low, high, color=color, linewidth=1.1)
            axes.plot(
                x,
                [0.0 if label == "missing" else gains[i] for i in members],
                style.marker,
                color=color,
                markerfacecolor=COLORS["paper"] if style.marker == "o" else color,
                markersize=4.8,
                markeredgewidth=1.1,
                label=style.words,
            )


# What a paper found, behind one's own curves.


_Published: TypeAlias = "Sequence[tuple[str, Sequence[tuple[float, float]]]]"
"""(arm, its points: place on the axis and solve rate), a family each."""


def _list_published(scale: Scale, arms: Collection[str]) -> _Published:
    """Return the published curves of arms that have a place on the axis."""
    curves = [
        (curve.arm, sorted((math.log10(n), rate) for _, n, rate in curve.points if n is not None))
        for curve in scale.published
        if curve.arm in arms and scale.axis == "params"
    ]
    return [(arm, points) for arm, points in curves if points]


def _draw_published(axes: Axes, published: _Published, styles: Mapping[str, Style]) -> None:
    for arm, points in published:
        x, y = [x for x, _ in points], [100 * rate for _, rate in points]
        color, _ = styles[arm]
        axes.plot(x, y, ".:", color=color, linewidth=0.6, markersize=2.4, alpha=0.6)


def _say_published(scale: Scale, answer: OnsetAnswer) -> str:
    arms = answer.arm, answer.control
    curves = [curve for curve in scale.published if curve.arm in arms]
    if not curves:
        return ""
    names = ", ".join(dict.fromkeys(curve.family for curve in curves))
    sources = "; ".join(dict.fromkeys(curve.source for curve in curves))
    if not _list_published(scale, arms):
        return f"; {names} ({sources}) have no known place here: the table has them"
    return f"; dotted: {names} ({sources})"


_FIT = "where a logistic fit crosses the margin"


def _draw_bracket(axes: Axes, onset: Onset, place_by_rung: Mapping[Rung, float]) -> None:
    """Draw the two gains of a margin-free bracket: none is larger up to it, and one is after it."""
    bracket = onset.bracket
    if bracket is None or not bracket.is_clear:
        return
    low_x, high_x = axes.get_xlim()
    lower, upper = place_by_rung[bracket.lower], place_by_rung[bracket.upper]
    style: dict[str, Any] = {"color": COLORS["ink"], "linewidth": 0.8, "linestyle": (0, (4, 2))}
    axes.hlines(100 * bracket.no_more_than, low_x, lower, **style)
    axes.hlines(100 * bracket.at_least, upper, high_x, **style)
    axes.set_xlim(low_x, high_x)


def _shade_onset(
    axes: Axes,
    scale: Scale,
    answer: OnsetAnswer,
    place_by_rung: Mapping[Rung, float],
    *,
    is_named: bool,
) -> None:
    """Shade the onset bracket; mark the crossing by a fit, if there is one."""
    onset = answer.onset
    if onset.upper is not None and onset.upper in place_by_rung:
        ends = shaded_ends(onset)
        low = axes.get_xlim()[0] if ends is None else place_by_rung[ends[0]]
        sizes = {rung: say_size(rung, x, scale.axis) for rung, x in place_by_rung.items()}
        name = f"{_name_gain(onset, scale.margin)} starts here: {say_onset(answer, sizes)}"
        axes.axvspan(
            low,
            place_by_rung[onset.upper],
            color=COLORS["series-1"],
            alpha=0.13,
            linewidth=0,
            label=fit_name(name, axes.get_window_extent().width - 12) if is_named else None,
        )
    if onset.model_based is not None:
        x = place_on_axis(onset.model_based.x, scale.axis)
        name = _FIT if is_named else None
        axes.axvline(x, color=COLORS["ink"], linewidth=0.6, linestyle=(0, (2, 2)), label=name)


def say_onset(answer: OnsetAnswer, sizes: Mapping[Rung, str]) -> str:
    """Return ``(8 B, 62 B]`` or ``at or below 8 B``; ``sizes``: what to call each model."""
    upper, ends = answer.onset.upper, shaded_ends(answer.onset)
    assert upper is not None, "no help was shown, so it starts nowhere"
    if ends is not None:
        return f"({sizes[ends[0]]}, {sizes[ends[1]]}]"
    return f"at or below {sizes[upper]}"


def _name_gain(onset: Onset, margin: float) -> str:
    """Return what starts in the shaded span."""
    bracket = onset.bracket
    if bracket is None or not bracket.is_clear or bracket.no_more_than <= margin:
        return "material help"
    return f"a gain of more than {format_most(bracket.no_more_than)} points"


# Small multiples: solve rates over size, a panel for each benchmark and family.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panels:
    """Painter of small multiples: benchmarks are rows and families columns, where these fit."""

    scales: Sequence[Scale]
    styles: Mapping[str, Style]

    def _layout(self, width: float) -> tuple[int, bool, float]:
        """Return columns, whether benchmarks are rows, and the height of axes."""
        most = 3 if width <= WIDTHS[1] else 6
        families = {_name_family(scale) for scale in self.scales}
        benches = {scale.bench for scale in self.scales}
        is_matrix = 1 < len(families) <= most and len(benches) > 1
        n_columns = len(families) if is_matrix else min(most, len(self.scales))
        if n_columns == 1:
            return 1, False, min(0.36 * width, 130.0)
        return n_columns, is_matrix, min(0.62 * width / n_columns, 90.0)

    def _head(self, width: float) -> float:
        return legend_height(list(self.styles), width - 20) + _UNIT + LINE + 3

    def _n_rows(self, n_columns: int, *, is_matrix: bool) -> int:
        if is_matrix:
            return len({scale.bench for scale in self.scales})
        return math.ceil(len(self.scales) / n_columns)

    def height(self, width: float) -> float:
        n_columns, is_matrix, height = self._layout(width)
        n_rows = self._n_rows(n_columns, is_matrix=is_matrix)
        return self._head(width) + n_rows * (height + 2 * LINE + 6) - LINE + 10

    def paint(self, figure: Figure) -> None:
        width = float(figure.bbox.width)
        n_columns, is_matrix, height = self._layout(width)
        families = list(dict.fromkeys(map(_name_family, self.scales)))
        benches = list(dict.fromkeys(scale.bench for scale in self.scales))
        indent = 10.0 if is_matrix else 0.0
        across = (width - indent) / n_columns
        for i, scale in enumerate(self.scales):
            row, column = divmod(i, n_columns)
            if is_matrix:
                row, column = benches.index(scale.bench), families.index(_name_family(scale))
            axes = make_axes(
                figure,
                x=indent + across * column + 18,
                y=self._head(width) + row * (height + 2 * LINE + 6),
                width=across - 24,
                height=height,
            )
            self._paint_panel(axes, scale)
            names = (_name_family(scale), scale.bench)
            title_parts = (
                names[:1]
                if is_matrix
                else [
                    name
                    for name, every in zip(names, (families, benches), strict=True)
                    if len(every) > 1
                ]
            )
            if title_parts and not (is_matrix and row):
                axes.set_title(fit_name(", ".join(title_parts), across - 20, bold=True))
            if is_matrix and not column:
                name = fit_name(scale.bench, height + 10, bold=True)
                middle = axes.get_position().y0 + axes.get_position().height / 2
                place: dict[str, Any] = {
                    "rotation": 90,
                    "va": "center",
                    "ha": "left",
                    "fontweight": "bold",
                }
                figure.text(1 / width, middle, name, **place)
            if not i:
                draw_legend(axes, above=_UNIT + LINE - 2)
        label: dict[str, Any] = {"color": COLORS["muted"], "fontsize": SMALL_FONT}
        top = 1 - (self._head(width) - LINE - 8) / figure.bbox.height
        figure.text(4 / width, top, "solve rate, %", **label)
        axis_name = AXES[self.scales[0].axis]
        figure.text(0.5, 2 / figure.bbox.height, axis_name, ha="center", color=COLORS["muted"])

    def _paint_panel(self, axes: Axes, scale: Scale) -> None:
        published = _list_published(scale, self.styles)
        set_size_axis(axes, _places(scale), scale.axis, published)
        _draw_published(axes, published, self.styles)
        lines_by_arm = _rate_lines(scale)
        for i, (arm, line) in enumerate(lines_by_arm.items()):
            values = [(rate, interval) for _, _, rate, interval in line]
            places = [place_on_axis(x, scale.axis) for _, x, _, _ in line]
            shifted = shift_places(axes, places, i, len(lines_by_arm))
            draw_line(axes, shifted, values, self.styles[arm], arm)
        same_bench = [other for other in self.scales if other.bench == scale.bench]
        lines = [line for other in same_bench for line in _rate_lines(other).values()]
        values = [(rate, interval) for line in lines for _, _, rate, interval in line]
        fit_rates(axes, values, published)
        axes.locator_params(axis="y", nbins=max(3, int(axes.get_window_extent().height // 22)))


def draw_multiples(
    key: str, scales: Sequence[Scale], styles: Mapping[str, Style]
) -> Iterator[Chart]:
    """Draw the solve rates of all arms over size, a panel for each benchmark and family.

    After figure 4 of Wei et al. 2022 (2206.07682); a figure for each benchmark if one would have
    more panels than a page. ``styles``: of the arms.
    """
    scales = [scale for scale in scales if _places(scale)]
    groups: dict[tuple[str, str], list[Scale]] = {}
    for scale in scales:
        group = (scale.axis, scale.bench if len(scales) > _MOST_PANELS else "")
        groups.setdefault(group, []).append(scale)
    for i, members in enumerate(groups.values(), start=1):
        yield _draw_panels(key if len(groups) == 1 else f"{key}-{i}", members, styles)


_MOST_PANELS = 30  # of one figure


def _draw_panels(key: str, scales: Sequence[Scale], styles: Mapping[str, Style]) -> Chart:
    arms = dict.fromkeys(arm for scale in scales for arm in list_arms(scale))
    benches = ", ".join(dict.fromkeys(scale.bench for scale in scales))
    title = "Solve rate by model size"
    panels = _Panels(scales=scales, styles={arm: styles[arm] for arm in arms})
    return Chart(
        key=key,
        title=title if len({scale.bench for scale in scales}) > 1 else f"{title}: {benches}",
        caption=f"{benches}; lines: each rate's own interval; panels of one benchmark share the "
        "vertical axis",
        data=make_table(
            "rates",
            title,
            (
                (
                    Field("bench", "benchmark", scale.bench),
                    Field("family", "family", scale.family or ""),
                    *_size_fields(scale, rung, x),
                    Field("arm", "arm", arm),
                    Field("solve_rate", "solve rate", rate, "share"),
                    Field("solve_rate_interval", "interval", interval, "share"),
                )
                for scale in scales
                for arm, line in _rate_lines(scale).items()
                for rung, x, rate, interval in line
            ),
        ),
        height=panels.height,
        paint=panels.paint,
    )


def _name_family(scale: Scale) -> str:
    return scale.family or "models"


def _places(scale: Scale) -> dict[Rung, float]:
    return {
        point.rung: place_on_axis(point.x, scale.axis)
        for answer in scale.answers
        for point in answer.points
        if point.x is not None
    }


def _rate_lines(scale: Scale) -> dict[str, list[tuple[Rung, float, float, Interval]]]:
    """Return, of each arm, model, position, solve rate and its interval, by size."""
    lines: dict[str, list[tuple[Rung, float, float, Interval]]] = {}
    for answer in scale.answers:
        points = [(point, point.x) for point in answer.points if point.x is not None]
        lines.setdefault(answer.arm, [(p.rung, x, p.arm_rate, p.arm_interval) for p, x in points])
        lines.setdefault(
            answer.control, [(p.rung, x, p.control_rate, p.control_interval) for p, x in points]
        )
    return lines


# The axis of sizes that figures over models share, and a series along it.


AXES: Mapping[Axis, str] = {
    "params": "parameters",
    "active-params": "active parameters",
    "flops": "training FLOPs",
    "tokens": "training tokens",
    "loss": "pretraining loss, nats per token",
    "ordinal": "rank, the weakest first",
}
"""What stands below the axis."""


def list_arms(scale: Scale) -> list[str]:
    """Return the arms of all answers, in the order of their colours in all figures."""
    arms = [name for answer in scale.answers for name in (answer.arm, answer.control)]
    return list(dict.fromkeys(arms))


def draw_line(
    axes: Axes,
    places: Sequence[float],
    values: Sequence[tuple[float, Interval]],
    style: Style,
    name: str,
    *,
    times: float = 100,
) -> None:
    """Draw one series with its intervals; a NaN is a gap."""
    color, marker = style
    for x, (value, interval) in zip(places, values, strict=True):
        if math.isfinite(value):
            axes.vlines(x, times * interval.low, times * interval.high, color=color, linewidth=0.7)
    y = [times * value for value, _ in values]
    room = float(axes.figure.bbox.width) - 40
    axes.plot(places, y, marker=marker, markersize=3, color=color, label=fit_name(name, room))


def shift_places(axes: Axes, places: Sequence[float], i: int, n: int) -> list[float]:
    """Return the places of the i-th of n series, a little apart so that equal values show."""
    low, high = axes.get_xlim()
    shift = (i - (n - 1) / 2) * 1.6 * (high - low) / axes.get_window_extent().width
    return [place + shift for place in places]


def fit_rates(
    axes: Axes,
    values: Iterable[tuple[float, Interval]],
    published: _Published = (),
    *,
    times: float = 100,
) -> None:
    """Set the axis of rates, 0..1, to what is drawn: whole markers, and zero where it is near."""
    ends = [
        end
        for rate, interval in values
        if math.isfinite(rate)
        for end in (rate, interval.low, interval.high)
    ]
    ends += [rate for _, points in published for _, rate in points]
    finite = [end for end in ends if math.isfinite(end)] or [0.0, 1.0]
    low, high = max(0.0, min(finite)), min(1.0, max(finite))
    low = 0.0 if low < 0.5 * high else low
    room = 0.05 * max(high - low, 0.04)
    axes.set_ylim(times * (low - room), times * (high + room))


def set_size_axis(
    axes: Axes, place_by_rung: Mapping[Rung, float], axis: Axis, published: _Published = ()
) -> None:
    """Set the axis of sizes: a little air at the ends, and no two names that touch."""
    places = place_by_rung.values()
    every = [*places, *(x for _, points in published for x, _ in points)]
    low, high = min(every, default=0.0), max(every, default=1.0)
    air = 0.06 * (high - low) or 0.5
    axes.set_xlim(low - air, high + air)
    each = axes.get_window_extent().width / (high - low + 2 * air)
    names = {x: say_size(rung, x, axis) for rung, x in place_by_rung.items()}
    room = 0.62 * SMALL_FONT * max(map(len, names.values()), default=1) + 4
    ticks: list[float] = []
    for x in sorted(names, reverse=True):
        if not ticks or (ticks[-1] - x) * each >= room:
            ticks.append(x)
    axes.set_xticks(ticks, [names[x] for x in ticks])
    axes.set_xticks(list(places), minor=True)
    axes.grid(visible=True, axis="y")


def place_on_axis(x: float | None, axis: Axis) -> float:
    """Return the place of a size: its logarithm, where size is a quantity."""
    assert x is not None
    return x if axis in {"loss", "ordinal"} else math.log10(x)


def say_size(rung: Rung, place: float, axis: Axis) -> str:
    """Return a size in few characters."""
    if axis == "ordinal":
        return shorten_name(printable(rung.model), 9)
    if axis == "loss":
        return f"{-place:.3g}"
    return (
        f"{10**place:.1e}".replace("e+", "e")
        if axis == "flops"
        else say_number(10**place, "params")
    )


# Exact match beside its companions over model size: is a jump real, or made by the metric?


_PANEL = 68.0  # points of the axes of one metric


def _name_curve(jump: Jump) -> str:
    strict = jump.exact.metric
    name = "solve rate" if strict == "exact_match" else strict.replace("_", " ")
    if jump.curve == "arm":
        return name
    return jump.curve if strict == "exact_match" else f"{jump.curve} in {name}"


def draw_panel(key: str, title: str, scale: Scale, styles: Mapping[str, Style]) -> Chart:
    """Draw exact match and its companions over size, one small figure each.

    ``styles``: of the arms.
    """
    metrics = list(dict.fromkeys(mean.metric for mean in scale.metrics))
    arms = list(dict.fromkeys([*list_arms(scale), *(mean.arm for mean in scale.metrics)]))
    places = _places(scale)
    verdicts = [
        f"{_name_curve(jump)} of {jump.arm}: "
        f"{VERDICTS[jump.verdict].words} ({jump.why.rstrip('.')})"
        for answer in scale.answers
        for jump in answer.jumps
        if jump.curve != "control"
    ]
    positions = {p.rung: p.x for answer in scale.answers for p in answer.points}

    def height(width: float) -> float:
        n_rows = math.ceil(len(metrics) / _n_metric_columns(width))
        return legend_height(arms, width - 20) + n_rows * (_PANEL + 34) + 6

    def paint(figure: Figure) -> None:
        width = float(figure.bbox.width)
        n_columns = _n_metric_columns(width)
        across, head = width / n_columns, legend_height(arms, width - 20)
        for i, metric in enumerate(metrics):
            row, column = divmod(i, n_columns)
            axes = make_axes(
                figure,
                x=across * column + 24,
                y=head + row * (_PANEL + 34) + 20,
                width=across - 30,
                height=_PANEL,
            )
            means = [mean for mean in scale.metrics if mean.metric == metric]
            _paint_metric(axes, scale, [mean for mean in means if mean.rung in places], styles)
            name = fit_name(metric.replace("_", " "), across - 26, bold=True)
            axes.set_title(name)
            if not i:
                draw_legend(axes, above=18)

    return Chart(
        key=key,
        title=title,
        caption="; ".join([*verdicts, f"{scale.bench}; lines: each mean's own interval"]),
        data=make_table(
            "metrics",
            title,
            (
                (
                    Field("metric", "metric", mean.metric),
                    Field("arm", "arm", mean.arm),
                    *_size_fields(scale, mean.rung, positions.get(mean.rung)),
                    Field("value", "value", mean.value, "value"),
                    Field("interval", "interval", mean.interval, "value"),
                )
                for mean in scale.metrics
            ),
        ),
        height=height,
        paint=paint,
    )


def _n_metric_columns(width: float) -> int:
    return 2 if width <= WIDTHS[1] else 4


def _paint_metric(
    axes: Axes, scale: Scale, means: Sequence[MetricPoint], styles: Mapping[str, Style]
) -> None:
    places = {rung: x for rung, x in _places(scale).items() if any(m.rung == rung for m in means)}
    set_size_axis(axes, places, scale.axis)
    for arm, style in styles.items():
        line = sorted((m for m in means if m.arm == arm), key=lambda mean: places[mean.rung])
        if line:
            values = [(mean.value, mean.interval) for mean in line]
            draw_line(axes, [places[mean.rung] for mean in line], values, style, arm, times=1)
    values = [(mean.value, mean.interval) for mean in means]
    if all(0 <= value <= 1 for value, _ in values if math.isfinite(value)):
        fit_rates(axes, values, times=1)
    else:
        axes.margins(y=0.12)
    axes.locator_params(axis="y", nbins=4)


# The frontier: what each model and strategy solves, and what it costs.


COSTS: Mapping[Cost, tuple[str, Form]] = {
    "tokens": ("tokens per problem, prompt and answer", "tokens"),
    "usd": ("dollars per problem", "usd"),
    "seconds": ("seconds per problem", "seconds"),
}
"""Cost -> what stands below the axis, and how its numbers are written."""


def draw_frontiers(
    key: str,
    prices: Sequence[CostPoint],
    bench: str,
    styles: Mapping[str, Style],
    *,
    timing: bool,
    is_ladder: bool,
) -> list[Chart]:
    """Draw a figure for each cost that is known of two or more; seconds only with ``timing``.

    ``styles``: of the arms; ``is_ladder``: whether the models differ in size, in their order.
    """
    costs: list[Cost] = [cost for cost in COSTS if timing or cost != "seconds"]
    return [
        _draw_frontier(f"{key}-{cost}", with_cost, cost, bench, styles, is_ladder=is_ladder)
        for cost in costs
        if len(with_cost := [price for price in prices if _cost_or_zero(price, cost) > 0]) > 1
    ]


def _cost_or_zero(price: CostPoint, cost: Cost) -> float:
    """Return a cost; 0 where it is not known, which a logarithmic axis cannot show."""
    return {"tokens": price.tokens, "usd": price.usd, "seconds": price.seconds}[cost] or 0.0


def _draw_frontier(
    key: str,
    prices: Sequence[CostPoint],
    cost: Cost,
    bench: str,
    styles: Mapping[str, Style],
    *,
    is_ladder: bool,
) -> Chart:
    words, form = COSTS[cost]
    title = f"Solve rate against {cost.replace('usd', 'dollars')}"
    frontier = _Frontier(prices=prices, cost=cost, styles=styles, is_ladder=is_ladder)
    lines = "; thin lines: models by size" if is_ladder else ""
    return Chart(
        key=key,
        title=title,
        caption=f"{bench}; {words}, logarithmic; steps: nothing else solves as much for "
        f"less{lines}; vertical: intervals",
        data=make_table(
            "frontier",
            title,
            (
                (
                    Field("model", "model", price.rung.model),
                    Field("arm", "arm", price.arm),
                    Field(cost, words, _cost_or_zero(price, cost), form),
                    Field("solve_rate", "solve rate", price.rate, "share"),
                    Field("solve_rate_interval", "interval", price.interval, "share"),
                    Field("frontier", "", "on the frontier" if cost in price.on_frontier else ""),
                )
                for price in prices
            ),
        ),
        height=lambda width: legend_height(frontier.names, width - 20) + _UNIT + 140 + _BELOW,
        paint=frontier.paint,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frontier:
    """Painter of solve rate against a cost.

    Several models that are no ladder have a colour each, and arms a marker; else arms have both.
    """

    prices: Sequence[CostPoint]
    cost: Cost
    styles: Mapping[str, Style]
    is_ladder: bool

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(price.rung.model for price in self.prices))

    @property
    def arms(self) -> list[str]:
        arms = {price.arm for price in self.prices}
        return [arm for arm in self.styles if arm in arms]

    @property
    def has_model_colors(self) -> bool:
        return not self.is_ladder and 1 < len(self.models) <= N_SERIES

    @property
    def names(self) -> list[str]:
        return [*self.arms, *(self.models if self.has_model_colors else ())]

    def _style(self, price: CostPoint) -> Style:
        if self.has_model_colors:
            return series_style(self.models.index(price.rung.model))[0], self._marker(price.arm)
        return self.styles[price.arm]

    def _marker(self, arm: str) -> str:
        return self.styles[arm][1]

    def paint(self, figure: Figure) -> None:
        from matplotlib.ticker import LogLocator

        words, form = COSTS[self.cost]
        width, height = figure.bbox.size
        axes = make_axes(
            figure, x=_LEFT, y=height - _BELOW - 140, width=width - _LEFT - 12, height=140
        )
        costs = [_cost_or_zero(price, self.cost) for price in self.prices]
        air = (max(costs) / min(costs)) ** 0.08 if max(costs) > min(costs) else 2.0
        axes.set_xscale("log")
        axes.set_xlim(min(costs) / air, max(costs) * air)
        axes.set_xlabel(words)
        axes.grid(visible=True, axis="y")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: say_number(value, form))
        axes.xaxis.set_minor_formatter(lambda _value, _: "")
        fit_rates(axes, [(price.rate, price.interval) for price in self.prices])
        label_unit(axes, "solve rate, %")
        priced = list(zip(costs, self.prices, strict=True))
        best = sorted((x, 100 * p.rate) for x, p in priced if self.cost in p.on_frontier)
        axes.step(*zip(*best, strict=True), where="post", color=COLORS["quiet"], linewidth=0.6)
        for arm in self.arms if self.is_ladder else ():
            line = [(x, 100 * p.rate) for x, p in priced if p.arm == arm]
            axes.plot(*zip(*line, strict=True), color=self.styles[arm][0], linewidth=0.4)
        for x, price in priced:
            color, marker = self._style(price)
            ends = 100 * price.interval.low, 100 * price.interval.high
            axes.vlines(x, *ends, color=color, linewidth=0.6, alpha=0.5)
            axes.plot(x, 100 * price.rate, marker, color=color)
        if len(self.models) > 1 and not self.has_model_colors:
            _name_models(axes, priced, self.cost)
        draw_legend(axes, handles=self._legend(width - 40))

    def _legend(self, room: float) -> list[Artist]:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        handles: list[Artist] = [
            Line2D(
                [],
                [],
                color=COLORS["ink"] if self.has_model_colors else self.styles[arm][0],
                marker=self._marker(arm),
                linestyle="none",
                label=fit_name(arm, room),
            )
            for arm in self.arms
        ]
        if self.has_model_colors:
            handles += [
                Patch(color=series_style(i)[0], label=fit_name(model, room))
                for i, model in enumerate(self.models)
            ]
        return handles


def _name_models(axes: Axes, priced: Sequence[tuple[float, CostPoint]], cost: Cost) -> None:
    """Name the points, those on the frontier first, where a name hides neither point nor name."""
    from matplotlib.transforms import Bbox

    def box_at(x: float, y: float, width: float, height: float) -> Bbox:
        return Bbox.from_bounds(x - width / 2, y - height / 2, width, height)

    centers = [tuple(axes.transData.transform((x, 100 * p.rate))) for x, p in priced]
    obstacles = [box_at(x, y, 4, 4) for x, y in centers]
    frame = axes.get_window_extent()
    order = sorted(range(len(priced)), key=lambda i: (cost not in priced[i][1].on_frontier, i))
    for i in order:
        rung = priced[i][1].rung
        name = say_number(rung.n_params, "params") if rung.n_params else printable(rung.model)
        name = shorten_name(name, 24)
        width, height = 0.64 * SMALL_FONT * len(name), SMALL_FONT
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            x, y = centers[i][0] + dx * (width / 2 + 4), centers[i][1] + dy * (height / 2 + 4)
            box = box_at(x, y, width, height)
            is_inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0
            if is_inside and box.y1 <= frame.y1 and not box.count_overlaps(obstacles):
                obstacles.append(box)
                text_x, text_y = axes.transData.inverted().transform((x, y))
                style: dict[str, Any] = {"fontsize": SMALL_FONT, "color": COLORS["muted"]}
                axes.text(text_x, text_y, name, ha="center", va="center", **style)
                break
