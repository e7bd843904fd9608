"""Bootstrap by whole units (problems, clusters), many columns of numbers at once.

The sums of a resample are one row of counts times a matrix, so that curves, arms and metrics of
one report can all be resampled together: what moves together in truth does so in the resamples.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cotkit.stats.intervals import Interval, critical_value

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.intp]

_AT_ONCE = 2_000_000
"""Counts held in memory at one time (16 MB)."""


def unit_codes(names: tuple[str, ...]) -> Codes:
    """Names of clusters -> 0..G-1, equal names alike."""
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.intp)


def sums_by_unit(values: Floats, codes: Codes | None) -> Floats:
    """Sum rows [problems x columns] within each unit: [units x columns]; None: each on its own."""
    if codes is None:
        return values
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return np.add.reduceat(values[order], starts, axis=0)


def resampled_sums(values: Floats, n_resamples: int, rng: np.random.Generator) -> Floats:
    """Column sums over units drawn with replacement (Efron 1979), as many as there are.

    Args:
        values: [units x columns]; what a unit lacks is 0.
        n_resamples: How often to draw.
        rng: Where the draws come from.

    Returns:
        [n_resamples x columns]; all columns of one row are of the same units.
    """
    n_units = len(values)
    rows = max(1, _AT_ONCE // n_units)
    parts = [
        _counts(n_units, min(rows, n_resamples - start), rng) @ values
        for start in range(0, n_resamples, rows)
    ]
    return np.concatenate(parts)


def percentiles(draws: Floats, level: float) -> Interval:
    """The middle ``level`` of the draws; infinite draws count as such, NaN ones are an error."""
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(draws, [tail, 100 - tail], method="nearest").tolist()
    return Interval(low=low, high=high, level=level)


def crossed_bootstrap(
    values: Floats, level: float, n_resamples: int, rng: np.random.Generator
) -> Interval:
    """Interval of a mean over items, exemplar draws and seeds: each could have been others.

    Every axis is resampled on its own and the cells are weighted by the product of the counts
    (the pigeonhole bootstrap, Owen 2007). An axis of length 1 is kept as it is: its share of the
    uncertainty is not seen. It resamples the variance of an axis of length D as (D - 1) / D of
    what it is, so deviations are widened by the root of D / (D - 1) of the shortest axis above 1.

    Args:
        values: [items x draws] or [items x draws x seeds], no NaN.
        level: Coverage, between 0 and 1.
        n_resamples: How often to draw.
        rng: Where the draws come from.
    """
    means = np.empty(n_resamples)
    rows = max(1, _AT_ONCE // max(1, values.size))
    for start in range(0, n_resamples, rows):
        n = min(rows, n_resamples - start)
        found = np.broadcast_to(values, (n, *values.shape))
        for size in values.shape:  # the first of the axes that are left
            counts = _counts(size, n, rng) / size if size > 1 else np.ones((n, 1))
            found = np.einsum("na...,na->n...", found, counts)
        means[start : start + n] = found
    shortest = min((size for size in values.shape if size > 1), default=1)
    widen = np.sqrt(shortest / (shortest - 1)) if shortest > 1 else 1.0
    centre = values.mean()
    return percentiles(centre + widen * (means - centre), level)


def _counts(n_units: int, n_resamples: int, rng: np.random.Generator) -> Floats:
    """How often each unit is drawn: [n_resamples x n_units], rows sum to ``n_units``."""
    drawn = rng.integers(0, n_units, size=(n_resamples, n_units))
    drawn += n_units * np.arange(n_resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n_resamples * n_units)
    return counts.reshape(n_resamples, n_units).astype(np.float64)


# Mean differences whose problems are not independent or whose scores are not 0 or 1.
#
# Rows are clusters (a problem on its own is a cluster of one): ``totals`` their summed
# differences, ``sizes`` their problems. The mean is the ratio of the sums.


MIN_CLUSTERS = 30
"""From here on the bootstrap-t; below only the permutation, which needs no large numbers."""

_ENUMERATED = 12
"""Up to so many clusters all sign flips are enumerated."""

_MOST_RESAMPLES = 10_000
_IN_TAIL = 5  # resamples beyond a quantile that is read off; a rarer one is extrapolated


def robust_error(totals: Floats, sizes: Floats) -> Floats:
    """Standard error of the mean by clusters, for each column (Liang and Zeger 1986).

    Args:
        totals: [clusters x columns].
        sizes: The same; 0 where a cluster has no problem in that column.
    """
    n, n_clusters = sizes.sum(0), np.maximum((sizes > 0).sum(0), 2)
    residuals = totals - sizes * (totals.sum(0) / n)
    return np.sqrt(n_clusters / (n_clusters - 1) * (residuals**2).sum(0)) / n


def bootstrap_t(
    totals: Floats, sizes: Floats, level: float, n_resamples: int, rng: np.random.Generator
) -> list[tuple[Interval, float]]:
    """Studentised bootstrap over clusters (Efron 1982; Hall 1988), all columns drawn together.

    Ends are ``mean - t* se`` at the quantiles of ``t* = (mean* - mean) / se*``; never closer to the
    mean than `least_width`. A quantile too far out for the resamples is read off where 5 of them
    lie beyond and stretched as the normal's quantiles are.

    Args:
        totals: [clusters x columns], differences in -1..1 summed; 0 where there is no problem.
        sizes: The same, problems.
        level: Coverage of each interval, between 0 and 1.
        n_resamples: At least so many are drawn; more, up to 10,000, where ``level`` needs them.
        rng: Where the draws come from.

    Returns:
        For each column, interval and two-sided p-value of a mean of 0.
    """
    n_columns, alpha = totals.shape[1], 1 - level
    n_resamples = max(n_resamples, min(_MOST_RESAMPLES, math.ceil(4 * _IN_TAIL / alpha)))
    columns = (totals, sizes, totals**2, totals * sizes, sizes**2)
    sums = resampled_sums(np.concatenate(columns, axis=1), n_resamples, rng)
    total, size, square, cross, size_square = (
        sums[:, i * n_columns : (i + 1) * n_columns] for i in range(5)
    )
    mean, error = totals.sum(0) / sizes.sum(0), robust_error(totals, sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = total / size
        squares = square - 2 * drawn * cross + drawn**2 * size_square
        n_clusters = np.maximum((sizes > 0).sum(0), 2)
        drawn_error = np.sqrt(n_clusters / (n_clusters - 1) * np.maximum(squares, 0)) / size
        shift = drawn - mean
        shift[np.abs(shift) < 1e-12] = 0.0
        drawn_error[drawn_error < 1e-9] = 0.0
        studentised = np.where(shift == 0, 0.0, shift / drawn_error)
    studentised[np.isnan(drawn)] = 0.0  # no problem of this column was drawn
    tail = max(alpha / 2, _IN_TAIL / n_resamples)
    stretch = critical_value(level) / critical_value(1 - 2 * tail)
    ends = np.quantile(studentised, [tail, 1 - tail], axis=0, method="nearest") * stretch
    found: list[tuple[Interval, float]] = []
    for i in range(n_columns):
        centre, unit = float(mean[i]), float(error[i])
        if unit < 1e-9:
            low = high = centre
            p = 1.0 if abs(centre) < 1e-12 else 0.0
        else:
            low, high = centre - ends[1, i] * unit, centre - ends[0, i] * unit
            beyond = [(side * studentised[:, i] >= side * centre / unit).sum() for side in (1, -1)]
            p = min(1.0, 2 * (1 + int(min(beyond))) / (1 + n_resamples))
        n_clusters_i = int((sizes[:, i] > 0).sum())
        found.append((least_width(low, high, centre, n_clusters_i, level), p))
    return found


def sign_flip(
    totals: Floats, sizes: Floats, level: float, n_resamples: int, rng: np.random.Generator
) -> tuple[Interval, float]:
    """Permutation test of one mean by flipping the sign of whole clusters, inverted.

    A mean m is kept if the share of flips s with ``|sum s (T - m n)| >= |sum (T - m n)|`` is at
    least ``1 - level`` (Fisher 1935). A flip says so exactly for m between the mean over the
    clusters that it flips and the mean over the others, so the ends are order statistics of these
    (Hartigan 1969). Exact if each cluster's deviation is as likely up as down; few clusters may
    allow no end at all, which is then -1 or 1. Never narrower than `least_width`.

    Args:
        totals: [clusters], differences in -1..1 summed; no cluster is empty.
        sizes: [clusters], problems.
        level: Coverage, between 0 and 1.
        n_resamples: Flips drawn, at least; all are enumerated for up to 12 clusters.
        rng: Where the flips come from.
    """
    n_clusters, alpha = len(totals), 1 - level
    if n_clusters <= _ENUMERATED:
        flips = (np.arange(2**n_clusters)[:, None] >> np.arange(n_clusters)) & 1
    else:
        n_resamples = max(n_resamples, min(_MOST_RESAMPLES, math.ceil(4 * _IN_TAIL / alpha)))
        flips = rng.integers(0, 2, size=(n_resamples, n_clusters))
        flips[0] = 0  # what was seen is one of the flips
    all_total, all_size = totals.sum(), sizes.sum()
    total, size = flips @ totals, flips @ sizes
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.stack([total / size, (all_total - total) / (all_size - size)])
    undecided = np.isnan(means)  # no cluster on one side: such a flip rejects no mean
    lows = np.sort(np.where(undecided, -np.inf, means).min(0))
    highs = np.sort(np.where(undecided, np.inf, means).max(0))[::-1]
    at = math.ceil(alpha * len(flips) - 1e-9) - 1
    extreme = np.abs(all_total - 2 * total) >= abs(all_total) - 1e-9
    centre = float(all_total / all_size)
    interval = least_width(float(lows[at]), float(highs[at]), centre, n_clusters, level)
    return interval, float(extreme.mean())


def least_width(low: float, high: float, mean: float, n_clusters: int, level: float) -> Interval:
    """The interval, but each end at least ``z²/(G + z²)`` from the mean, and inside -1..1.

    That is Tango's interval for G pairs that all agree: a sample without any difference cannot
    exclude rare ones, and resampling it would.
    """
    z = critical_value(level)
    least = z * z / (n_clusters + z * z)
    return Interval(
        low=max(-1.0, min(low, mean - least)),
        high=min(1.0, max(high, mean + least)),
        level=level,
    )
