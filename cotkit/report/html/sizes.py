"""The axis of sizes that figures over models share, and a series along it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cotkit.analysis.results import Interval
from cotkit.analysis.scale.inputs import Axis, Rung
from cotkit.analysis.scale.values import Scale
from cotkit.report.html.figure import series, short
from cotkit.report.words import printable, say_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES: Mapping[Axis, str] = {
    "params": "parameters",
    "active-params": "active parameters",
    "flops": "training FLOPs",
    "loss": "pretraining loss, nats per token",
    "ordinal": "rank, the weakest first",
}
"""What stands below the axis."""


def arms_of(scale: Scale) -> list[str]:
    """The arms asked about, in the order of their colours in all figures of an analysis."""
    asked = [name for answer in scale.answers for name in (answer.arm, answer.control)]
    return list(dict.fromkeys(asked))


def line(
    on: Axes,
    at: Sequence[float],
    values: Sequence[tuple[float, Interval]],
    i: int,
    name: str,
    *,
    times: float = 100,
) -> None:
    """One series with its intervals; a NaN is a gap."""
    color, marker = series(i)
    low = [times * interval.low for _, interval in values]
    high = [times * interval.high for _, interval in values]
    on.vlines(at, low, high, color=color, linewidth=1.2)
    y = [times * value for value, _ in values]
    on.plot(at, y, marker=marker, markersize=5, color=color, label=short(printable(name), 52))


def over_size(on: Axes, at: Sequence[float], names: Sequence[str], *, room: float = 44) -> None:
    """Set the axis of sizes: a little air at the ends, and no two names closer than ``room``."""
    low, high = min(at, default=0.0), max(at, default=1.0)
    air = 0.06 * (high - low) or 0.5
    on.set_xlim(low - air, high + air)
    each = on.get_window_extent().width / (high - low + 2 * air)
    kept: list[tuple[float, str]] = []
    for x, name in sorted(zip(at, names, strict=True), reverse=True):
        if not kept or (kept[-1][0] - x) * each >= room:
            kept.append((x, name))
    on.set_xticks([x for x, _ in kept], [name for _, name in kept])
    on.set_xticks(list(at), minor=True)
    on.grid(visible=True, axis="y")


def place(x: float | None, axis: Axis) -> float:
    """Where a position lies: in the logarithm, where size is a quantity."""
    assert x is not None
    return x if axis in {"loss", "ordinal"} else math.log10(x)


def say_size(rung: Rung, at: float, axis: Axis) -> str:
    """A size in few characters."""
    if axis == "ordinal":
        return short(printable(rung.model), 9)
    if axis == "loss":
        return f"{-at:.3g}"
    return f"{10**at:.1e}".replace("e+", "e") if axis == "flops" else say_number(10**at, "params")
