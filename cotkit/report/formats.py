"""A report as Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence

from cotkit.inputs import parse_number
from cotkit.printable import printable, printable_json
from cotkit.report.document import (
    Column,
    Document,
    IntervalCell,
    Number,
    Table,
    Value,
    Words,
    say_ends,
    say_number,
)
from cotkit.report.terminal import draw_figure

# GitHub-flavoured Markdown.


_FIGURE_WIDTH = 80
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&])")


def to_markdown(document: Document) -> str:
    """Return the answer, the caption, one pipe table for each section, the notes."""
    parts = [f"**{_escape_markdown(sentence)}**" for sentence in document.headline]
    if document.warnings:
        parts.append(f"Warnings: {_escape_markdown(' · '.join(document.warnings))}")
    parts += map(_escape_markdown, document.closing)
    parts.append(_escape_markdown(" · ".join(document.caption)))
    for table in document.tables:
        if table.rows:
            parts += [
                f"## {table.title}",
                "\n".join(_markdown_lines(table)),
                _escape_markdown(table.note),
            ]
            for figure in table.figures:
                lines = draw_figure(figure, width=_FIGURE_WIDTH, is_unicode=True)
                parts.append("\n".join(("```text", *lines, "```")))
    if document.notes:
        parts += ["## Notes", "\n".join(f"- {_escape_markdown(note)}" for note in document.notes)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _markdown_lines(table: Table) -> Iterator[str]:
    yield _markdown_line(column.header for column in table.columns)
    yield _markdown_line("---" if isinstance(value, Words) else "---:" for value in table.rows[0])
    for row in table.rows:
        yield _markdown_line(_markdown_value(value) for value in row)


def _markdown_line(cells: Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_value(value: Value) -> str:
    match value:
        case Words():
            text = _escape_markdown(value.text)
            return f"**{text}**" if value.tone == "warn" else text
        case Number():
            return _escape_markdown(say_number(value.value, value.form))
        case IntervalCell():
            return say_ends(value.interval.low, value.interval.high, value.form)


def _escape_markdown(text: str) -> str:
    return _MARKDOWN_SPECIAL.sub(r"\\\1", printable(text))


# LaTeX, to be pasted into a paper: booktabs tables, everything escaped.


_LATEX_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        **{c: "\\" + c for c in "&%$#_{}"},
        "[": "{[}",  # after a row's \\ a bare one would open an optional argument
    }
)


def to_latex(document: Document) -> str:
    """Return the answer, one ``table`` for each section, captioned with the runs, and the notes."""
    parts = [r"% needs \usepackage{booktabs}"]
    parts += [_escape_latex(sentence) for sentence in (*document.headline, *document.closing)]
    caption = _escape_latex(", ".join(document.caption))
    parts += ["\n".join(_latex_lines(table, caption)) for table in document.tables if table.rows]
    parts += [rf"\emph{{Note:}} {_escape_latex(note)}" for note in document.notes]
    return "\n\n".join(parts) + "\n"


def _latex_lines(table: Table, caption: str) -> Iterator[str]:
    title = _escape_latex(table.title)
    stop = "" if title.endswith("?") else "."
    yield from (r"\begin{table}", r"\centering", r"\small", r"\setlength{\tabcolsep}{4pt}")
    note = f" {_escape_latex(table.note)}." if table.note else ""
    yield rf"\caption{{{title}{stop} {caption}.{note}}}"
    alignment = "".join(map(_latex_alignment, zip(*table.rows, strict=True)))
    yield from (rf"\begin{{tabular}}{{{alignment}}}", r"\toprule")
    yield _latex_line(_escape_latex(column.header) for column in table.columns)
    yield r"\midrule"
    for row in table.rows:
        yield _latex_line(map(_latex_value, row))
    yield from (r"\bottomrule", r"\end{tabular}", r"\end{table}")


def _latex_alignment(column: Sequence[Value]) -> str:
    if not isinstance(column[0], Words):
        return "r"
    is_long = any(isinstance(value, Words) and len(value.text) > _LONG for value in column)
    return r"p{0.7\linewidth}" if is_long else "l"


_LONG = 100  # characters of words that are broken into lines


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_value(value: Value) -> str:
    match value:
        case Words():
            text = _escape_latex(value.text)
            return rf"\textbf{{{text}}}" if value.tone == "warn" else text
        case Number():
            return _signed(say_number(value.value, value.form))
        case IntervalCell():
            return _signed(say_ends(value.interval.low, value.interval.high, value.form))


def _signed(text: str) -> str:
    return _escape_latex(text).replace("-", "$-$").replace("+", "$+$")


def _escape_latex(text: str) -> str:
    return printable(text).translate(_LATEX_SPECIAL)


# One tidy CSV: a row for each row of each table, so that runs can be concatenated.
#
# Every row repeats the facts of its run; ``section`` names the table; a cell is empty where its
# table has no such column or the value is missing. Sentences and notes are left to the other
# formats.


_FORMULA = re.compile("(^|;)(?= *[-=+@＝＋－＠])")
"""Where a spreadsheet would begin a formula; some begin a cell after a semicolon."""


def to_csv(documents: Sequence[Document], *, raw: bool = False) -> str:
    """Return header and rows, full precision, Unix line ends.

    Words are made printable, and an apostrophe stands before what a spreadsheet would take for a
    formula; ``raw``: words as they are.
    """
    records: list[dict[str, str]] = []
    fact_keys = (key for document in documents for key, _ in document.facts)
    header = dict.fromkeys(("section", *fact_keys))
    for document in documents:
        facts = {key: _csv_field(value, raw=raw) for key, value in document.facts}
        for table in document.tables:
            for row in table.rows:
                cells = dict(
                    pair
                    for column, value in zip(table.columns, row, strict=True)
                    for pair in _csv_fields(column, value, raw=raw)
                )
                header |= dict.fromkeys(cells)
                records.append({"section": table.key, **facts, **cells})
    out = io.StringIO()
    writer = csv.DictWriter(out, list(header), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def _csv_fields(column: Column, value: Value, *, raw: bool) -> Iterator[tuple[str, str]]:
    if isinstance(value, Words):
        yield column.key, _csv_field(value.raw, raw=raw)
    elif isinstance(value, Number):
        yield column.key, _csv_field(value.value)
    else:
        yield f"{column.key}_low", _csv_field(value.interval.low)
        yield f"{column.key}_high", _csv_field(value.interval.high)
        yield f"{column.key}_level", _csv_field(value.interval.level)


def _csv_field(value: str | float | None, *, raw: bool = True) -> str:
    if isinstance(value, str) and not raw and parse_number(value) is None:
        return _FORMULA.sub(r"\1'", printable(value))
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


# JSON: full precision, fixed key order, NaN as null.


COMPARISON_SCHEMA = "cotkit.comparison/1"
"""Changes when a key is renamed, removed or changes meaning; a new key leaves it alone."""
SCALE_SCHEMA = "cotkit.scale/2"
"""The same for scale analyses."""


def to_json(documents: Sequence[Document], schema: str) -> str:
    """Return indented JSON: rates and gains as fractions, intervals as ``{low, high, level}``.

    Of several documents, the first holds the others in its list ``parts``.
    """
    first, *others = documents
    page = {"schema": schema, **_json_document(first)}
    if others:
        page["parts"] = [_json_document(document) for document in others]
    return printable_json(json.dumps(page, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def _json_document(document: Document) -> dict[str, object]:
    page: dict[str, object] = {"answer": document.headline}
    page |= dict(document.facts)
    tables: dict[str, list[dict[str, object]]] = {}
    for table in document.tables:
        tables.setdefault(table.key, []).extend(_json_records(table))
    page |= tables
    page["notes"] = document.notes
    return page


def _json_records(table: Table) -> list[dict[str, object]]:
    keys = [column.key for column in table.columns]
    return [dict(zip(keys, map(_json_value, row), strict=True)) for row in table.rows]


def _json_value(value: Value) -> object:
    if isinstance(value, Words):
        return value.raw
    if isinstance(value, Number):
        return _finite(value.value)
    i = value.interval
    return {"low": _finite(i.low), "high": _finite(i.high), "level": i.level}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
