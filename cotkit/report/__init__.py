"""Comparisons and scale analyses as pages: terminal, Markdown, JSON, CSV, LaTeX, lm-eval, hub."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from cotkit.analysis.values import Comparison
from cotkit.errors import UnknownNameError, UsageError
from cotkit.report.comparison_tables import comparison_document
from cotkit.report.document import Document

if TYPE_CHECKING:
    from cotkit.analysis.scale.contrasts import ModelContrasts
    from cotkit.analysis.scale.spending import Spending
    from cotkit.analysis.scale.values import Scale

_Several: TypeAlias = "Sequence[Comparison] | Sequence[Scale] | Sequence[ModelContrasts]"
Report: TypeAlias = "Comparison | Scale | ModelContrasts | Spending | _Several"
"""What :func:`render` can write down."""
RESULT_FORMATS = ("lm-eval", "model-index", "eval-results")
"""Solve rates alone, as other programs read them."""
FORMATS = ("table", "markdown", "json", "csv", "latex", "html", *RESULT_FORMATS)
"""What :func:`render` can write."""


def render(
    report: Report,
    format: str,  # noqa: A002 - the word that users and the command line know
    *,
    width: int = 80,
    color: bool = False,
    timing: bool = False,
    reach: float | None = None,
    encoding: str = "utf-8",
    full: bool = True,
    show: Collection[str] = (),
    hints: Sequence[str] = (),
    raw: bool = False,
) -> str:
    """Write a comparison or scale analyses as text; ends in a newline.

    Args:
        report: What the analysis found; several analyses, or comparisons of one model on several
            benchmarks, begin with what sums them up.
        format: One of :data:`FORMATS`; ``html``: a page without samples, which
            ``cotkit report --html`` reads from the store.
        width: Columns of the terminal; laid out for 40 and more. Other formats ignore it.
        color: Whether the terminal format may use escape codes (``NO_COLOR`` still drops colours).
        timing: Adds measured seconds; without them, equal rows give equal bytes.
        reach: Of scale analyses: the cheapest that reach this solve rate (0..1) are named.
        encoding: Of the stream it will be written to; the terminal format draws in ASCII unless
            this is UTF-8.
        full: Of the terminal format: every table; False: the answer and what fits one screen.
        show: Of the terminal format: only the sections with these keys
            (``cotkit.report.document.SECTIONS``); empty: as ``full`` says.
        hints: Last lines of the terminal format; ``{sections}`` in them stands for its sections.
        raw: Of CSV: words as they are; else hidden characters are escaped, and an apostrophe
            stands before what a spreadsheet would take for a formula.

    Raises:
        UnknownNameError: no such format.
        MissingDependencyError: ``html``, where matplotlib is not installed.
        UsageError: a format of solve rates, of analyses that are not of runs, or are of two models.
    """
    from cotkit.report.formats import COMPARISON_SCHEMA, SCALE_SCHEMA

    contrasts = _as_contrasts(report)
    if format in RESULT_FORMATS:
        return _render_rates(report, format)
    if format == "html":
        return _render_page(report, reach=reach, timing=timing)
    if isinstance(report, Comparison):
        schema, documents = COMPARISON_SCHEMA, (comparison_document(report, timing=timing),)
    elif suite := _as_suite(report):
        from cotkit.report.suite_tables import SCHEMA, suite_documents

        schema, documents = SCHEMA, suite_documents(suite, timing=timing)
        if format == "csv":
            from cotkit.report.formats import to_csv

            return to_csv(documents, raw=raw)  # no part has the means
    elif _is_spending(report):
        from cotkit.report.spending_tables import SCHEMA, spending_document

        schema, documents = SCHEMA, (spending_document(report),)
    elif contrasts:
        from cotkit.report.contrast_tables import SCHEMA, contrast_documents

        schema, documents = SCHEMA, contrast_documents(contrasts)
    else:
        from cotkit.report.scale_tables import scale_documents

        schema = SCALE_SCHEMA
        documents = scale_documents(_as_scales(report), reach=reach, timing=timing)
    return render_documents(
        documents,
        schema,
        format,
        width=width,
        color=color,
        encoding=encoding,
        full=full,
        show=show,
        hints=hints,
        raw=raw,
    )


def render_documents(
    documents: Sequence[Document],
    schema: str,
    format: str,  # noqa: A002 - as in ``render``
    *,
    width: int = 80,
    color: bool = False,
    encoding: str = "utf-8",
    full: bool = True,
    show: Collection[str] = (),
    hints: Sequence[str] = (),
    raw: bool = False,
) -> str:
    """Write documents as text, in any format but those of solve rates and HTML.

    Args:
        documents: One; of several, the first sums the others up.
        schema: Name and version of their JSON.
        format: One of :data:`FORMATS` but ``html``.
        width: As for :func:`render`.
        color: As for :func:`render`.
        encoding: As for :func:`render`.
        full: As for :func:`render`; of several documents the first alone is a screen.
        show: As for :func:`render`.
        hints: As for :func:`render`.
        raw: As for :func:`render`.

    Raises:
        UnknownNameError: no such format.
    """
    match format:
        case "table":
            from cotkit.report.terminal import to_terminal

            parts = documents if full or show else documents[:1]
            pages = [
                to_terminal(
                    document,
                    width=width,
                    color=color,
                    encoding=encoding,
                    full=full,
                    show=show,
                    hints=hints if document is parts[-1] else (),
                )
                for document in parts
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

            return to_csv(documents[1:] or documents, raw=raw)
        case "latex":
            from cotkit.report.formats import to_latex

            return "\n".join(map(to_latex, documents))
        case _:
            raise UnknownNameError("report format", format, FORMATS)


def _render_rates(report: Report, name: str) -> str:
    from cotkit.report.hub import eval_results, model_index
    from cotkit.report.lm_eval import list_tasks, lm_eval_results

    if _as_suite(report):
        raise UsageError(f"{name} has no mean of benchmarks", hint="json, csv or markdown")
    if _as_contrasts(report) or _is_spending(report):
        raise UsageError(
            f"{name} has no difference of two models, and no axis of tokens",
            hint="json, csv or markdown",
        )
    results = report if isinstance(report, Comparison) else _as_scales(report)
    if name == "lm-eval":
        return lm_eval_results(results)
    return (model_index if name == "model-index" else eval_results)(list_tasks(results))


def _as_suite(report: Report) -> tuple[Comparison, ...]:
    """Return the comparisons of several benchmarks; empty: it is something else."""
    items = report if isinstance(report, Sequence) else ()
    return tuple(item for item in items if isinstance(item, Comparison))


def _render_page(report: Report, *, reach: float | None, timing: bool) -> str:
    from cotkit.analysis.values import PageRun
    from cotkit.report.html import contrasts_page, page, spending_page

    if contrasts := _as_contrasts(report):
        return contrasts_page(contrasts)
    if _is_spending(report):
        return spending_page(report, ())
    if comparisons := (report,) if isinstance(report, Comparison) else _as_suite(report):
        parts = [PageRun(comparison=comparison, samples=()) for comparison in comparisons]
        return page(parts, timing=timing)
    return page([], scales=_as_scales(report), reach=reach, timing=timing)


def _as_scales(report: Report) -> tuple[Scale, ...]:
    from cotkit.analysis.scale.values import Scale

    items = report if isinstance(report, Sequence) else (report,)
    return tuple(item for item in items if isinstance(item, Scale))


def _is_spending(report: Report) -> TypeGuard[Spending]:
    if isinstance(report, Comparison):
        return False  # whose analysis needs no numpy
    from cotkit.analysis.scale.spending import Spending

    return isinstance(report, Spending)


def _as_contrasts(report: Report) -> tuple[ModelContrasts, ...]:
    """Return the contrasts of two models; empty: it is something else."""
    if isinstance(report, Comparison) or _as_suite(report):
        return ()  # whose analysis needs no numpy
    from cotkit.analysis.scale.contrasts import ModelContrasts

    items = report if isinstance(report, Sequence) else (report,)
    return tuple(item for item in items if isinstance(item, ModelContrasts))
