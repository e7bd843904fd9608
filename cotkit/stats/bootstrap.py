"""Bootstrap by whole units (problems, clusters), many columns of numbers at once.

The sums of a resample are one row of counts times a matrix, so that curves, arms and metrics of
one report can all be resampled together: what moves together in truth does so in the resamples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cotkit.stats.intervals import Interval, critical_value

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.intp]

_AT_ONCE = 100_000
"""Counts held in memory at one time (16 MB)."""


def unit_codes(names: tuple[str, ...]) -> Codes:
    """Return a code 0..G-1 for each name of a cluster; equal names have equal codes."""
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.intp)


def sums_by_unit(values: Floats, codes: Codes | None) -> Floats:
    """Sum rows [problems x columns] within each unit: [units x columns]; None: each on its own."""
    if codes is None:
        return values
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return np.add.reduceat(values[order], starts, axis=0)


def resampled_sums(values: Floats, n_resamples: int, rng: np.random.Generator) -> Floats:
    """Return column sums over units drawn with replacement (Efron 1979), as many as there are.

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
    """Return the middle ``level`` of the draws.

    Infinite draws count as such, NaN ones are an error.
    """
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(draws, [tail, 100 - tail], method="nearest").tolist()
    return Interval(low=low, high=high, level=level)


def two_way_means(values: Floats, n_resamples: int, rng: np.random.Generator) -> Floats:
    """Return means over rows and columns, each drawn again on its own: the pigeonhole bootstrap.

    Cells are weighted by the product of the counts (Owen 2007): the mean could have been of other
    rows and of other columns.

    Args:
        values: [rows x columns].
        n_resamples: How often to draw.
        rng: Where the draws come from.
    """
    n_rows, n_columns = values.shape
    step = max(1, _AT_ONCE // (n_rows + n_columns))
    parts: list[Floats] = []
    for start in range(0, n_resamples, step):
        n = min(step, n_resamples - start)
        by_column = _counts(n_rows, n, rng) @ values
        parts.append((by_column * _counts(n_columns, n, rng)).sum(1) / values.size)
    return np.concatenate(parts)


def _counts(n_units: int, n_resamples: int, rng: np.random.Generator) -> Floats:
    """Draw the counts of each unit: [n_resamples x n_units]; each row sums to ``n_units``."""
    drawn = rng.integers(0, n_units, size=(n_resamples, n_units))
    drawn += n_units * np.arange(n_resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n_resamples * n_units)
    return counts.reshape(n_resamples, n_units).astype(np.float64)


# Means of differences whose problems are not independent or whose scores are not 0 or 1.
#
# Rows are clusters (a problem on its own is a cluster of one): ``totals`` their summed
# differences, ``sizes`` their problems. The mean is the ratio of the sums. Interval and p-value
# come from one procedure, so that p is below ``1 - level`` exactly where the interval excludes 0.


MIN_CLUSTERS = 30
"""From here on the bootstrap-t; below only the permutation, which needs no large numbers."""

_ENUMERATED = 12
"""Up to so many clusters all sign flips are enumerated."""

_MOST_RESAMPLES = 10_000
_IN_TAIL = 5  # resamples beyond a quantile that is read off; a rarer one is extrapolated
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanEstimates:
    """Intervals and p-values of several means."""

    low: Floats
    """[columns] lower ends, -1..1."""
    high: Floats
    """[columns] upper ends, -1..1."""
    p_value: Floats
    """[columns] two-sided, of a mean of 0; below ``1 - level`` exactly where 0 is excluded."""
    level: float
    """Coverage that each interval claims."""

    def interval(self, column: int) -> Interval:
        """Return the interval of one column."""
        return Interval(
            low=float(self.low[column]), high=float(self.high[column]), level=self.level
        )


def robust_error(totals: Floats, sizes: Floats) -> Floats:
    """Return the standard error of the mean by clusters, for each column (Liang and Zeger 1986).

    ``sqrt(G/(G-1) sum (T - m n)²) / sum n`` of clusters with total T and n problems.

    Args:
        totals: [clusters x columns].
        sizes: The same; 0 where a cluster has no problem in that column.
    """
    n, n_clusters = sizes.sum(0), np.maximum((sizes > 0).sum(0), 2)
    residuals = totals - sizes * (totals.sum(0) / n)
    return np.sqrt(n_clusters / (n_clusters - 1) * (residuals**2).sum(0)) / n


def clustered_means(
    totals: Floats, sizes: Floats, level: float, n_resamples: int, rng: np.random.Generator
) -> MeanEstimates:
    """Estimate means: by `bootstrap_t` from `MIN_CLUSTERS` clusters on, by `sign_flip` below.

    So few clusters may differ from all others that many resamples have none of them, no variance
    and no quantile: where that leaves -1 to 1, `sign_flip` takes its place, which needs none.

    Args:
        totals: [clusters x columns], differences in -1..1 summed; 0 where there is no problem.
        sizes: The same, problems; each column has some.
        level: Coverage of each interval, between 0 and 1.
        n_resamples: At least so many resamples or flips are drawn.
        rng: Where they come from; columns of one procedure share them.
    """
    is_large = (sizes > 0).sum(0) >= MIN_CLUSTERS
    has_no_end = np.zeros_like(is_large)
    low, high, p_value = (np.empty(totals.shape[1]) for _ in range(3))
    groups = (bootstrap_t, is_large), (sign_flip, ~is_large), (sign_flip, has_no_end)
    for procedure, columns in groups:
        if columns.any():
            # Flips of clusters that no column has would be drawn for nothing.
            rows = (sizes[:, columns] > 0).any(1)
            of_columns = totals[rows][:, columns], sizes[rows][:, columns]
            estimates = procedure(*of_columns, level, n_resamples, rng)
            low[columns], high[columns] = estimates.low, estimates.high
            p_value[columns] = estimates.p_value
            if procedure is bootstrap_t:
                has_no_end[columns] = (estimates.low <= -1) & (estimates.high >= 1)
    return MeanEstimates(low=low, high=high, p_value=p_value, level=level)


def bootstrap_t(
    totals: Floats, sizes: Floats, level: float, n_resamples: int, rng: np.random.Generator
) -> MeanEstimates:
    """Estimate means by the symmetric studentised bootstrap over clusters (Hall 1988).

    Ends are ``mean ± t* se`` at an order statistic of ``t* = |mean* - mean| / se*``; never closer
    to the mean than the least width. One too far out for the resamples is read off where 5 of them
    lie beyond and stretched as the normal's quantiles are. One quantile for both ends, because
    two of their own covered 0.92 where few large clusters decide (docs/statistics.md).

    Args:
        totals: [clusters x columns], differences in -1..1 summed; 0 where there is no problem.
        sizes: The same, problems.
        level: Coverage of each interval, between 0 and 1.
        n_resamples: At least so many are drawn; more, up to 10,000, where ``level`` needs them.
        rng: Where the draws come from.
    """
    alpha = 1 - level
    n_resamples = max(n_resamples, min(_MOST_RESAMPLES, math.ceil(2 * _IN_TAIL / alpha)))
    studentised = np.abs(_studentised_draws(totals, sizes, n_resamples, rng))
    mean, error = totals.sum(0) / sizes.sum(0), robust_error(totals, sizes)
    mean[np.abs(mean) < _ROUNDING] = 0.0
    # The interval excludes 0 where fewer than n_beyond draws reach |mean| / error, for then
    # p = (1 + draws that reach it) / (1 + resamples) is below alpha.
    n_beyond = max(_IN_TAIL, math.ceil(alpha * (n_resamples + 1) - 1 - 1e-9))
    z_last = critical_value(1 - _IN_TAIL / (n_resamples + 1))
    stretch = max(1.0, critical_value(level) / z_last)
    places = n_resamples - n_beyond, n_resamples - _IN_TAIL
    ordered = np.partition(studentised, places, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.where(error > 0, stretch * ordered[places[0]] * error, 0.0)
        t = np.where(mean == 0, 0.0, np.abs(mean) / error)
        n_reach = (studentised >= t).sum(0)
        p_tail = _two_sided(z_last * t / ordered[places[1]])
    p_value = np.where(n_reach < _IN_TAIL, p_tail, (1 + n_reach) / (1 + n_resamples))
    p_value[mean == 0] = 1.0
    raw = MeanEstimates(low=mean - half, high=mean + half, p_value=p_value, level=level)
    return _keep_least_width(raw, mean, sizes)


def _studentised_draws(
    totals: Floats, sizes: Floats, n_resamples: int, rng: np.random.Generator
) -> Floats:
    """Return ``(mean* - mean) / se*`` of resampled clusters: [resamples x columns]."""
    n_columns = totals.shape[1]
    columns = (totals, sizes, totals**2, totals * sizes, sizes**2)
    sums = resampled_sums(np.concatenate(columns, axis=1), n_resamples, rng)
    total, size, square, cross, size_square = (
        sums[:, i * n_columns : (i + 1) * n_columns] for i in range(5)
    )
    mean = totals.sum(0) / sizes.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = total / size
        squares = square - 2 * drawn * cross + drawn**2 * size_square
        n_clusters = np.maximum((sizes > 0).sum(0), 2)
        error = np.sqrt(n_clusters / (n_clusters - 1) * np.maximum(squares, 0)) / size
        shift = drawn - mean
        shift[np.abs(shift) < _ROUNDING] = 0.0
        error[error < 1e-9] = 0.0
        studentised = np.where(shift == 0, 0.0, shift / error)
    studentised[np.isnan(drawn)] = 0.0  # no problem of this column was drawn
    return studentised


def sign_flip(
    totals: Floats, sizes: Floats, level: float, n_resamples: int, rng: np.random.Generator
) -> MeanEstimates:
    """Estimate means by flipping the sign of whole clusters: a permutation test, inverted.

    A mean m is kept if the share of flips s with ``|sum s (T - m n)| >= |sum (T - m n)|`` is at
    least ``1 - level`` (Fisher 1935). A flip says so exactly for m between the mean over the
    clusters that it flips and the mean over the others, so the ends are order statistics of these
    (Hartigan 1969). Exact if each cluster's deviation is as likely up as down; few clusters may
    allow no end at all, which is then -1 or 1. Never narrower than the least width.

    Args:
        totals: [clusters x columns], differences in -1..1 summed.
        sizes: The same, problems.
        level: Coverage of each interval, between 0 and 1.
        n_resamples: Flips drawn, at least; all are enumerated for up to 12 clusters.
        rng: Where the flips come from.
    """
    n_clusters, alpha = len(totals), 1 - level
    if n_clusters <= _ENUMERATED:
        flips = (np.arange(2**n_clusters)[:, None] >> np.arange(n_clusters)) & 1
    else:
        n_resamples = max(n_resamples, min(_MOST_RESAMPLES, math.ceil(4 * _IN_TAIL / alpha)))
        flips = rng.integers(0, 2, size=(n_resamples, n_clusters))
        flips[0] = 0  # what was observed is one of the flips
    flips = flips.astype(np.float64)
    all_total, all_size = totals.sum(0), sizes.sum(0)
    total, size = flips @ totals, flips @ sizes
    with np.errstate(divide="ignore", invalid="ignore"):
        flipped, others = total / size, (all_total - total) / (all_size - size)
    undecided = (size == 0) | (size == all_size)  # such a flip rejects no mean
    lows = np.where(undecided, -np.inf, np.minimum(flipped, others))
    highs = np.where(undecided, np.inf, np.maximum(flipped, others))
    for ends in (lows, highs):
        ends[np.abs(ends) < _ROUNDING] = 0.0
    mean = all_total / all_size
    mean[np.abs(mean) < _ROUNDING] = 0.0
    place = math.ceil(alpha * len(flips) - 1e-9) - 1
    low = np.partition(lows, place, axis=0)[place]
    high = -np.partition(-highs, place, axis=0)[place]
    keeps_zero = ((lows <= 0) & (highs >= 0)).mean(0)
    raw = MeanEstimates(low=low, high=high, p_value=keeps_zero, level=level)
    return _keep_least_width(raw, mean, sizes)


def fewest_clusters(level: float) -> int:
    """Return how many clusters the sign flips need at least to give an interval at ``level`` ends.

    Of ``2**G`` flips of G clusters two (none, all) reject no mean, so p is ``2**(1 - G)`` at least.
    """
    return math.floor(1 - math.log2(1 - level) + 1e-9) + 1


def _keep_least_width(raw: MeanEstimates, mean: Floats, sizes: Floats) -> MeanEstimates:
    """Keep each end at least ``z²/(G + z²)`` from the mean and inside -1..1, and p in step.

    That is Tango's interval for G pairs that all agree: a sample without any difference cannot
    exclude rare ones, and resampling it would.
    """
    n_clusters = (sizes > 0).sum(0)
    z = critical_value(raw.level)
    least = z * z / (n_clusters + z * z)
    size = np.minimum(np.abs(mean), 1.0)
    with np.errstate(divide="ignore"):
        p_least = _two_sided(np.sqrt(n_clusters * size / (1 - size)))
    return MeanEstimates(
        low=np.maximum(-1.0, np.minimum(raw.low, mean - least)),
        high=np.minimum(1.0, np.maximum(raw.high, mean + least)),
        p_value=np.minimum(1.0, np.maximum(raw.p_value, p_least)),
        level=raw.level,
    )


def _two_sided(z: Floats) -> Floats:
    """Return the chance that a standard normal lies farther from 0 than z."""
    return np.asarray([math.erfc(abs(x) / math.sqrt(2)) for x in z.tolist()])
