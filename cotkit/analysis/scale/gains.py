"""Gains by size with simultaneous intervals, and their labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

import numpy as np

from cotkit.analysis.gains import label_gain
from cotkit.analysis.scale.grid import AnalysisSetting, ArmTotals, Cell, Rung
from cotkit.analysis.scale.values import Point, SizeLabel
from cotkit.stats.bootstrap import (
    MIN_CLUSTERS,
    Codes,
    Floats,
    bootstrap_t,
    robust_error,
    sign_flip,
    sums_by_unit,
)
from cotkit.stats.hypotheses import mcnemar_midp, minimum_detectable_effect, sidak_level, two_rates
from cotkit.stats.intervals import Interval, newcombe, tango, wilson

CEILING = 0.9
"""Solve rate of the control from which on little is left to gain."""

Pair: TypeAlias = tuple[str, str]
"""(arm, control)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GainCurves:
    """The points of all pairs."""

    points: Mapping[Pair, tuple[Point, ...]]
    """By size, smallest first; unknown sizes last."""
    n_intervals: int
    """That hold at once: measured (pair, size)."""
    level: float
    """Of each of them."""


def measure_curves(setting: AnalysisSetting, rng: np.random.Generator) -> GainCurves:
    """Measure every pair at every size, and label what its interval shows."""
    question, cells = setting.question, setting.grid.cells
    measured: dict[Key, PairMeasurement] = {}
    for pair in question.pairs:
        for rung in setting.ladder.rungs:
            arm, control = (cells.get((rung.model, name)) for name in pair)
            found = measure_pair(arm, control, setting.codes, question.level)
            if found is not None:
                measured[pair, rung.model] = found
    m = max(1, len(measured))
    together = sidak_level(question.level, m)
    points = _points_by_pair(measured, setting, together, rng)
    if question.assume_sustained:
        alone = sidak_level(question.level, len(question.pairs))
        stepped = _points_by_pair(measured, setting, alone, rng)
        points = {pair: step_down(points[pair], stepped[pair], question.margin) for pair in points}
    return GainCurves(points=points, n_intervals=m, level=together)


def step_down(
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
            found[i] = replace(alone[i], interval=interval, label=label_gain(interval, margin))
            reached = found[i].label == "helps"
        elif point.label in {"helps", "some_help"}:
            found[i] = replace(point, label="undetermined")
    return tuple(found)


def _points_by_pair(
    measured: Mapping[Key, PairMeasurement],
    setting: AnalysisSetting,
    level: float,
    rng: np.random.Generator,
) -> dict[Pair, tuple[Point, ...]]:
    question, ladder = setting.question, setting.ladder
    found = estimate_gains(measured, level, question.n_resamples, rng)
    placed = list(zip(ladder.rungs, ladder.positions, strict=True))
    return {
        pair: tuple(
            _make_point(
                rung, x, measured[pair, rung.model], found[pair, rung.model], question.margin
            )
            if (pair, rung.model) in found
            else _make_hole(rung, x, level)
            for rung, x in placed
        )
        for pair in question.pairs
    }


def _make_point(
    rung: Rung, x: float | None, measured: PairMeasurement, estimate: GainEstimate, margin: float
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
        label=cast("SizeLabel", label_gain(interval, margin)),  # an interval alone gives no other
        mde=minimum_detectable_effect(measured.n_effective, base, interval.level),
        is_floor=measured.arm.rate == 0 and base == 0,
        is_ceiling=base >= CEILING,
    )


def _make_hole(rung: Rung, x: float | None, level: float) -> Point:
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


# The gain of one pair at one size: what was measured, and its interval at a level.


Key: TypeAlias = tuple[tuple[str, str], str]
"""(pair, model)."""
Method: TypeAlias = Literal["tango", "newcombe", "bootstrap-t", "sign-flip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairMeasurement:
    """Both arms of a pair at one size."""

    arm: ArmTotals
    """Over the problems that both completed."""
    control: ArmTotals
    """Over the same."""
    arm_interval: Interval
    """Of the arm's rate."""
    control_interval: Interval
    """Of the control's rate."""
    method: Method
    """How its interval is made."""
    n_effective: int
    """Independent pairs it is worth, for the MDE: fewer than problems where clusters agree."""
    n_better: int | None = None
    """Problems only the arm solved; None: not known."""
    n_worse: int | None = None
    """Problems only the control solved."""
    totals: Floats | None = None
    """[clusters] summed differences, zero where a cluster has no completed pair; None: not asked
    for by the method."""
    sizes: Floats | None = None
    """[clusters] completed pairs."""

    @property
    def gain(self) -> float:
        """Difference of the rates."""
        return self.arm.rate - self.control.rate


@dataclass(frozen=True, slots=True, kw_only=True)
class GainEstimate:
    """What is inferred of a gain."""

    interval: Interval
    """At the level asked for."""
    p_value: float
    """Two-sided, of no gain."""


def measure_pair(
    arm: Cell | None, control: Cell | None, codes: Codes | None, level: float
) -> PairMeasurement | None:
    """Pair two cells; None: a hole, or no problem was completed by both.

    ``level``: of the intervals of the two rates.
    """
    if arm is None or control is None:
        return None
    if isinstance(arm, ArmTotals) or isinstance(control, ArmTotals):
        return _measure_unpaired(arm, control, codes, level)
    both = ~(np.isnan(arm.correct) | np.isnan(control.correct))
    n = int(both.sum())
    if n == 0:
        return None
    ours, theirs = (np.where(both, cell.correct, np.nan) for cell in (arm, control))
    difference = (ours - theirs)[both]
    if codes is None and _is_binary(ours[both]) and _is_binary(theirs[both]):
        method, n_effective, sums = "tango", n, None
    else:
        columns = np.stack([np.where(both, ours - theirs, 0.0), both.astype(np.float64)], axis=1)
        sums = sums_by_unit(columns, codes)
        n_clusters = int((sums[:, 1] > 0).sum())
        method = "bootstrap-t" if n_clusters >= MIN_CLUSTERS else "sign-flip"
        n_effective = _effective_size(difference, sums, n, n_clusters)
    return PairMeasurement(
        arm=ArmTotals(rate=float(ours[both].mean()), n=n),
        control=ArmTotals(rate=float(theirs[both].mean()), n=n),
        arm_interval=rate_interval(ours, codes, level),
        control_interval=rate_interval(theirs, codes, level),
        method=method,
        n_effective=n_effective,
        n_better=int((difference > 0).sum()) if sums is None else None,
        n_worse=int((difference < 0).sum()) if sums is None else None,
        totals=None if sums is None else sums[:, 0],
        sizes=None if sums is None else sums[:, 1],
    )


def estimate_gains(
    measured: Mapping[Key, PairMeasurement],
    level: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> dict[Key, GainEstimate]:
    """Interval and p-value of each, every one at ``level``; all bootstraps share their draws."""
    found = {
        key: _estimate_gain(one, level, n_resamples, rng)
        for key, one in measured.items()
        if one.method != "bootstrap-t"
    }
    drawn = {key: one for key, one in measured.items() if one.method == "bootstrap-t"}
    if drawn:
        totals = np.stack([one.totals for one in drawn.values() if one.totals is not None], axis=1)
        sizes = np.stack([one.sizes for one in drawn.values() if one.sizes is not None], axis=1)
        results = bootstrap_t(totals, sizes, level, n_resamples, rng)
        for key, (interval, p) in zip(drawn, results, strict=True):
            found[key] = GainEstimate(interval=interval, p_value=p)
    return found


def rate_interval(scores: Floats, codes: Codes | None, level: float) -> Interval:
    """Of a solve rate: Wilson's, at the number of independent trials that the scores are worth.

    That number is ``p (1 - p)`` over the variance of the mean between clusters (Korn and Graubard
    1998), the number of clusters where all scores are 0 or all are 1, and n for plain zeros and
    ones. ``scores``: [problems], NaN where there is none.
    """
    done = ~np.isnan(scores)
    n = int(done.sum())
    if n == 0:
        return wilson(0, 0, level)
    p = float(scores[done].mean())
    if codes is None and _is_binary(scores[done]):
        return wilson(round(p * n), n, level)
    values = np.stack([np.where(done, scores, 0.0), done.astype(np.float64)], axis=1)
    sums = sums_by_unit(values, codes)
    error = float(robust_error(sums[:, :1], sums[:, 1:])[0])
    n_clusters = int((sums[:, 1] > 0).sum())
    trials = p * (1 - p) / error**2 if 0 < p < 1 and error > 0 else n_clusters
    return wilson(p * trials, trials, level)


def totals_of(cell: Cell) -> ArmTotals | None:
    """Rate and n of a cell; None: no problem was completed."""
    if isinstance(cell, ArmTotals):
        return cell if cell.n else None
    done = cell.correct[~np.isnan(cell.correct)]
    return ArmTotals(rate=float(done.mean()), n=int(done.size)) if done.size else None


def cell_interval(cell: Cell, codes: Codes | None, level: float) -> Interval:
    """Of the solve rate of a cell."""
    if isinstance(cell, ArmTotals):
        return wilson(cell.rate * cell.n, cell.n, level)
    return rate_interval(cell.correct, codes, level)


def _measure_unpaired(
    arm: Cell, control: Cell, codes: Codes | None, level: float
) -> PairMeasurement | None:
    ours, theirs = totals_of(arm), totals_of(control)
    if ours is None or theirs is None:
        return None
    return PairMeasurement(
        arm=ours,
        control=theirs,
        arm_interval=cell_interval(arm, codes, level),
        control_interval=cell_interval(control, codes, level),
        method="newcombe",
        n_effective=min(ours.n, theirs.n),
    )


def _estimate_gain(
    one: PairMeasurement, level: float, n_resamples: int, rng: np.random.Generator
) -> GainEstimate:
    if one.method == "tango":
        assert one.n_better is not None and one.n_worse is not None  # noqa: PT018  # one fact
        return GainEstimate(
            interval=tango(one.n_better, one.n_worse, one.arm.n, level),
            p_value=mcnemar_midp(one.n_better, one.n_worse),
        )
    if one.method == "newcombe":
        (p1, n1), (p2, n2) = ((side.rate, side.n) for side in (one.arm, one.control))
        return GainEstimate(
            interval=newcombe(p1 * n1, n1, p2 * n2, n2, level), p_value=two_rates(p1, n1, p2, n2)
        )
    assert one.totals is not None and one.sizes is not None  # noqa: PT018  # one fact
    held = one.sizes > 0
    interval, p = sign_flip(one.totals[held], one.sizes[held], level, n_resamples, rng)
    return GainEstimate(interval=interval, p_value=p)


def _effective_size(difference: Floats, sums: Floats, n: int, n_clusters: int) -> int:
    """Problems over the design effect: variance of the mean by clusters over that without."""
    plain = float(difference.var()) / n
    clustered = float(robust_error(sums[:, :1], sums[:, 1:])[0]) ** 2
    if plain == 0 or clustered == 0:
        return n_clusters
    return max(1, min(n, round(n * plain / clustered)))


def _is_binary(scores: Floats) -> bool:
    return bool(((scores == 0) | (scores == 1)).all())
