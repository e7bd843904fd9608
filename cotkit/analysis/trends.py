"""Whether a solve rate rises or falls with a setting: the slope of each problem, and their mean.

The slope of a problem is the least-squares line through its scores at all settings, so every
problem is its own control. Their mean is a gain of one weighted mean of scores over another, and is
estimated as every gain is (:mod:`cotkit.analysis.gains`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

from cotkit.analysis.gains import estimate_gains, measure_sample, number_units
from cotkit.analysis.sweeps import group_settings, read_setting
from cotkit.analysis.values import Trend
from cotkit.stats.hypotheses import sidak_level, slope_weights
from cotkit.stats.intervals import Interval

MIN_LEVELS = 3
_EVEN = 1.5  # at most so many times the smallest step is the largest where settings are even


def choose_scale(settings: Sequence[float]) -> tuple[tuple[float, ...], bool]:
    """Return the settings that a trend is over, and whether it is over their logarithms.

    Evenly spaced settings are as they are. Others (1, 2, 4, 8) are taken by doublings, if three or
    more are above 0; 0 is then left out, for it is no power of anything.

    Args:
        settings: Rising.
    """
    steps = [b - a for a, b in itertools.pairwise(settings)]
    positive = tuple(x for x in settings if x > 0)
    if max(steps) > _EVEN * min(steps) and len(positive) >= MIN_LEVELS:
        return positive, True
    return tuple(settings), False


def find_settings(arms: Iterable[str]) -> dict[tuple[str, str], dict[float, str]]:
    """Return (spec without it, parameter) -> setting -> arm, of three numbers or more.

    Args:
        arms: Names of arms, which are specs.
    """
    groups: dict[tuple[str, str], dict[float, str]] = {}
    for key, by_setting in group_settings(arms).items():
        by_number = {read_setting(setting): arm for setting, arm in by_setting.items()}
        settings = {x: by_number[x] for x in sorted(filter(math.isfinite, by_number))}
        if len(settings) >= MIN_LEVELS:
            groups[key] = settings
    return groups


def measure_trends(
    scores: Mapping[str, Mapping[str, float]],
    clusters: Mapping[str, str | None],
    *,
    level: float,
) -> tuple[Trend, ...]:
    """Return the trend over every parameter in which three arms or more differ alone.

    Args:
        scores: Arm -> problem -> what was scored there, 0..1.
        clusters: Problem -> its cluster; None: it stands alone.
        level: At which all their intervals hold together.
    """
    groups = find_settings(arm for arm, of_arm in scores.items() if of_arm)
    each = sidak_level(level, max(1, len(groups)))
    return tuple(
        _measure(
            strategy, parameter, {x: scores[arm] for x, arm in arms.items()}, clusters, level=each
        )
        for (strategy, parameter), arms in groups.items()
    )


def _measure(
    strategy: str,
    parameter: str,
    scores: Mapping[float, Mapping[str, float]],
    clusters: Mapping[str, str | None],
    *,
    level: float,
) -> Trend:
    settings, is_log = choose_scale(list(scores))
    weights = slope_weights([math.log2(x) if is_log else x for x in settings])
    total = math.fsum(weight for weight in weights if weight > 0)
    problems = sorted(set.intersection(*(set(scores[x]) for x in settings)))
    units = number_units({problem: clusters.get(problem) for problem in problems})

    def average(sign: int) -> list[float]:
        """Return the mean of each problem's scores where the weights have this sign."""
        shares = [
            (weight * sign / total, scores[x])
            for x, weight in zip(settings, weights, strict=True)
            if weight * sign > 0
        ]
        return [math.fsum(w * of_x[problem] for w, of_x in shares) for problem in problems]

    sample = measure_sample(
        average(1),
        average(-1),
        [units[problem] for problem in problems],
        n_units=len(set(units.values())),
        is_clustered=len(set(units.values())) < len(problems),
    )
    (estimate,) = estimate_gains([sample], level)
    ends = estimate.interval
    return Trend(
        strategy=strategy,
        parameter=parameter,
        slope=total * sample.gain,
        interval=Interval(low=total * ends.low, high=total * ends.high, level=level),
        p_value=estimate.p_value,
        n=sample.n,
        first=settings[0],
        is_log=is_log,
    )


def trend_sentence(trend: Trend) -> str:
    """Say in one sentence whether the solve rate rises with a setting, falls, or neither is sure.

    Such as ``cot rises with n_shot from 1 on: +4.1 points a doubling (...)``.
    """
    low, high = trend.interval.low, trend.interval.high
    unit = "a doubling" if trend.is_log else "for each 1 more"
    size = (
        f"{100 * trend.slope:+.3g} points {unit} ({100 * trend.interval.level:.4g} % interval"
        f" {100 * low:+.3g} to {100 * high:+.3g}; p = {trend.p_value:.2g}; {trend.n} problems)"
    )
    setting = trend.parameter + (f" from {trend.first:g} on" if trend.is_log else "")
    if low > 0:
        return f"{trend.strategy} rises with {setting}: {size}"
    if high < 0:
        return f"{trend.strategy} falls with {setting}: {size}"
    return f"whether {trend.strategy} rises or falls with {setting} is undetermined: {size}"
