"""A report as LaTeX, to be pasted into a paper: booktabs tables, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cotkit.report.document import Document, Number, Span, Table, Value, Words
from cotkit.report.words import printable, say_ends, say_number

_SPECIAL = str.maketrans(
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


def latex(document: Document) -> str:
    """The answer, one ``table`` for each section (captioned with what was compared), the notes."""
    parts = [r"% needs \usepackage{booktabs}"]
    parts += [_escape(sentence) for sentence in document.headline]
    compared = _escape(", ".join(document.caption))
    parts += ["\n".join(_lines(table, compared)) for table in document.tables if table.rows]
    parts += [rf"\emph{{Note:}} {_escape(note)}" for note in document.notes]
    return "\n\n".join(parts) + "\n"


def _lines(table: Table, compared: str) -> Iterator[str]:
    title = _escape(table.title)
    stop = "" if title.endswith("?") else "."
    yield from (r"\begin{table}", r"\centering", r"\small", r"\setlength{\tabcolsep}{4pt}")
    yield rf"\caption{{{title}{stop} {compared}. {_escape(table.note)}.}}"
    alignment = "".join("l" if isinstance(value, Words) else "r" for value in table.rows[0])
    yield from (rf"\begin{{tabular}}{{{alignment}}}", r"\toprule")
    yield _line(_escape(column.header) for column in table.columns)
    yield r"\midrule"
    for row in table.rows:
        yield _line(map(_say, row))
    yield from (r"\bottomrule", r"\end{tabular}", r"\end{table}")


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _say(value: Value) -> str:
    match value:
        case Words():
            text = _escape(value.text)
            return rf"\textbf{{{text}}}" if value.tone == "warn" else text
        case Number():
            return _signed(say_number(value.value, value.form))
        case Span():
            return _signed(say_ends(value.interval.low, value.interval.high, value.form))


def _signed(text: str) -> str:
    return _escape(text).replace("-", "$-$").replace("+", "$+$")


def _escape(text: str) -> str:
    return printable(text).translate(_SPECIAL)
