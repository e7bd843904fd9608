"""Tests on paired counts, and what several of them at once cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from cotkit.stats.intervals import critical_value, last_true, tango, wilson


def mcnemar_midp(b: int, c: int, *, one_sided: bool = False) -> float:
    """Return the p-value of McNemar's exact test with mid-p.

    Under the null a discordant pair is a fair coin: X ~ Binomial(b + c, 1/2). Sources: Lancaster
    1961; Fagerland, Lydersen, Laake 2013.

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


def t_p_value(estimate: float, error: float, df: int) -> float:
    """Return the two-sided p-value of Student's t: that the estimate differs from 0 by chance.

    Args:
        estimate: What was estimated.
        error: Its standard error; 0: the p-value is 0, of an estimate of 0 it is 1.
        df: Degrees of freedom, at least 1.
    """
    if estimate == 0 or math.isnan(estimate) or math.isinf(error):
        return 1.0
    return 1 - _t_central(abs(estimate) / error, df) if error else 0.0


def t_critical(level: float, df: int) -> float:
    """Return the t of a two-sided interval: 4.302653 for a level of 0.95 and 2 degrees of freedom.

    Args:
        level: Coverage, between 0 and 1.
        df: Degrees of freedom, at least 1.

    Raises:
        ValueError: the level or the degrees are out of range.
    """
    if not 0 < level < 1 or df < 1:
        raise ValueError(f"level {level}, {df} degrees of freedom")
    high = 2.0
    while _t_central(high, df) < level:
        high *= 2
    return last_true(lambda t: _t_central(t, df) <= level, 0.0, high)


def _t_central(t: float, df: int) -> float:
    """Return the probability of -t to t (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(df))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = df % 2
    total, term = 0.0, cosine if odd else 1.0
    for k in range(2 + odd, df + 1, 2):
        total += term
        term *= cosine * cosine * (k - 1) / k
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust p-values for how many they are (Holm 1979); return them in the order given.

    Sorted, they are multiplied by m, m-1, ... 1, and never fall. Rejecting where the result is at
    most a keeps the chance of any false rejection at most a, whatever the dependence.
    """
    m = len(p_values)
    adjusted = [0.0] * m
    running = 0.0
    for rank, i in enumerate(sorted(range(m), key=p_values.__getitem__)):
        running = max(running, min(1.0, (m - rank) * p_values[i]))
        adjusted[i] = running
    return tuple(adjusted)


def sidak_level(level: float, m: int) -> float:
    """Return the level to make each of ``m`` intervals at, so that all hold at ``level``.

    Exact if they are independent, conservative if they depend positively (arms that share a
    control do). Source: Sidak 1967.

    Raises:
        ValueError: ``m`` is below 1.
    """
    if m < 1:
        raise ValueError(f"a level for {m} intervals")
    return level ** (1 / m)


def slope_weights(levels: Sequence[float]) -> tuple[float, ...]:
    """Return the weights by which values at these levels add up to their least-squares slope.

    ``(x - mean) / sum (x - mean)²``; they add up to 0.

    Args:
        levels: At least two different ones.

    Raises:
        ValueError: all are equal.
    """
    mean = math.fsum(levels) / len(levels)
    square = math.fsum((x - mean) ** 2 for x in levels)
    if not square:
        raise ValueError("a slope needs two different levels")
    return tuple((x - mean) / square for x in levels)


def score_test(k: float, n: int, rate: float) -> float:
    """Return the two-sided p-value that ``k`` hits of ``n`` have this rate: the score test.

    ``|k - n rate| / sqrt(n rate (1 - rate))`` against a standard normal. Below ``1 - level``
    exactly where Wilson's interval at ``level`` excludes the rate: that interval inverts this test.

    A rate of 0 or 1 is refuted by a single problem.

    Raises:
        ValueError: not ``0 <= k <= n``, or ``rate`` outside of 0..1.
    """
    if not 0 <= k <= n or not 0 <= rate <= 1:
        raise ValueError(f"{k} hits of {n} at a rate of {rate}")
    if k == n * rate:
        return 1.0
    if rate in {0, 1}:
        return 0.0
    z = abs(k - n * rate) / math.sqrt(n * rate * (1 - rate))
    return math.erfc(z / math.sqrt(2))


def _midp_lower(k: int, n: int) -> float:
    """Return ``P(X < k) + P(X = k) / 2`` for n tosses of a fair coin.

    It is summed in integers: exact for any n.
    """
    below, equal = 0, 1  # counts of outcomes: sum of C(n, i) for i < k, and C(n, i)
    for i in range(k):
        below += equal
        equal = equal * (n - i) // (i + 1)
    return (2 * below + equal) / 2 ** (n + 1)


# What a paired run can see: problems needed for a gain, and the smallest gain it can find.
#
# Planning formulas in the normal approximation (Connor 1987). With p the control's solve rate,
# p + d the arm's, phi the correlation between the two arms' answers to one problem, and
#
#     v   = p(1-p) + (p+d)(1-p-d) - 2 phi sqrt(p(1-p)(p+d)(1-p-d))      variance of one difference
#     psi = v + d²                                                      share of discordant pairs
#     n   = (z_a sqrt(psi) + z_b sqrt(psi - d²))² / d²
#
# z_a is the two-sided critical value of the level and z_b the normal quantile of the power. Over a
# rate that is known, such as chance, p has no variance (Fleiss, Levin, Paik 2003, section 2.5):
#
#     n   = (z_a sqrt(p(1-p)) + z_b sqrt((p+d)(1-p-d)))² / d²


CORRELATION = 0.17
"""Phi between two strategies of one model on one problem: about this over 43 measured pairs."""


def problems_needed(
    effect: float,
    baseline: float,
    level: float = 0.95,
    power: float = 0.8,
    correlation: float | None = CORRELATION,
) -> int:
    """Return how many problems find a gain of ``effect`` over ``baseline`` with this power.

    "Found" means that the two-sided interval at ``level`` lies above 0, not above a margin.

    Args:
        effect: The gain, more than 0, at most ``1 - baseline``.
        baseline: The control's solve rate, 0..1.
        level: Of the interval; ``1 - 0.05 / m`` plans for the first step of Holm over m gains.
        power: Chance of finding it, between 0 and 1.
        correlation: Phi, -1..1; where the two rates do not allow it, the nearest they allow. None:
            ``baseline`` is no arm's but known, as what guessing solves is.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check(baseline, power, correlation)
    if not 0 < effect <= 1 - baseline:
        raise ValueError(f"no gain of {effect} over a solve rate of {baseline}")
    z = critical_value(level), NormalDist().inv_cdf(power)
    return math.ceil(_n_needed(effect, baseline, correlation, z))


def minimum_detectable_effect(
    n: int,
    baseline: float,
    level: float = 0.95,
    power: float = 0.8,
    correlation: float | None = CORRELATION,
) -> float:
    """Return the smallest gain that ``n`` problems find with this power.

    The inverse of `problems_needed`.

    Returns:
        A gain in 0..1-baseline; NaN if even the largest possible gain would be missed (few
        problems, or a control that is already nearly always right).

    Raises:
        ValueError: an argument is out of its range.
    """
    _check(baseline, power, correlation)
    if n < 0:
        raise ValueError(f"{n} problems")
    z = critical_value(level), NormalDist().inv_cdf(power)
    largest = 1 - baseline
    if largest == 0 or _n_needed(largest, baseline, correlation, z) > n:
        return math.nan
    return last_true(lambda d: _n_needed(d, baseline, correlation, z) > n, 0.0, largest)


# Which step a ladder resolves: nothing gained up to its middle, ``d`` above it, and both ends of
# the bracket named, one size apart (docs/statistics.md, "Scale").
#
# With ``low`` the lower end above the step and ``top`` the largest upper end below it, the bracket
# without a margin names both where ``top <= low / 2``, the staircase where a threshold lies between
# them. Ends lie as far from their estimates as at the expected counts; estimates are normal.


_NODES = 41  # of the integral over the estimate above the step
_FURTHEST = 4.0  # standard errors


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderDesign:
    """What decides which step a ladder resolves, beside problems and the control's solve rate."""

    n_sizes: int
    """Models, two or more."""
    level: float
    """Of the interval at each size."""
    thresholds: tuple[float, ...]
    """Gains of the staircase, and the margin."""
    correlation: float | None = CORRELATION
    """As of `problems_needed`."""
    power: float = 0.8
    """Chance with which both ends should be named."""

    def step_power(self, n: int, baseline: float, step: float) -> float:
        """Return the chance that both ends of a step are named, one size apart.

        Args:
            n: Problems.
            baseline: Solve rate of the control at every size, 0..1.
            step: The gain above, more than 0, at most ``1 - baseline``; there is none below.
        """
        error, (_, reach_up) = _gain_spread(n, baseline, 0.0, self.level, self.correlation)
        error_above, (reach_down, _) = _gain_spread(n, baseline, step, self.level, self.correlation)
        n_below = (self.n_sizes + 1) // 2
        normal, total, weights = NormalDist(), 0.0, 0.0
        for i in range(_NODES):
            u = _FURTHEST * (2 * i / (_NODES - 1) - 1)
            weight = normal.pdf(u)
            low = step + u * error_above - reach_down
            top = max([low / 2, *(t for t in self.thresholds if t <= low)])
            room = (top if low > 0 else 0.0) - reach_up
            chance = normal.cdf(room / error) if error else float(room > 0)
            total += weight * chance**n_below
            weights += weight
        return total / weights

    def smallest_step(self, n: int, baseline: float) -> float:
        """Return the smallest step whose ends ``n`` problems name; NaN: they name none."""
        largest = 1 - baseline
        if n < 1 or not largest or self.step_power(n, baseline, largest) < self.power:
            return math.nan
        return last_true(lambda step: self.step_power(n, baseline, step) < self.power, 0.0, largest)

    def problems_for_step(self, step: float, baseline: float) -> int | None:
        """Return how many problems name both ends of a step; None: more than 500,000."""
        if not 0 < step <= 1 - baseline:
            return None

        def is_named(n: int) -> bool:
            return self.step_power(n, baseline, step) >= self.power

        high = next((n for n in (2**i for i in range(3, 20)) if is_named(n)), None)
        if high is None:
            return None
        low = high // 2
        while high - low > max(1, low // 50):
            middle = (low + high) // 2
            low, high = (low, middle) if is_named(middle) else (middle, high)
        return high


def _gain_spread(
    n: int, baseline: float, gain: float, level: float, correlation: float | None
) -> tuple[float, tuple[float, float]]:
    """Return the standard error of a gain, and how far its interval reaches down and up."""
    if correlation is None:
        rate = baseline + gain
        ends = wilson(rate * n, n, level)
        return math.sqrt(rate * (1 - rate) / n), (rate - ends.low, ends.high - rate)
    discordant = _discordant_share(baseline, gain, correlation)
    n_better, n_worse = (round(n * (discordant + sign * gain) / 2) for sign in (1, -1))
    ends = tango(n_better, max(0, n_worse), n, level)
    estimate = (n_better - n_worse) / n
    error = math.sqrt(max(discordant - gain * gain, 0.0) / n)
    return error, (estimate - ends.low, ends.high - estimate)


def _n_needed(
    effect: float, baseline: float, correlation: float | None, z: tuple[float, float]
) -> float:
    arm = baseline + effect
    own, other = baseline * (1 - baseline), max(arm * (1 - arm), 0.0)
    if correlation is None:
        if not own:  # a single hit refutes a rate of 0
            return math.log(1 - NormalDist().cdf(z[1])) / math.log1p(-effect) if effect < 1 else 1
        return (z[0] * math.sqrt(own) + z[1] * math.sqrt(other)) ** 2 / effect**2
    discordant = _discordant_share(baseline, effect, correlation)
    spread = math.sqrt(max(discordant - effect * effect, 0.0))
    return (z[0] * math.sqrt(discordant) + z[1] * spread) ** 2 / effect**2


def _discordant_share(baseline: float, effect: float, correlation: float) -> float:
    """Return the share of problems on which an arm and its control differ."""
    arm = baseline + effect
    own, other = baseline * (1 - baseline), max(arm * (1 - arm), 0.0)
    discordant = own + other - 2 * correlation * math.sqrt(own * other) + effect * effect
    # The cells of the 2x2 table cannot be negative, so two rates bound how often the arms differ.
    return min(max(discordant, effect), baseline + arm, 2 - baseline - arm)


def _check(baseline: float, power: float, correlation: float | None) -> None:
    if not (0 <= baseline <= 1 and 0 < power < 1 and -1 <= (correlation or 0) <= 1):
        raise ValueError(f"baseline {baseline}, power {power}, correlation {correlation}")
