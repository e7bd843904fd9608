"""How far a model follows exemplars whose labels were flipped: a curve over the share flipped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cotkit.analysis.values import Following, FollowingLabel
from cotkit.stats.intervals import Interval, wilson
from cotkit.store.rows import AttemptRow

CHANCE = 0.5
"""Solve rate of guessing one of two labels; labels are flipped only where there are two."""


def measure_following(
    rows: Sequence[AttemptRow], fractions: Mapping[str, float], level: float
) -> tuple[Following, ...]:
    """Measure how far each arm of ``fractions`` follows its flipped labels, by rising fraction.

    The rule is that of arXiv:2303.03846, section 3: the evaluated labels are never flipped, so a
    model that does as the exemplars do is right less often than a coin.

    Args:
        rows: Of any arms, in any order; failed ones are left out.
        fractions: Arm -> share of its exemplars' labels that were flipped, 0..1.
        level: Of each interval on its own.

    Returns:
        One point for each arm that has rows; nothing if no arm has a flipped label.
    """
    if not any(fractions.values()):
        return ()
    by_arm = {arm: [row for row in rows if row.arm == arm] for arm in fractions}
    return tuple(
        _following_point(arm, by_arm[arm], fractions[arm], level)
        for arm in sorted(by_arm, key=lambda arm: (fractions[arm], arm))
        if by_arm[arm]
    )


def _following_point(
    arm: str, rows: Sequence[AttemptRow], fraction: float, level: float
) -> Following:
    n = sum(row.outcome != "failed" for row in rows)
    n_correct = sum(row.outcome == "correct" for row in rows)
    n_wrong = sum(row.outcome == "wrong" for row in rows)
    solved, follows = wilson(n_correct, n, level), wilson(n_wrong, n, level)
    return Following(
        arm=arm,
        fraction=fraction,
        n=n,
        solve_rate=n_correct / n if n else math.nan,
        interval=solved,
        chance=CHANCE,
        follows=n_wrong / n if n else math.nan,
        label=_label_following(solved, follows) if fraction == 1 else None,
    )


def _label_following(solved: Interval, follows: Interval) -> FollowingLabel:
    # Answers that cannot be read pull the solve rate down and follow nothing, so the wrong
    # ones, too, must be more than chance gives.
    if solved.high < CHANCE < follows.low:
        return "follows"
    return "keeps_prior" if solved.low > CHANCE else "undetermined"
