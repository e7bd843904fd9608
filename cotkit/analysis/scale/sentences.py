"""What is said of one strategy on one ladder, in plain words with numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cotkit.analysis.power import problems_needed
from cotkit.analysis.scale.inputs import Axis
from cotkit.analysis.scale.onset import NO_HELP, is_open
from cotkit.analysis.scale.values import Onset, OnsetStatus, Point
from cotkit.analysis.scale.wording import (
    gain,
    listed,
    margin_of,
    position,
    sight,
    size,
    size_with_gain,
    unit,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """All that a sentence is made of."""

    arm: str
    """The strategy."""
    control: str
    """What it is measured against."""
    points: Sequence[Point]
    """Sizes that are known and measured, smallest first."""
    onset: Onset
    """By the rule."""
    margin: float
    """Smallest material gain."""
    axis: Axis
    """What size means."""
    assume_sustained: bool
    """Whether help that began is assumed not to stop."""
    several_families: bool
    """Whether the models differ in more than size."""


def sentence(told: Told) -> str:
    """The answer, e.g. ``"cot starts to help between 268 M and 1.54 B parameters: ..."``."""
    if not told.points:
        return (
            f"Nothing can be said of {told.arm} against {told.control}: "
            "no problem was completed by both at any known size."
        )
    parts = [_SAY[told.onset.status](told)]
    parts += [*_harm(told), *_after(told), *_model_based(told), *_provisos(told)]
    return "; ".join(parts) + "."


def _bracket(told: Told) -> str:
    lower, upper = _at(told, "lower"), _at(told, "upper")
    where = f"{size(lower, told.axis)} and {size(upper, told.axis)}{unit(told.axis)}"
    none = "harm against" if lower.label == "harms" else "no material help over"
    said = (
        f"{told.arm} starts to help between {where}: {none} {told.control} at "
        f"{size_with_gain(lower, told.axis)}, {gain(upper)} at {size(upper, told.axis)}"
    )
    below = [p for p in told.points[: told.points.index(lower)] if p.label not in NO_HELP]
    return said + (f"; still open at {_sizes(told, below)}" if below else "")


def _at_or_below(told: Told) -> str:
    upper = _at(told, "upper")
    below = told.points[: told.points.index(upper)]
    where = f"{size(upper, told.axis)}{unit(told.axis)}"
    said = f"{told.arm} starts to help at or below {where}: {gain(upper)} over {told.control} there"
    if not below:
        return (
            f"{said}, the smallest size tested; only a smaller model, shown not to be helped, "
            "could name a lower end"
        )
    nearest = below[-1]
    return (
        f"{said}; no lower end can be named, for {size_with_gain(nearest, told.axis)} is open: "
        f"{_needed(nearest, told.margin)}"
    )


def _not_shown(told: Told) -> str:
    largest = told.points[-1]
    where = f"{size(largest, told.axis)}{unit(told.axis)}, the largest size tested"
    said = f"{told.arm} is not shown to help over {told.control} up to {where}"
    if all(point.label in NO_HELP for point in told.points):
        how = f"no gain of {margin_of(told.margin)} points or more at any size"
        return f"{said}: {how}, {gain(largest)} at the largest"
    best = max(told.points, key=lambda point: point.gain)
    return f"{said}: the largest gain is {gain(best)} at {size(best, told.axis)}"


def _cannot_be_decided(told: Told) -> str:
    worst = max(
        (point for point in told.points if is_open(point, told.margin)),
        key=lambda point: (math.isnan(point.mde), point.mde),
    )
    where = f"{size(told.points[-1], told.axis)}{unit(told.axis)}"
    return (
        f"whether {told.arm} helps over {told.control} up to {where} cannot be decided: at "
        f"{size_with_gain(worst, told.axis)} {sight(worst)}; {_needed(worst, told.margin)}"
    )


_SAY: dict[OnsetStatus, Callable[[Told], str]] = {
    "bracket": _bracket,
    "at_or_below": _at_or_below,
    "not_shown": _not_shown,
    "cannot_be_decided": _cannot_be_decided,
}


def _harm(told: Told) -> list[str]:
    lower = told.onset.lower
    upper = told.onset.upper
    harmed = [point for point in told.points if point.label == "harms" and point.rung != lower]
    if upper is not None:  # harm above is told with what lies above
        harmed = [p for p in harmed if told.points.index(p) < told.points.index(_at(told, "upper"))]
    if not harmed:
        return []
    return ["it harms at " + listed([size_with_gain(p, told.axis) for p in harmed])]


def _after(told: Told) -> list[str]:
    if told.onset.upper is None:
        return []
    above = told.points[told.points.index(_at(told, "upper")) + 1 :]
    if told.onset.after is None:
        return ["no larger size was tested"]
    if told.onset.after == "sustained":
        return ["it helps at every larger size tested"]
    if told.onset.after == "reversed":
        harmed = [point for point in above if point.label == "harms"]
        return [
            "it does not last: harm at " + listed([size_with_gain(p, told.axis) for p in harmed])
        ]
    shown = [point for point in above if point.label != "helps"]
    why = " (a ceiling)" if all(point.is_ceiling for point in shown) else ""
    return [f"material help is not shown again at {_sizes(told, shown)}{why}"]


def _model_based(told: Told) -> list[str]:
    found = told.onset.model_based
    if found is None:
        return []
    x, low, high = (
        position(value, told.axis) for value in (found.x, found.interval.low, found.interval.high)
    )
    return [
        (
            f"a logistic fit puts the gain of {margin_of(told.margin)} points at {x} "
            f"({low} to {high}; as good as that model)"
        )
    ]


def _provisos(told: Told) -> list[str]:
    said: list[str] = []
    if told.assume_sustained:
        said.append("assuming that help, once begun, does not stop with size")
    if told.several_families:
        said.append("the models are of several families, so more than size differs between them")
    return said


def _needed(point: Point, margin: float) -> str:
    baseline = min(point.control_rate, 1 - margin - 1e-9)  # there must be room for such a gain
    n = problems_needed(margin, baseline, point.interval.level)
    return f"about {n:,} problems would tell a gain of {margin_of(margin)} points from none"


def _sizes(told: Told, points: Sequence[Point]) -> str:
    return listed([size(point, told.axis) for point in points])


def _at(told: Told, end: str) -> Point:
    rung = told.onset.lower if end == "lower" else told.onset.upper
    return next(point for point in told.points if point.rung == rung)
