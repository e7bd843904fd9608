"""Numbers as people read them: one decimal for percent and points, three for p-values."""

from __future__ import annotations

import math
from typing import Literal

Form = Literal[
    "count",
    "share",
    "points",
    "p",
    "tokens",
    "seconds",
    "params",
    "flops",
    "usd",
    "value",
    "change",
]
"""``share``: a fraction as percent; ``points``: the same, signed; ``params``: ``1.54 B``;
``flops``: ``3.1e+23``; ``value``: any number; ``change``: the same, signed."""

MISSING = "n/a"
"""What text formats print for None and NaN; a dash could be taken for a minus."""


def say_number(value: float | None, form: Form) -> str:  # noqa: C901, PLR0911 - one case a form
    """Write a number without its unit, which the column header names; ``n/a`` if there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    match form:
        case "count" | "tokens":
            return f"{value:,.0f}"
        case "share":
            return f"{100 * value:.1f}"
        case "points":
            points = round(100 * value, 1)
            return f"{points:+.1f}" if points else "0.0"
        case "p":
            return f"{value:.3f}" if value >= 0.001 else "<0.001"
        case "value" | "change":
            return _say_value(value, signed=form == "change")
        case "seconds":
            return f"{value:,.2f}"
        case "usd":
            return f"{value:,.2f}" if value >= 100 else f"{value:.3g}"
        case "params":
            return _say_params(value)
        case "flops":
            return f"{value:.2g}"


def say_ends(low: float, high: float, form: Form) -> str:
    """Write an interval, e.g. ``"+3.1 to +12.4"``; ``n/a`` if either end is missing."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    return f"{say_number(low, form)} to {say_number(high, form)}"


def say_level(level: float) -> str:
    """Write a confidence level, e.g. ``"95 %"``, ``"97.47 %"``."""
    return f"{100 * level:.4g} %"


def printable(text: str) -> str:
    """Escape control characters: a name can neither move the cursor nor break a table row."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _say_value(value: float, *, signed: bool) -> str:
    value = round(value, 3) or 0.0  # no minus before a nought
    return f"{value:+.3f}" if signed and value else f"{value:.3f}"


def _say_params(n: float) -> str:
    for scale, unit in ((1, ""), (1e3, " k"), (1e6, " M"), (1e9, " B")):
        digits = f"{n / scale:.3g}"
        if float(digits) < 1000:
            return digits + unit
    return f"{n / 1e12:.3g} T"
