"""Metrics beside the solve rate: their means by arm, and their gains over the control.

One at a time, not simultaneously: they show what a verdict hangs on and give none themselves. A
mean of zeros and ones has Wilson's interval and its gain Tango's, as solve rates have; any other
has the percentile interval of a seeded bootstrap over problems (Efron 1979), paired for gains, or,
from `MANY` problems on, the normal interval that it has become by then. Below `FEW` problems such a
mean has no interval.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Protocol, TypeAlias

from cotkit.analysis.values import BesideExact, Direction, MetricGain, MetricMean, MetricResult
from cotkit.stats.intervals import Interval, critical_value, tango, wilson
from cotkit.store.rows import AttemptRow

N_RESAMPLES = 1000
"""Of each bootstrap."""
FEW = 20
"""Problems below which a bootstrap has too little to draw from: no interval, nothing decided."""
MANY = 200
"""Problems from which on the normal interval is used."""

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


def measure_metrics(
    rows: Sequence[AttemptRow],
    arms: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    *,
    kind_of: Callable[[str], MetricKind],
    calibration: Calibration,
    level: float,
) -> tuple[MetricResult, ...]:
    """Every metric of the rows, exact match first; failed rows left out.

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
    report = _Report(arms=arms, pairs=pairs, level=level)
    found = [
        _measure_metric(name, table[name], kind_of(name), report) for name in _metric_names(table)
    ]
    exact = next((one.gains for one in found if one.metric == _EXACT), ())
    found = [_compare_with_exact(one, exact) for one in found]
    if {_SURE, _RIGHT} <= table.keys():
        errors = {arm: _calibration_of_arm(table, arm, calibration) for arm in table[_SURE]}
        found.append(_measure_whole_arm(_ECE, errors, table[_SURE], kind_of(_ECE), report))
    return tuple(found)


def _metric_names(table: Mapping[str, Mapping[str, _Values]]) -> list[str]:
    """Names in order; ``choice_right`` only where it is not the grade in other words."""
    is_grade = table.get(_RIGHT) == table.get("multiple_choice_grade")
    return sorted((name for name in table if not (is_grade and name == _RIGHT)), key=_metric_rank)


def _metric_rank(name: str) -> tuple[bool, str, int, str]:
    """Exact match first, then by name; of ``pass_at_<k>`` by k."""
    return name not in _PLAIN, name.rstrip("0123456789"), len(name), name


def _values_by_metric(rows: Sequence[AttemptRow]) -> dict[str, dict[str, _Values]]:
    """Metric -> arm -> problem -> value."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        if row.outcome != "failed":
            for name, value in row.metrics.items():
                of_arm = found.setdefault(name, {}).setdefault(row.arm, {})
                of_arm.setdefault(row.problem_id, []).append(value)
    return {
        name: {arm: {p: fmean(v) for p, v in of_arm.items()} for arm, of_arm in by_arm.items()}
        for name, by_arm in found.items()
    }


def mean_interval(values: Sequence[float], level: float, seed: str) -> Interval:
    """Interval of a mean that is no rate; without ends where the values do not differ.

    ``seed`` names the draw: the same values under the same name have the same interval.
    """
    n, values = len(values), sorted(values)  # in whichever order they came
    if n < FEW or values[0] == values[-1]:
        return _unknown_interval(level)
    if n >= MANY:
        half = critical_value(level) * stdev(values) / math.sqrt(n)
        return Interval(low=fmean(values) - half, high=fmean(values) + half, level=level)
    source = random.Random(seed)  # noqa: S311 - a bootstrap, not cryptography
    means = sorted(sum(source.choices(values, k=n)) / n for _ in range(N_RESAMPLES))
    n_out = round((1 - level) / 2 * N_RESAMPLES)
    return Interval(low=means[n_out], high=means[-1 - n_out], level=level)


def _measure_metric(
    name: str, by_arm: Mapping[str, _Values], kind: MetricKind, report: _Report
) -> MetricResult:
    values = (value for of_arm in by_arm.values() for value in of_arm.values())
    is_rate = kind.high == 1 and all(value in {0.0, 1.0} for value in values)
    means = [
        _mean_of_arm(arm, by_arm[arm], report.level, name, is_rate=is_rate)
        for arm in report.arms
        if arm in by_arm
    ]
    if kind.higher_is_better is None:
        return _make_result(name, kind, means, [])
    gains = list(_metric_gains(name, by_arm, kind, report, is_rate=is_rate))
    return _make_result(name, kind, means, gains)


def _mean_of_arm(
    arm: str, of_arm: _Values, level: float, name: str, *, is_rate: bool
) -> MetricMean:
    values = list(of_arm.values())
    n = len(values)
    if is_rate:
        interval = wilson(sum(values), n, level)
    else:
        interval = mean_interval(values, level, f"{name}/{arm}")
    return MetricMean(arm=arm, n=n, mean=fmean(values), interval=interval)


def _metric_gains(
    name: str, by_arm: Mapping[str, _Values], kind: MetricKind, report: _Report, *, is_rate: bool
) -> Iterator[MetricGain]:
    for pair in report.pairs:
        if not by_arm.keys() >= set(pair):
            continue
        arm, control = (by_arm[one] for one in pair)
        differences = [arm[problem] - control[problem] for problem in arm if problem in control]
        n = len(differences)
        if is_rate:
            counts = differences.count(1.0), differences.count(-1.0)
            interval = tango(*counts, n, report.level)
        else:
            interval = mean_interval(differences, report.level, f"{name}/{'/'.join(pair)}")
        yield MetricGain(
            arm=pair[0],
            control=pair[1],
            n=n,
            gain=fmean(differences) if n else math.nan,
            interval=interval,
            direction=_gain_direction(interval, higher_is_better=kind.higher_is_better),
            beside_exact=None,
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
    """A metric of an arm as a whole: differences, and no intervals."""
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


def _compare_with_exact(one: MetricResult, exact: Sequence[MetricGain]) -> MetricResult:
    by_pair = {(gain.arm, gain.control): gain for gain in exact}
    if one.metric == _EXACT:
        return one
    gains = (
        replace(
            gain, beside_exact=_relation_to_exact(gain, by_pair.get((gain.arm, gain.control)), one)
        )
        for gain in one.gains
    )
    return replace(one, gains=tuple(gains))


def _relation_to_exact(
    gain: MetricGain, exact: MetricGain | None, one: MetricResult
) -> BesideExact | None:
    """How a metric's gain stands to that of exact match: its sign, turned so that up is better."""
    if exact is None or math.isnan(gain.gain) or math.isnan(exact.gain):
        return None
    ours = gain.gain if one.higher_is_better else -gain.gain
    is_opposite = ours * exact.gain < 0
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
    found: Sequence[MetricResult],
    metric: str,
    normalise: Callable[[float], float],
    kind: MetricKind,
) -> tuple[MetricResult, ...]:
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
        replace(mean, mean=moved(mean.mean), interval=_map_interval(mean.interval, moved))
        for mean in one.means
    )
    gains = tuple(
        replace(gain, gain=stretched(gain.gain), interval=_map_interval(gain.interval, stretched))
        for gain in one.gains
    )
    added = MetricResult(
        metric=f"normalised_{metric}",
        low=moved(one.low),
        high=moved(one.high),
        unit=kind.unit,
        higher_is_better=kind.higher_is_better,
        means=means,
        gains=gains,
    )
    return (*found, added)


def _map_interval(interval: Interval, move: Callable[[float], float]) -> Interval:
    return replace(interval, low=move(interval.low), high=move(interval.high))
