"""What a lab says, whatever was trained: sentences, what they rest on, and curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cotkit.stats.intervals import Interval

LabForm = Literal["params", "share", "points", "value", "change", "count"]
"""How a number is written: as the forms of the same name in reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotLine:
    """One curve of a plot."""

    key: str
    """What it is, for programs: the same over runs."""
    name: str
    """What the legend calls it."""
    x: tuple[float, ...]
    """Places, rising."""
    y: tuple[float, ...]
    """Values there; NaN: a hole."""
    intervals: tuple[Interval, ...] = ()
    """One for each value; empty: none."""
    is_reference: bool = False
    """Whether it is what the others are held against (drawn thin and dashed)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Curves that share their axes."""

    key: str
    """Unique in its lab; letters, digits and hyphens."""
    title: str
    """Heading."""
    caption: str
    """How to read it."""
    x_name: str
    """What lies below."""
    x_form: LabForm
    """How its places are written."""
    x_is_log: bool
    """Whether places are spaced by their logarithm."""
    y_name: str
    """What the curves are, unit included."""
    y_form: LabForm
    """How values are written; ``share``: drawn as percent."""
    lines: tuple[PlotLine, ...]
    """In the order of the legend."""
    y_most: float | None = None
    """Where a figure ends: values beyond it are in the tables only; None: nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was asked, and how it came out."""

    what: str
    """The question."""
    value: float
    """The number that decides."""
    interval: Interval
    """Of it."""
    form: LabForm
    """How both are written."""
    word: str
    """The verdict for programs."""
    verdict: str
    """The verdict in words."""
    why: str
    """The rule as applied, numbers included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabReport:
    """A whole report."""

    name: str
    """``mirage``."""
    answers: tuple[str, ...]
    """Verdict sentences; never empty."""
    caption: tuple[str, ...]
    """What was done, in short phrases."""
    facts: tuple[tuple[str, str | int | float | None], ...]
    """The same for programs."""
    findings: tuple[Finding, ...]
    """What the answers rest on."""
    finding_name: str
    """What the findings' numbers are."""
    plots: tuple[Plot, ...]
    """Curves; their numbers are tables of the report."""
    notes: tuple[str, ...]
    """What a reader must know."""
