"""Comparisons and scale analyses as pages: terminal, Markdown, JSON, CSV, LaTeX, lm-eval."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.analysis.scale.values import Scale
from cotkit.analysis.values import Comparison
from cotkit.errors import UnknownNameError, UsageError
from cotkit.labs.findings import LabReport
from cotkit.report.comparison_tables import comparison_document as arrange
from cotkit.report.document import Document

FORMATS = ("table", "markdown", "json", "csv", "latex", "lm-eval")
"""What :func:`render` can make."""


def render(
    found: Comparison | Scale | Sequence[Scale] | LabReport,
    format: str,  # noqa: A002 - the word that users and the command line know
    *,
    width: int = 80,
    color: bool = False,
    timing: bool = False,
    reach: float | None = None,
    encoding: str = "utf-8",
) -> str:
    """Write a comparison or scale analyses out; ends in a newline.

    Args:
        found: What the analysis found; several scale analyses begin with what sums them up. What a
            lab found has every format but lm-eval's.
        format: One of :data:`FORMATS`.
        width: Columns of the terminal; laid out for 60 and more. Other formats ignore it.
        color: Whether the terminal format may use escape codes (``NO_COLOR`` still drops colours).
        timing: Adds measured seconds; without them, equal rows give equal bytes.
        reach: Of scale analyses: the cheapest that reach this solve rate (0..1) are named.
        encoding: Of the stream it will be written to; the terminal format draws in ASCII unless
            this is UTF-8.

    Raises:
        UnknownNameError: no such format.
        UsageError: lm-eval's format, of scale analyses that are not of runs, or of a lab.
    """
    if format == "lm-eval":
        return _render_lm_eval(found)
    schema, documents = _make_documents(found, timing=timing, reach=reach)
    match format:
        case "table":
            from cotkit.report.terminal import to_terminal

            pages = [
                to_terminal(one, width=width, color=color, encoding=encoding) for one in documents
            ]
            return "\n".join(pages)
        case "markdown":
            from cotkit.report.formats import to_markdown

            return "\n".join(map(to_markdown, documents))
        case "json":
            from cotkit.report.formats import to_json

            return to_json(documents, schema)
        case "csv":
            from cotkit.report.formats import to_csv

            return to_csv(documents[1:] or documents)  # the first of several only sums them up
        case "latex":
            from cotkit.report.formats import to_latex

            return "\n".join(map(to_latex, documents))
        case _:
            raise UnknownNameError("report format", format, FORMATS)


def _make_documents(
    found: Comparison | Scale | Sequence[Scale] | LabReport, *, timing: bool, reach: float | None
) -> tuple[str, Sequence[Document]]:
    """The name of the JSON that it becomes, and its documents."""
    from cotkit.report.formats import COMPARISON_SCHEMA, LAB_SCHEMA, SCALE_SCHEMA

    if isinstance(found, Comparison):
        return COMPARISON_SCHEMA, (arrange(found, timing=timing),)
    if isinstance(found, LabReport):
        from cotkit.labs.report import lab_document

        return LAB_SCHEMA, (lab_document(found),)
    from cotkit.report.scale_tables import scale_documents

    return SCALE_SCHEMA, scale_documents(_as_scales(found), reach=reach, timing=timing)


def _as_scales(found: Scale | Sequence[Scale]) -> tuple[Scale, ...]:
    return (found,) if isinstance(found, Scale) else tuple(found)


def _render_lm_eval(found: Comparison | Scale | Sequence[Scale] | LabReport) -> str:
    if isinstance(found, LabReport):
        raise UsageError("what a lab found has no lm-eval format", hint="--format json")
    from cotkit.report.lm_eval import lm_eval_comparison, lm_eval_scales

    if isinstance(found, Comparison):
        return lm_eval_comparison(found)
    return lm_eval_scales(_as_scales(found))
