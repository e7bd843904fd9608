"""The gain of one pair at one size: what was measured, and its interval at a level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from cotkit.analysis.clustered import MIN_CLUSTERS, bootstrap_t, robust_error, sign_flip
from cotkit.analysis.hypotheses import mcnemar_midp, two_rates
from cotkit.analysis.intervals import newcombe, tango, wilson
from cotkit.analysis.resampling import Codes, Floats, sums_by_unit
from cotkit.analysis.scale.inputs import Cell, Totals
from cotkit.analysis.values import Interval

Key: TypeAlias = tuple[tuple[str, str], str]
"""(pair, model)."""
Method: TypeAlias = Literal["tango", "newcombe", "bootstrap-t", "sign-flip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Both arms of a pair at one size."""

    arm: Totals
    """Over the problems that both completed."""
    control: Totals
    """Over the same."""
    arm_interval: Interval
    """Of the arm's rate."""
    control_interval: Interval
    """Of the control's rate."""
    method: Method
    """How its interval is made."""
    n_effective: int
    """Independent pairs it is worth, for the MDE: fewer than problems where clusters agree."""
    n_better: int | None = None
    """Problems only the arm solved; None: not known."""
    n_worse: int | None = None
    """Problems only the control solved."""
    totals: Floats | None = None
    """[clusters] summed differences, zero where a cluster has no completed pair; None: not asked
    for by the method."""
    sizes: Floats | None = None
    """[clusters] completed pairs."""

    @property
    def gain(self) -> float:
        """Difference of the rates."""
        return self.arm.rate - self.control.rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is inferred of a gain."""

    interval: Interval
    """At the level asked for."""
    p_value: float
    """Two-sided, of no gain."""


def measure(
    arm: Cell | None, control: Cell | None, codes: Codes | None, level: float
) -> Measured | None:
    """Pair two cells; None: a hole, or no problem was completed by both.

    ``level``: of the intervals of the two rates.
    """
    if arm is None or control is None:
        return None
    if isinstance(arm, Totals) or isinstance(control, Totals):
        return _unpaired(arm, control, codes, level)
    both = ~(np.isnan(arm.correct) | np.isnan(control.correct))
    n = int(both.sum())
    if n == 0:
        return None
    ours, theirs = (np.where(both, cell.correct, np.nan) for cell in (arm, control))
    difference = (ours - theirs)[both]
    if codes is None and _is_binary(ours[both]) and _is_binary(theirs[both]):
        method, n_effective, sums = "tango", n, None
    else:
        columns = np.stack([np.where(both, ours - theirs, 0.0), both.astype(np.float64)], axis=1)
        sums = sums_by_unit(columns, codes)
        n_clusters = int((sums[:, 1] > 0).sum())
        method = "bootstrap-t" if n_clusters >= MIN_CLUSTERS else "sign-flip"
        n_effective = _effective(difference, sums, n, n_clusters)
    return Measured(
        arm=Totals(rate=float(ours[both].mean()), n=n),
        control=Totals(rate=float(theirs[both].mean()), n=n),
        arm_interval=rate_interval(ours, codes, level),
        control_interval=rate_interval(theirs, codes, level),
        method=method,
        n_effective=n_effective,
        n_better=int((difference > 0).sum()) if sums is None else None,
        n_worse=int((difference < 0).sum()) if sums is None else None,
        totals=None if sums is None else sums[:, 0],
        sizes=None if sums is None else sums[:, 1],
    )


def estimates(
    measured: Mapping[Key, Measured],
    level: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> dict[Key, Estimate]:
    """Interval and p-value of each, every one at ``level``; all bootstraps share their draws."""
    found = {
        key: _estimate(one, level, n_resamples, rng)
        for key, one in measured.items()
        if one.method != "bootstrap-t"
    }
    drawn = {key: one for key, one in measured.items() if one.method == "bootstrap-t"}
    if drawn:
        totals = np.stack([one.totals for one in drawn.values() if one.totals is not None], axis=1)
        sizes = np.stack([one.sizes for one in drawn.values() if one.sizes is not None], axis=1)
        results = bootstrap_t(totals, sizes, level, n_resamples, rng)
        for key, (interval, p) in zip(drawn, results, strict=True):
            found[key] = Estimate(interval=interval, p_value=p)
    return found


def rate_interval(scores: Floats, codes: Codes | None, level: float) -> Interval:
    """Of a solve rate: Wilson's, at the number of independent trials that the scores are worth.

    That number is ``p (1 - p)`` over the variance of the mean between clusters (Korn and Graubard
    1998), the number of clusters where all scores are 0 or all are 1, and n for plain zeros and
    ones. ``scores``: [problems], NaN where there is none.
    """
    done = ~np.isnan(scores)
    n = int(done.sum())
    if n == 0:
        return wilson(0, 0, level)
    p = float(scores[done].mean())
    if codes is None and _is_binary(scores[done]):
        return wilson(round(p * n), n, level)
    values = np.stack([np.where(done, scores, 0.0), done.astype(np.float64)], axis=1)
    sums = sums_by_unit(values, codes)
    error = float(robust_error(sums[:, :1], sums[:, 1:])[0])
    n_clusters = int((sums[:, 1] > 0).sum())
    trials = p * (1 - p) / error**2 if 0 < p < 1 and error > 0 else n_clusters
    return wilson(p * trials, trials, level)


def totals_of(cell: Cell) -> Totals | None:
    """Rate and n of a cell; None: no problem was completed."""
    if isinstance(cell, Totals):
        return cell if cell.n else None
    done = cell.correct[~np.isnan(cell.correct)]
    return Totals(rate=float(done.mean()), n=int(done.size)) if done.size else None


def cell_interval(cell: Cell, codes: Codes | None, level: float) -> Interval:
    """Of the solve rate of a cell."""
    if isinstance(cell, Totals):
        return wilson(cell.rate * cell.n, cell.n, level)
    return rate_interval(cell.correct, codes, level)


def _unpaired(arm: Cell, control: Cell, codes: Codes | None, level: float) -> Measured | None:
    ours, theirs = totals_of(arm), totals_of(control)
    if ours is None or theirs is None:
        return None
    return Measured(
        arm=ours,
        control=theirs,
        arm_interval=cell_interval(arm, codes, level),
        control_interval=cell_interval(control, codes, level),
        method="newcombe",
        n_effective=min(ours.n, theirs.n),
    )


def _estimate(one: Measured, level: float, n_resamples: int, rng: np.random.Generator) -> Estimate:
    if one.method == "tango":
        assert one.n_better is not None and one.n_worse is not None  # noqa: PT018  # one fact
        return Estimate(
            interval=tango(one.n_better, one.n_worse, one.arm.n, level),
            p_value=mcnemar_midp(one.n_better, one.n_worse),
        )
    if one.method == "newcombe":
        (p1, n1), (p2, n2) = ((side.rate, side.n) for side in (one.arm, one.control))
        return Estimate(
            interval=newcombe(p1 * n1, n1, p2 * n2, n2, level), p_value=two_rates(p1, n1, p2, n2)
        )
    assert one.totals is not None and one.sizes is not None  # noqa: PT018  # one fact
    held = one.sizes > 0
    interval, p = sign_flip(one.totals[held], one.sizes[held], level, n_resamples, rng)
    return Estimate(interval=interval, p_value=p)


def _effective(difference: Floats, sums: Floats, n: int, n_clusters: int) -> int:
    """Problems over the design effect: variance of the mean by clusters over that without."""
    plain = float(difference.var()) / n
    clustered = float(robust_error(sums[:, :1], sums[:, 1:])[0]) ** 2
    if plain == 0 or clustered == 0:
        return n_clusters
    return max(1, min(n, round(n * plain / clustered)))


def _is_binary(scores: Floats) -> bool:
    return bool(((scores == 0) | (scores == 1)).all())
