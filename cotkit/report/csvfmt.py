"""A report as one tidy CSV: a row for each row of each table, so that runs can be concatenated.

Every row repeats the facts of its run; ``section`` names the table; a cell is empty where its table
has no such column or the value is missing. Sentences and notes are left to the other formats.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence

from cotkit.report.document import Column, Document, Number, Value, Words


def to_csv(documents: Sequence[Document]) -> str:
    """Header and rows, full precision, Unix line ends."""
    records: list[dict[str, str]] = []
    header = dict.fromkeys(("section", *(key for one in documents for key, _ in one.facts)))
    for document, table in ((one, table) for one in documents for table in one.tables):
        facts = {key: _field(value) for key, value in document.facts}
        for row in table.rows:
            cells = dict(
                pair
                for column, value in zip(table.columns, row, strict=True)
                for pair in _fields(column, value)
            )
            header |= dict.fromkeys(cells)
            records.append({"section": table.key, **facts, **cells})
    out = io.StringIO()
    writer = csv.DictWriter(out, list(header), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def _fields(column: Column, value: Value) -> Iterator[tuple[str, str]]:
    if isinstance(value, Words):
        yield column.key, _field(value.raw)
    elif isinstance(value, Number):
        yield column.key, _field(value.value)
    else:
        yield f"{column.key}_low", _field(value.interval.low)
        yield f"{column.key}_high", _field(value.interval.high)
        yield f"{column.key}_level", _field(value.interval.level)


def _field(value: str | float | None) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
