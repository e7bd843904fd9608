"""The parts of a report, as data. Text formats round what is in the cells; CSV and JSON do not.

Tables are made by :func:`make_table` from rows of :class:`Field`: a column is one line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from cotkit.stats.intervals import Interval

Tone = Literal["plain", "good", "bad", "quiet", "warn"]
"""Colour a renderer may add; the words alone must already say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A cell of text."""

    text: str
    """As people read it."""
    raw: str | bool
    """As programs read it."""
    tone: Tone = "plain"
    """Hint for renderers that have colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A cell with one number."""

    value: float | None
    """Full precision, fractions rather than percent; None or NaN: there is none to give."""
    form: Form
    """How text formats write it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalCell:
    """A cell with a confidence interval."""

    interval: Interval
    """Full precision; either end may be NaN."""
    form: Form
    """How text formats write its ends."""


Value: TypeAlias = Words | Number | IntervalCell
"""What a cell holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What stands above the cells."""

    key: str
    """Name in CSV and JSON; the same key means the same quantity in every table."""
    header: str
    """Name in text formats, unit included."""
    opens: bool = False
    """Whether columns that are best kept together begin here."""
    drawn: bool = False
    """Whether it only feeds the strip, which then follows the column of the estimate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """An interval that renderers draw after its column, where they can draw."""

    estimate: str
    """Key of the :class:`Number` column with the point on the line."""
    interval: str
    """Key of the :class:`IntervalCell` column with the line."""
    axis: tuple[float, float] | None
    """Ends of the axis; None: wide enough for the intervals and the marks."""
    margin: float | None
    """Mark zero and this; None: mark nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line of a figure."""

    name: str
    """As the legend names it."""
    y: tuple[float, ...]
    """A fraction in 0..1 at each place of the figure's axis; NaN: a hole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Curves over size, drawn in characters; their numbers stand in a table, too."""

    x: tuple[float, ...]
    """Places on the axis, rising, at least two."""
    ticks: tuple[str, ...]
    """What to write below each place."""
    axis: str
    """What the axis is."""
    arms: tuple[Curve, ...]
    """Curves of strategies, at least one; earlier ones are drawn over later ones."""
    controls: tuple[Curve, ...]
    """What they are measured against, drawn below them."""
    brackets: tuple[tuple[str, int, int], ...]
    """Of each part of the axis to mark: what it says, and the indices of the places around it."""
    is_joined: bool = False
    """Whether lines go on over holes: the curves have places of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One section of a report. The first column says what a row is about."""

    key: str
    """Name in CSV and JSON; tables of one name are one list there."""
    title: str
    """Heading in text formats."""
    note: str
    """How to read it: denominators, methods; empty if it speaks for itself."""
    columns: tuple[Column, ...]
    """From left to right, the most important first."""
    rows: tuple[tuple[Value, ...], ...]
    """Cells in the order of ``columns``; text formats leave a table without rows out."""
    strip: Strip | None = None
    """What to draw, if anything."""
    figures: tuple[Figure, ...] = ()
    """Drawn below it by formats of characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What a terminal shows first of a report, below the answer: as much as fits one screen."""

    tables: tuple[Table, ...]
    """The numbers in short; without notes and titles where they speak for themselves."""
    figures: tuple[Figure, ...] = ()
    """Drawn before the tables."""
    lines: tuple[str, ...] = ()
    """What else changes how the answer is read: other ways of counting that differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole report, in reading order."""

    headline: tuple[str, ...]
    """The answer, one sentence for each verdict; never empty."""
    caption: tuple[str, ...]
    """What was compared, in short phrases; renderers put a separator between them."""
    facts: tuple[tuple[str, str | int | float | None], ...]
    """The same for programs: key -> raw value."""
    tables: tuple[Table, ...]
    """Always the same tables in the same order."""
    notes: tuple[str, ...]
    """Warnings, printed last; those that are an ``Aside`` not on the first screen."""
    warnings: tuple[str, ...] = ()
    """Counts that change how the answer is read, in phrases: failed, truncated, at a ceiling."""
    closing: tuple[str, ...] = ()
    """What follows from the answers for whoever has to choose; sentences."""
    screen: Screen | None = None
    """What a terminal shows first; None: all of it."""


SECTIONS: tuple[str, ...] = (
    *("answer", "arms", "gains", "outcomes", "variants", "clusters", "transitions", "votes"),
    *("metrics", "metric_gains", "bias", "bias_changes", "bias_by_category", "following"),
    *("dependence", "thinned", "breakthrough", "interactions", "sweeps", "symbol_means"),
    *("repeats", "difficulty", "first_wrong_step", "audit", "server", "disagreement_causes"),
    *(
        "decision",
        "disagreements",
        "gain_differences",
        "rate_differences",
        "sizes",
        "trainings",
        "onsets",
        "staircase",
        "jumps",
        "frontier",
        "means",
        "benchmarks",
        "published",
    ),
    *("equal_tokens", "spending", "serial_parallel", "checks", "runs", "settings", "notes"),
)
"""Keys of the tables that a report of runs can have; ``answer``: that of the first screen."""


UNWALLED = "code of the model ran without a sandbox and could see the answers"
"""A phrase of the caption, where the user asked for ``--sandbox none``."""


def say_address(address: str | None) -> tuple[str, ...]:
    """Return the phrase of the caption on where a model was asked; none for a provider's own."""
    return () if address is None else (f"asked at {address}, no provider's own address",)


# Making tables: key, header, value and form of a column stand on one line.


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a row: its column, and what the row has there."""

    key: str
    """See :attr:`Column.key`."""
    header: str
    """See :attr:`Column.header`; ``{level}``: the level that the intervals below it share."""
    content: str | float | Interval | Value | None
    """Text, a number (None or NaN: there is none), an interval, or a ready cell."""
    form: Form = "count"
    """How text formats write a number or the ends of an interval."""
    opens: bool = False
    """See :attr:`Column.opens`."""
    when: bool = True
    """False leaves the column out; the same in all rows of a table."""
    drawn: bool = False
    """See :attr:`Column.drawn`."""

    def value(self) -> Value:
        """Return the cell."""
        match self.content:
            case str():
                return Words(text=self.content, raw=self.content)
            case Interval():
                return IntervalCell(interval=self.content, form=self.form)
            case Words() | Number() | IntervalCell():
                return self.content
            case _:
                return Number(value=self.content, form=self.form)


def make_table(
    key: str,
    title: str,
    rows: Iterable[Iterable[Field]],
    *,
    note: str = "",
    strip: Strip | None = None,
    figures: tuple[Figure, ...] = (),
) -> Table:
    """Return the table of these rows; all have the same fields, and without any it has no columns.

    ``note``, ``strip``, ``figures``: see :class:`Table`.
    """
    fields = [[field for field in row if field.when] for row in rows]
    return Table(
        key=key,
        title=title,
        note=note,
        columns=tuple(map(_make_column, zip(*fields, strict=True))),
        rows=tuple(tuple(field.value() for field in row) for row in fields),
        strip=strip,
        figures=figures,
    )


def _make_column(fields: Sequence[Field]) -> Column:
    first = fields[0]
    assert {field.key for field in fields} == {first.key}, "rows with different columns"
    header = first.header
    if "{level}" in header:
        levels = {field.content.level for field in fields if isinstance(field.content, Interval)}
        level = f"{say_level(levels.pop())} " if len(levels) == 1 else ""
        header = header.replace("{level} ", level)
    return Column(key=first.key, header=header, opens=first.opens, drawn=first.drawn)


def missing_interval(level: float) -> Interval:
    """Return the interval of a field that has none to give."""
    return Interval(low=math.nan, high=math.nan, level=level)


# Numbers as people read them: one decimal for percent and points, three for p-values.


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
    "usd_per_1000",
    "value",
    "change",
]
"""``share``: a fraction as percent; ``points``: the same, signed; ``params``: ``1.54 B``;
``usd_per_1000``: a thousandfold;
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
            return say_usd(value)
        case "usd_per_1000":
            return say_usd(1000 * value)
        case "params":
            return _say_params(value)
        case "flops":
            return f"{value:.2g}"


def say_ends(low: float, high: float, form: Form) -> str:
    """Write an interval, e.g. ``"+3.1 to +12.4"``; ``n/a`` if either end is missing."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    return f"{say_number(low, form)} to {say_number(high, form)}"


def say_cell(value: Value) -> str:
    """Write a cell as people read it."""
    match value:
        case Words():
            return value.text
        case Number():
            return say_number(value.value, value.form)
        case IntervalCell():
            return say_ends(value.interval.low, value.interval.high, value.form)


def say_level(level: float) -> str:
    """Write a confidence level, e.g. ``"95 %"``, ``"97.47 %"``."""
    return f"{100 * level:.4g} %"


def _say_value(value: float, *, signed: bool) -> str:
    value = round(value, 3) or 0.0  # no minus sign before a zero
    return f"{value:+.3f}" if signed and value else f"{value:.3f}"


def say_usd(value: float, digits: int = 3) -> str:
    """Write dollars, from 100 on with cents, else with so many digits; never in powers of ten."""
    return f"{value:,.2f}" if value >= 100 else f"{Decimal(f'{value:.{digits}g}'):f}"


def _say_params(n: float) -> str:
    for scale, unit in ((1, ""), (1e3, " k"), (1e6, " M"), (1e9, " B")):
        digits = f"{n / scale:.3g}"
        if float(digits) < 1000:
            return digits + unit
    return f"{n / 1e12:.3g} T"
