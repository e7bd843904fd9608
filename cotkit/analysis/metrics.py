"""Metrics beside the solve rate: their means by arm, and their gains over the control.

One at a time, not simultaneously: they show what a verdict hangs on and give none themselves. Means
of zeros and ones have Wilson's interval; any other mean, and every gain, has the interval that
`analysis.gains` gives scores between the metric's bounds. Fewer problems (or clusters) than the
sign flips need have no interval, nor have values that are all equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Protocol, TypeAlias

from cotkit.analysis.gains import (
    PairedSample,
    clusters_needed,
    estimate_gains,
    measure_sample,
    number_units,
)
from cotkit.analysis.samples import rate_interval
from cotkit.analysis.values import BesideExact, Direction, MetricGain, MetricMean, MetricResult
from cotkit.stats.intervals import Interval
from cotkit.store.rows import AttemptRow

_EXACT = "exact_match"
_PLAIN = {_EXACT, "numeric_match"}  # the solve rate in other words: alone they show nothing new
_SURE, _RIGHT, _ECE = "confidence", "choice_right", "expected_calibration_error"

Calibration: TypeAlias = Callable[[Sequence[float], Sequence[float]], float]
"""(confidence, right) of each problem -> expected calibration error."""
_Values: TypeAlias = Mapping[str, float]  # problem -> value


class MetricKind(Protocol):
    """What a metric's number means (``cotkit.scoring.metrics.Metric``)."""

    @property
    def low(self) -> float:
        """Smallest value."""
        ...

    @property
    def high(self) -> float:
        """Largest value."""
        ...

    @property
    def unit(self) -> str:
        """Its unit."""
        ...

    @property
    def higher_is_better(self) -> bool | None:
        """Direction; None: neither."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """What every metric is reported of."""

    arms: Sequence[str]
    pairs: Sequence[tuple[str, str]]
    level: float
    units: Mapping[str, int]

    def measure(
        self, values: _Values, control: _Values | None, span: float, *, is_rate: bool = False
    ) -> PairedSample:
        """Return the values less the control's, as shares of ``span``."""
        problems = sorted(values if control is None else values.keys() & control.keys())
        units = [self.units[problem] for problem in problems]
        return measure_sample(
            [values[problem] / span for problem in problems],
            [0.0 if control is None else control[problem] / span for problem in problems],
            units,
            n_units=len(set(self.units.values())),
            is_clustered=len(set(units)) < len(units),
            is_resampled=not is_rate,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """A metric whose intervals are still to be made."""

    name: str
    kind: MetricKind
    means: Mapping[str, PairedSample]
    gains: Mapping[tuple[str, str], PairedSample]
    span: float
    is_rate: bool


def measure_metrics(
    rows: Sequence[AttemptRow],
    arms: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    *,
    kind_of: Callable[[str], MetricKind],
    calibration: Calibration,
    level: float,
) -> tuple[MetricResult, ...]:
    """Measure every metric of the rows, exact match first; failed rows are left out.

    Args:
        rows: Of any arms, in any order; of several samples of a problem their mean counts.
        arms: In the order of the report; an arm has a mean of each metric that its rows have.
        pairs: (arm, control); a gain is over the problems at which both have the metric.
        kind_of: What a metric's number means, by its name.
        calibration: Makes the calibration error of an arm; it has no interval, because resampling
            would add to the bias that it has already.
        level: Of each interval on its own.

    Returns:
        Nothing if the rows measure nothing beside whether the answer is right.
    """
    table = _values_by_metric(rows)
    if table.keys() <= _PLAIN:
        return ()
    units = number_units({row.problem_id: row.cluster for row in rows})
    report = _Report(arms=arms, pairs=pairs, level=level, units=units)
    measured = [
        _measure_metric(name, table[name], kind_of(name), report) for name in _metric_names(table)
    ]
    intervals = _estimate_all(measured, level)
    results = [_finish_metric(metric, table[metric.name], intervals, report) for metric in measured]
    exact = next((result.gains for result in results if result.metric == _EXACT), ())
    results = [_compare_with_exact(result, exact) for result in results]
    if {_SURE, _RIGHT} <= table.keys():
        errors = {arm: _calibration_of_arm(table, arm, calibration) for arm in table[_SURE]}
        results.append(_measure_whole_arm(_ECE, errors, table[_SURE], kind_of(_ECE), report))
    return tuple(results)


def _metric_names(table: Mapping[str, Mapping[str, _Values]]) -> list[str]:
    """List the metrics in order; ``choice_right`` only where it differs from exact match."""
    is_grade = table.get(_RIGHT) == table.get("multiple_choice_grade")
    return sorted((name for name in table if not (is_grade and name == _RIGHT)), key=_metric_rank)


def _metric_rank(name: str) -> tuple[bool, str, int, str]:
    """Return a sort key: exact match first, then by name, ``pass_at_<k>`` by k."""
    return name not in _PLAIN, name.rstrip("0123456789"), len(name), name


def _values_by_metric(rows: Sequence[AttemptRow]) -> dict[str, dict[str, _Values]]:
    """Return metric -> arm -> problem -> value."""
    completed = [row for row in rows if row.outcome != "failed"]
    names = dict.fromkeys(name for row in completed for name in row.metrics)
    return {name: _values_of(name, completed) for name in names}


def _values_of(metric: str, rows: Sequence[AttemptRow]) -> dict[str, _Values]:
    """Return arm -> problem -> mean value over its samples."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if metric in row.metrics:
            of_arm = values.setdefault(row.arm, {})
            of_arm.setdefault(row.problem_id, []).append(row.metrics[metric])
    return {arm: {p: fmean(v) for p, v in of_arm.items()} for arm, of_arm in values.items()}


def _measure_metric(
    name: str, by_arm: Mapping[str, _Values], kind: MetricKind, report: _Report
) -> _Measured:
    """Return the samples of every mean and gain of one metric."""
    values = [value for of_arm in by_arm.values() for value in of_arm.values()]
    is_rate = kind.high == 1 and all(value in {0.0, 1.0} for value in values)
    span = kind.high - kind.low
    if not math.isfinite(span):  # the farthest that any two values of the report lie apart
        span = max(max(values) - min(values), *map(abs, values)) or 1.0
    pairs = [pair for pair in report.pairs if by_arm.keys() >= set(pair)]
    return _Measured(
        name=name,
        kind=kind,
        means={arm: report.measure(by_arm[arm], None, span) for arm in report.arms if arm in by_arm}
        if not is_rate
        else {},
        gains={
            (arm, control): report.measure(by_arm[arm], by_arm[control], span, is_rate=is_rate)
            for arm, control in pairs
        }
        if kind.higher_is_better is not None
        else {},
        span=span,
        is_rate=is_rate,
    )


def _estimate_all(measured: Sequence[_Measured], level: float) -> Mapping[int, Interval]:
    """Return the interval of each sample, by its identity; all are resampled together."""
    samples = [
        sample for metric in measured for sample in (*metric.means.values(), *metric.gains.values())
    ]
    estimates = estimate_gains(samples, level)
    return {
        id(sample): estimate.interval for sample, estimate in zip(samples, estimates, strict=True)
    }


def _finish_metric(
    metric: _Measured,
    by_arm: Mapping[str, _Values],
    intervals: Mapping[int, Interval],
    report: _Report,
) -> MetricResult:
    """Return one metric with its intervals, in its own unit."""

    def interval_of(sample: PairedSample) -> Interval:
        if not metric.is_rate and (
            clusters_needed(sample, report.level) is not None or _is_constant(sample)
        ):
            return _unknown_interval(report.level)
        return _map_interval(intervals[id(sample)], lambda end: metric.span * end)

    means: list[MetricMean] = []
    for arm in report.arms:
        if arm not in by_arm:
            continue
        values = by_arm[arm]
        interval = (
            _interval_of_rate(values, report) if metric.is_rate else interval_of(metric.means[arm])
        )
        bounds = float(metric.kind.low), float(metric.kind.high)
        if not math.isnan(interval.low):  # the least width may go beyond what can be
            interval = replace(
                interval, low=max(bounds[0], interval.low), high=min(bounds[1], interval.high)
            )
        means.append(
            MetricMean(arm=arm, n=len(values), mean=fmean(values.values()), interval=interval)
        )
    gains: list[MetricGain] = []
    for (arm, control), sample in metric.gains.items():
        interval = interval_of(sample)
        gains.append(
            MetricGain(
                arm=arm,
                control=control,
                n=sample.n,
                gain=metric.span * sample.gain,
                interval=interval,
                direction=_gain_direction(interval, higher_is_better=metric.kind.higher_is_better),
                beside_exact=None,
            )
        )
    return _make_result(metric.name, metric.kind, means, gains)


def _is_constant(sample: PairedSample) -> bool:
    """Return whether every unit has the same mean, so that nothing shows how far it may be off."""
    if sample.totals is None or sample.sizes is None:
        return not sample.error  # no problem at all, or none that differs
    has_problems = sample.sizes > 0
    means = sample.totals[has_problems] / sample.sizes[has_problems]
    return float(means.max() - means.min()) < 1e-12


def _interval_of_rate(values: _Values, report: _Report) -> Interval:
    names = [report.units[problem] for problem in values]
    is_clustered = len(set(names)) < len(names)
    return rate_interval(
        list(values.values()), len(values), report.level, names if is_clustered else None
    )


def _gain_direction(interval: Interval, *, higher_is_better: bool | None) -> Direction:
    if interval.low > 0:
        return "better" if higher_is_better else "worse"
    if interval.high < 0:
        return "worse" if higher_is_better else "better"
    return "undecided"


def _calibration_of_arm(
    table: Mapping[str, Mapping[str, _Values]], arm: str, calibration: Calibration
) -> float:
    sure, right = table[_SURE][arm], table[_RIGHT][arm]
    return calibration(list(sure.values()), [right[problem] for problem in sure])


def _measure_whole_arm(
    name: str,
    values: Mapping[str, float],
    by_arm: Mapping[str, _Values],
    kind: MetricKind,
    report: _Report,
) -> MetricResult:
    """Measure a metric that an arm has as a whole: means and differences without intervals."""
    unknown = _unknown_interval(report.level)
    means = [
        MetricMean(arm=arm, n=len(by_arm[arm]), mean=values[arm], interval=unknown)
        for arm in report.arms
        if arm in values
    ]
    gains = [
        MetricGain(
            arm=arm,
            control=control,
            n=len(by_arm[arm].keys() & by_arm[control].keys()),
            gain=values[arm] - values[control],
            interval=unknown,
            direction="undecided",
            beside_exact=None,
        )
        for arm, control in report.pairs
        if arm in values and control in values
    ]
    return _make_result(name, kind, means, gains)


def _make_result(
    name: str, kind: MetricKind, means: Sequence[MetricMean], gains: Sequence[MetricGain]
) -> MetricResult:
    return MetricResult(
        metric=name,
        low=kind.low,
        high=kind.high,
        unit=kind.unit,
        higher_is_better=kind.higher_is_better,
        means=tuple(means),
        gains=tuple(gains),
    )


def _compare_with_exact(result: MetricResult, exact: Sequence[MetricGain]) -> MetricResult:
    by_pair = {(gain.arm, gain.control): gain for gain in exact}
    if result.metric == _EXACT:
        return result
    gains = (
        replace(
            gain,
            beside_exact=_relation_to_exact(gain, by_pair.get((gain.arm, gain.control)), result),
        )
        for gain in result.gains
    )
    return replace(result, gains=tuple(gains))


def _relation_to_exact(
    gain: MetricGain, exact: MetricGain | None, result: MetricResult
) -> BesideExact | None:
    """Compare the sign of a metric's gain with that of exact match, where up is better."""
    if exact is None or math.isnan(gain.gain) or math.isnan(exact.gain):
        return None
    improvement = gain.gain if result.higher_is_better else -gain.gain
    is_opposite = improvement * exact.gain < 0
    match gain.direction != "undecided", exact.direction != "undecided":
        case True, True:
            return "opposite" if is_opposite else "agrees"
        case True, False:
            return "only_this"
        case False, True:
            return "only_exact"
        case _:
            return "opposite_undecided" if is_opposite else "neither"


def _unknown_interval(level: float) -> Interval:
    return Interval(low=math.nan, high=math.nan, level=level)


# A preferred metric once more, on the scale on which 0 is chance and 100 perfect (BIG-bench).
#
# The scale is a straight line, so intervals and directions are those of the metric itself.


def add_normalised(
    results: Sequence[MetricResult],
    metric: str,
    normalise: Callable[[float], float],
    kind: MetricKind,
) -> tuple[MetricResult, ...]:
    """Append ``normalised_<metric>`` to the metrics, if that metric was measured.

    Args:
        results: Every metric of a comparison.
        metric: The preferred one.
        normalise: A value of it on the new scale, by a straight line.
        kind: What a number on the new scale means.
    """
    preferred = next((preferred for preferred in results if preferred.metric == metric), None)
    if preferred is None:
        return tuple(results)

    def moved(value: float) -> float:
        return normalise(value) if math.isfinite(value) else value

    def stretched(difference: float) -> float:
        return moved(difference) - normalise(0)

    means = tuple(
        replace(mean, mean=moved(mean.mean), interval=_map_interval(mean.interval, moved))
        for mean in preferred.means
    )
    gains = tuple(
        replace(gain, gain=stretched(gain.gain), interval=_map_interval(gain.interval, stretched))
        for gain in preferred.gains
    )
    added = MetricResult(
        metric=f"normalised_{metric}",
        low=moved(preferred.low),
        high=moved(preferred.high),
        unit=kind.unit,
        higher_is_better=kind.higher_is_better,
        means=means,
        gains=gains,
    )
    return (*results, added)


def _map_interval(interval: Interval, move: Callable[[float], float]) -> Interval:
    return replace(interval, low=move(interval.low), high=move(interval.high))
