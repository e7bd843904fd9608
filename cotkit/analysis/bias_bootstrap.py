"""Intervals of bias scores: whole templates are drawn again, for their items go together.

``docs/statistics.md``, "Bias scores", says how often they were right in simulations.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from itertools import chain, product

from cotkit.analysis.bias import BiasCounts, Score
from cotkit.analysis.results import Interval

MIN_CLUSTERS = 30
"""With fewer templates an interval may be too narrow, and nothing is claimed from it."""

_RESAMPLES = 2000
_SEED = 0  # the same for every interval: equal rows give equal bytes, whatever else is reported


def score_interval(clusters: Sequence[BiasCounts], score: Score, level: float) -> Interval:
    """Percentile interval of one arm's score; -1 to 1 where there is nothing to score.

    Args:
        clusters: One for each template.
        score: Of the sum of them.
        level: Coverage, between 0 and 1.
    """
    values = [value for (value,) in _resampled([(cluster,) for cluster in clusters], score)]
    if not values or score(total(clusters)) is None:
        return Interval(low=-1.0, high=1.0, level=level)
    return _ends(values, level)


def change_interval(
    clusters: Sequence[tuple[BiasCounts, ...]], score: Score, level: float
) -> Interval:
    """Interval of ``|a| - |b|``, the scores of an arm and its control; -1 to 1 without a score.

    All that the intervals of a - b and a + b allow, each made at the level ``(1 + level) / 2``
    (Bonferroni). A percentile interval of ``|a| - |b|`` itself would cover too little: the size of
    a score near 0 is overestimated, in every resample again.

    Args:
        clusters: (arm, control) on the same items, one for each template.
        score: Of the sum of them.
        level: Coverage, between 0 and 1.
    """
    values = list(_resampled(clusters, score))
    sums = [total([pair[i] for pair in clusters]) for i in range(2)]
    if not values or any(score(counts) is None for counts in sums):
        return Interval(low=-1.0, high=1.0, level=level)
    difference = _ends([a - b for a, b in values], (1 + level) / 2)
    both = _ends([a + b for a, b in values], (1 + level) / 2)
    # |a| - |b| rises or falls all along with either, so its extremes are at their ends.
    corners = [
        abs(d + s) / 2 - abs(d - s) / 2
        for d in (difference.low, difference.high)
        for s in (both.low, both.high)
    ]
    return Interval(low=max(-1.0, min(corners)), high=min(1.0, max(corners)), level=level)


def total(clusters: Iterable[BiasCounts]) -> BiasCounts:
    """All of them together."""
    return _counts([sum(column) for column in zip(*map(astuple, clusters), strict=True)])


def _resampled(clusters: Sequence[tuple[BiasCounts, ...]], score: Score) -> list[tuple[float, ...]]:
    """Scores of every arm over clusters drawn with replacement; draws without a score left out."""
    if not clusters:
        return []
    n_arms = len(clusters[0])
    made_up = (_one_sided(arm, 2 / 2**n_arms) for arm in zip(*clusters, strict=True))
    drawn_from = [
        tuple(chain.from_iterable(map(astuple, cluster)))
        for cluster in chain(clusters, product(*made_up))
    ]
    rng = random.Random(_SEED)  # noqa: S311  # statistics, not secrets
    found: list[tuple[float, ...]] = []
    for _ in range(_RESAMPLES):
        drawn = rng.choices(drawn_from, k=len(drawn_from))
        sums = [sum(column) for column in zip(*drawn, strict=True)]
        scores = [score(_counts(sums[i : i + 4])) for i in range(0, 4 * n_arms, 4)]
        known = tuple(value for value in scores if value is not None)
        if len(known) == n_arms:
            found.append(known)
    return found


def _one_sided(clusters: Sequence[BiasCounts], weight: float) -> tuple[BiasCounts, BiasCounts]:
    """Two templates of mean counts, one all for the stereotype, one all against it.

    Drawn along, they keep an interval from collapsing where all replies agree: the bootstrap's
    "plus four" (Agresti and Coull 1998). Of several arms all combinations are, at a weight such
    that each arm sees one of each.
    """
    sums = total(clusters)
    named = max(1.0, sums.n_non_unknown / len(clusters))
    n = max(named, sums.n / len(clusters))
    right = min(n - named, sums.n_correct / len(clusters))
    every = [weight * count for count in (n, right, named)]
    return _counts([*every, every[-1]]), _counts([*every, 0.0])


def _counts(values: Sequence[float]) -> BiasCounts:
    n, n_correct, n_non_unknown, n_biased = values
    return BiasCounts(n=n, n_correct=n_correct, n_non_unknown=n_non_unknown, n_biased=n_biased)


def _ends(values: Sequence[float], level: float) -> Interval:
    ordered, tail = sorted(values), (1 - level) / 2
    return Interval(
        low=ordered[math.floor(tail * len(ordered))],
        high=ordered[math.ceil((1 - tail) * len(ordered)) - 1],
        level=level,
    )
