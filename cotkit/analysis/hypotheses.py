"""Tests on paired counts, and what several of them at once cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist


def mcnemar_midp(b: int, c: int, *, one_sided: bool = False) -> float:
    """McNemar's exact test with mid-p (Lancaster 1961; Fagerland, Lydersen, Laake 2013).

    Under the null a discordant pair is a fair coin: X ~ Binomial(b + c, 1/2).

    Args:
        b: Pairs in which only the first arm is right.
        c: Pairs in which only the second arm is right.
        one_sided: Ask whether the first arm is better: ``P(X > b) + P(X = b) / 2``. Two-sided
            (the default) doubles the smaller side.

    Returns:
        The p-value; without discordant pairs 1, one-sided 0.5.

    Raises:
        ValueError: a count is negative.
    """
    if b < 0 or c < 0:
        raise ValueError(f"impossible counts: {b} better and {c} worse")
    # X > b and n - X < c are the same event, so both tests are lower tails of a fair coin.
    if one_sided:
        return _midp_lower(c, b + c)
    return min(1.0, 2 * _midp_lower(min(b, c), b + c))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values in the order given (Holm 1979): sorted, times m, m-1, ... 1, never falling.

    Rejecting where the result is at most a keeps the chance of any false rejection at most a,
    whatever the dependence.
    """
    m = len(p_values)
    adjusted = [0.0] * m
    running = 0.0
    for rank, i in enumerate(sorted(range(m), key=p_values.__getitem__)):
        running = max(running, min(1.0, (m - rank) * p_values[i]))
        adjusted[i] = running
    return tuple(adjusted)


def sidak_level(level: float, m: int) -> float:
    """Level at which each of ``m`` intervals is made so that all hold at ``level`` (Sidak 1967).

    Exact if they are independent, conservative if they depend positively (arms that share a
    control do).

    Raises:
        ValueError: ``m`` is below 1.
    """
    if m < 1:
        raise ValueError(f"a level for {m} intervals")
    return level ** (1 / m)


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values in the order given (Benjamini and Hochberg 1995): for exploring only.

    Calling those at most q discoveries keeps the expected share of false ones at most q, for tests
    that are independent or depend positively; it does not keep the chance of any false one.
    """
    m = len(p_values)
    adjusted = [0.0] * m
    running = 1.0
    ranked = sorted(range(m), key=p_values.__getitem__)
    for rank, i in reversed(list(enumerate(ranked, start=1))):
        running = min(running, p_values[i] * m / rank)
        adjusted[i] = running
    return tuple(adjusted)


def two_rates(p1: float, n1: int, p2: float, n2: int) -> float:
    """Two-sided p-value that two independent rates are equal: score test, pooled variance.

    For published totals; 1 if the pooled rate is 0 or 1. Assumes enough hits for a normal
    approximation; conservative if both are of the same problems and agree more than by chance.
    """
    pooled = (p1 * n1 + p2 * n2) / (n1 + n2)
    variance = pooled * (1 - pooled) * (1 / n1 + 1 / n2)
    if variance <= 0:
        return 1.0
    return 2 * NormalDist().cdf(-abs(p1 - p2) / math.sqrt(variance))


def _midp_lower(k: int, n: int) -> float:
    """``P(X < k) + P(X = k) / 2`` for n tosses of a fair coin, in integers: exact for any n."""
    below, at = 0, 1  # counts of outcomes: sum of C(n, i) for i < k, and C(n, i)
    for i in range(k):
        below += at
        at = at * (n - i) // (i + 1)
    return (2 * below + at) / 2 ** (n + 1)
