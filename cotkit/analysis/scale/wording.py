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
    """A gain in points, signed."""
    return f"{round(100 * fraction, 1) + 0.0:+.1f}"  # + 0.0 turns -0.0 into 0.0


def plain_points(fraction: float) -> str:
    """A margin or an MDE in points; "more than any" where it is NaN."""
    if math.isnan(fraction):
        return "more than any"
    return f"{100 * fraction:.3g}"


def ends(interval: Interval) -> str:
    """Both ends in points."""
    return f"{points_of(interval.low)} to {points_of(interval.high)}"


def gain(point: Point) -> str:
    """``+62.5 points (+41.2 to +78.3)``."""
    return f"{points_of(point.gain)} points ({ends(point.interval)})"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
