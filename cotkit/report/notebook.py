"""A report in a notebook: sentences, numbers and a figure as HTML; the numbers as a data frame."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING

from cotkit.analysis.values import Comparison
from cotkit.errors import UsageError
from cotkit.printable import printable
from cotkit.report.comparison_tables import comparison_document
from cotkit.report.document import (
    Document,
    IntervalCell,
    Table,
    Value,
    Words,
    say_cell,
)
from cotkit.report.scale_tables import scale_documents

if TYPE_CHECKING:
    from cotkit.analysis.scale.values import Scale
    from cotkit.report.html.figure import Chart

_FRAMES = ("pandas", "polars")


def show_html(report: Comparison | Scale) -> str:
    """Return one element: the answers, what changes how they are read, the numbers, a figure."""
    document = _document(report)
    parts = [f"<p><strong>{_text(sentence)}</strong></p>" for sentence in document.headline]
    if document.warnings:
        parts.append(f"<p>warnings: {_text(' · '.join(document.warnings))}</p>")
    parts += [f"<p>{_text(sentence)}</p>" for sentence in document.closing]
    parts.append(f"<p><small>{_text(' · '.join(document.caption))}</small></p>")
    parts += [_table_html(table) for table in _short_tables(document) if table.rows]
    if find_spec("matplotlib") is not None and (figure := plot(report)) is not None:
        parts.append(figure.to_html())
    return f"<div>{''.join(parts)}</div>"


def make_frame(report: Comparison | Scale) -> object:
    """Return the numbers of the first screen as a frame of pandas or polars, unrounded.

    Ends of intervals are columns of their own; what there is not is missing.

    Raises:
        UsageError: neither of the two is installed.
    """
    name = next((name for name in _FRAMES if find_spec(name) is not None), None)
    if name is None:
        raise UsageError("neither pandas nor polars is installed", hint="pip install pandas")
    (table, *_) = _short_tables(_document(report))
    columns = {
        key: values
        for i, column in enumerate(table.columns)
        for key, values in _frame_columns(column.key, [row[i] for row in table.rows]).items()
    }
    return importlib.import_module(name).DataFrame(columns)


def plot(report: Comparison | Scale) -> Chart | None:
    """Return the figure that says most: gains with intervals, or curves over size; None: none."""
    from cotkit.report.html.charts import list_charts

    is_comparison = isinstance(report, Comparison)
    charts = list_charts([report]) if is_comparison else list_charts(scales=[report])
    if not charts:
        return None
    name = report.run_id if is_comparison else f"{report.bench}-{report.family}"
    key = re.sub(r"[^A-Za-z0-9]+", "-", f"cotkit-{name}-{charts[0].key}")
    return replace(charts[0], key=key)


def _document(report: Comparison | Scale) -> Document:
    if isinstance(report, Comparison):
        return comparison_document(report)
    return scale_documents([report], reach=None, timing=False)[0]


def _short_tables(document: Document) -> tuple[Table, ...]:
    return document.tables if document.screen is None else document.screen.tables


def _table_html(table: Table) -> str:
    places = [i for i, column in enumerate(table.columns) if not column.drawn]
    header = "".join(f"<th>{_text(table.columns[i].header)}</th>" for i in places)
    rows = ("".join(f"<td>{_text(say_cell(row[i]))}</td>" for i in places) for row in table.rows)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"


def _frame_columns(key: str, values: list[Value]) -> Mapping[str, list[object]]:
    """Return the columns of a frame that hold a column of a table."""
    if any(isinstance(value, IntervalCell) for value in values):
        return {
            f"{key}_{end}": [
                _known(getattr(value.interval, end)) if isinstance(value, IntervalCell) else None
                for value in values
            ]
            for end in ("low", "high")
        }
    return {
        key: [
            (value.raw or None) if isinstance(value, Words) else _known(value.value)  # pyright: ignore[reportAttributeAccessIssue] - no intervals here
            for value in values
        ]
    }


def _known(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _text(text: str) -> str:
    return escape(printable(text))
