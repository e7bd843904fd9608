"""Which metrics are a share of problems solved, and in which unit a value is written."""

from __future__ import annotations

import re

from cotkit.foreign.values import Place

_RATE = re.compile(
    r"(?P<name>accuracy|acc|exact_match|em|solve_rate|pass@1|pass_at_1|multiple_choice_grade|"
    r"error_rate)(?:_(?!pct$|percent$)\w+?)?(?P<unit>_pct|_percent|%)?"
)

LINEAR = ("digit_accuracy", "edit_similarity", "gold_log_prob_per_token", "steps_right")
"""Metrics that reward part of an answer, higher is better: only such say whether a jump is real.
The first that there is decides."""


def is_rate(metric: str) -> bool:
    """Whether a metric of this name is a share of problems, so that its count makes an interval."""
    return _RATE.fullmatch(metric.lower()) is not None


def as_rate(metric: str, value: float, place: Place) -> float:
    """The share of problems solved, 0..1: percent by its name, errors turned round.

    Raises:
        BadInputError: out of range for its unit.
    """
    found = _RATE.fullmatch(metric.lower())
    assert found is not None
    share = value / 100 if found["unit"] else value
    if not 0 <= share <= 1:  # also NaN
        most = "100" if found["unit"] else "1"
        raise place.bad(
            f"{value:g} is not in 0 to {most}",
            field="value",
            hint=f"{metric} is a fraction; percent is named {metric}_pct"
            if not found["unit"]
            else f"{metric} is percent",
        )
    return 1 - share if found["name"] == "error_rate" else share
