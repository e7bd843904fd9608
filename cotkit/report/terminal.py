"""A report for the terminal: the answer first, then what fits one screen, or every table.

A table too wide for the terminal goes on in a second block that repeats its first column, and a
strip without room is not drawn: no number is dropped. Colour only repeats what the words say.
"""

from __future__ import annotations

import io
import itertools
import math
import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from cotkit.analysis.values import Aside
from cotkit.printable import printable
from cotkit.report.document import (
    Document,
    Figure,
    IntervalCell,
    Number,
    Screen,
    Strip,
    Table,
    Tone,
    Value,
    Words,
    say_ends,
    say_number,
)
from cotkit.stats.intervals import Interval

MOST_SENTENCES = 8
"""Answers in words on the first screen, at most."""
ROOM = 33
"""Lines of the first screen up to which notes are printed: hints and the prompt follow."""
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


def to_terminal(
    document: Document,
    *,
    width: int,
    color: bool,
    encoding: str,
    full: bool = True,
    show: Collection[str] = (),
    hints: Sequence[str] = (),
) -> str:
    """Return lines of at most ``width`` columns (40 and more), with escape codes if ``color``.

    The answer and its warnings always come first. After them: of ``show``, the sections with these
    keys; else all of them if ``full``, or what fits one screen.
    """
    is_unicode = encoding.lower().replace("-", "").replace("_", "") in _UTF8
    page = _TextPage(width=width, color=color, is_unicode=is_unicode)
    screen = None if full or show else document.screen
    if screen is not None and len(document.headline) > MOST_SENTENCES:
        page.say(f"{len(document.headline)} answers, a row each; in words: --full", "bold")
    else:
        for sentence in document.headline:
            page.say(sentence, "bold", indent=2)
    if document.warnings:
        page.say_phrases((f"warnings: {document.warnings[0]}", *document.warnings[1:]), "yellow")
    for sentence in document.closing:
        page.say(sentence, indent=2)
    page.say_phrases(document.caption, "dim")
    if screen is None:
        _print_sections(page, document, show)
    else:
        _print_screen(page, document, screen)
    if hints:
        page.say("")
    keys = dict.fromkeys(table.key for table in document.tables if table.rows)
    sections = ", ".join((*keys, *(["notes"] if document.notes else [])))
    for hint in hints:
        page.say(hint.replace("{sections}", sections), "dim", indent=2)
    return page.getvalue()


def _print_sections(page: _TextPage, document: Document, show: Collection[str]) -> None:
    """Print whole tables and the notes: all of them, or those of ``show``."""
    short = document.screen.tables if document.screen and "answer" in show else ()
    for table in (*short, *document.tables):
        if table.rows and (not show or table.key in show):
            page.print_table(table)
    if document.notes and (not show or "notes" in show):
        page.print_notes(document.notes)
    present = {table.key for table in document.tables if table.rows} | {"answer", "notes"}
    if absent := [key for key in show if key not in present]:
        page.say("")
        page.say(f"nothing here: {', '.join(absent)}", "dim")


def _print_screen(page: _TextPage, document: Document, screen: Screen) -> None:
    """Print what fits one screen below the answer."""
    for figure in screen.figures:
        page.say("")
        page.print_figure(figure, height=LOW)
    for table in screen.tables:
        if table.rows:
            page.print_table(table)
    notes = [note for note in document.notes if not isinstance(note, Aside)]
    if screen.lines or notes:
        page.say("")
    more = page.say_while_room(screen.lines)
    if more:
        page.say(f"and {more} more that DIFFER: --show variants,metric_gains", "yellow")
    more = page.say_while_room([f"note: {note}" for note in notes])
    if more:
        page.say(f"and {more} more notes: --show notes", "yellow")


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

    def getvalue(self) -> str:
        return "".join(f"{line.rstrip()}\n" for line in self.out.getvalue().splitlines())

    def say(self, text: str, style: str = "", *, indent: int = 0) -> None:
        """Print a paragraph, all its lines but the first indented."""
        lines = self.make_text(text, style).wrap(self.console, self.width - indent)
        for i, line in enumerate(lines):
            self.console.print(Text(" " * indent if i else "") + line)

    def say_phrases(self, phrases: Sequence[str], style: str) -> None:
        """Print phrases with a dot between, breaking lines only there."""
        line = ""
        for phrase in phrases:
            longer = f"{line} {self.glyphs.dot} {phrase}" if line else phrase
            if line and cell_len(self.make_text(longer).plain) > self.width:
                self.say(line, style)
                longer = phrase
            line = longer
        self.say(line, style)

    def make_text(self, text: str, style: str = "") -> Text:
        """Return text without markup, escaped where stream or terminal could not show it."""
        escaped = printable(text)
        if not self.is_unicode:
            escaped = escaped.encode("ascii", "backslashreplace").decode()
        return Text(escaped, style=style, overflow="fold")

    def say_while_room(self, texts: Sequence[str]) -> int:
        """Print what fits the first screen, the first of them in any case; return the others."""
        for i, text in enumerate(texts):
            if i and len(self.out.getvalue().splitlines()) >= ROOM:
                return len(texts) - i
            self.say(text, "yellow", indent=2)
        return 0

    def print_notes(self, notes: Sequence[str]) -> None:
        self.say("")
        for note in notes:
            self.say(f"note: {note}", "yellow", indent=2)

    def print_figure(self, figure: Figure, *, height: int) -> None:
        drawn = draw_figure(figure, width=self.width, is_unicode=self.is_unicode, height=height)
        for line in drawn:
            self.console.print(self.make_text(line), no_wrap=True)

    def print_table(self, table: Table) -> None:
        self.say("")
        if table.title:
            self.say(table.title, "bold")
        columns = [
            self.measure_column(table, i)
            for i, column in enumerate(table.columns)
            if not column.drawn
        ]
        layouts = {gap: list(_split_into_blocks(columns, self.width, gap)) for gap in GAPS}
        needs_strip = any(column.drawn for column in table.columns)
        gap = min(
            GAPS,
            key=lambda gap: (
                len(layouts[gap]),
                needs_strip and not all(self.has_strip(block, gap) for block in layouts[gap]),
            ),
        )
        for i, block in enumerate(layouts[gap]):
            if i:
                self.say("")
            self.print_block(table, block, gap)
        marks = f"strip: {self.glyphs.zero} zero, {self.glyphs.margin} margin"
        is_marked = table.strip and table.strip.margin is not None
        if note := "; ".join(filter(None, (table.note, marks if is_marked else ""))):
            self.say(note, "dim")
        for figure in table.figures:
            self.say("")
            self.print_figure(figure, height=HIGH)

    def measure_column(self, table: Table, i: int) -> _ColumnLayout:
        """Measure column ``i`` of a table."""
        column = table.columns[i]
        cells = tuple(self.make_text(*_format_value(row[i])) for row in table.rows)
        natural = max(cell_len(cell.plain) for cell in cells)
        is_text = all(isinstance(row[i], Words) for row in table.rows)
        words = [word for cell in cells for word in _SPACE.split(cell.plain)]
        least = min(max(map(cell_len, words)), LONGEST_WORD) if is_text else natural
        header = _break_header(column.header, natural)
        narrowest = max(map(len, header.split("\n")))
        return _ColumnLayout(
            header=header,
            cells=cells,
            is_text=is_text,
            least=max(least, narrowest),
            natural=max(natural, narrowest),
            strip=table.strip if column.key == _strip_place(table) else None,
            opens=column.opens,
        )

    def has_strip(self, block: Sequence[_ColumnLayout], gap: int) -> bool:
        """Return whether a block has a strip, and the room to draw it."""
        spare = self.width + gap - sum(column.least + gap for column in block)
        return any(column.strip for column in block) and spare >= STRIP_WIDTHS[0] + gap

    def print_block(self, table: Table, block: Sequence[_ColumnLayout], gap: int) -> None:
        grid = Grid(
            box=self.box,
            show_edge=False,
            pad_edge=False,
            padding=(0, gap - 1, 0, 0),  # the box itself puts one blank between columns
            header_style="dim",
            border_style="dim",
        )
        cell_columns: list[tuple[Text, ...]] = []
        spare = self.width + gap - sum(column.least + gap for column in block)
        is_drawn = self.has_strip(block, gap)
        spare -= STRIP_WIDTHS[0] + gap if is_drawn else 0
        widths: list[int] = []
        for column in block:
            widths.append(min(column.natural, column.least + spare))
            spare -= widths[-1] - column.least
        for column, width in zip(block, widths, strict=True):
            justify = "left" if column.is_text else "right"
            grid.add_column(Text(column.header), justify=justify, width=width)
            cell_columns.append(tuple(_break_names(cell, width) for cell in column.cells))
            if is_drawn and column.strip:
                width_drawn = min(STRIP_WIDTHS[0] + spare, STRIP_WIDTHS[1])
                header, cells = self.draw_strips(table, column.strip, width_drawn)
                grid.add_column(Text(header), width=width_drawn)
                cell_columns.append(cells)
        for row in zip(*cell_columns, strict=True):
            grid.add_row(*row)
        self.console.print(grid)

    def draw_strips(self, table: Table, strip: Strip, width: int) -> tuple[str, tuple[Text, ...]]:
        """Draw the header and the rows of a strip."""
        keys = [column.key for column in table.columns]
        estimates = [row[keys.index(strip.estimate)] for row in table.rows]
        cells = [row[keys.index(strip.interval)] for row in table.rows]
        intervals = [cell.interval for cell in cells if isinstance(cell, IntervalCell)]
        axis = (
            axis_for(intervals, strip.margin or 0.0, width=width)
            if strip.axis is None
            else StripAxis(low=strip.axis[0], high=strip.axis[1], width=width, margin=strip.margin)
        )
        lines: list[Text] = []
        for row, estimate, interval in zip(table.rows, estimates, intervals, strict=True):
            assert isinstance(estimate, Number)
            styles = (_STYLES[value.tone] for value in row if isinstance(value, Words))
            line = draw_strip(axis, estimate.value, interval, self.glyphs)
            lines.append(Text(line, style=next(filter(None, styles), "")))
        return strip_header(axis), tuple(lines)


_SPACE = re.compile(r" (?![kMBT]\b)")
"""Where a cell may be broken: never between a number and its unit."""


_SEAM = re.compile(r"(?<=[:,;/+&|])|(?<=-)(?=[^\W\d])")
"""Where a long name is best broken: within a value never."""


def _break_names(cell: Text, width: int) -> Text:
    """Return a cell whose words that are wider than its column are broken at their seams."""
    if all(cell_len(word) <= width for word in cell.plain.split()):
        return cell
    words: list[str] = []
    for word in cell.plain.split(" "):
        lines = [""]
        for part in _SEAM.split(word) if cell_len(word) > width else [word]:
            if lines[-1] and cell_len(lines[-1] + part) > width:
                lines.append("")
            lines[-1] += part
        words.append("\n".join(lines))
    broken = cell.copy()
    broken.plain = " ".join(words)
    return broken


def _strip_place(table: Table) -> str | None:
    """Return the key of the column that a strip follows; None: there is no strip."""
    if table.strip is None:
        return None
    is_drawn = any(c.drawn for c in table.columns if c.key == table.strip.interval)
    return table.strip.estimate if is_drawn else table.strip.interval


def _break_header(header: str, width: int) -> str:
    """Break a header at spaces into two lines at most, within ``width`` if that can be."""
    least = max(width, *map(len, header.split()))
    folded = (textwrap.wrap(header, w) for w in range(least, max(least, len(header)) + 1))
    return "\n".join(next(lines for lines in folded if len(lines) <= 2))


def _split_into_blocks(
    columns: Sequence[_ColumnLayout], width: int, gap: int
) -> Iterator[list[_ColumnLayout]]:
    """Split a table into blocks of ``width`` characters, each beginning with its first column.

    A block ends before a column that ``opens`` a group if the group does not fit beside the block
    and its strip; within a group only if a column does not fit.
    """
    block = [columns[0]]
    for i, column in enumerate(columns[1:], 1):
        group = [column, *itertools.takewhile(lambda later: not later.opens, columns[i + 1 :])]
        together = [*block, *group] if column.opens else [*block, column]
        room = width + gap - sum(member.least + gap for member in together)
        if column.opens and any(member.strip for member in block):
            room -= STRIP_WIDTHS[0] + gap
        if len(block) > 1 and room < 0:
            yield block
            block = [columns[0]]
        block.append(column)
    yield block


def _format_value(value: Value) -> tuple[str, str]:
    """Return text and style of a cell."""
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

    def column(self, value: float) -> int:
        """Return the column of a value; one outside the axis is put at its end."""
        share = (value - self.low) / (self.high - self.low)
        return round(min(max(share, 0.0), 1.0) * (self.width - 1))


def axis_for(intervals: Iterable[Interval], margin: float, *, width: int) -> StripAxis:
    """Return an axis with zero, the margin and all finite intervals, out to the next 5 points."""
    ends = [0.0, margin, *(end for i in intervals for end in (i.low, i.high) if math.isfinite(end))]
    low, high = math.floor(min(ends) * 20) / 20, math.ceil(max(ends) * 20) / 20
    return StripAxis(low=low, high=max(high, low + 0.05), width=width, margin=margin)


def draw_strip(axis: StripAxis, estimate: float | None, interval: Interval, glyphs: Glyphs) -> str:
    """Draw one row, exactly ``axis.width`` columns; only the marks where nothing is known.

    Later beats earlier: line, marks, ends, estimate. So a mark shows through an interval over it.
    """
    cells = [" "] * axis.width
    finite = math.isfinite(interval.low) and math.isfinite(interval.high)
    low, high = (axis.column(interval.low), axis.column(interval.high)) if finite else (0, -1)
    cells[low : high + 1] = glyphs.line * (high + 1 - low)
    if axis.margin is not None:
        cells[axis.column(axis.margin)] = glyphs.margin
        cells[axis.column(0.0)] = glyphs.zero
    if finite:
        cells[low], cells[high] = glyphs.low, glyphs.high
    if estimate is not None and math.isfinite(estimate):
        cells[axis.column(estimate)] = glyphs.point
    return "".join(cells)


def strip_header(axis: StripAxis) -> str:
    """Return the header of a strip: its ends and zero (or the middle), in percent."""
    signed = axis.margin is not None
    inner = 0.0 if signed else (axis.low + axis.high) / 2
    cells = [" "] * axis.width
    for value in (axis.low, axis.high, inner):
        label = f"{100 * value:{'+' if signed and value else ''}.0f}"
        start = min(max(axis.column(value) - len(label) // 2, 0), axis.width - len(label))
        around = cells[max(start - 1, 0) : start + len(label) + 1]
        if all(cell == " " for cell in around):
            cells[start : start + len(label)] = label
    return "".join(cells)


# Two curves over size, drawn in characters: every row within the width, no colour needed.


HIGH, LOW = 11, 7
"""Rows of the field: one for each 10 points, or what leaves room for more on a screen."""
WIDEST = 76
"""Columns of the field at most: more says nothing more."""
_LEFT = 6  # columns of the labels of the vertical axis and the axis itself
_UNICODE = {"arms": "●▲■◆", "controls": "○△□◇", "both": "◉", "line": "·", "axis": "│", "floor": "─"}
_ASCII = {"arms": "oAEH", "controls": "xaeh", "both": "8", "line": ".", "axis": "|", "floor": "-"}


def draw_figure(figure: Figure, *, width: int, is_unicode: bool, height: int = HIGH) -> list[str]:
    """Draw legend, field, axis with its ticks, and the brackets marked below it.

    Places of one arm and its control that are equal at this size share a mark; of more curves the
    first is drawn over the others. A tick that would touch the one before it is left out.
    """
    marks = _UNICODE if is_unicode else _ASCII
    n_columns = min(width - _LEFT - 2, WIDEST)
    columns = _figure_columns(figure.x, n_columns)
    field = [[" "] * n_columns for _ in range(height)]
    is_pair = len(figure.arms) == len(figure.controls) == 1
    curves = [
        *zip(figure.arms, itertools.cycle(marks["arms"]), strict=False),
        *zip(figure.controls, itertools.cycle(marks["controls"]), strict=False),
    ]
    for curve, _ in curves:
        places = list(zip(columns, curve.y, strict=True))
        if figure.is_joined:
            places = [place for place in places if math.isfinite(place[1])]
        for column, row in _line_cells(places, height):
            field[row][column] = marks["line"]
    for curve, mark in reversed(curves):
        for column, value in zip(columns, curve.y, strict=True):
            if math.isfinite(value):
                row = _figure_row(value, height)
                is_shared = is_pair and field[row][column] == marks["controls"][0]
                field[row][column] = marks["both"] if is_shared else mark
    names = [f"{mark} {printable(curve.name)}" for curve, mark in curves]
    names += [f"{marks['both']} both"] if is_pair else []
    floor = f"{'':{_LEFT - 1}}{'└' if is_unicode else '+'}{marks['floor'] * (n_columns + 1)}"
    return [
        *_join_names((*names, "(solve rate in %)"), width),
        *(
            f"{_row_label(row, height):>{_LEFT - 2}} {marks['axis']}{''.join(cells)}".rstrip()
            for row, cells in enumerate(field)
        ),
        floor,
        *_draw_below(figure, columns, n_columns, is_unicode=is_unicode),
    ]


def _join_names(names: Sequence[str], width: int) -> list[str]:
    """Return the legend, three blanks between its parts, in lines of ``width`` if that can be."""
    lines = [names[0]]
    for name in names[1:]:
        longer = f"{lines[-1]}   {name}"
        lines[-1:] = [longer] if cell_len(longer) <= width else [lines[-1], name]
    return lines


def _figure_columns(x: Sequence[float], n: int) -> list[int]:
    low, high = x[0], x[-1]
    return [round((value - low) / (high - low) * (n - 1)) for value in x]


def _figure_row(value: float, height: int) -> int:
    return round((1 - min(max(value, 0.0), 1.0)) * (height - 1))


def _row_label(row: int, height: int) -> str:
    share = 100 * (1 - row / (height - 1))
    return f"{share:.0f}" if 2 * row % (height - 1) == 0 else ""


def _line_cells(places: Sequence[tuple[int, float]], height: int) -> Iterator[tuple[int, int]]:
    """Yield column and row of the cells between neighbours that were both measured."""
    for (first, y_first), (last, y_last) in pairwise(places):
        if math.isfinite(y_first) and math.isfinite(y_last):
            for column in range(first + 1, last):
                rise = (y_last - y_first) * (column - first) / (last - first)
                yield column, _figure_row(y_first + rise, height)


def _draw_below(
    figure: Figure, columns: Sequence[int], n_columns: int, *, is_unicode: bool
) -> Iterator[str]:
    for words, *ends in figure.brackets:
        low, high = (columns[i] for i in ends)
        fill = "═" if is_unicode else "="
        inside, start = fill * (high - low - 1), _LEFT + low
        if high + 2 + len(words) <= n_columns:
            line = f"({inside}] {words}"
        elif start > len(words):
            line, start = f"{words} ({inside}]", start - len(words) - 1
        else:
            line = f"({f' {words} '.center(len(inside), fill)}]"
        yield f"{'':{start}}{line}"
    cells = [" "] * (n_columns + 2)
    for column, tick in zip(columns, figure.ticks, strict=True):
        text = printable(tick)
        start = min(max(column - len(text) // 2, 0), len(cells) - len(text))
        around = cells[max(start - 1, 0) : start + len(text) + 1]
        if start >= 0 and all(cell == " " for cell in around):
            cells[start : start + len(text)] = text
    yield f"{'':{_LEFT}}{''.join(cells)}".rstrip()
    yield f"{'':{_LEFT}}{figure.axis}"
