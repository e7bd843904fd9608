"""A report as JSON: full precision, fixed key order, NaN as null."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from cotkit.report.document import Document, Number, Table, Value, Words

COMPARISON = "cotkit.comparison/1"
"""Changes when a key is renamed, removed or changes meaning; a new key leaves it alone."""
SCALE = "cotkit.scale/1"
"""The same for scale analyses."""
LAB = "cotkit.lab/1"
"""The same for labs."""


def to_json(documents: Sequence[Document], schema: str) -> str:
    """Indented JSON: rates and gains as fractions, intervals as ``{low, high, level}``.

    Several documents are the first one with the others in its list ``parts``.
    """
    first, *others = documents
    page = {"schema": schema, **_page(first)}
    if others:
        page["parts"] = [_page(one) for one in others]
    return json.dumps(page, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _page(document: Document) -> dict[str, object]:
    page: dict[str, object] = {"answer": document.headline}
    page |= dict(document.facts)
    tables: dict[str, list[dict[str, object]]] = {}
    for table in document.tables:
        tables.setdefault(table.key, []).extend(_records(table))
    page |= tables
    page["notes"] = document.notes
    return page


def _records(table: Table) -> list[dict[str, object]]:
    keys = [column.key for column in table.columns]
    return [dict(zip(keys, map(_plain, row), strict=True)) for row in table.rows]


def _plain(value: Value) -> object:
    if isinstance(value, Words):
        return value.raw
    if isinstance(value, Number):
        return _finite(value.value)
    i = value.interval
    return {"low": _finite(i.low), "high": _finite(i.high), "level": i.level}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
