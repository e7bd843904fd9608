"""Confidence intervals for rates and for differences of rates, from counts.

All of them are two-sided score or exact intervals that stay inside the possible range and do not
collapse when a count is 0 or n; the textbook normal interval does both (docs/statistics.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""
    level: float
    """Coverage it claims, e.g. 0.95."""


def critical_value(level: float) -> float:
    """Return the z of a two-sided normal interval: 1.959964 for a level of 0.95.

    Raises:
        ValueError: ``level`` is not strictly between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(k: float, n: float, level: float) -> Interval:
    """Return the score interval of a rate, ``k`` hits of ``n`` (Wilson 1927); 0 to 1 if n is 0.

    Both are counts, or effective ones (:mod:`cotkit.analysis.samples`).

    Raises:
        ValueError: not ``0 <= k <= n``.
    """
    z = critical_value(level)
    _check(0 <= k <= n, f"{k} hits of {n}")
    if n == 0:
        return Interval(low=0.0, high=1.0, level=level)
    centre = (k + z * z / 2) / (n + z * z)
    half = z * math.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    # The formula gives exactly 0 and 1 at the ends, up to rounding.
    low = 0.0 if k == 0 else centre - half
    high = 1.0 if k == n else centre + half
    return Interval(low=low, high=high, level=level)


def tango(b: int, c: int, n: int, level: float) -> Interval:
    """Return the score interval of the paired difference ``(b - c) / n`` (Tango 1998).

    Args:
        b: Pairs in which only the first arm is right.
        c: Pairs in which only the second arm is right.
        n: All pairs; if 0 the interval is -1 to 1.
        level: Coverage, strictly between 0 and 1.

    Returns:
        Every difference that the score test does not reject. It excludes 0 exactly when
        McNemar's ``|b - c| / sqrt(b + c)`` exceeds z; with ``b = c = 0`` it is ``±z²/(n + z²)``.

    Raises:
        ValueError: a count is negative, or ``b + c > n``.
    """
    z = critical_value(level)
    _check(b >= 0 and c >= 0 and b + c <= n, f"{b} better and {c} worse of {n}")
    if n == 0:
        return Interval(low=-1.0, high=1.0, level=level)
    # One end only is ever searched for, so swapping the arms mirrors the interval to the last bit.
    return Interval(low=-_tango_high(c, b, n, z), high=_tango_high(b, c, n, z), level=level)


def newcombe(k1: float, n1: int, k2: float, n2: int, level: float) -> Interval:
    """Return the interval of ``k1/n1 - k2/n2``, independent samples.

    Source: Newcombe 1998 b, method 10.

    For published totals, where pairs are lost: too wide if the same problems were used and the
    arms agree more than by chance. -1 to 1 if either sample is empty. Hits of a rounded rate may
    be fractional.

    Raises:
        ValueError: hits outside ``0..n`` in either sample.
    """
    first, second = wilson(k1, n1, level), wilson(k2, n2, level)
    if n1 == 0 or n2 == 0:
        return Interval(low=-1.0, high=1.0, level=level)
    p1, p2 = k1 / n1, k2 / n2
    below = math.hypot(p1 - first.low, second.high - p2)
    above = math.hypot(first.high - p1, p2 - second.low)
    return Interval(low=p1 - p2 - below, high=p1 - p2 + above, level=level)


def newcombe_p_value(k1: float, n1: int, k2: float, n2: int) -> float:
    """Return the two-sided p-value of equal rates: 1 - the level at which `newcombe` touches 0.

    Raises:
        ValueError: hits outside ``0..n`` in either sample.
    """
    _check(0 <= k1 <= n1 and 0 <= k2 <= n2, f"{k1} of {n1} and {k2} of {n2}")
    if n1 == 0 or n2 == 0 or k1 / n1 == k2 / n2:
        return 1.0

    def excludes_zero(level: float) -> bool:
        interval = newcombe(k1, n1, k2, n2, level)
        return interval.low > 0 or interval.high < 0

    # The interval widens with its level, so that one bisection finds where it comes to touch 0.
    highest = 1 - 2.0**-52
    if excludes_zero(highest):
        return 1 - highest
    return 1 - last_true(excludes_zero, 0.0, highest)


def zero_hits_upper(n: int, level: float) -> float:
    """Return the largest rate still compatible with 0 hits of ``n``, one-sided and exact.

    That is ``1 - (1 - level)^(1/n)``. The rule of three, ``3/n``, is its approximation at a level
    of 0.95. 1 if ``n`` is 0.

    Raises:
        ValueError: ``n`` is negative, or ``level`` is not strictly between 0 and 1.
    """
    _check(n >= 0 and 0 < level < 1, f"0 hits of {n} at level {level}")
    return -math.expm1(math.log1p(-level) / n) if n else 1.0


def _tango_high(b: int, c: int, n: int, z: float) -> float:
    """Return the upper end of Tango's interval: where the score statistic falls to ``-z``."""

    def accepted(delta: float) -> bool:
        distance = n * delta - (b - c)
        return distance * distance <= z * z * n * _variance(b, c, n, delta)

    # Above the estimate the statistic falls without a break, so one bisection finds the end.
    return last_true(accepted, (b - c) / n, 1.0)


def _variance(b: int, c: int, n: int, delta: float) -> float:
    """Return the variance of one pair's difference.

    It is taken at the likeliest cell probabilities with mean ``delta``.
    """
    # 2n q² + linear q + constant = 0 for q, the probability of a worse pair (Tango 1998).
    linear = -b - c + (2 * n - b + c) * delta
    constant = -c * delta * (1 - delta)
    root = math.sqrt(max(linear * linear - 8 * n * constant, 0.0))
    q = (root - linear) / (4 * n)
    return max(2 * q + delta * (1 - delta), 0.0)


def _check(holds: bool, what: str) -> None:  # noqa: FBT001  # reads as the condition it is given
    if not holds:
        raise ValueError(f"impossible counts: {what}")


# Find where a monotone condition ends.


_HALVINGS = 60  # leaves 2**-60 of the stretch: below the spacing of floats near 1


def last_true(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return the end of the stretch from ``low`` on which ``holds`` is true, by bisection.

    ``holds`` is true up to some point and false after it. ``high`` comes back if it never turns
    false, ``low`` if it is never true; both to ``2**-60`` of the stretch.
    """
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low
