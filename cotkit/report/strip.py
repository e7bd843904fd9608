"""Intervals drawn in characters on a common axis: ``├──●──┤``, or ``[--o--]`` in ASCII."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from cotkit.analysis.results import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """The characters to draw with, each one column wide."""

    low: str
    """Lower end of an interval."""
    line: str
    """Between its ends."""
    high: str
    """Upper end."""
    point: str
    """The estimate."""
    zero: str
    """Where the axis is zero."""
    margin: str
    """Where the axis is at the margin."""
    dot: str
    """Between two phrases."""


UNICODE = Glyphs(low="├", line="─", high="┤", point="●", zero="│", margin="┊", dot="·")
ASCII = Glyphs(low="[", line="-", high="]", point="o", zero="|", margin=":", dot="-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What the columns of a strip stand for; shared by the rows of a table."""

    low: float
    """Value of the first column."""
    high: float
    """Value of the last; above ``low``."""
    width: int
    """Columns, at least 8."""
    margin: float | None
    """Zero and this are marked; None: nothing is."""

    def at(self, value: float) -> int:
        """Column of a value; one outside the axis is put at its end."""
        share = (value - self.low) / (self.high - self.low)
        return round(min(max(share, 0.0), 1.0) * (self.width - 1))


def axis_for(intervals: Iterable[Interval], margin: float, *, width: int) -> Axis:
    """An axis that holds zero, the margin and every finite interval, out to the next 5 points."""
    ends = [0.0, margin, *(end for i in intervals for end in (i.low, i.high) if math.isfinite(end))]
    low, high = math.floor(min(ends) * 20) / 20, math.ceil(max(ends) * 20) / 20
    return Axis(low=low, high=max(high, low + 0.05), width=width, margin=margin)


def draw(axis: Axis, estimate: float | None, interval: Interval, glyphs: Glyphs) -> str:
    """One row, exactly ``axis.width`` columns; only the marks where there is nothing to draw.

    Later beats earlier: line, marks, ends, estimate. So a mark shows through an interval over it.
    """
    cells = [" "] * axis.width
    finite = math.isfinite(interval.low) and math.isfinite(interval.high)
    low, high = (axis.at(interval.low), axis.at(interval.high)) if finite else (0, -1)
    cells[low : high + 1] = glyphs.line * (high + 1 - low)
    if axis.margin is not None:
        cells[axis.at(axis.margin)] = glyphs.margin
        cells[axis.at(0.0)] = glyphs.zero
    if finite:
        cells[low], cells[high] = glyphs.low, glyphs.high
    if estimate is not None and math.isfinite(estimate):
        cells[axis.at(estimate)] = glyphs.point
    return "".join(cells)


def scale(axis: Axis) -> str:
    """The header of a strip: the values at its ends and at zero (or the middle), in percent."""
    signed = axis.margin is not None
    inner = 0.0 if signed else (axis.low + axis.high) / 2
    cells = [" "] * axis.width
    for value in (axis.low, axis.high, inner):
        label = f"{100 * value:{'+' if signed and value else ''}.0f}"
        start = min(max(axis.at(value) - len(label) // 2, 0), axis.width - len(label))
        around = cells[max(start - 1, 0) : start + len(label) + 1]
        if all(cell == " " for cell in around):
            cells[start : start + len(label)] = label
    return "".join(cells)
