"""Comparisons as pages: terminal, Markdown, JSON, CSV, LaTeX."""

from __future__ import annotations

from cotkit.analysis.results import Comparison
from cotkit.errors import UnknownNameError
from cotkit.report.content import content as arrange

FORMATS = ("table", "markdown", "json", "csv", "latex")
"""What :func:`render` can make."""


def render(
    comparison: Comparison,
    format: str,  # noqa: A002 - the word that users and the command line know
    *,
    width: int = 80,
    color: bool = False,
    timing: bool = False,
    encoding: str = "utf-8",
) -> str:
    """Write a comparison out; ends in a newline.

    Args:
        comparison: What the analysis found.
        format: One of :data:`FORMATS`.
        width: Columns of the terminal; laid out for 60 and more. Other formats ignore it.
        color: Whether the terminal format may use escape codes (``NO_COLOR`` still drops colours).
        timing: Adds measured seconds; without them, equal rows give equal bytes.
        encoding: Of the stream it will be written to; the terminal format draws in ASCII unless
            this is UTF-8.

    Raises:
        UnknownNameError: no such format.
    """
    document = arrange(comparison, timing=timing)
    match format:
        case "table":
            from cotkit.report.terminal import terminal

            return terminal(document, width=width, color=color, encoding=encoding)
        case "markdown":
            from cotkit.report.markdown import markdown

            return markdown(document)
        case "json":
            from cotkit.report.jsonfmt import to_json

            return to_json(document)
        case "csv":
            from cotkit.report.csvfmt import to_csv

            return to_csv(document)
        case "latex":
            from cotkit.report.latex import latex

            return latex(document)
        case _:
            raise UnknownNameError("report format", format, FORMATS)
