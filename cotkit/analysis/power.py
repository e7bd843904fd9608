"""What a paired run can see: problems needed for a gain, and the smallest gain it can find.

Planning formulas in the normal approximation (Connor 1987). With p the control's solve rate,
p + d the arm's, phi the correlation between the two arms' answers to one problem, and

    v   = p(1-p) + (p+d)(1-p-d) - 2 phi sqrt(p(1-p)(p+d)(1-p-d))      variance of one difference
    psi = v + d²                                                      share of discordant pairs
    n   = (z_a sqrt(psi) + z_b sqrt(psi - d²))² / d²

z_a is the two-sided critical value of the level and z_b the normal quantile of the power.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from cotkit.analysis.intervals import critical_value
from cotkit.analysis.roots import last_true

CORRELATION = 0.17
"""Phi between two strategies of one model on one problem: about this over 43 measured pairs."""


def problems_needed(
    effect: float,
    baseline: float,
    level: float = 0.95,
    power: float = 0.8,
    correlation: float = CORRELATION,
) -> int:
    """Problems for which a gain of ``effect`` over ``baseline`` is found with this power.

    "Found" means that the two-sided interval at ``level`` lies above 0, not above a margin.

    Args:
        effect: The gain, more than 0, at most ``1 - baseline``.
        baseline: The control's solve rate, 0..1.
        level: Of the interval; ``1 - 0.05 / m`` plans for the first step of Holm over m gains.
        power: Chance of finding it, between 0 and 1.
        correlation: Phi, -1..1; where the two rates do not allow it, the nearest they allow.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check(baseline, power, correlation)
    if not 0 < effect <= 1 - baseline:
        raise ValueError(f"no gain of {effect} over a solve rate of {baseline}")
    z = critical_value(level), NormalDist().inv_cdf(power)
    return math.ceil(_needed(effect, baseline, correlation, z))


def minimum_detectable_effect(
    n: int,
    baseline: float,
    level: float = 0.95,
    power: float = 0.8,
    correlation: float = CORRELATION,
) -> float:
    """Smallest gain that ``n`` problems find with this power: inverse of `problems_needed`.

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
    if largest == 0 or _needed(largest, baseline, correlation, z) > n:
        return math.nan
    return last_true(lambda d: _needed(d, baseline, correlation, z) > n, 0.0, largest)


def _needed(effect: float, baseline: float, correlation: float, z: tuple[float, float]) -> float:
    arm = baseline + effect
    own, other = baseline * (1 - baseline), max(arm * (1 - arm), 0.0)
    discordant = own + other - 2 * correlation * math.sqrt(own * other) + effect * effect
    # The cells of the 2x2 table cannot be negative, so two rates bound how often the arms differ.
    discordant = min(max(discordant, effect), baseline + arm, 2 - baseline - arm)
    spread = math.sqrt(max(discordant - effect * effect, 0.0))
    return (z[0] * math.sqrt(discordant) + z[1] * spread) ** 2 / effect**2


def _check(baseline: float, power: float, correlation: float) -> None:
    if not (0 <= baseline <= 1 and 0 < power < 1 and -1 <= correlation <= 1):
        raise ValueError(f"baseline {baseline}, power {power}, correlation {correlation}")
