"""A preferred metric once more, on the scale on which 0 is chance and 100 perfect (BIG-bench).

The scale is a straight line, so intervals and directions are those of the metric itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from cotkit.analysis.metrics import Kind
from cotkit.analysis.results import Interval, Measured


def with_normalised(
    found: Sequence[Measured], metric: str, normalise: Callable[[float], float], kind: Kind
) -> tuple[Measured, ...]:
    """All metrics, then ``normalised_<metric>``; nothing is added where that was not measured.

    Args:
        found: Every metric of a comparison.
        metric: The preferred one.
        normalise: A value of it on the new scale, by a straight line.
        kind: What a number on the new scale means.
    """
    one = next((one for one in found if one.metric == metric), None)
    if one is None:
        return tuple(found)

    def moved(value: float) -> float:
        return normalise(value) if math.isfinite(value) else value

    def stretched(difference: float) -> float:
        return moved(difference) - normalise(0)

    means = tuple(
        replace(mean, mean=moved(mean.mean), interval=_mapped(mean.interval, moved))
        for mean in one.means
    )
    gains = tuple(
        replace(gain, gain=stretched(gain.gain), interval=_mapped(gain.interval, stretched))
        for gain in one.gains
    )
    added = Measured(
        metric=f"normalised_{metric}",
        low=moved(one.low),
        high=moved(one.high),
        unit=kind.unit,
        higher_is_better=kind.higher_is_better,
        means=means,
        gains=gains,
    )
    return (*found, added)


def _mapped(interval: Interval, move: Callable[[float], float]) -> Interval:
    return replace(interval, low=move(interval.low), high=move(interval.high))
