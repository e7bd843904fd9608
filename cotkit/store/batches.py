"""The ledger of batches: which one at a provider holds which completion, through any kill.

Rows stay after a batch is collected: its results lie at the provider for weeks, so a completion
that was read and then lost to a kill is fetched again, not paid for again.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cotkit.store.database import open_database, translated


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """One batch, with what of it may still be wanted."""

    key: str
    """Ours: 32 hex characters."""
    id: str | None
    """The provider's; None: it was about to be submitted when that process ended."""
    created_utc: datetime
    """Before it was submitted."""
    n_calls: int
    """Calls in it when it was submitted."""
    calls: Mapping[int, Mapping[int, str]]
    """Position in the batch -> sample index -> completion key, samples in the order asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLedger:
    """The two tables of batches in a store's file; opens it for each call, so needs no closing."""

    path: Path
    """The store's file."""

    def intend(
        self, key: str, *, provider: str, backend: str, calls: Sequence[Mapping[int, str]]
    ) -> BatchRow:
        """Record, before it is submitted, what a batch will hold: sample -> completion key."""
        now = datetime.now(UTC)
        rows = [
            (key, position, sample, completion)
            for position, call in enumerate(calls)
            for sample, completion in call.items()
        ]
        with self._transaction() as db:
            db.execute(
                "INSERT INTO batch VALUES (?, ?, ?, NULL, ?, ?, 'intended')",
                (key, provider, backend, now.isoformat(), len(calls)),
            )
            db.executemany("INSERT INTO batch_item VALUES (?, ?, ?, ?)", rows)
        return BatchRow(
            key=key, id=None, created_utc=now, n_calls=len(calls), calls=dict(enumerate(calls))
        )

    def submitted(self, key: str, id_: str) -> BatchRow:
        """Record the provider's id of a batch."""
        with self._transaction() as db:
            db.execute("UPDATE batch SET id = ?, status = 'submitted' WHERE key = ?", (id_, key))
            query = "SELECT key, id, created_utc, n_calls FROM batch WHERE key = ?"
            return _row(db, db.execute(query, (key,)).fetchone())

    def collected(self, key: str) -> None:
        """Record that all results of a batch were read once."""
        with self._transaction() as db:
            db.execute("UPDATE batch SET status = 'collected' WHERE key = ?", (key,))

    def drop(self, key: str, completions: Iterable[str]) -> None:
        """Forget completions that a batch did not bring, so that they are sent anew."""
        rows = [(key, completion) for completion in completions]
        with self._transaction() as db:
            db.executemany("DELETE FROM batch_item WHERE batch = ? AND completion = ?", rows)

    def forget(self, key: str) -> None:
        """Forget a batch that never came to be."""
        with self._transaction() as db:
            db.execute("DELETE FROM batch_item WHERE batch = ?", (key,))
            db.execute("DELETE FROM batch WHERE key = ?", (key,))

    def holding(self, completions: Iterable[str]) -> list[BatchRow]:
        """The batches that hold any of these completions, latest first."""
        wanted = json.dumps(list(completions))
        query = (
            "SELECT DISTINCT key, id, created_utc, n_calls FROM batch JOIN batch_item "
            "ON batch = key WHERE completion IN (SELECT value FROM json_each(?)) "
            "ORDER BY created_utc DESC, key"
        )
        with self._open() as db:
            return [_row(db, found) for found in db.execute(query, (wanted,)).fetchall()]

    def promised(self, backend: str) -> frozenset[str]:
        """Completion keys of a backend that batches hold and the store does not: paid for."""
        query = (
            "SELECT completion FROM batch_item JOIN batch ON batch.key = batch "
            "WHERE backend = ? AND completion NOT IN (SELECT key FROM completion)"
        )
        with self._open() as db:
            return frozenset(row[0] for row in db.execute(query, (backend,)))

    def ids(self, provider: str) -> frozenset[str]:
        """All ids of batches at a provider that are known here."""
        with self._open() as db:
            rows = db.execute(
                "SELECT id FROM batch WHERE provider = ? AND id IS NOT NULL", (provider,)
            )
            return frozenset(row[0] for row in rows)

    @contextlib.contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        with contextlib.closing(open_database(self.path)) as db, translated(self.path):
            yield db

    @contextlib.contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._open() as db:
            # A completion lost to a power cut costs one call; an intent would cost a batch.
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")  # an error before it closes the file, which rolls back


def _row(db: sqlite3.Connection, found: tuple[str, str | None, str, int]) -> BatchRow:
    key, id_, created, n_calls = found
    calls: dict[int, dict[int, str]] = {}
    query = "SELECT position, sample, completion FROM batch_item WHERE batch = ? ORDER BY 1, 2"
    for position, sample, completion in db.execute(query, (key,)):
        calls.setdefault(position, {})[sample] = completion
    created_utc = datetime.fromisoformat(created)
    return BatchRow(key=key, id=id_, created_utc=created_utc, n_calls=n_calls, calls=calls)
