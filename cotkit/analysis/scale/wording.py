"""Sizes, gains and lists as a sentence says them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cotkit.analysis.scale.inputs import Axis
from cotkit.analysis.scale.values import Point
from cotkit.analysis.values import Interval

_UNIT: dict[Axis, str] = {
    "params": " parameters",
    "active-params": " active parameters",
    "flops": " training FLOPs",
    "loss": " nats of loss",
    "ordinal": "",
}


def unit(axis: Axis) -> str:
    """What follows a size, with the space before it; empty where models are named."""
    return _UNIT[axis]


def size(point: Point, axis: Axis) -> str:
    """A size without its unit: ``1.54 B``, ``3.1e+23``, ``2.31``, or the model of an ordinal."""
    if axis == "ordinal" or point.x is None:
        return point.rung.model
    return position(point.x, axis)


def position(x: float, axis: Axis) -> str:
    """A position without its unit."""
    if axis == "loss":
        return f"{-x:.3g}"
    if axis == "flops":
        return f"{x:.2g}"
    for scale, letter in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " K")):
        if x >= 0.9995 * scale:
            return f"{x / scale:.3g}{letter}"
    return f"{x:.3g}"


def points_of(fraction: float) -> str:
    """A gain in points, signed; what would round to 0 keeps its sign and first digit."""
    points = 100 * fraction
    digits = ".1g" if 0 < abs(points) < 0.05 else ".1f"
    return f"{points + 0.0:+{digits}}"  # + 0.0 turns -0.0 into 0.0


def margin_of(fraction: float) -> str:
    """A margin in points."""
    return f"{100 * fraction:.3g}"


def ends(interval: Interval) -> str:
    """Both ends in points."""
    return f"{points_of(interval.low)} to {points_of(interval.high)}"


def gain(point: Point) -> str:
    """``+62.5 points (+41.2 to +78.3)``."""
    return f"{points_of(point.gain)} points ({ends(point.interval)})"


def size_with_gain(point: Point, axis: Axis) -> str:
    """``268 M (+0.5 points, -1.2 to +1.9)``."""
    return f"{size(point, axis)} ({points_of(point.gain)} points, {ends(point.interval)})"


def sight(point: Point) -> str:
    """What this many problems could have seen."""
    if math.isnan(point.mde):
        return "no gain, however large, would surely have been seen"
    points = 100 * point.mde
    shown = f"{points:.{0 if points >= 10 else 1}f}"
    return f"this run could only have seen gains of {shown} points or more"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
