"""Is a jump real, or made by the metric? The sharpness of exact match against linear companions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from cotkit.analysis.scale.checks import CompanionCurve, lengths_of, run_checks
from cotkit.analysis.scale.grid import AnalysisSetting, ArmOutcomes, Rung
from cotkit.analysis.scale.values import Curve, Jump, JumpWord, Sharpness
from cotkit.stats.bootstrap import MIN_CLUSTERS, Floats, percentiles, resampled_sums, sums_by_unit
from cotkit.stats.curves import curve_direction, excess_share
from cotkit.stats.hypotheses import sidak_level
from cotkit.stats.intervals import Interval, critical_value

MIN_SIZES = 4
"""With fewer sizes a jump cannot be distinguished from a straight line."""
JUMP_ABOVE = 0.5
"""A curve surely sharper than this jumps."""
SMOOTH_BELOW = 0.4
"""A companion surely less sharp than this has none."""


def find_jumps(
    pair: tuple[str, str],
    columns: Mapping[ColumnKey, MeanEstimate],
    setting: AnalysisSetting,
    rng: np.random.Generator,
) -> tuple[Jump, ...]:
    """Judge the jumps of the arm, its control and the gain.

    A curve of fewer than two known sizes has none.
    """
    sources: tuple[tuple[Curve, Source], ...] = (
        ("arm", pair[0]),
        ("control", pair[1]),
        ("gain", pair),
    )
    jumps = [
        _find_jump(columns, setting, rng, curve=curve, source=source, strict=strict)
        for strict in STRICT
        for curve, source in sources
    ]
    return tuple(jump for jump in jumps if jump is not None)


def judge_sharpness(
    exact: Sharpness, companion: Sharpness, apart: Interval
) -> tuple[JumpWord, str]:
    """Apply the rule to curves that are long, high and certain enough to be judged."""
    low, high = companion.interval.low, companion.interval.high
    strict = exact.metric.replace("_", " ")
    own = (
        f"sharpness of {strict} {exact.value:.2f} ({exact.interval.low:.2f} to "
        f"{exact.interval.high:.2f})"
    )
    if exact.interval.high <= JUMP_ABOVE:
        return "no_jump", f"{own} lies below {JUMP_ABOVE}: no jump to explain"
    if exact.interval.low <= JUMP_ABOVE:
        return "undetermined", f"{own} is not shown above {JUMP_ABOVE}, nor below"
    evidence = f"sharpness of {companion.metric} {companion.value:.2f} ({low:.2f} to {high:.2f})"
    if low > JUMP_ABOVE:
        return "real_jump", f"{evidence} lies above {JUMP_ABOVE}: it jumps too"
    contrast = (
        f"that of {strict} {exact.value:.2f}, the difference {apart.low:+.2f} to {apart.high:+.2f}"
    )
    if apart.low > 0 and high < SMOOTH_BELOW:
        return (
            "metric_artefact",
            f"{evidence} lies below {SMOOTH_BELOW}, {contrast}: only {strict} jumps",
        )
    return "undetermined", f"{evidence} and {contrast}, decide neither"


def _find_jump(
    columns: Mapping[ColumnKey, MeanEstimate],
    setting: AnalysisSetting,
    rng: np.random.Generator,
    *,
    curve: Curve,
    source: Source,
    strict: str,
) -> Jump | None:
    ladder, level = setting.ladder, setting.question.level
    models = [rung.model for rung in ladder.rungs[: ladder.n_known]]
    indices = [i for i, model in enumerate(models) if (model, source, strict) in columns]
    if len(indices) < 2:
        return None
    models, rungs = [models[i] for i in indices], [ladder.rungs[i] for i in indices]
    x = np.asarray(ladder.scale_positions(indices))
    metrics = {
        name: measure_sharpness(
            name, x, rungs, [columns[model, source, name] for model in models], level
        )
        for name in (strict, *_companions(strict, models, source, columns))
    }
    exact = metrics.pop(strict)
    if strict != EXACT and not metrics:
        return None
    first = next(iter(metrics.values()), None)
    apart = None if first is None else sharpness_contrast(exact, first, level)
    n = np.asarray([columns[model, source, strict].n for model in models])
    n_units = int(n.min()) if setting.codes is None else int(setting.codes.max()) + 1
    word, why = judge_jump(
        exact, first, apart, _count_floors(strict, models, source, columns), n_units
    )
    if word in {"real_jump", "metric_artefact"} and first is not None and strict == EXACT:
        name = first.sharpness.metric
        if _only_repeats(name, models, source, columns, level):
            word = "undetermined"
            why = (
                f"{name} of the wrong answers does not move with size, so it only repeats exact "
                "match and cannot tell a jump from an artefact"
            )
    if curve_direction(exact.means) < 0:
        why = f"of a curve that falls with size: {why}"
    return Jump(
        curve=curve,
        arm=source if isinstance(source, str) else source[0],
        exact=exact.sharpness,
        companion=None if first is None else first.sharpness,
        companions=tuple(metric.sharpness for metric in metrics.values()),
        contrast=apart,
        verdict=word,
        why=why,
        checks=()
        if strict != EXACT
        else run_checks(
            CompanionCurve(
                is_gain=curve == "gain",
                axis=ladder.axis,
                x=x,
                exact=exact.means,
                n=n,
                companion=None if first is None else first.means,
                companion_name=None if first is None else first.sharpness.metric,
                noise=exact.draws.std(0),
                lengths=lengths_of(setting.grid, first.sharpness.metric) if first else None,
                level=level,
            ),
            rng,
        ),
    )


def _companions(
    strict: str, models: Sequence[str], source: Source, columns: Mapping[ColumnKey, MeanEstimate]
) -> list[str]:
    """List companions of a strict metric known at every one of these sizes, as first given."""
    of_first = [
        metric
        for model, other, metric in columns
        if model == models[0] and other == source and not metric.endswith(OF_WRONG)
    ]
    fitting = STRICT[strict]
    return [
        m
        for m in of_first
        if m not in STRICT
        and (fitting is None or m in fitting)
        and all((model, source, m) in columns for model in models)
    ]


def _count_floors(
    strict: str, models: Sequence[str], source: Source, columns: Mapping[ColumnKey, MeanEstimate]
) -> int:
    """Count sizes at which the strict metric and its companion are both 0, in every arm of it."""
    arms = (source,) if isinstance(source, str) else source
    metrics = [strict, *_companions(strict, models, source, columns)[:1]]
    return sum(
        all(columns[model, arm, metric].mean == 0 for arm in arms for metric in metrics)
        for model in models
    )


def _only_repeats(
    metric: str,
    models: Sequence[str],
    source: Source,
    columns: Mapping[ColumnKey, MeanEstimate],
    level: float,
) -> bool:
    """Return whether a companion says no more than exact match, in every arm concerned.

    The mean of a companion is ``e + (1 - e) w``, where e is exact match and w its mean over wrong
    answers. Where w does not move with size, the curve is exact match on another scale.
    """
    arms = (source,) if isinstance(source, str) else source
    for arm in arms:
        wrong = [columns.get((model, arm, f"{metric}{OF_WRONG}")) for model in models]
        estimates = [estimate for estimate in wrong if estimate is not None]
        if len(estimates) >= 2:
            means = np.asarray([estimate.mean for estimate in estimates])
            draws = np.stack([estimate.draws for estimate in estimates], axis=1)
            if not _is_noise(means, draws, level):
                return False
    return True


def judge_jump(
    exact: MetricSharpness,
    companion: MetricSharpness | None,
    apart: Interval | None,
    n_floors: int,
    n_units: int,
) -> tuple[JumpWord, str]:
    """Return a verdict where curves can be judged; otherwise say why they cannot.

    Args:
        exact: The strict metric.
        companion: Its linear companion; None: there is none.
        apart: Of :func:`sharpness_contrast`; None: there is no companion.
        n_floors: Sizes at which both are 0.
        n_units: Problems (or clusters) that were resampled.
    """
    n_sizes = len(exact.means)
    if n_sizes < MIN_SIZES:
        return "undetermined", f"{n_sizes} sizes cannot tell a jump from a line; {MIN_SIZES} might"
    if companion is None or apart is None:
        return "undetermined", "there is no linear companion of exact match to compare with"
    if n_units < MIN_CLUSTERS:
        return "undetermined", f"{n_units} independent problems are too few to resample"
    if n_floors:
        return "undetermined", (
            f"{n_floors} of {n_sizes} sizes solved nothing by either metric: what rises from there "
            "may have been rising unseen"
        )
    for metric in (exact, companion):
        if metric.is_noise:
            return "undetermined", f"the range of {metric.sharpness.metric} is inside noise"
    return judge_sharpness(exact.sharpness, companion.sharpness, apart)


# The sharpness of one metric's curve, its resamples, and whether the curve has any range.


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSharpness:
    """One metric along a curve."""

    means: Floats
    """[sizes]."""
    draws: Floats
    """[resamples x sizes]."""
    sharpness: Sharpness
    """Of the means."""
    resampled: Floats
    """[resamples] sharpness of each drawn curve; NaN where that is constant."""
    is_noise: bool
    """Whether the range is no more than chance makes."""


def measure_sharpness(
    name: str, x: Floats, rungs: Sequence[Rung], along: Sequence[MeanEstimate], level: float
) -> MetricSharpness:
    """Measure one metric; ``x``: positions, rising, as curves are drawn over."""
    means = np.asarray([column.mean for column in along])
    draws = np.stack([column.draws for column in along], axis=1)
    sign = float(curve_direction(means))
    shares = excess_share(x, means, sign)
    resampled = excess_share(x, draws, sign).max(-1)
    gap = None if np.isnan(shares).any() else int(shares.argmax())
    return MetricSharpness(
        means=means,
        draws=draws,
        sharpness=Sharpness(
            metric=name,
            value=math.nan if gap is None else float(shares[gap]),
            interval=percentile_interval(resampled, level),
            steepest=None if gap is None else (rungs[gap], rungs[gap + 1]),
        ),
        resampled=resampled,
        is_noise=_is_noise(means, draws, level),
    )


def sharpness_contrast(
    exact: MetricSharpness, companion: MetricSharpness, level: float
) -> Interval:
    """Return the interval of the difference of two sharpnesses, over the same resamples."""
    return percentile_interval(exact.resampled - companion.resampled, level)


def percentile_interval(draws: Floats, level: float) -> Interval:
    """Return the percentile interval of the draws that have a value; -1 to 1 if none has."""
    values = draws[~np.isnan(draws)]
    return percentiles(values, level) if values.size else Interval(low=-1.0, high=1.0, level=level)


def _is_noise(means: Floats, draws: Floats, level: float) -> bool:
    """Return whether best and worst size differ by no more than the best pair would by chance."""
    best, worst = int(means.argmax()), int(means.argmin())
    n_sizes = len(means)
    z = critical_value(sidak_level(level, n_sizes * (n_sizes - 1) // 2))
    error = float((draws[:, best] - draws[:, worst]).std())
    return bool(means[best] - means[worst] <= z * error)


# Means of many columns over the same problems, and the same means over resampled problems.


EXACT = "exact_match"
"""What the solve rate is called among metrics."""

STRICT: Mapping[str, frozenset[str] | None] = {
    EXACT: None,
    "multiple_choice_grade": frozenset({"1 - brier_per_option", "gold_log_prob_per_token"}),
}
"""Metrics that reward no part of an answer -> the companions that each may have; None: any."""

OF_WRONG = " of wrong answers"
"""Ends the name of a companion's column that has its values of wrong answers only."""

Source: TypeAlias = str | tuple[str, str]
"""An arm, or the (arm, control) of a gain."""
ColumnKey: TypeAlias = tuple[str, Source, str]
"""(model, source, metric)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanEstimate:
    """One mean: of an arm, or of a gain over the problems that both arms completed."""

    n: int
    """Problems."""
    mean: float
    """Over them."""
    draws: Floats
    """[resamples] the same over resampled problems (or clusters); the draws of all columns are of
    the same problems."""


def resample_columns(
    setting: AnalysisSetting, rng: np.random.Generator
) -> dict[ColumnKey, MeanEstimate]:
    """Resample every metric of every arm, and of every pair's gain, at each size it is known at."""
    values = _metric_columns(setting)
    if not values:
        return {}
    stacked = np.stack(list(values.values()), axis=1)
    is_known = ~np.isnan(stacked)
    # Most columns lack the same problems, so the counts of few patterns are enough.
    first_of: dict[bytes, int] = {}
    like = [first_of.setdefault(is_known[:, i].tobytes(), i) for i in range(is_known.shape[1])]
    firsts = sorted(first_of.values())
    pattern_of = [firsts.index(first) for first in like]
    width = stacked.shape[1]
    counted = is_known[:, firsts].astype(np.float64)
    sums = sums_by_unit(np.hstack([np.where(is_known, stacked, 0.0), counted]), setting.codes)
    total = sums.sum(0)
    drawn = resampled_sums(sums, setting.question.n_resamples, rng)
    estimates: dict[ColumnKey, MeanEstimate] = {}
    for i, (key, pattern) in enumerate(zip(values, pattern_of, strict=True)):
        mean = float(total[i] / total[width + pattern])
        counts = drawn[:, width + pattern]
        # A resample without any problem of this column says nothing new of it.
        draws = np.where(counts > 0, drawn[:, i] / np.maximum(counts, 1), mean)
        estimates[key] = MeanEstimate(n=int(total[width + pattern]), mean=mean, draws=draws)
    return estimates


def _metric_columns(setting: AnalysisSetting) -> dict[ColumnKey, Floats]:
    """Return columns with at least one problem: [problems], NaN where there is no value."""
    cells = setting.grid.cells
    columns: dict[ColumnKey, Floats] = {}
    for rung in setting.ladder.rungs:
        for arm in setting.arms:
            metrics = _cell_metrics(cells.get((rung.model, arm)))
            for metric, of_metric in metrics.items():
                columns[rung.model, arm, metric] = of_metric
                if metric != EXACT:
                    of_wrong = np.where(metrics[EXACT] == 0, of_metric, np.nan)
                    columns[rung.model, arm, f"{metric}{OF_WRONG}"] = of_wrong
        for pair in setting.question.pairs:
            arm_metrics, control_metrics = (
                _cell_metrics(cells.get((rung.model, name))) for name in pair
            )
            for metric in arm_metrics:  # in the order given: the first companion decides
                if metric in control_metrics:
                    columns[rung.model, pair, metric] = (
                        arm_metrics[metric] - control_metrics[metric]
                    )
    return {key: value for key, value in columns.items() if not np.isnan(value).all()}


def _cell_metrics(cell: object) -> dict[str, Floats]:
    if not isinstance(cell, ArmOutcomes):
        return {}
    companions = {name: value for name, value in cell.metrics.items() if name != EXACT}
    return {EXACT: cell.correct, **companions}
