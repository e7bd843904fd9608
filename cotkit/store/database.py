"""What a store needs of a database: read rows, stream rows, commit statements; nothing else.

SQL is what SQLite and PostgreSQL both understand: ``?`` marks a value, conflicts are resolved by
``ON CONFLICT``, and what only one of them can do is done in Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

MIGRATIONS = Path(__file__).parent / "migrations"
"""Numbered SQL files, written for SQLite."""

Values: TypeAlias = Sequence[Any]
"""One value for each ``?``: text, int, float or None."""
Row: TypeAlias = tuple[Any, ...]
"""One value for each column asked for."""


class Database(Protocol):
    """One open connection, used in one thread at a time. Whatever fails is a ``StoreError``."""

    def rows(self, query: str, values: Values = ()) -> list[Row]:
        """Return all rows of a query."""
        ...

    def stream(self, query: str, values: Values = ()) -> Iterator[Row]:
        """Yield the rows of a query one at a time: all of them may be larger than memory."""
        ...

    def commit(self, *statements: tuple[str, Sequence[Values]], durable: bool = False) -> list[int]:
        """Execute statements, each once for each of its rows of values: all or none of them.

        They must be such that executing them twice does no harm: a connection that broke as they
        were committed cannot say whether they were.

        Args:
            statements: SQL, and one sequence of values for each time it is to be executed.
            durable: Whether a power cut must not lose it.

        Returns:
            For each statement the number of rows it changed.
        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def migration_scripts() -> list[str]:
    """Return the text of every migration, in order."""
    return [path.read_text(encoding="utf-8") for path in sorted(MIGRATIONS.glob("[0-9]*.sql"))]
