"""Several benchmarks of one model taken together: the mean gain of each arm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cotkit.analysis.gains import label_gain
from cotkit.analysis.values import Comparison, Gain, Label
from cotkit.scoring.chance import CHANCE
from cotkit.stats.intervals import Interval

Weighting = Literal["problems", "benchmarks"]
"""What counts alike in a mean: every problem, or every benchmark."""


_WEAKER: tuple[Label, ...] = ("upper_bound", "withheld")
"""Labels of a gain that a mean with it has, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanGain:
    """The gain of an arm over its control, the mean over benchmarks."""

    arm: str
    """The arm."""
    control: str
    """What it is measured against, on every benchmark."""
    weighting: Weighting
    """What counts alike."""
    n_benches: int
    """Benchmarks."""
    n: int
    """Problems of all of them."""
    gain: float
    """The mean, a fraction."""
    interval: Interval
    """Of these benchmarks, over their problems; at the level of each benchmark's gain."""
    label: Label
    """From ``interval`` and the margin."""

    @property
    def is_over_chance(self) -> bool:
        """Whether the control is what guessing solves."""
        return self.control == CHANCE


def average_gains(comparisons: Sequence[Comparison]) -> tuple[MeanGain, ...]:
    """Return both means of each (arm, control) that every comparison has, in their order.

    Benchmarks are taken to share no problems.
    """
    return tuple(_list_means(comparisons))


def _list_means(comparisons: Sequence[Comparison]) -> Iterator[MeanGain]:
    tables = [{(v.gain.arm, v.gain.control): v.gain for v in c.verdicts} for c in comparisons]
    for pair in tables[0]:
        gains = [table[pair] for table in tables if pair in table]
        if len(gains) < len(tables):
            continue
        for weighting in ("problems", "benchmarks"):
            yield _average(gains, weighting, comparisons[0].margin)


def mean_interval(
    weights: Sequence[float], gains: Sequence[float], intervals: Sequence[Interval]
) -> Interval:
    """Return the interval of a weighted mean of independent gains, from their own intervals.

    Zou and Donner 2008 (MOVER): distances from an estimate to its ends add up as squares, each end
    with its own.
    """
    parts = list(zip(weights, gains, intervals, strict=True))
    mean = math.fsum(w * gain for w, gain, _ in parts)
    return Interval(
        low=max(
            -1.0, mean - math.hypot(*(w * (gain - interval.low) for w, gain, interval in parts))
        ),
        high=min(
            1.0, mean + math.hypot(*(w * (interval.high - gain) for w, gain, interval in parts))
        ),
        level=min(interval.level for interval in intervals),
    )


def _average(gains: Sequence[Gain], weighting: Weighting, margin: float) -> MeanGain:
    n = sum(gain.n for gain in gains)
    weights = [1 / len(gains)] * len(gains)
    if weighting == "problems" and n:
        weights = [gain.n / n for gain in gains]
    estimates = [gain.gain for gain in gains]
    mean = math.fsum(w * gain for w, gain in zip(weights, estimates, strict=True))
    interval = mean_interval(weights, estimates, [gain.interval for gain in gains])
    label = label_gain(interval, margin)
    for weaker in _WEAKER:
        label = weaker if any(gain.label == weaker for gain in gains) else label
    return MeanGain(
        arm=gains[0].arm,
        control=gains[0].control,
        weighting=weighting,
        n_benches=len(gains),
        n=n,
        gain=mean,
        interval=interval,
        label=label,
    )
