"""A report for the terminal: the answer first, then dense tables with interval strips.

A table too wide for the terminal goes on in a second block that repeats its first column, and a
strip without room is not drawn: no number is dropped. Colour only repeats what the words say.
"""

from __future__ import annotations

import io
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from cotkit.report.document import Document, Number, Span, Strip, Table, Tone, Value, Words
from cotkit.report.plot import draw_figure
from cotkit.report.strip import ASCII, UNICODE, Axis, axis_for, draw, scale
from cotkit.report.words import printable, say_ends, say_number

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
class _Lane:
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


def terminal(document: Document, *, width: int, color: bool, encoding: str) -> str:
    """Lines of at most ``width`` columns (60 and more), with escape codes if ``color``."""
    is_unicode = encoding.lower().replace("-", "").replace("_", "") in _UTF8
    page = _Page(width=width, color=color, is_unicode=is_unicode)
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


class _Page:
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
        layouts = {gap: list(_blocks(lanes, self.width, gap)) for gap in GAPS}
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

    def lane(self, table: Table, i: int) -> _Lane:
        """Column ``i`` of a table, measured."""
        column = table.columns[i]
        cells = tuple(self.cell(*_say(row[i])) for row in table.rows)
        natural = max(cell_len(cell.plain) for cell in cells)
        is_text = isinstance(table.rows[0][i], Words)
        words = [word for cell in cells for word in cell.plain.split(" ")]
        least = min(max(map(cell_len, words)), LONGEST_WORD) if is_text else natural
        header = _in_two_lines(column.header, natural)
        narrowest = max(map(len, header.split("\n")))
        return _Lane(
            header=header,
            cells=cells,
            is_text=is_text,
            least=max(least, narrowest),
            natural=max(natural, narrowest),
            strip=table.strip if table.strip and table.strip.interval == column.key else None,
            opens=column.opens,
        )

    def block(self, table: Table, lanes: Sequence[_Lane], gap: int) -> None:
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
        intervals = [span.interval for span in spans if isinstance(span, Span)]
        axis = (
            axis_for(intervals, strip.margin or 0.0, width=width)
            if strip.axis is None
            else Axis(low=strip.axis[0], high=strip.axis[1], width=width, margin=strip.margin)
        )
        drawn: list[Text] = []
        for row, interval in zip(table.rows, intervals, strict=True):
            estimate = row[at[strip.estimate]]
            assert isinstance(estimate, Number)
            styles = (_STYLES[value.tone] for value in row if isinstance(value, Words))
            line = draw(axis, estimate.value, interval, self.glyphs)
            drawn.append(Text(line, style=next(filter(None, styles), "")))
        return scale(axis), tuple(drawn)


def _in_two_lines(header: str, width: int) -> str:
    """Break a header at spaces into two lines at most, within ``width`` if that can be."""
    least = max(width, *map(len, header.split()))
    folded = (textwrap.wrap(header, w) for w in range(least, max(least, len(header)) + 1))
    return "\n".join(next(lines for lines in folded if len(lines) <= 2))


def _blocks(lanes: Sequence[_Lane], width: int, gap: int) -> Iterator[list[_Lane]]:
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


def _say(value: Value) -> tuple[str, str]:
    """Text and style of a cell."""
    match value:
        case Words():
            return value.text, _STYLES[value.tone]
        case Number():
            return say_number(value.value, value.form), ""
        case Span():
            return say_ends(value.interval.low, value.interval.high, value.form), ""
