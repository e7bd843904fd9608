"""Gains by size with simultaneous intervals, and their labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

import numpy as np

from cotkit.analysis.hypotheses import sidak_level
from cotkit.analysis.labels import label
from cotkit.analysis.power import minimum_detectable_effect
from cotkit.analysis.scale.estimates import (
    Estimate,
    Key,
    Measured,
    estimates,
    measure,
)
from cotkit.analysis.scale.inputs import Rung
from cotkit.analysis.scale.setting import Setting
from cotkit.analysis.scale.values import Point, SizeLabel
from cotkit.analysis.values import Interval

CEILING = 0.9
"""Solve rate of the control from which on little is left to gain."""

Pair: TypeAlias = tuple[str, str]
"""(arm, control)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """The points of all pairs."""

    points: Mapping[Pair, tuple[Point, ...]]
    """By size, smallest first; unknown sizes last."""
    n_intervals: int
    """That hold at once: measured (pair, size)."""
    level: float
    """Of each of them."""


def curves(setting: Setting, rng: np.random.Generator) -> Curves:
    """Measure every pair at every size, and label what its interval shows."""
    question, cells = setting.question, setting.grid.cells
    measured: dict[Key, Measured] = {}
    for pair in question.pairs:
        for rung in setting.ladder.rungs:
            arm, control = (cells.get((rung.model, name)) for name in pair)
            found = measure(arm, control, setting.codes, question.level)
            if found is not None:
                measured[pair, rung.model] = found
    m = max(1, len(measured))
    together = sidak_level(question.level, m)
    points = _points(measured, setting, together, rng)
    if question.assume_sustained:
        alone = sidak_level(question.level, len(question.pairs))
        stepped = _points(measured, setting, alone, rng)
        points = {
            pair: stepped_down(points[pair], stepped[pair], question.margin) for pair in points
        }
    return Curves(points=points, n_intervals=m, level=together)


def stepped_down(
    together: Sequence[Point], alone: Sequence[Point], margin: float
) -> tuple[Point, ...]:
    """Step down from the largest known size, each at the pair's whole level (Hsu and Berger 1999).

    A size is reached if every larger one is labelled ``helps``; its lower end is then the one at
    the pair's level. A size not reached claims no help. Upper ends stay simultaneous, so that
    absence and harm are claimed as before. Holes are stepped over.
    """
    found = list(together)
    reached = True
    for i in reversed(range(len(found))):
        point = found[i]
        if point.x is None or point.label == "missing":
            continue
        if reached:
            interval = replace(alone[i].interval, high=point.interval.high)
            found[i] = replace(alone[i], interval=interval, label=label(interval, margin))
            reached = found[i].label == "helps"
        elif point.label in {"helps", "some_help"}:
            found[i] = replace(point, label="undetermined")
    return tuple(found)


def _points(
    measured: Mapping[Key, Measured],
    setting: Setting,
    level: float,
    rng: np.random.Generator,
) -> dict[Pair, tuple[Point, ...]]:
    question, ladder = setting.question, setting.ladder
    found = estimates(measured, level, question.n_resamples, rng)
    placed = list(zip(ladder.rungs, ladder.positions, strict=True))
    return {
        pair: tuple(
            _point(rung, x, measured[pair, rung.model], found[pair, rung.model], question.margin)
            if (pair, rung.model) in found
            else _hole(rung, x, level)
            for rung, x in placed
        )
        for pair in question.pairs
    }


def _point(
    rung: Rung, x: float | None, measured: Measured, estimate: Estimate, margin: float
) -> Point:
    interval, base = estimate.interval, measured.control.rate
    return Point(
        rung=rung,
        x=x,
        n=min(measured.arm.n, measured.control.n),
        arm_rate=measured.arm.rate,
        arm_interval=measured.arm_interval,
        control_rate=base,
        control_interval=measured.control_interval,
        n_better=measured.n_better,
        n_worse=measured.n_worse,
        gain=measured.gain,
        interval=interval,
        method=measured.method,
        p_value=estimate.p_value,
        label=cast("SizeLabel", label(interval, margin)),  # an interval alone gives no other
        mde=minimum_detectable_effect(measured.n_effective, base, interval.level),
        is_floor=measured.arm.rate == 0 and base == 0,
        is_ceiling=base >= CEILING,
    )


def _hole(rung: Rung, x: float | None, level: float) -> Point:
    nothing = Interval(low=0.0, high=1.0, level=level)
    return Point(
        rung=rung,
        x=x,
        n=0,
        arm_rate=math.nan,
        arm_interval=nothing,
        control_rate=math.nan,
        control_interval=nothing,
        n_better=None,
        n_worse=None,
        gain=math.nan,
        interval=replace(nothing, low=-1.0),
        method="none",
        p_value=math.nan,
        label="missing",
        mde=math.nan,
        is_floor=False,
        is_ceiling=False,
    )
