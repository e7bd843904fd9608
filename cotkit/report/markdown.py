"""A report as GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cotkit.report.document import Document, Number, Span, Table, Value, Words
from cotkit.report.plot import draw_figure
from cotkit.report.words import printable, say_ends, say_number

_FIGURE_WIDTH = 80
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&])")


def markdown(document: Document) -> str:
    """The answer, the caption, one pipe table for each section, the notes."""
    parts = [f"**{_escape(sentence)}**" for sentence in document.headline]
    parts.append(_escape(" · ".join(document.caption)))
    for table in document.tables:
        if table.rows:
            parts += [f"## {table.title}", "\n".join(_lines(table)), _escape(table.note)]
            for figure in table.figures:
                drawn = draw_figure(figure, width=_FIGURE_WIDTH, is_unicode=True)
                parts.append("\n".join(("```text", *drawn, "```")))
    if document.notes:
        parts += ["## Notes", "\n".join(f"- {_escape(note)}" for note in document.notes)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _lines(table: Table) -> Iterator[str]:
    yield _line(column.header for column in table.columns)
    yield _line("---" if isinstance(value, Words) else "---:" for value in table.rows[0])
    for row in table.rows:
        yield _line(_say(value) for value in row)


def _line(cells: Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _say(value: Value) -> str:
    match value:
        case Words():
            text = _escape(value.text)
            return f"**{text}**" if value.tone == "warn" else text
        case Number():
            return _escape(say_number(value.value, value.form))
        case Span():
            return say_ends(value.interval.low, value.interval.high, value.form)


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", printable(text))
