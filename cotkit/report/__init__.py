"""Comparisons and scale analyses as pages: terminal, Markdown, JSON, CSV, LaTeX, lm-eval."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.analysis.results import Comparison
from cotkit.analysis.scale.values import Scale
from cotkit.errors import UnknownNameError
from cotkit.report.content import content as arrange

FORMATS = ("table", "markdown", "json", "csv", "latex", "lm-eval")
"""What :func:`render` can make."""


def render(
    found: Comparison | Scale | Sequence[Scale],
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
        found: What the analysis found; several scale analyses begin with what sums them up.
        format: One of :data:`FORMATS`.
        width: Columns of the terminal; laid out for 60 and more. Other formats ignore it.
        color: Whether the terminal format may use escape codes (``NO_COLOR`` still drops colours).
        timing: Adds measured seconds; without them, equal rows give equal bytes.
        reach: Of scale analyses: the cheapest that reach this solve rate (0..1) are named.
        encoding: Of the stream it will be written to; the terminal format draws in ASCII unless
            this is UTF-8.

    Raises:
        UnknownNameError: no such format.
        UsageError: lm-eval's format, of scale analyses that are not of runs.
    """
    if format == "lm-eval":
        return _lm_eval(found)
    if isinstance(found, Comparison):
        documents = (arrange(found, timing=timing),)
    else:
        from cotkit.report.scale import scale_documents

        documents = scale_documents(_scales(found), reach=reach, timing=timing)
    match format:
        case "table":
            from cotkit.report.terminal import terminal

            pages = [
                terminal(one, width=width, color=color, encoding=encoding) for one in documents
            ]
            return "\n".join(pages)
        case "markdown":
            from cotkit.report.markdown import markdown

            return "\n".join(map(markdown, documents))
        case "json":
            from cotkit.report.jsonfmt import COMPARISON, SCALE, to_json

            return to_json(documents, COMPARISON if isinstance(found, Comparison) else SCALE)
        case "csv":
            from cotkit.report.csvfmt import to_csv

            return to_csv(documents[1:] or documents)  # the first of several only sums them up
        case "latex":
            from cotkit.report.latex import latex

            return "\n".join(map(latex, documents))
        case _:
            raise UnknownNameError("report format", format, FORMATS)


def _scales(found: Scale | Sequence[Scale]) -> tuple[Scale, ...]:
    return (found,) if isinstance(found, Scale) else tuple(found)


def _lm_eval(found: Comparison | Scale | Sequence[Scale]) -> str:
    from cotkit.report.lm_eval import lm_eval_comparison, lm_eval_scales

    if isinstance(found, Comparison):
        return lm_eval_comparison(found)
    return lm_eval_scales(_scales(found))
