"""Upper bounds are called so by name in every table, for people and programs alike."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from cotkit.report.document import Table, Value, Words


def marked(table: Table, upper_bounds: Collection[str]) -> Table:
    """The table, ``(upper bound)`` behind the names of these arms."""
    where = [column.key for column in table.columns].index("arm")
    return replace(
        table,
        rows=tuple(
            (*row[:where], _marked(row[where], upper_bounds), *row[where + 1 :])
            for row in table.rows
        ),
    )


def _marked(value: Value, upper_bounds: Collection[str]) -> Value:
    if not isinstance(value, Words) or value.raw not in upper_bounds:
        return value
    return replace(value, text=f"{value.text} (upper bound)", raw=f"{value.raw} (upper bound)")
