"""Sizes in words, and the curve of an arm and its control over them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from cotkit.analysis.scale.inputs import Axis, Rung
from cotkit.analysis.scale.values import Answer, Point, Scale
from cotkit.report.document import Curve, Figure, Number, Words
from cotkit.report.words import Form, say_number

SIZES: Mapping[Axis, tuple[str, Form]] = {
    "params": ("parameters", "params"),
    "active-params": ("active parameters", "params"),
    "flops": ("training FLOPs", "flops"),
    "loss": ("loss in nats", "value"),
    "ordinal": ("rank", "count"),
}
"""Axis -> what a size is called and how it is written."""

_LOGARITHMIC: frozenset[Axis] = frozenset({"params", "active-params", "flops"})


def name(text: str) -> Words:
    """A cell with a name."""
    return Words(text=text, raw=text)


def size_of(point: Point, axis: Axis) -> Number:
    """The size of a point as people write it; a loss is no longer negated."""
    x = None if point.x is None else (-point.x if axis == "loss" else point.x)
    return Number(value=x, form=SIZES[axis][1])


def say_size(point: Point, axis: Axis) -> str:
    """A size in words: its number or, where that is only a rank, its model."""
    said = size_of(point, axis)
    return point.rung.model if axis == "ordinal" else say_number(said.value, said.form)


def sizes_of(scale: Scale) -> dict[Rung, Point]:
    """Every model of an analysis, the smallest first -> a point that knows its size."""
    return {point.rung: point for answer in scale.answers for point in answer.points}


def figures(answer: Answer, axis: Axis) -> tuple[Figure, ...]:
    """Its curve, if two places or more are known on the axis."""
    points = [point for point in answer.points if point.x is not None]
    return (_figure(answer, points, axis),) if len(points) > 1 else ()


def _figure(answer: Answer, points: list[Point], axis: Axis) -> Figure:
    rungs = [point.rung for point in points]
    onset = answer.onset
    bracket = None
    if onset.lower is not None and onset.upper is not None:
        bracket = rungs.index(onset.lower), rungs.index(onset.upper)
    return Figure(
        x=tuple(_place(point.x or 0.0, axis) for point in points),
        ticks=tuple(say_size(point, axis) for point in points),
        axis=SIZES[axis][0] + (", logarithmic" if axis in _LOGARITHMIC else ""),
        upper=Curve(name=answer.arm, y=tuple(point.arm_rate for point in points)),
        lower=Curve(name=answer.control, y=tuple(point.control_rate for point in points)),
        bracket=bracket,
    )


def _place(x: float, axis: Axis) -> float:
    return math.log10(x) if axis in _LOGARITHMIC else x
