"""A report as JSON: full precision, fixed key order, NaN as null."""

from __future__ import annotations

import json
import math

from cotkit.report.document import Document, Number, Table, Value, Words

SCHEMA = "cotkit.comparison/1"
"""Changes when a key is renamed, removed or changes meaning; a new key leaves it alone."""


def to_json(document: Document) -> str:
    """Indented JSON: rates and gains as fractions, intervals as ``{low, high, level}``."""
    page: dict[str, object] = {"schema": SCHEMA, "answer": document.headline}
    page |= dict(document.facts)
    page |= {table.key: _records(table) for table in document.tables}
    page["notes"] = document.notes
    return json.dumps(page, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


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
