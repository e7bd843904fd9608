"""Gains by size with simultaneous intervals, and their labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

import numpy as np

from cotkit.analysis.following import is_named_label_arm
from cotkit.analysis.gains import (
    GainEstimate,
    PairedSample,
    changes_direction,
    detectable_gain,
    estimate_from_totals,
    estimate_gains,
    label_gain,
    measure_sample,
    measure_totals,
)
from cotkit.analysis.samples import rate_interval as interval_of_rate
from cotkit.analysis.scale.grid import (
    AnalysisSetting,
    ArmOutcomes,
    ArmTotals,
    Cell,
    GuessRates,
    Rung,
)
from cotkit.analysis.scale.replicates import RecipeError, Trainings
from cotkit.analysis.scale.values import Point, SizeLabel
from cotkit.analysis.values import Label
from cotkit.scoring.chance import CHANCE
from cotkit.stats.bootstrap import Codes, Floats
from cotkit.stats.hypotheses import minimum_detectable_effect, sidak_level
from cotkit.stats.intervals import Interval, wilson

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


def measure_curves(
    setting: AnalysisSetting,
    rng: np.random.Generator,
    errors: Mapping[Key, RecipeError] | None = None,
    *,
    counts_otherwise: bool = True,
) -> GainCurves:
    """Measure every pair at every size, and label what its interval shows.

    ``errors``: of gains that are claimed of a recipe, whose intervals they widen;
    ``counts_otherwise``: whether to say of each what it hangs on, too.
    """
    question = setting.question
    measured: dict[Key, PairMeasurement] = {}
    for pair in question.pairs:
        for rung in setting.ladder.rungs:
            arm, control = (setting.cell(rung.model, name) for name in pair)
            measurement = measure_pair(arm, control, setting.codes, question.level)
            if measurement is not None:
                measured[pair, rung.model] = measurement
    m = max(1, len(measured))
    together = sidak_level(question.level, m)
    points = _points_by_pair(measured, setting, together, rng, errors or {})
    level = together
    if question.assume_sustained:
        level = alone = sidak_level(question.level, len(question.pairs))
        stepped = _points_by_pair(measured, setting, alone, rng, errors or {})
        points = {pair: step_down(points[pair], stepped[pair], question.margin) for pair in points}
    if counts_otherwise:
        points = {pair: _count_otherwise(pair, points[pair], setting, level) for pair in points}
    return GainCurves(points=points, n_intervals=m, level=together)


def _count_otherwise(
    pair: Pair, points: Sequence[Point], setting: AnalysisSetting, level: float
) -> tuple[Point, ...]:
    """Return the points with what each hangs on: readers, unreadable and failed answers."""
    measured: dict[Key, PairMeasurement] = {}
    lenient: dict[Key, bool] = {}
    for point in points:
        arm, control = (setting.cell(point.rung.model, name) for name in pair)
        if not isinstance(arm, ArmOutcomes) or point.n == 0:
            continue
        for name, counted in arm.variants.items():
            other = control
            if isinstance(control, ArmOutcomes):
                if name not in control.variants:
                    continue
                other = ArmOutcomes(correct=control.variants[name].as_control)
            as_arm = ArmOutcomes(correct=counted.as_arm)
            measurement = measure_pair(as_arm, other, setting.codes, level)
            if measurement is not None:
                key = (pair, f"{point.rung.model}\n{name}")
                measured[key], lenient[key] = measurement, counted.is_lenient
    rng = np.random.default_rng(0)
    estimates = estimate_points(measured, level, setting.question.n_resamples, rng)
    margin = setting.question.margin

    def is_moved(point: Point, key: Key) -> bool:
        label = label_gain(estimates[key].interval, margin)
        return changes_direction(
            cast("Label", point.label), label, measured[key].gain, is_lenient=lenient[key]
        )

    return tuple(
        replace(
            point,
            depends_on=tuple(
                key[1].partition("\n")[2]
                for key in measured
                if key[1].startswith(f"{point.rung.model}\n") and is_moved(point, key)
            ),
            **_unread_shares(setting, point, pair),
        )
        for point in points
    )


def _unread_shares(setting: AnalysisSetting, point: Point, pair: Pair) -> dict[str, float]:
    shares: dict[str, float] = {}
    for prefix, name in zip(("", "control_"), pair, strict=True):
        cell = setting.cell(point.rung.model, name)
        if point.n and isinstance(cell, ArmOutcomes):
            for what, column in (("unreadable", cell.unreadable), ("truncated", cell.truncated)):
                if column is not None:
                    shares[prefix + what] = float(np.nanmean(column))
    return shares


def step_down(
    together: Sequence[Point], alone: Sequence[Point], margin: float
) -> tuple[Point, ...]:
    """Step down from the largest known size, each at the pair's whole level (Hsu and Berger 1999).

    A size is reached if every larger one is labelled ``helps``; its lower end is then the one at
    the pair's level. A size not reached claims no help. Upper ends stay simultaneous, so that
    absence and harm are claimed as before. Holes are stepped over.
    """
    stepped = list(together)
    reached = True
    for i in reversed(range(len(stepped))):
        point = stepped[i]
        if point.x is None or point.label == "missing":
            continue
        if reached:
            interval = replace(alone[i].interval, high=point.interval.high)
            stepped[i] = replace(alone[i], interval=interval, label=label_gain(interval, margin))
            reached = stepped[i].label == "helps"
        elif point.label in {"helps", "some_help"}:
            stepped[i] = replace(point, label="undetermined")
    return tuple(stepped)


def _points_by_pair(
    measured: Mapping[Key, PairMeasurement],
    setting: AnalysisSetting,
    level: float,
    rng: np.random.Generator,
    errors: Mapping[Key, RecipeError],
) -> dict[Pair, tuple[Point, ...]]:
    question, ladder = setting.question, setting.ladder
    estimates = {
        key: errors[key].widen(estimate) if key in errors else estimate
        for key, estimate in estimate_points(measured, level, question.n_resamples, rng).items()
    }
    placed = list(zip(ladder.rungs, ladder.positions, strict=True))
    return {
        pair: tuple(
            _make_point(
                pair,
                rung,
                x,
                measured[pair, rung.model],
                estimates[pair, rung.model],
                margin=question.margin,
                recipe_error=errors.get((pair, rung.model)),
            )
            if (pair, rung.model) in estimates
            else _make_hole(rung, x, level)
            for rung, x in placed
        )
        for pair in question.pairs
    }


def _make_point(
    pair: Pair,
    rung: Rung,
    x: float | None,
    measured: PairMeasurement,
    estimate: GainEstimate,
    *,
    margin: float,
    recipe_error: RecipeError | None = None,
) -> Point:
    interval, base, sample = estimate.interval, measured.control.rate, measured.sample
    n = min(measured.arm.n, measured.control.n)
    mde = (
        minimum_detectable_effect(n, base, interval.level)
        if sample is None
        else detectable_gain(sample, interval.level)
    )
    if recipe_error is not None:
        parts = mde, recipe_error.detectable(interval.level)
        mde = max(parts) if all(map(math.isfinite, parts)) else math.nan
    return Point(
        rung=rung,
        x=x,
        n=n,
        arm_rate=measured.arm.rate,
        arm_interval=measured.arm_interval,
        control_rate=base,
        control_interval=measured.control_interval,
        n_better=sample.n_better if sample is not None and sample.method == "tango" else None,
        n_worse=sample.n_worse if sample is not None and sample.method == "tango" else None,
        gain=measured.gain,
        interval=interval,
        method="newcombe" if sample is None else sample.method,
        p_value=estimate.p_value,
        label=cast("SizeLabel", label_gain(interval, margin)),  # an interval alone gives no other
        n_clusters=None if sample is None else sample.n_clusters,
        mde=mde,
        is_floor=measured.arm.rate == 0 and base == 0,
        is_ceiling=base >= CEILING and not is_named_label_arm(pair[0]),  # it bounds no fall
    )


def measure_trainings(
    pair: Pair, trainings: Trainings, setting: AnalysisSetting, level: float
) -> tuple[Point, ...]:
    """Measure a pair in every training of sizes that have several, each for itself at ``level``."""
    ladder = setting.ladder
    position_of = {rung.model: x for rung, x in zip(ladder.rungs, ladder.positions, strict=True)}
    points: list[Point] = []
    for model in filter(trainings.groups.get, position_of):
        for rung in trainings.groups[model]:
            arm = trainings.cells.get((rung.model, pair[0]))
            guess = setting.grid.guess
            control = guess if pair[1] == CHANCE else trainings.cells.get((rung.model, pair[1]))
            measured = measure_pair(arm, control, setting.codes, setting.question.level)
            if measured is None:
                points.append(_make_hole(rung, position_of[model], level))
                continue
            [estimate] = estimate_points(
                {(pair, rung.model): measured},
                level,
                setting.question.n_resamples,
                np.random.default_rng(0),
            ).values()
            points.append(
                _make_point(
                    pair,
                    rung,
                    position_of[model],
                    measured,
                    estimate,
                    margin=setting.question.margin,
                )
            )
    return tuple(points)


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
    sample: PairedSample | None
    """Their paired scores; None: only totals are known."""

    @property
    def gain(self) -> float:
        """Difference of the rates."""
        return self.arm.rate - self.control.rate


def measure_pair(
    arm: Cell | GuessRates | None,
    control: Cell | GuessRates | None,
    codes: Codes | None,
    level: float,
) -> PairMeasurement | None:
    """Pair two cells; None: a hole, or no problem was completed by both.

    ``level``: of the intervals of the two rates.
    """
    if arm is None or control is None or isinstance(arm, GuessRates):
        return None
    if isinstance(control, GuessRates):
        if isinstance(arm, ArmTotals):
            return _measure_totals_over_chance(arm, control, level)
    elif isinstance(arm, ArmTotals) or isinstance(control, ArmTotals):
        return _measure_unpaired(arm, control, codes, level)
    is_over_chance = isinstance(control, GuessRates)
    control_column = (
        np.broadcast_to(control.rates, arm.correct.shape) if is_over_chance else control.correct
    )
    both = np.flatnonzero(~(np.isnan(arm.correct) | np.isnan(control_column)))
    n = len(both)
    if n == 0:
        return None
    scores, control_scores = arm.correct[both], control_column[both]
    control_rate = float(control_scores.mean())
    clusters = None if codes is None else codes[both]
    units = both if clusters is None else clusters
    return PairMeasurement(
        arm=ArmTotals(rate=float(scores.mean()), n=n),
        control=ArmTotals(rate=control_rate, n=n),
        arm_interval=rate_interval(scores, clusters, level),
        control_interval=Interval(low=control_rate, high=control_rate, level=level)
        if is_over_chance
        else rate_interval(control_scores, clusters, level),
        sample=measure_sample(
            scores.tolist(),
            control_scores.tolist(),
            units.tolist(),
            n_units=len(arm.correct) if codes is None else int(codes.max()) + 1,
            is_clustered=codes is not None,
            is_over_chance=is_over_chance,
        ),
    )


def _measure_totals_over_chance(
    arm: ArmTotals, guess: GuessRates, level: float
) -> PairMeasurement | None:
    if not arm.n:
        return None
    chance = float(guess.rates.mean())
    return PairMeasurement(
        arm=arm,
        control=ArmTotals(rate=chance, n=arm.n),
        arm_interval=wilson(arm.rate * arm.n, arm.n, level),
        control_interval=Interval(low=chance, high=chance, level=level),
        sample=measure_totals(arm.rate, arm.n, chance),
    )


def estimate_points(
    measured: Mapping[Key, PairMeasurement],
    level: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> dict[Key, GainEstimate]:
    """Return interval and p-value of each, every one at ``level``; all bootstraps share draws."""
    paired = {
        key: measurement.sample
        for key, measurement in measured.items()
        if measurement.sample is not None
    }
    estimates = estimate_gains(list(paired.values()), level, n_resamples=n_resamples, rng=rng)
    by_key = dict(zip(paired, estimates, strict=True))
    for key, measurement in measured.items():
        if measurement.sample is None:
            arm, control = measurement.arm, measurement.control
            by_key[key] = estimate_from_totals(arm.rate, arm.n, control.rate, control.n, level)
    return by_key


def rate_interval(scores: Floats, codes: Codes | None, level: float) -> Interval:
    """Return the interval of a solve rate: Wilson's, at the trials that the scores are worth.

    ``scores``: [problems], NaN where there is none; ``codes``: the cluster of each.
    """
    completed = ~np.isnan(scores)
    clusters = None if codes is None else codes[completed].tolist()
    return interval_of_rate(scores[completed].tolist(), math.inf, level, clusters)


def totals_of(cell: Cell) -> ArmTotals | None:
    """Return rate and n of a cell; None: no problem was completed."""
    if isinstance(cell, ArmTotals):
        return cell if cell.n else None
    scores = cell.correct[~np.isnan(cell.correct)]
    return ArmTotals(rate=float(scores.mean()), n=int(scores.size)) if scores.size else None


def cell_interval(cell: Cell, codes: Codes | None, level: float) -> Interval:
    """Return the interval of the solve rate of a cell."""
    if isinstance(cell, ArmTotals):
        return wilson(cell.rate * cell.n, cell.n, level)
    return rate_interval(cell.correct, codes, level)


def _measure_unpaired(
    arm: Cell, control: Cell, codes: Codes | None, level: float
) -> PairMeasurement | None:
    totals, control_totals = totals_of(arm), totals_of(control)
    if totals is None or control_totals is None:
        return None
    return PairMeasurement(
        arm=totals,
        control=control_totals,
        arm_interval=cell_interval(arm, codes, level),
        control_interval=cell_interval(control, codes, level),
        sample=None,
    )
