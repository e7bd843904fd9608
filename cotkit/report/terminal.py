"""A report for the terminal: the answer first, then dense tables with interval strips.

A table too wide for the terminal goes on in a second block that repeats its first column, and a
strip without room is not drawn: no number is dropped. Colour only repeats what the words say.
"""

from __future__ import annotations

import io
import itertools
import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from cotkit.events import printable
from cotkit.report.document import (
    Document,
    Figure,
    IntervalCell,
    Number,
    Strip,
    Table,
    Tone,
    Value,
    Words,
    say_ends,
    say_number,
)
from cotkit.stats.intervals import Interval

STRIP_WIDTHS = (10, 40)
"""Columns of a strip: the fewest it can be read at, the most it is given."""
LONGEST_WORD = 20
"""Longer words in a column of text may be broken to save a block."""
GAPS = (2, 1)
"""Columns between two columns of a table; the tighter gap is for what fits only so."""

_STYLES: dict[Tone, str] = {
    "plain": "",
    "good": "green",
    "bad": "red",
    "quiet": "dim",
    "warn": "bold yellow",
}
_UTF8 = frozenset({"utf8", "utf8sig", "cp65001"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _ColumnLayout:
    """A column ready to be set."""

    header: str
    """Already broken into lines."""
    cells: tuple[Text, ...]
    """One for each row."""
    is_text: bool
    """Text is set from the left and may be broken; numbers may not."""
    least: int
    """Columns it cannot do without."""
    natural: int
    """Columns it would like to have."""
    strip: Strip | None
    """What to draw after it, where there is room."""
    opens: bool
    """See :attr:`Column.opens`."""


def to_terminal(document: Document, *, width: int, color: bool, encoding: str) -> str:
    """Lines of at most ``width`` columns (60 and more), with escape codes if ``color``."""
    is_unicode = encoding.lower().replace("-", "").replace("_", "") in _UTF8
    page = _TextPage(width=width, color=color, is_unicode=is_unicode)
    for sentence in document.headline:
        page.say(sentence, "bold", indent=2)
    page.phrases(document.caption, "dim")
    for table in document.tables:
        if table.rows:
            page.table(table)
    if document.notes:
        page.say("")
    for note in document.notes:
        page.say(f"note: {note}", "yellow", indent=2)
    return page.text()


class _TextPage:
    """A console that writes to memory, and the characters it may use."""

    def __init__(self, *, width: int, color: bool, is_unicode: bool) -> None:
        self.width = width
        self.is_unicode = is_unicode
        self.glyphs = UNICODE if is_unicode else ASCII
        rule = "─" if is_unicode else "-"
        rows = ["    "] * 8
        rows[2] = f" {rule}{rule} "  # the one line under the header; see rich.box.Box
        self.box = Box("\n".join(rows), ascii=not is_unicode)
        self.out = io.StringIO()
        self.console = Console(
            file=self.out,
            width=width,
            force_terminal=color,
            color_system="standard" if color else None,
            legacy_windows=False,
        )

    def text(self) -> str:
        return "".join(f"{line.rstrip()}\n" for line in self.out.getvalue().splitlines())

    def say(self, text: str, style: str = "", *, indent: int = 0) -> None:
        """Print a paragraph, all its lines but the first moved in."""
        lines = self.cell(text, style).wrap(self.console, self.width - indent)
        for i, line in enumerate(lines):
            self.console.print(Text(" " * indent if i else "") + line)

    def phrases(self, phrases: Sequence[str], style: str) -> None:
        """Print phrases with a dot between, breaking lines only there."""
        line = ""
        for phrase in phrases:
            longer = f"{line} {self.glyphs.dot} {phrase}" if line else phrase
            if line and cell_len(self.cell(longer).plain) > self.width:
                self.say(line, style)
                longer = phrase
            line = longer
        self.say(line, style)

    def cell(self, text: str, style: str = "") -> Text:
        """Text without markup, escaped where the stream or the terminal could not take it."""
        shown = printable(text)
        if not self.is_unicode:
            shown = shown.encode("ascii", "backslashreplace").decode()
        return Text(shown, style=style, overflow="fold")

    def table(self, table: Table) -> None:
        self.say("")
        self.say(table.title, "bold")
        lanes = [self.lane(table, i) for i in range(len(table.columns))]
        layouts = {gap: list(_split_into_blocks(lanes, self.width, gap)) for gap in GAPS}
        gap = min(GAPS, key=lambda gap: len(layouts[gap]))
        for i, block in enumerate(layouts[gap]):
            if i:
                self.say("")
            self.block(table, block, gap)
        marks = f"strip: {self.glyphs.zero} zero, {self.glyphs.margin} margin"
        is_marked = table.strip and table.strip.margin is not None
        self.say("; ".join(filter(None, (table.note, marks if is_marked else ""))), "dim")
        for figure in table.figures:
            self.say("")
            for line in draw_figure(figure, width=self.width, is_unicode=self.is_unicode):
                self.console.print(self.cell(line), no_wrap=True)

    def lane(self, table: Table, i: int) -> _ColumnLayout:
        """Column ``i`` of a table, measured."""
        column = table.columns[i]
        cells = tuple(self.cell(*_format_value(row[i])) for row in table.rows)
        natural = max(cell_len(cell.plain) for cell in cells)
        is_text = isinstance(table.rows[0][i], Words)
        words = [word for cell in cells for word in cell.plain.split(" ")]
        least = min(max(map(cell_len, words)), LONGEST_WORD) if is_text else natural
        header = _break_header(column.header, natural)
        narrowest = max(map(len, header.split("\n")))
        return _ColumnLayout(
            header=header,
            cells=cells,
            is_text=is_text,
            least=max(least, narrowest),
            natural=max(natural, narrowest),
            strip=table.strip if table.strip and table.strip.interval == column.key else None,
            opens=column.opens,
        )

    def block(self, table: Table, lanes: Sequence[_ColumnLayout], gap: int) -> None:
        grid = Grid(
            box=self.box,
            show_edge=False,
            pad_edge=False,
            padding=(0, gap - 1, 0, 0),  # the box itself puts one blank between columns
            header_style="dim",
            border_style="dim",
        )
        columns: list[tuple[Text, ...]] = []
        spare = self.width + gap - sum(lane.least + gap for lane in lanes)
        strip = STRIP_WIDTHS[0] + gap
        is_drawn = any(lane.strip for lane in lanes) and spare >= strip
        spare -= strip if is_drawn else 0
        widths: list[int] = []
        for lane in lanes:
            widths.append(min(lane.natural, lane.least + spare))
            spare -= widths[-1] - lane.least
        for lane, width in zip(lanes, widths, strict=True):
            justify = "left" if lane.is_text else "right"
            grid.add_column(Text(lane.header), justify=justify, width=width)
            columns.append(lane.cells)
            if is_drawn and lane.strip:
                width_drawn = min(STRIP_WIDTHS[0] + spare, STRIP_WIDTHS[1])
                header, cells = self.strip(table, lane.strip, width_drawn)
                grid.add_column(Text(header), width=width_drawn)
                columns.append(cells)
        for row in zip(*columns, strict=True):
            grid.add_row(*row)
        self.console.print(grid)

    def strip(self, table: Table, strip: Strip, width: int) -> tuple[str, tuple[Text, ...]]:
        """Scale and rows of a strip."""
        at = {column.key: i for i, column in enumerate(table.columns)}
        spans = [row[at[strip.interval]] for row in table.rows]
        intervals = [span.interval for span in spans if isinstance(span, IntervalCell)]
        axis = (
            axis_for(intervals, strip.margin or 0.0, width=width)
            if strip.axis is None
            else StripAxis(low=strip.axis[0], high=strip.axis[1], width=width, margin=strip.margin)
        )
        drawn: list[Text] = []
        for row, interval in zip(table.rows, intervals, strict=True):
            estimate = row[at[strip.estimate]]
            assert isinstance(estimate, Number)
            styles = (_STYLES[value.tone] for value in row if isinstance(value, Words))
            line = draw_strip(axis, estimate.value, interval, self.glyphs)
            drawn.append(Text(line, style=next(filter(None, styles), "")))
        return strip_header(axis), tuple(drawn)


def _break_header(header: str, width: int) -> str:
    """Break a header at spaces into two lines at most, within ``width`` if that can be."""
    least = max(width, *map(len, header.split()))
    folded = (textwrap.wrap(header, w) for w in range(least, max(least, len(header)) + 1))
    return "\n".join(next(lines for lines in folded if len(lines) <= 2))


def _split_into_blocks(
    lanes: Sequence[_ColumnLayout], width: int, gap: int
) -> Iterator[list[_ColumnLayout]]:
    """Spread lanes over blocks of ``width`` columns, each beginning with the first lane.

    A block ends before a lane that ``opens`` a group if the group does not fit beside what is there
    and its strip; within a group only if a lane does not fit.
    """
    block = [lanes[0]]
    for i, lane in enumerate(lanes[1:], 1):
        group = [lane, *itertools.takewhile(lambda later: not later.opens, lanes[i + 1 :])]
        wanted = [*block, *group] if lane.opens else [*block, lane]
        room = width + gap - sum(old.least + gap for old in wanted)
        if lane.opens and any(old.strip for old in block):
            room -= STRIP_WIDTHS[0] + gap
        if len(block) > 1 and room < 0:
            yield block
            block = [lanes[0]]
        block.append(lane)
    yield block


def _format_value(value: Value) -> tuple[str, str]:
    """Text and style of a cell."""
    match value:
        case Words():
            return value.text, _STYLES[value.tone]
        case Number():
            return say_number(value.value, value.form), ""
        case IntervalCell():
            return say_ends(value.interval.low, value.interval.high, value.form), ""


# Intervals drawn in characters on a common axis: ``├──●──┤``, or ``[--o--]`` in ASCII.


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
class StripAxis:
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


def axis_for(intervals: Iterable[Interval], margin: float, *, width: int) -> StripAxis:
    """An axis that holds zero, the margin and every finite interval, out to the next 5 points."""
    ends = [0.0, margin, *(end for i in intervals for end in (i.low, i.high) if math.isfinite(end))]
    low, high = math.floor(min(ends) * 20) / 20, math.ceil(max(ends) * 20) / 20
    return StripAxis(low=low, high=max(high, low + 0.05), width=width, margin=margin)


def draw_strip(axis: StripAxis, estimate: float | None, interval: Interval, glyphs: Glyphs) -> str:
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


def strip_header(axis: StripAxis) -> str:
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


# Two curves over size, drawn in characters: every row within the width, no colour needed.


HEIGHT = 11
"""Rows of the field: one for each 10 points."""
WIDEST = 76
"""Columns of the field at most: more says nothing more."""
_LEFT = 6  # columns of the labels of the vertical axis and the axis itself
_UNICODE = {"upper": "●", "lower": "○", "both": "◉", "line": "·", "axis": "│", "floor": "─"}
_ASCII = {"upper": "o", "lower": "x", "both": "8", "line": ".", "axis": "|", "floor": "-"}


def draw_figure(figure: Figure, *, width: int, is_unicode: bool) -> list[str]:
    """Legend, field, axis with its ticks, and the bracket marked below it.

    Places that are equal at this size share a mark; a tick that would touch the one before it is
    left out.
    """
    marks = _UNICODE if is_unicode else _ASCII
    n_columns = min(width - _LEFT - 2, WIDEST)
    at = _figure_columns(figure.x, n_columns)
    field = [[" "] * n_columns for _ in range(HEIGHT)]
    for curve in (figure.lower, figure.upper):
        for column, row in _line_cells(at, curve.y):
            field[row][column] = marks["line"]
    for y, mark in ((figure.lower.y, "lower"), (figure.upper.y, "upper")):
        for column, value in zip(at, y, strict=True):
            if math.isfinite(value):
                row = _figure_row(value)
                is_shared = mark == "upper" and field[row][column] == marks["lower"]
                field[row][column] = marks["both" if is_shared else mark]
    legend = (
        f"{marks['upper']} {printable(figure.upper.name)}   {marks['lower']} "
        f"{printable(figure.lower.name)}   {marks['both']} both   (solve rate in %)"
    )
    floor = f"{'':{_LEFT - 1}}{'└' if is_unicode else '+'}{marks['floor'] * (n_columns + 1)}"
    return [
        legend,
        *(
            f"{_row_label(row):>{_LEFT - 2}} {marks['axis']}{''.join(cells)}".rstrip()
            for row, cells in enumerate(field)
        ),
        floor,
        *_draw_below(figure, at, n_columns, is_unicode=is_unicode),
    ]


def _figure_columns(x: Sequence[float], n: int) -> list[int]:
    low, high = x[0], x[-1]
    return [round((value - low) / (high - low) * (n - 1)) for value in x]


def _figure_row(value: float) -> int:
    return round((1 - min(max(value, 0.0), 1.0)) * (HEIGHT - 1))


def _row_label(row: int) -> str:
    share = 100 * (1 - row / (HEIGHT - 1))
    return f"{share:.0f}" if row % 5 == 0 else ""


def _line_cells(at: Sequence[int], y: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Cells between neighbours that were both measured."""
    for (left, low), (right, high) in pairwise(zip(at, y, strict=True)):
        if math.isfinite(low) and math.isfinite(high):
            for column in range(left + 1, right):
                yield column, _figure_row(low + (high - low) * (column - left) / (right - left))


def _draw_below(
    figure: Figure, at: Sequence[int], n_columns: int, *, is_unicode: bool
) -> Iterator[str]:
    if figure.bracket is not None:
        low, high = (at[i] for i in figure.bracket)
        fill, words = "═" if is_unicode else "=", "help begins"
        inside, start = fill * (high - low - 1), _LEFT + low
        if high + 2 + len(words) <= n_columns:
            line = f"({inside}] {words}"
        elif start > len(words):
            line, start = f"{words} ({inside}]", start - len(words) - 1
        else:
            line = f"({f' {words} '.center(len(inside), fill)}]"
        yield f"{'':{start}}{line}"
    cells = [" "] * (n_columns + 2)
    for column, tick in zip(at, figure.ticks, strict=True):
        text = printable(tick)
        start = min(max(column - len(text) // 2, 0), len(cells) - len(text))
        around = cells[max(start - 1, 0) : start + len(text) + 1]
        if start >= 0 and all(cell == " " for cell in around):
            cells[start : start + len(text)] = text
    yield f"{'':{_LEFT}}{''.join(cells)}".rstrip()
    yield f"{'':{_LEFT}}{figure.axis}"
