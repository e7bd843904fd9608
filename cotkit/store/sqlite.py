"""A store in one SQLite file: WAL mode, numbered migrations, errors as sentences."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from cotkit.errors import StoreError
from cotkit.store.database import Row, Values, migration_scripts

BUSY_TIMEOUT_S = 10.0
"""How long a process waits for the commits of others."""

_APPLICATION_ID = 0x636F746B  # "cotk": tells our files from other SQLite files


class Sqlite:
    """An open file; a ``Database``."""

    def __init__(self, path: Path) -> None:
        """Open the file, creating or migrating it as needed.

        Raises:
            StoreError: as :func:`_translated`; or another program's file, or a newer cotkit's.
        """
        self._path = path
        with _translate_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._db.execute("PRAGMA synchronous = NORMAL")
                _migrate(self._db, path)
            except BaseException:
                self._db.close()
                raise

    def rows(self, query: str, values: Values = ()) -> list[Row]:
        """Return all rows, as ``Database``."""
        with _translate_errors(self._path):
            return self._db.execute(query, values).fetchall()

    def stream(self, query: str, values: Values = ()) -> Iterator[Row]:
        """Yield rows, as ``Database``."""
        with _translate_errors(self._path):
            yield from self._db.execute(query, values)

    def commit(self, *statements: tuple[str, Sequence[Values]], durable: bool = False) -> list[int]:
        """Execute statements, as ``Database``."""
        with _translate_errors(self._path):
            if durable:
                self._db.execute("PRAGMA synchronous = FULL")
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    changed = [self._db.executemany(sql, rows).rowcount for sql, rows in statements]
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            finally:
                if durable:
                    self._db.execute("PRAGMA synchronous = NORMAL")
        return changed

    def close(self) -> None:
        """Close the file."""
        self._db.close()


@contextlib.contextmanager
def _translate_errors(path: Path) -> Generator[None]:
    """Turn what SQLite and the file system say into one sentence that names the file.

    Raises:
        StoreError: the file cannot be created, opened, locked or written, or is no database.
    """
    try:
        yield
    except sqlite3.OperationalError as refused:
        locked = "locked" in str(refused) or "busy" in str(refused)
        hint = "another process is writing to it" if locked else "choose another --log-dir"
        raise StoreError(f"cannot use the store {path}: {refused}", hint=hint) from refused
    except sqlite3.DatabaseError as broken:
        hint = "move it away or choose another --log-dir"
        raise StoreError(f"{path} is not a cotkit store: {broken}", hint=hint) from broken
    except OSError as refused:
        raise StoreError(
            f"cannot create {path}: {refused.strerror}", hint="choose another --log-dir"
        ) from refused


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    scripts = migration_scripts()
    if _read_version(db, path) < len(scripts):
        _enter_wal(db)
        db.execute("BEGIN IMMEDIATE")  # one process migrates, the others then find it done
        try:
            for number in range(_read_version(db, path) + 1, len(scripts) + 1):
                for statement in _split_statements(scripts[number - 1]):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number}")
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
    if _read_version(db, path) > len(scripts):
        raise StoreError(f"{path} was written by a newer cotkit", hint="upgrade cotkit")


def _read_version(db: sqlite3.Connection, path: Path) -> int:
    """Return how many migrations the file has seen."""
    application, is_used, version = db.execute(  # one statement: another process may be migrating
        "SELECT application_id, EXISTS (SELECT 1 FROM sqlite_master), user_version "
        "FROM pragma_application_id, pragma_user_version"
    ).fetchone()
    if is_used and application != _APPLICATION_ID:
        hint = "move it away or choose another --log-dir"
        raise StoreError(f"{path} is not a cotkit store but another program's", hint=hint)
    return version


def _enter_wal(db: sqlite3.Connection) -> None:
    """Switch to WAL; it heeds no busy timeout, so two first openers would collide."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _split_statements(script: str) -> Iterator[str]:
    """Yield the statements of a script one by one, so that they run inside our transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
