"""Whether thinking changes what a prompt adds: the difference of two gains on the same problems."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cotkit.analysis.gains import estimate_gains, measure_difference, number_units
from cotkit.analysis.values import Interaction
from cotkit.stats.hypotheses import sidak_level
from cotkit.store.rows import AttemptRow

ByProblem = Mapping[str, Sequence[AttemptRow]]
"""Problem -> the attempts of one arm."""


def find_interactions(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str, str, str]]:
    """Return (arm, control, arm at the least thinking, control at the least) where all are paired.

    Args:
        pairs: (arm, control) of a report: of prompts, and of settings of one strategy.
    """
    all_pairs = set(pairs)
    by_arms = {
        frozenset((arm, control, least_arm, least_control)): (
            arm,
            control,
            least_arm,
            least_control,
        )
        for arm, control in reversed(pairs)  # pairs of prompts come first: those count
        for least_arm, least_control in pairs
        if {(arm, least_arm), (control, least_control)} <= all_pairs and least_arm != control
    }
    return list(reversed(by_arms.values()))


def measure_interactions(
    attempts: Mapping[str, ByProblem], pairs: Sequence[tuple[str, str]], level: float
) -> tuple[Interaction, ...]:
    """Measure every interaction of a report; their intervals hold together at ``level``.

    Of each problem that all four arms completed the difference is (arm - control) less the same at
    the least thinking, in -2..2; of several attempts the mean of those that did not fail counts.
    """
    four_arms = find_interactions(pairs)
    completed = {
        arm: {
            problem: finished
            for problem, rows in attempts.get(arm, {}).items()
            if (finished := [row for row in rows if row.outcome != "failed"])
        }
        for arm in {arm for arms in four_arms for arm in arms}
    }
    shared = {
        arms: sorted(set.intersection(*(set(completed[arm]) for arm in arms))) for arms in four_arms
    }
    clusters = {
        problem: completed[arms[0]][problem][0].cluster
        for arms, problems in shared.items()
        for problem in problems
    }
    units = number_units(clusters)
    gains = {
        arms: [
            [
                _rate(completed[arm][problem]) - _rate(completed[control][problem])
                for problem in problems
            ]
            for arm, control in (arms[:2], arms[2:])
        ]
        for arms, problems in shared.items()
        if problems
    }
    samples = [
        measure_difference(
            gain,
            least_gain,
            [units[problem] for problem in shared[arms]],
            n_units=len(set(units.values())),
            is_clustered=len({units[problem] for problem in shared[arms]}) < len(shared[arms]),
        )
        for arms, (gain, least_gain) in gains.items()
    ]
    each = sidak_level(level, max(1, len(samples)))
    return tuple(
        Interaction(
            arm=arms[0],
            control=arms[1],
            least_arm=arms[2],
            least_control=arms[3],
            n=sample.n,
            gain=math.fsum(gain) / sample.n,
            least_gain=math.fsum(least_gain) / sample.n,
            difference=sample.scale * sample.gain,
            interval=estimate.interval,
            p_value=estimate.p_value,
        )
        for (arms, (gain, least_gain)), sample, estimate in zip(
            gains.items(), samples, estimate_gains(samples, each), strict=True
        )
    )


def interaction_sentence(interaction: Interaction, label: str | None = None) -> str:
    """Say in one sentence whether thinking changes what a prompt adds.

    ``label``: of the gain where the model thinks more; None: not known.
    """
    low, high = interaction.interval.low, interaction.interval.high
    points = f"{100 * abs(interaction.difference):.1f} points"
    over = f"what {interaction.arm} adds over {interaction.control}"
    evidence = (
        f"{100 * interaction.gain:+.1f}, where {interaction.least_arm} adds "
        f"{100 * interaction.least_gain:+.1f}; difference {100 * interaction.difference:+.1f}, "
        f"{100 * interaction.interval.level:.4g} % interval {100 * low:+.1f} to {100 * high:+.1f}"
    )
    if high < 0:
        idea = interaction.arm.partition(":")[0]
        claim = f"{idea} adds nothing once the model thinks: "
        claim = claim if label == "no_material_help" else ""
        return f"{claim}thinking takes away {points} of {over} ({evidence})"
    if low > 0:
        return f"thinking raises by {points} {over} ({evidence})"
    return f"whether thinking changes {over} cannot be decided ({evidence})"


def _rate(rows: Sequence[AttemptRow]) -> float:
    return sum(row.outcome == "correct" for row in rows) / len(rows)
