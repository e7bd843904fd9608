"""The ledger of batches: which batch at a provider holds which completion; survives any kill.

Rows stay after a batch is collected: its results lie at the provider for weeks, so a completion
that was read and then lost to a kill is fetched again, not paid for again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cotkit.errors import StoreError
from cotkit.store.database import Database, Row
from cotkit.store.place import Place, mask_password
from cotkit.store.store import open_database

_AT_ONCE = 10_000  # values in a query: SQLite takes 32,766, PostgreSQL 65,535


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """One batch, with what of it may still be wanted."""

    key: str
    """Cotkit's name for it: 32 hex characters."""
    id: str | None
    """The provider's name for it; None: it was about to be submitted when that process ended."""
    created_utc: datetime
    """Before it was submitted."""
    n_calls: int
    """Calls in it when it was submitted."""
    calls: Mapping[int, Mapping[int, str]]
    """Position in the batch -> sample index -> completion key, samples in the order asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLedger:
    """The two tables of batches in a store; opens it for each call, so needs no closing."""

    place: Place
    """Where the store is."""

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
        once = "ON CONFLICT DO NOTHING"
        with self._open() as db:
            db.commit(
                (
                    f"INSERT INTO batch VALUES (?, ?, ?, NULL, ?, ?, 'intended') {once}",  # noqa: S608 - a constant
                    [(key, provider, backend, now.isoformat(), len(calls))],
                ),
                (f"INSERT INTO batch_item VALUES (?, ?, ?, ?) {once}", rows),  # noqa: S608 - the same
                durable=True,
            )
        return BatchRow(
            key=key, id=None, created_utc=now, n_calls=len(calls), calls=dict(enumerate(calls))
        )

    def submitted(self, key: str, id_: str) -> BatchRow:
        """Record the provider's id of a batch."""
        query = "SELECT key, id, created_utc, n_calls FROM batch WHERE key = ?"
        with self._open() as db:
            update = "UPDATE batch SET id = ?, status = 'submitted' WHERE key = ?"
            db.commit((update, [(id_, key)]), durable=True)
            rows = db.rows(query, (key,))
            if not rows:
                raise StoreError(
                    f"batch {id_} runs at the provider, and {mask_password(self.place)} no longer "
                    "holds what it was submitted for: the store was deleted or replaced",
                    hint="put the store back, and the same command finds the batch again",
                )
            return _read_row(db, rows[0])

    def collected(self, key: str) -> None:
        """Record that all results of a batch were read once."""
        with self._open() as db:
            db.commit(("UPDATE batch SET status = 'collected' WHERE key = ?", [(key,)]))

    def drop(self, key: str, completions: Iterable[str]) -> None:
        """Forget completions that a batch did not bring, so that they are sent anew."""
        rows = [(key, completion) for completion in completions]
        with self._open() as db:
            db.commit(
                ("DELETE FROM batch_item WHERE batch = ? AND completion = ?", rows), durable=True
            )

    def forget(self, key: str) -> None:
        """Forget a batch that was never submitted."""
        with self._open() as db:
            db.commit(
                ("DELETE FROM batch_item WHERE batch = ?", [(key,)]),
                ("DELETE FROM batch WHERE key = ?", [(key,)]),
                durable=True,
            )

    def holding(self, completions: Iterable[str]) -> list[BatchRow]:
        """Return the batches that hold any of these completions, latest first."""
        keys, rows = list(completions), set[Row]()
        with self._open() as db:
            for i in range(0, len(keys), _AT_ONCE):
                part = keys[i : i + _AT_ONCE]
                query = (
                    "SELECT DISTINCT key, id, created_utc, n_calls FROM batch JOIN batch_item "  # noqa: S608 - only marks
                    f"ON batch_item.batch = key WHERE completion IN ({', '.join('?' * len(part))})"
                )
                rows.update(db.rows(query, part))
            latest_first = sorted(sorted(rows), key=lambda row: row[2], reverse=True)
            return [_read_row(db, row) for row in latest_first]

    def promised(self, backend: str) -> frozenset[str]:
        """Return the completion keys of a backend that batches hold and the store does not."""
        query = (
            "SELECT completion FROM batch_item JOIN batch ON batch.key = batch_item.batch "
            "WHERE backend = ? AND completion NOT IN (SELECT key FROM completion)"
        )
        with self._open() as db:
            return frozenset(row[0] for row in db.rows(query, (backend,)))

    def ids(self, provider: str) -> frozenset[str]:
        """Return all ids of a provider's batches that are recorded."""
        with self._open() as db:
            rows = db.rows(
                "SELECT id FROM batch WHERE provider = ? AND id IS NOT NULL", (provider,)
            )
            return frozenset(row[0] for row in rows)

    @contextlib.contextmanager
    def _open(self) -> Generator[Database]:
        with contextlib.closing(open_database(self.place)) as db:
            yield db


def _read_row(db: Database, row: Row) -> BatchRow:
    key, id_, created, n_calls = row
    calls: dict[int, dict[int, str]] = {}
    query = "SELECT position, sample, completion FROM batch_item WHERE batch = ? ORDER BY 1, 2"
    for position, sample, completion in db.rows(query, (key,)):
        calls.setdefault(position, {})[sample] = completion
    created_utc = datetime.fromisoformat(created)
    return BatchRow(key=key, id=id_, created_utc=created_utc, n_calls=n_calls, calls=calls)
