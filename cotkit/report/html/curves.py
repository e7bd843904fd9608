"""A strategy over model size: both solve rates, and their gain with the onset bracket."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cotkit.analysis.scale.inputs import Rung
from cotkit.analysis.scale.values import Answer, Point, Scale, SizeLabel
from cotkit.report.html.figure import COLORS, Drawn, axes, draw, legend, short, unit
from cotkit.report.html.sizes import AXES, arms_of, line, over_size, place, say_size
from cotkit.report.words import printable, say_ends, say_level, say_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS: Mapping[SizeLabel, tuple[str, str, str]] = {
    "helps": ("helps", "good", "^"),
    "some_help": ("some help", "good", "o"),
    "harms": ("harms", "bad", "v"),
    "no_material_help": ("no material help", "ink", "_"),
    "undetermined": ("undetermined", "muted", "o"),
    "missing": ("missing", "warn", "x"),
}
"""Label -> its words, colour and marker: not by colour alone."""
_RATES, _GAINS, _BELOW = 150, 130, 44  # pixels of the two parts of a curve, and below it


def curve(key: str, title: str, scale: Scale, answer: Answer) -> Drawn:
    """Solve rates of an arm and its control over size, and below them the gain and its band."""
    points = [point for point in answer.points if point.x is not None]
    level = say_level(points[0].interval.level) if points else ""
    labels: list[SizeLabel] = list(dict.fromkeys(point.label for point in points))
    return draw(
        key,
        title=title,
        caption=f"{scale.bench}. Above: solve rates, each with its own interval; below: the gain "
        f"with {level} intervals that hold together; grey: below the margin of "
        f"{say_number(scale.margin, 'share')} points{_beyond(answer)}",
        says=printable(f"{answer.sentence} {'; '.join(map(_said, answer.points))}"),
        height=30 + 3 * 16 + _RATES + 24 + 16 * math.ceil(len(labels) / 3) + _GAINS + _BELOW,
        paint=lambda figure: _paint_curve(figure, scale, answer, points, labels),
    )


def _beyond(answer: Answer) -> str:
    onset = answer.onset
    said = {
        "sustained": f"; every larger size than {_model(onset.upper)} helps, too",
        "not_shown_beyond": f"; beyond {_model(onset.upper)}, help is not shown at every size",
        "reversed": f"; beyond {_model(onset.upper)}, a larger size harms",
    }
    found = said[onset.after] if onset.after else ""
    if onset.first_detected is not None and onset.first_detected != onset.upper:
        found += f"; first gain surely above 0: {onset.first_detected.model}"
    return found


def _model(rung: Rung | None) -> str:
    return rung.model if rung is not None else ""


def _said(point: Point) -> str:
    gain = say_number(point.gain, "points")
    ends = say_ends(point.interval.low, point.interval.high, "points")
    return f"{point.rung.model}: {gain} points ({ends}), {LABELS[point.label][0]}"


def _paint_curve(
    figure: Figure,
    scale: Scale,
    answer: Answer,
    points: Sequence[Point],
    labels: Sequence[SizeLabel],
) -> None:
    lines = math.ceil(len(labels) / 3)
    below = _BELOW + _GAINS + 24 + 16 * lines
    rates = axes(figure, left=36, right=10, top=30 + 3 * 16, bottom=below)
    gains = axes(
        figure, left=36, right=10, top=30 + 3 * 16 + _RATES + 24 + 16 * lines, bottom=_BELOW
    )
    at = [place(point.x, scale.axis) for point in points]
    where = {point.rung: x for point, x in zip(points, at, strict=True)}
    names = [say_size(rung, x, scale.axis) for rung, x in where.items()]
    for on in (rates, gains):
        over_size(on, at, names)
        _shade(on, scale, answer, where, is_named=on is rates)
    rates.tick_params(labelbottom=False)
    gains.set_xlabel(AXES[scale.axis])
    of_arm = [(point.arm_rate, point.arm_interval) for point in points]
    of_control = [(point.control_rate, point.control_interval) for point in points]
    arms = arms_of(scale)
    for name, values in ((answer.arm, of_arm), (answer.control, of_control)):
        line(rates, at, values, arms.index(name), name)
    rates.set_ylim(0, 100)
    unit(rates, "solve rate, %")
    _paint_gains(gains, scale, points, at, labels)
    legend(rates, above=20)


def _paint_gains(
    on: Axes,
    scale: Scale,
    points: Sequence[Point],
    at: Sequence[float],
    labels: Sequence[SizeLabel],
) -> None:
    known = [end for point in points for end in (point.interval.low, point.interval.high)]
    finite = [0.0, 2 * scale.margin, *(end for end in known if math.isfinite(end))]
    room = 0.08 * (max(finite) - min(finite))
    on.set_ylim(100 * (min(finite) - room), 100 * (max(finite) + room))
    on.axhspan(0, 100 * scale.margin, color=COLORS["band"], linewidth=0)
    on.axhline(0, color=COLORS["muted"], linewidth=1)
    on.yaxis.set_major_formatter(lambda y, _: f"{y:+g}" if y else "0")
    unit(on, "gain, points")
    low = [100 * point.interval.low for point in points]
    high = [100 * point.interval.high for point in points]
    on.fill_between(at, low, high, color=COLORS["quiet"], alpha=0.14, linewidth=0)
    on.plot(at, [100 * point.gain for point in points], color=COLORS["quiet"], linewidth=1)
    for label in labels:
        words, color, marker = LABELS[label]
        of = [i for i, point in enumerate(points) if point.label == label]
        ends = [low[i] for i in of], [high[i] for i in of]
        on.vlines([at[i] for i in of], *ends, color=COLORS[color], linewidth=1.8)
        on.plot(
            [at[i] for i in of],
            [0.0 if label == "missing" else 100 * points[i].gain for i in of],
            marker,
            color=COLORS[color],
            markerfacecolor=COLORS["paper" if label in {"some_help", "undetermined"} else color],
            markersize=8,
            markeredgewidth=1.8,
            label=words,
        )
    legend(on, above=20, ncols=3)


def _shade(
    on: Axes, scale: Scale, answer: Answer, where: Mapping[Rung, float], *, is_named: bool
) -> None:
    """The onset bracket; the crossing by a fit, if there is one."""
    onset = answer.onset
    if onset.upper is not None and onset.upper in where:
        low = on.get_xlim()[0]
        if onset.status == "bracket" and onset.lower is not None:
            low = where[onset.lower]
        sizes = {rung: say_size(rung, x, scale.axis) for rung, x in where.items()}
        name = f"material help starts here: {onset_words(answer, sizes)}"
        on.axvspan(
            low,
            where[onset.upper],
            color=COLORS["series-1"],
            alpha=0.13,
            linewidth=0,
            label=short(printable(name), 60) if is_named else None,
        )
    if onset.model_based is not None:
        x = place(onset.model_based.x, scale.axis)
        name = "where a logistic fit crosses the margin" if is_named else None
        on.axvline(x, color=COLORS["ink"], linewidth=1, linestyle=(0, (2, 2)), label=name)


def onset_words(answer: Answer, sizes: Mapping[Rung, str]) -> str:
    """``(8 B, 62 B]``, or ``at or below 8 B``; ``sizes``: what to call each model."""
    lower, upper = answer.onset.lower, answer.onset.upper
    assert upper is not None, "no help was shown, so it starts nowhere"
    if answer.onset.status == "bracket" and lower is not None:
        return f"({sizes[lower]}, {sizes[upper]}]"
    return f"at or below {sizes[upper]}"
