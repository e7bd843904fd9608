"""The sharpness of one metric's curve, its resamples, and whether the curve has any range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cotkit.analysis.curves import direction, excess_share
from cotkit.analysis.hypotheses import sidak_level
from cotkit.analysis.intervals import critical_value
from cotkit.analysis.resampling import Floats, percentiles
from cotkit.analysis.scale.columns import Column
from cotkit.analysis.scale.inputs import Rung
from cotkit.analysis.scale.values import Sharpness
from cotkit.analysis.values import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharp:
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


def sharp(
    name: str, x: Floats, rungs: Sequence[Rung], along: Sequence[Column], level: float
) -> Sharp:
    """Measure one metric; ``x``: positions, rising, as curves are drawn over."""
    means = np.asarray([column.mean for column in along])
    draws = np.stack([column.draws for column in along], axis=1)
    sign = float(direction(means))
    shares = excess_share(x, means, sign)
    resampled = excess_share(x, draws, sign).max(-1)
    at = None if np.isnan(shares).any() else int(shares.argmax())
    return Sharp(
        means=means,
        draws=draws,
        sharpness=Sharpness(
            metric=name,
            value=math.nan if at is None else float(shares[at]),
            interval=middle(resampled, level),
            steepest=None if at is None else (rungs[at], rungs[at + 1]),
        ),
        resampled=resampled,
        is_noise=_is_noise(means, draws, level),
    )


def contrast(exact: Sharp, companion: Sharp, level: float) -> Interval:
    """Of the difference of two sharpnesses, over the same resampled problems."""
    return middle(exact.resampled - companion.resampled, level)


def middle(draws: Floats, level: float) -> Interval:
    """Percentile interval of the draws that have a value; -1 to 1 if none has."""
    known = draws[~np.isnan(draws)]
    return percentiles(known, level) if known.size else Interval(low=-1.0, high=1.0, level=level)


def _is_noise(means: Floats, draws: Floats, level: float) -> bool:
    """Whether best and worst size differ by less than the best of all pairs would by chance."""
    best, worst = int(means.argmax()), int(means.argmin())
    n_sizes = len(means)
    z = critical_value(sidak_level(level, n_sizes * (n_sizes - 1) // 2))
    error = float((draws[:, best] - draws[:, worst]).std())
    return bool(means[best] - means[worst] <= z * error)
