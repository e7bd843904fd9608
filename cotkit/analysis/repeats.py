"""Rates over problems that were each tried several times: K samples are not K problems."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cotkit.analysis.intervals import wilson
from cotkit.analysis.results import Cell, Interval
from cotkit.types import OUTCOMES, Outcome


def rate_interval(values: Sequence[float], most: float, level: float) -> Interval:
    """Interval of the mean over problems of a rate within each problem.

    Wilson's interval (1927) at the effective number of trials, ``p(1-p)`` over the variance of the
    mean between problems (Korn and Graubard 1998, there for the exact interval). With one sample of
    each problem these are the problems; never fewer.

    Args:
        values: One for each problem, 0..1, in any order.
        most: Most trials it may count as, where the problems hardly differ: all their samples.
        level: Coverage, strictly between 0 and 1.

    Raises:
        ValueError: ``level`` is out of range.
    """
    n = len(values)
    if n == 0:
        return wilson(0, 0, level)
    p = math.fsum(values) / n
    spread = math.fsum((value - p) ** 2 for value in values) / n
    trials = min(n * p * (1 - p) / spread, most) if spread > 0 else most
    if p in {0.0, 1.0}:  # nothing shows that the samples of a problem tell anything apart
        trials = n
    trials = max(trials, n)
    return wilson(p * trials, trials, level)


def repeated_cell(
    arm: str, values: Sequence[float], outcomes: Mapping[Outcome, int], level: float
) -> Cell:
    """One arm with several samples of its problems; what they cost is not known.

    Args:
        arm: The arm.
        values: Share of each problem's samples that is correct, one for each problem.
        outcomes: Outcome -> how many samples, over all problems.
        level: Coverage of the interval.
    """
    n, n_samples = len(values), sum(outcomes.values())
    return Cell(
        arm=arm,
        n=n,
        n_samples=n_samples,
        outcomes={outcome: outcomes.get(outcome, 0) for outcome in OUTCOMES},
        n_correct=outcomes.get("correct", 0),
        solve_rate=math.fsum(values) / n if n else math.nan,
        interval=rate_interval(values, n_samples, level),
        prompt_tokens=None,
        shared_tokens=0.0,
        generated_tokens=None,
        generated_per_correct=None,
        usd=None,
        usd_per_correct=None,
        seconds=0.0,
        seconds_per_correct=None,
    )
