"""Which arm to use: the cheapest that is shown to be at most the margin below every other arm.

Hsu's comparison with the best (Hsu 1984, Annals of Statistics 12:1136): whichever arm is truly the
best, what it solves more than each of the ``k - 1`` others is bounded from above, so ``k - 1``
one-sided limits hold together, and an arm all of whose limits are within the margin is shown to be
as good. Differences are paired, by the one estimator of gains (``docs/statistics.md``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

from cotkit.analysis.gains import PairedSample, estimate_gains, measure_sample, number_units
from cotkit.analysis.values import Contender, CostUnit, Decision
from cotkit.stats.hypotheses import sidak_level


def choose_arm(
    scores: Mapping[str, Mapping[str, float]],
    clusters: Mapping[str, str | None],
    costs: Mapping[str, float],
    unit: CostUnit,
    *,
    margin: float,
    level: float,
) -> Decision | None:
    """Return which arm to use; None: there are fewer than two to choose from.

    Args:
        scores: Arm -> problem -> what it scored there, 0..1.
        clusters: Problem -> its cluster; None: it stands alone.
        costs: Arm -> its mean cost for a problem; arms without one cannot be chosen.
        unit: Of the costs.
        margin: How much less than the best still counts as good, a fraction.
        level: At which all limits hold together.
    """
    arms = [arm for arm, of_arm in scores.items() if of_arm and arm in costs]
    if len(arms) < 2:
        return None
    samples = pair_arms(arms, scores, clusters)
    limits, needed = bound_shortfalls(arms, samples, margin=margin, level=level)
    rates = {arm: math.fsum(scores[arm].values()) / len(scores[arm]) for arm in arms}
    contenders = tuple(
        Contender(
            arm=arm,
            solve_rate=rates[arm],
            cost=costs[arm],
            shortfall=limits[arm],
            is_shown=limits[arm] <= margin,
        )
        for arm in arms
    )
    best = max(contenders, key=lambda contender: (contender.solve_rate, -contender.cost))
    good = [contender for contender in contenders if contender.is_shown]
    chosen = min(good, key=lambda c: (c.cost, -c.solve_rate), default=None)
    ceiling = best.cost if chosen is None else chosen.cost
    open_arms = [c.arm for c in contenders if c.cost < ceiling] or ([] if chosen else [best.arm])
    n_needed = min((needed[arm] for arm in open_arms if arm in needed), default=None)
    return Decision(
        contenders=contenders,
        unit=unit,
        arm=None if chosen is None else chosen.arm,
        best=best.arm,
        n_needed=n_needed,
        sentence=_say_decision(
            contenders, chosen, best, unit=unit, margin=margin, n_needed=n_needed
        ),
    )


def pair_arms(
    arms: Sequence[str],
    scores: Mapping[str, Mapping[str, float]],
    clusters: Mapping[str, str | None],
) -> dict[tuple[str, str], PairedSample]:
    """Return what every two arms scored on the problems that both have, in the order of the arms.

    Args:
        arms: At least two.
        scores: Arm -> problem -> what it scored there, 0..1.
        clusters: Problem -> its cluster; None: it stands alone.
    """
    units = number_units({name: clusters.get(name) for arm in arms for name in scores[arm]})
    return {
        (first, second): measure_sample(
            [scores[first][name] for name in both],
            [scores[second][name] for name in both],
            [units[name] for name in both],
            n_units=len(set(units.values())),
            is_clustered=len({units[name] for name in both}) < len(both),
        )
        for first, second in combinations(arms, 2)
        for both in [[name for name in scores[first] if name in scores[second]]]
    }


def bound_shortfalls(
    arms: Sequence[str],
    samples: Mapping[tuple[str, str], PairedSample],
    *,
    margin: float,
    level: float,
) -> tuple[dict[str, float], dict[str, int]]:
    """Return arm -> upper limit of what any other solves more, and of some the problems needed.

    Of these arms no other solves as much more as the margin, so that more problems like these
    would show it.
    """
    each = 1 - 2 * (1 - sidak_level(level, len(arms) - 1))  # of both sides: an upper end is enough
    limits = dict.fromkeys(arms, -1.0)
    needed = dict.fromkeys(arms, 0)
    never: set[str] = set()
    estimates = estimate_gains(list(samples.values()), each)
    for ((first, second), sample), estimate in zip(samples.items(), estimates, strict=True):
        ends = ((second, sample.gain, estimate.interval.high),)
        ends += ((first, -sample.gain, -estimate.interval.low),)
        for arm, more, upper in ends:  # what the other of the two solves more than this one
            limits[arm] = max(limits[arm], 1.0 if math.isnan(upper) else upper)
            if not more < margin:  # also where nothing is known
                never.add(arm)
            elif upper > margin:
                share = (upper - more) / (margin - more)  # widths shrink with the root of n
                needed[arm] = max(needed[arm], math.ceil(sample.n * share * share))
    return limits, {arm: n for arm, n in needed.items() if n and arm not in never}


_UNITS: dict[CostUnit, str] = {"usd": "dollars", "tokens": "tokens"}


def _say_decision(
    contenders: Sequence[Contender],
    chosen: Contender | None,
    best: Contender,
    *,
    unit: CostUnit,
    margin: float,
    n_needed: int | None,
) -> str:
    within = f"shown to be at most {100 * margin:.3g} points below every other arm"
    more = "" if n_needed is None else f"; about {_round(n_needed):,} problems would tell"
    if chosen is None:
        if best.cost <= min(contender.cost for contender in contenders):
            return f"To choose: {best.arm} solves most and costs least, but is not {within}{more}."
        return f"To choose: no cheaper arm is shown to be as good as {best.arm}{more}."
    claim = f"To choose: {chosen.arm}, {within}"
    if chosen is not best and chosen.cost < best.cost:
        saved = 100 * (1 - chosen.cost / best.cost)
        return (
            f"{claim} ({100 * max(chosen.shortfall, 0.0):.1f} at most): it takes {saved:.0f} % "
            f"fewer {_UNITS[unit]} than {best.arm}, which solves most."
        )
    if chosen.cost <= min(contender.cost for contender in contenders):
        return f"{claim}, and the cheapest in {_UNITS[unit]}."
    return f"{claim}; no cheaper arm is shown to be as good{more}."


def _round(n: int) -> int:
    """Return a number of problems with two digits: more would promise too much."""
    scale = 10 ** max(len(str(n)) - 2, 0)
    return math.ceil(n / scale) * scale
