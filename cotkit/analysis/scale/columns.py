"""Means of many columns over the same problems, and the same means over resampled problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from cotkit.analysis.resampling import Floats, resampled_sums, sums_by_unit
from cotkit.analysis.scale.inputs import Outcomes
from cotkit.analysis.scale.setting import Setting

EXACT = "exact_match"
"""What the solve rate is called among metrics."""

Source: TypeAlias = str | tuple[str, str]
"""An arm, or the (arm, control) of a gain."""
ColumnKey: TypeAlias = tuple[str, Source, str]
"""(model, source, metric)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One mean: of an arm, or of a gain over the problems that both arms completed."""

    n: int
    """Problems."""
    mean: float
    """Over them."""
    draws: Floats
    """[resamples] the same over resampled problems (or clusters); the draws of all columns are of
    the same problems."""


def columns(setting: Setting, rng: np.random.Generator) -> dict[ColumnKey, Column]:
    """Every metric of every arm, and of every pair's gain, at every size where it is known."""
    values = _values(setting)
    if not values:
        return {}
    stacked = np.stack(list(values.values()), axis=1)
    known = ~np.isnan(stacked)
    # Most columns lack the same problems, so the counts of few patterns are enough.
    first_of: dict[bytes, int] = {}
    like = [first_of.setdefault(known[:, i].tobytes(), i) for i in range(known.shape[1])]
    firsts = sorted(first_of.values())
    pattern_of = [firsts.index(first) for first in like]
    width = stacked.shape[1]
    counted = known[:, firsts].astype(np.float64)
    sums = sums_by_unit(np.hstack([np.where(known, stacked, 0.0), counted]), setting.codes)
    total = sums.sum(0)
    drawn = resampled_sums(sums, setting.question.n_resamples, rng)
    found: dict[ColumnKey, Column] = {}
    for i, (key, pattern) in enumerate(zip(values, pattern_of, strict=True)):
        mean = float(total[i] / total[width + pattern])
        counts = drawn[:, width + pattern]
        # A resample without any problem of this column says nothing new of it.
        draws = np.where(counts > 0, drawn[:, i] / np.maximum(counts, 1), mean)
        found[key] = Column(n=int(total[width + pattern]), mean=mean, draws=draws)
    return found


def _values(setting: Setting) -> dict[ColumnKey, Floats]:
    """Columns with at least one problem: [problems], NaN where there is no value."""
    cells = setting.grid.cells
    found: dict[ColumnKey, Floats] = {}
    for rung in setting.ladder.rungs:
        for arm in setting.arms:
            for metric, of_metric in _metrics(cells.get((rung.model, arm))).items():
                found[rung.model, arm, metric] = of_metric
        for pair in setting.question.pairs:
            ours, theirs = (_metrics(cells.get((rung.model, name))) for name in pair)
            for metric in ours:  # in the order given: the first companion decides
                if metric in theirs:
                    found[rung.model, pair, metric] = ours[metric] - theirs[metric]
    return {key: value for key, value in found.items() if not np.isnan(value).all()}


def _metrics(cell: object) -> dict[str, Floats]:
    if not isinstance(cell, Outcomes):
        return {}
    companions = {name: value for name, value in cell.metrics.items() if name != EXACT}
    return {EXACT: cell.correct, **companions}
