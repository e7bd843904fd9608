"""A strategy over model size: both solve rates, and their gain with the onset bracket."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
from cotkit.analysis.values import Sweep
from cotkit.printable import printable
from cotkit.report.document import Form, say_ends, say_level, say_number
from cotkit.report.html.figure import (
    COLORS,
    TONE_COLORS,
    WIDTH,
    RenderedFigure,
    draw_figure,
    draw_legend,
    label_unit,
    make_axes,
    series_style,
    shorten_name,
)
from cotkit.report.scale_tables import shaded_ends
from cotkit.report.verdicts import VERDICTS
from cotkit.stats.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_RATES, _GAINS, _BELOW = 150, 130, 44  # pixels of the two parts of a curve, and below it


def draw_curve(key: str, title: str, scale: Scale, answer: OnsetAnswer) -> RenderedFigure:
    """Draw solve rates of an arm and its control over size, and below them the gain."""
    points = [point for point in answer.points if point.x is not None]
    level = say_level(points[0].interval.level) if points else ""
    labels: list[SizeLabel] = list(dict.fromkeys(point.label for point in points))
    return draw_figure(
        key,
        title=title,
        caption=f"{scale.bench}. Above: solve rates, each with its own interval; below: the gain "
        f"with {level} intervals that hold together; grey: below the margin of "
        f"{say_number(scale.margin, 'share')} points{_say_beyond(answer)}",
        says=printable(f"{answer.sentence} {'; '.join(map(_say_point, answer.points))}"),
        height=30 + 3 * 16 + _RATES + 24 + 16 * math.ceil(len(labels) / 3) + _GAINS + _BELOW,
        paint=lambda figure: _paint_curve(figure, scale, answer, points, labels),
    )


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


def _say_point(point: Point) -> str:
    gain = say_number(point.gain, "points")
    ends = say_ends(point.interval.low, point.interval.high, "points")
    return f"{point.rung.model}: {gain} points ({ends}), {VERDICTS[point.label].words}"


def _paint_curve(
    figure: Figure,
    scale: Scale,
    answer: OnsetAnswer,
    points: Sequence[Point],
    labels: Sequence[SizeLabel],
) -> None:
    lines = math.ceil(len(labels) / 3)
    below = _BELOW + _GAINS + 24 + 16 * lines
    rates = make_axes(figure, left=36, right=10, top=30 + 3 * 16, bottom=below)
    gains = make_axes(
        figure, left=36, right=10, top=30 + 3 * 16 + _RATES + 24 + 16 * lines, bottom=_BELOW
    )
    places = [place_on_axis(point.x, scale.axis) for point in points]
    place_by_rung = {point.rung: x for point, x in zip(points, places, strict=True)}
    names = [say_size(rung, x, scale.axis) for rung, x in place_by_rung.items()]
    for axes in (rates, gains):
        set_size_axis(axes, places, names)
        _shade_onset(axes, scale, answer, place_by_rung, is_named=axes is rates)
    rates.tick_params(labelbottom=False)
    gains.set_xlabel(AXES[scale.axis])
    of_arm = [(point.arm_rate, point.arm_interval) for point in points]
    of_control = [(point.control_rate, point.control_interval) for point in points]
    arms = list_arms(scale)
    for name, values in ((answer.arm, of_arm), (answer.control, of_control)):
        draw_line(rates, places, values, arms.index(name), name)
    rates.set_ylim(0, 100)
    label_unit(rates, "solve rate, %")
    _paint_gains(gains, scale, points, places, labels)
    _draw_bracket(gains, answer.onset, place_by_rung)
    draw_legend(rates, above=20)


def _draw_bracket(axes: Axes, onset: Onset, place_by_rung: Mapping[Rung, float]) -> None:
    """Draw the two gains of a margin-free bracket: none is larger up to it, and one is after it."""
    bracket = onset.bracket
    if bracket is None or not bracket.is_clear:
        return
    low_x, high_x = axes.get_xlim()
    lower, upper = place_by_rung[bracket.lower], place_by_rung[bracket.upper]
    style: dict[str, Any] = {"color": COLORS["ink"], "linewidth": 1.4, "linestyle": (0, (4, 2))}
    axes.hlines(100 * bracket.no_more_than, low_x, lower, **style)
    axes.hlines(100 * bracket.at_least, upper, high_x, **style)
    axes.set_xlim(low_x, high_x)


def _paint_gains(
    axes: Axes,
    scale: Scale,
    points: Sequence[Point],
    places: Sequence[float],
    labels: Sequence[SizeLabel],
) -> None:
    ends = [end for point in points for end in (point.interval.low, point.interval.high)]
    finite = [0.0, 2 * scale.margin, *(end for end in ends if math.isfinite(end))]
    room = 0.08 * (max(finite) - min(finite))
    axes.set_ylim(100 * (min(finite) - room), 100 * (max(finite) + room))
    axes.axhspan(0, 100 * scale.margin, color=COLORS["band"], linewidth=0)
    axes.axhline(0, color=COLORS["muted"], linewidth=1)
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:+g}" if y else "0")
    label_unit(axes, "gain, points")
    low = [100 * point.interval.low for point in points]
    high = [100 * point.interval.high for point in points]
    axes.fill_between(places, low, high, color=COLORS["quiet"], alpha=0.14, linewidth=0)
    axes.plot(places, [100 * point.gain for point in points], color=COLORS["quiet"], linewidth=1)
    for label in labels:
        style = VERDICTS[label]
        color = TONE_COLORS[style.tone]
        members = [i for i, point in enumerate(points) if point.label == label]
        x = [places[i] for i in members]
        axes.vlines(
            x, [low[i] for i in members], [high[i] for i in members], color=color, linewidth=1.8
        )
        axes.plot(
            x,
            [0.0 if label == "missing" else 100 * points[i].gain for i in members],
            style.marker,
            color=color,
            markerfacecolor=COLORS["paper"] if style.marker == "o" else color,
            markersize=8,
            markeredgewidth=1.8,
            label=style.words,
        )
    draw_legend(axes, above=20, ncols=3)


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
            label=shorten_name(printable(name), 60) if is_named else None,
        )
    if onset.model_based is not None:
        x = place_on_axis(onset.model_based.x, scale.axis)
        name = "where a logistic fit crosses the margin" if is_named else None
        axes.axvline(x, color=COLORS["ink"], linewidth=1, linestyle=(0, (2, 2)), label=name)


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
    return f"a gain above {say_number(bracket.no_more_than, 'share')} points"


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
    i: int,
    name: str,
    *,
    times: float = 100,
) -> None:
    """Draw one series with its intervals; a NaN is a gap."""
    color, marker = series_style(i)
    low = [times * interval.low for _, interval in values]
    high = [times * interval.high for _, interval in values]
    axes.vlines(places, low, high, color=color, linewidth=1.2)
    y = [times * value for value, _ in values]
    axes.plot(
        places, y, marker=marker, markersize=5, color=color, label=shorten_name(printable(name), 52)
    )


def set_size_axis(
    axes: Axes, places: Sequence[float], names: Sequence[str], *, room: float = 44
) -> None:
    """Set the axis of sizes: a little air at the ends, and no two names closer than ``room``."""
    low, high = min(places, default=0.0), max(places, default=1.0)
    air = 0.06 * (high - low) or 0.5
    axes.set_xlim(low - air, high + air)
    each = axes.get_window_extent().width / (high - low + 2 * air)
    ticks: list[tuple[float, str]] = []
    for x, name in sorted(zip(places, names, strict=True), reverse=True):
        if not ticks or (ticks[-1][0] - x) * each >= room:
            ticks.append((x, name))
    axes.set_xticks([x for x, _ in ticks], [name for _, name in ticks])
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


_PANEL = 150  # pixels of one row of metrics


def _name_curve(jump: Jump) -> str:
    strict = jump.exact.metric
    name = "solve rate" if strict == "exact_match" else strict.replace("_", " ")
    if jump.curve == "arm":
        return name
    return jump.curve if strict == "exact_match" else f"{jump.curve} in {name}"


def draw_panel(key: str, title: str, scale: Scale) -> RenderedFigure:
    """Draw exact match and its companions over size, one small figure each."""
    metrics = list(dict.fromkeys(mean.metric for mean in scale.metrics))
    arms = list(dict.fromkeys([*list_arms(scale), *(mean.arm for mean in scale.metrics)]))
    sizes = {
        point.rung: place_on_axis(point.x, scale.axis)
        for answer in scale.answers
        for point in answer.points
        if point.x is not None
    }
    verdicts = [
        f"{_name_curve(jump)} of {jump.arm}: "
        f"{VERDICTS[jump.verdict].words} ({jump.why.rstrip('.')})"
        for answer in scale.answers
        for jump in answer.jumps
        if jump.curve != "control"
    ]
    description = "; ".join(
        f"{mean.metric}, {mean.arm}, {mean.rung.model}: {say_number(mean.value, 'value')}"
        for mean in scale.metrics
    )
    rows = math.ceil(len(metrics) / 2)
    return draw_figure(
        key,
        title=title,
        caption="; ".join([*verdicts, f"{scale.bench}; lines: each mean's own interval"]),
        says=printable(description),
        height=16 * len(arms) + 16 + _PANEL * rows,
        paint=lambda figure: _paint_panel(figure, scale, metrics, arms, sizes),
    )


def _paint_panel(
    figure: Figure,
    scale: Scale,
    metrics: Sequence[str],
    arms: Sequence[str],
    sizes: Mapping[Rung, float],
) -> None:
    half, head = WIDTH / 2, 16 * len(arms) + 16
    height = head + _PANEL * math.ceil(len(metrics) / 2)
    for i, metric in enumerate(metrics):
        x_left, top = 40 + half * (i % 2), head + _PANEL * (i // 2) + 22
        bottom = height - top - (_PANEL - 22 - 26)
        axes = make_axes(
            figure, left=x_left, right=WIDTH - x_left - half + 50, top=top, bottom=bottom
        )
        means = [mean for mean in scale.metrics if mean.metric == metric and mean.rung in sizes]
        ordered = sorted(
            {mean.rung: sizes[mean.rung] for mean in means}.items(), key=lambda s: s[1]
        )
        ticks = [(x, say_size(rung, x, scale.axis)) for rung, x in ordered]
        set_size_axis(axes, [x for x, _ in ticks], [name for _, name in ticks], room=48)
        axes.set_title(shorten_name(printable(metric.replace("_", " ")), 26), fontsize=11, pad=6)
        axes.margins(y=0.12)
        axes.locator_params(axis="y", nbins=4)
        for j, arm in enumerate(arms):
            _draw_metric_line(axes, [mean for mean in means if mean.arm == arm], sizes, j, arm)
        if not i:
            draw_legend(axes, above=top - 16 * len(arms))


def _draw_metric_line(
    axes: Axes, means: Sequence[MetricPoint], sizes: Mapping[Rung, float], i: int, name: str
) -> None:
    ordered = sorted(means, key=lambda mean: sizes[mean.rung])
    places = [sizes[mean.rung] for mean in ordered]
    values = [(mean.value, mean.interval) for mean in ordered]
    draw_line(axes, places, values, i, name, times=1)


# The frontier: what each model and strategy solves, and what it costs.


COSTS: Mapping[Cost, tuple[str, Form]] = {
    "tokens": ("tokens per problem, prompt and answer", "tokens"),
    "usd": ("dollars per problem", "usd"),
    "seconds": ("seconds per problem", "seconds"),
}
"""Cost -> what stands below the axis, and how its numbers are written."""
_MOST_NAMED = 8  # names on a figure; the table has them all


def draw_frontier(
    key: str, prices: Sequence[CostPoint], arms: Sequence[str], cost: Cost, bench: str
) -> RenderedFigure:
    """Draw solve rate against one cost; a line joins what nothing cheaper beats."""
    words, form = COSTS[cost]
    spent_prices = [
        (_cost_or_zero(price, cost), price) for price in prices if _cost_or_zero(price, cost) > 0
    ]
    description = "; ".join(
        f"{price.rung.model}, {price.arm}: {say_number(price.rate, 'share')} % for "
        f"{say_number(spent, form)}{' (on the frontier)' if cost in price.on_frontier else ''}"
        for spent, price in spent_prices
    )
    return draw_figure(
        key,
        title=f"Solve rate against {cost.replace('usd', 'dollars')}",
        caption=f"{bench}; {words}, logarithmic; line: nothing else solves as much for "
        "less; vertical: intervals",
        says=printable(description),
        height=260 + 16 * len(arms),
        paint=lambda figure: _paint_frontier(figure, spent_prices, arms, cost),
    )


def _cost_or_zero(price: CostPoint, cost: Cost) -> float:
    """Return a cost; 0 where it is not known, which a logarithmic axis cannot show."""
    return {"tokens": price.tokens, "usd": price.usd, "seconds": price.seconds}[cost] or 0.0


def _paint_frontier(
    figure: Figure, spent_prices: Sequence[tuple[float, CostPoint]], arms: Sequence[str], cost: Cost
) -> None:
    from matplotlib.ticker import LogLocator

    words, form = COSTS[cost]
    axes = make_axes(figure, left=36, right=14, top=30 + 16 * len(arms), bottom=44)
    axes.set_xscale("log")
    axes.set_ylim(0, 104)
    axes.set_xlabel(words)
    axes.grid(visible=True, axis="y")
    best = sorted((spent, price.rate) for spent, price in spent_prices if cost in price.on_frontier)
    x, y = [spent for spent, _ in best], [100 * rate for _, rate in best]
    axes.step(x, y, where="post", color=COLORS["quiet"], linewidth=1)
    for i, arm in enumerate(arms):
        color, marker = series_style(i)
        points = [(spent, price) for spent, price in spent_prices if price.arm == arm]
        axes.vlines(
            [spent for spent, _ in points],
            [100 * price.interval.low for _, price in points],
            [100 * price.interval.high for _, price in points],
            color=color,
            linewidth=1,
            alpha=0.5,
        )
        rates = [100 * price.rate for _, price in points]
        name = shorten_name(printable(arm), 52)
        axes.plot(
            [spent for spent, _ in points], rates, marker, color=color, markersize=6, label=name
        )
    low, high = min(spent for spent, _ in spent_prices), max(spent for spent, _ in spent_prices)
    air = (high / low) ** 0.08 if high > low else 2.0
    axes.set_xlim(low / air, high * air**3)  # names stand at the right of their points
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: say_number(value, form))
    axes.xaxis.set_minor_formatter(lambda _value, _: "")
    best_prices = [
        pair for pair in sorted(spent_prices, key=lambda p: p[0]) if cost in pair[1].on_frontier
    ]
    for i, (spent, price) in enumerate(best_prices[-_MOST_NAMED:]):
        axes.annotate(
            shorten_name(printable(price.rung.model), 20),
            (spent, 100 * price.rate),
            xytext=(6, (-11, 5)[i % 2]),
            textcoords="offset pixels",
            fontsize=9,
            color=COLORS["muted"],
        )
    label_unit(axes, "solve rate, %")
    draw_legend(axes, above=20)


def draw_frontiers(
    key: str, prices: Sequence[CostPoint], bench: str, *, timing: bool, arms: Sequence[str] = ()
) -> list[RenderedFigure]:
    """Draw a figure for each cost that is known of two or more; seconds only with ``timing``.

    ``arms``: those that come first, so that their colours are those of other figures.
    """
    costs: list[Cost] = [cost for cost in COSTS if timing or cost != "seconds"]
    every = list(dict.fromkeys([*arms, *(price.arm for price in prices)]))
    return [
        draw_frontier(f"{key}-{cost}", prices, every, cost, bench)
        for cost in costs
        if sum(_cost_or_zero(price, cost) > 0 for price in prices) > 1
    ]


# Curves over a setting of one model.


def draw_sweep(key: str, sweeps: Sequence[Sweep], margin: float) -> RenderedFigure:
    """Draw solve rates over the settings that these curves share; shade what is enough."""
    parameter, settings = sweeps[0].parameter, [point.setting for point in sweeps[0].points]
    return draw_figure(
        key,
        title=f"Solve rate by {parameter}",
        caption="Lines: each rate's own interval; shaded: from here on every setting is shown to "
        f"be within the margin of {say_number(margin, 'share')} points of the best, of the curve "
        "in that colour",
        says=printable("; ".join(sweep.sentence for sweep in sweeps)),
        height=260 + 16 * len(sweeps),
        paint=lambda figure: _paint_sweep(figure, sweeps, parameter, settings),
    )


def _paint_sweep(
    figure: Figure, sweeps: Sequence[Sweep], parameter: str, settings: Sequence[str]
) -> None:
    axes = make_axes(figure, left=36, right=10, top=28 + 16 * len(sweeps), bottom=40)
    places = [float(i) for i in range(len(settings))]
    set_size_axis(axes, places, [shorten_name(printable(setting), 9) for setting in settings])
    axes.set_xlabel(printable(parameter))
    axes.set_ylim(0, 100)
    for i, sweep in enumerate(sweeps):
        values = [(point.solve_rate, point.interval) for point in sweep.points]
        draw_line(axes, places, values, i, sweep.strategy)
        if sweep.enough is not None:
            first = settings.index(sweep.enough)
            color, right = series_style(i)[0], axes.get_xlim()[1]
            axes.axvspan(first, right, color=color, alpha=0.1, linewidth=0)
    label_unit(axes, "solve rate, %")
    draw_legend(axes, above=20)
