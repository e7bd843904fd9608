"""Whether a solve rate rises or falls with a setting: the slope of each problem, and their mean.

The slope of a problem is the least-squares line through its scores at all settings, so every
problem is its own control. Their mean is a gain of one weighted mean of scores over another, and is
estimated as every gain is (:mod:`cotkit.analysis.gains`): sign flips below 30 clusters, else the
bootstrap-t or, of independent problems, the normal interval.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from cotkit.analysis.gains import estimate_gains, measure_sample, number_units
from cotkit.analysis.values import Trend
from cotkit.stats.hypotheses import slope_weights
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


def measure_trend(
    scores: Mapping[float, Mapping[str, float]],
    clusters: Mapping[str, str | None],
    *,
    level: float,
) -> Trend | None:
    """Return the trend over three settings or more; None: there are fewer.

    Args:
        scores: Setting -> problem -> what was scored there, 0..1.
        clusters: Problem -> its cluster; None: it stands alone.
        level: Of the interval.
    """
    if len(scores) < MIN_LEVELS:
        return None
    settings, is_log = choose_scale(sorted(scores))
    weights = slope_weights([math.log2(x) if is_log else x for x in settings])
    total = math.fsum(weight for weight in weights if weight > 0)
    problems = sorted(set.intersection(*(set(scores[x]) for x in settings)))
    units = number_units({problem: clusters.get(problem) for problem in problems})

    def average(sign: int) -> list[float]:
        """Return the mean of each problem's scores where the weights have this sign."""
        return [
            math.fsum(
                abs(w) * scores[x][problem]
                for x, w in zip(settings, weights, strict=True)
                if w * sign > 0
            )
            / total
            for problem in problems
        ]

    sample = measure_sample(
        average(1),
        average(-1),
        [units[problem] for problem in problems],
        n_units=len(set(units.values())),
        is_clustered=len(set(units.values())) < len(problems),
        is_resampled=True,
    )
    (estimate,) = estimate_gains([sample], level)
    return Trend(
        slope=total * sample.gain,
        interval=Interval(
            low=total * estimate.interval.low, high=total * estimate.interval.high, level=level
        ),
        p_value=estimate.p_value,
        n=sample.n,
        first=settings[0],
        is_log=is_log,
    )


def trend_sentence(parameter: str, trend: Trend) -> str:
    """Say in one sentence whether the solve rate rises with a parameter, falls, or neither."""
    low, high = trend.interval.low, trend.interval.high
    unit = "a doubling" if trend.is_log else "for each 1 more"
    size = (
        f"{100 * trend.slope:+.3g} points {unit} ({100 * trend.interval.level:.4g} % interval"
        f" {100 * low:+.3g} to {100 * high:+.3g}; p = {trend.p_value:.2g}; {trend.n} problems)"
    )
    since = f" from {trend.first:g} on" if trend.is_log else ""
    if low > 0:
        return f"it rises with {parameter}{since}: {size}"
    if high < 0:
        return f"it falls with {parameter}{since}: {size}"
    return f"whether it rises or falls with {parameter}{since} is undetermined: {size}"
