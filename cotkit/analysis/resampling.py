"""Bootstrap by whole units (problems, clusters), many columns of numbers at once.

The sums of a resample are one row of counts times a matrix, so that curves, arms and metrics of
one report can all be resampled together: what moves together in truth does so in the resamples.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cotkit.analysis.values import Interval

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
