"""A store in a PostgreSQL database, in a schema ``cotkit`` of its own: for teams of writers.

A connection that breaks is made again and its last statements are executed again, for as long as
``RETRY_WAITS_S`` lasts; then the run ends, with everything that was committed kept.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from cotkit.errors import MissingDependencyError, StoreError
from cotkit.store.database import Row, Values, migration_scripts
from cotkit.store.place import mask_password

if TYPE_CHECKING:
    import psycopg

_T = TypeVar("_T")

RETRY_WAITS_S: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Waits before each new try to reach a database that was reached before."""
CONNECT_TIMEOUT_S = 10
"""How long one try to connect may take."""

_RESUME_HINT = "everything written so far is kept; the same command goes on once it is back"
_LOCK = 0x636F746B  # "cotk": one process migrates, the others then find it done
_AT_A_TIME = 1000  # rows of a stream held in memory

# PostgreSQL's text holds no NUL, which models can write; one private character marks both.
_MARK = "\ue000"
_MARKED = re.compile(f"{_MARK}([01])")

_TO_POSTGRESQL = (
    (re.compile(r"\)\s*STRICT(, WITHOUT ROWID)?;"), ");"),
    # SQLite does not hold rows to their references either; and checking them would make writers
    # of one run wait for each other.
    (re.compile(r" REFERENCES \w+ \(\w+\)"), ""),
    (re.compile(r"\bTEXT\b"), 'TEXT COLLATE "C"'),  # in the order of code points, as Python's
    (re.compile(r"\bINTEGER\b"), "BIGINT"),
    (re.compile(r"\bREAL\b"), "DOUBLE PRECISION"),
)


class Postgresql:
    """One connection; a ``Database``."""

    def __init__(self, url: str, *, reads_only: bool = False) -> None:
        """Connect, creating or migrating the schema as needed; ``reads_only``: write nothing.

        Raises:
            StoreError: it cannot be reached or written, or a newer cotkit made it.
            MissingDependencyError: psycopg is not installed.
        """
        try:
            import psycopg as driver
        except ImportError:
            raise MissingDependencyError("psycopg", "postgres") from None
        logging.getLogger("psycopg").addHandler(logging.NullHandler())  # we say what is lost
        self._driver, self._url, self._name = driver, url, mask_password(url)
        self._reads_only = reads_only
        self._db = self._connect()
        try:
            self._try(self._migrate)
        except BaseException:
            self._db.close()
            raise

    def rows(self, query: str, values: Values = ()) -> list[Row]:
        """Return all rows, as ``Database``."""
        rows = self._try(
            lambda: self._db.execute(_translate_marks(query), _encode_values(values)).fetchall()
        )
        return [_decode_row(row) for row in rows]

    def stream(self, query: str, values: Values = ()) -> Iterator[Row]:
        """Yield rows, as ``Database``; once some were yielded, a broken connection ends it."""
        cursor = self._try(lambda: self._open_cursor(query, values))
        try:
            while rows := self._translate_errors(lambda: cursor.fetchmany(_AT_A_TIME)):
                yield from map(_decode_row, rows)
        finally:
            self._translate_errors(cursor.close)

    def commit(self, *statements: tuple[str, Sequence[Values]], durable: bool = False) -> list[int]:
        """Execute statements, as ``Database``; how durable they are is PostgreSQL's own setting.

        All statements leave in one go and are answered in one go: one round trip.
        """
        del durable

        def work() -> list[int]:
            with self._db.pipeline(), self._db.transaction():
                cursors = [
                    [self._db.execute(_translate_marks(sql), _encode_values(row)) for row in rows]
                    for sql, rows in statements
                ]
            return [sum(cursor.rowcount for cursor in of_statement) for of_statement in cursors]

        return self._try(work)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _open_cursor(self, query: str, values: Values) -> psycopg.ServerCursor[Row]:
        cursor = self._driver.ServerCursor[Row](self._db, "cotkit_rows", withhold=True)
        return cursor.execute(_translate_marks(query), _encode_values(values))

    def _try(self, work: Callable[[], _T]) -> _T:
        """Do some work; if the connection is lost, connect and repeat until the waits are over."""
        for wait_s in RETRY_WAITS_S:
            try:
                return self._translate_errors(work)
            except _LostError:
                time.sleep(wait_s)
                self._reconnect()
        try:
            return self._translate_errors(work)
        except _LostError as lost:
            raise StoreError(
                f"lost the store {self._name}: {lost.message}", hint=_RESUME_HINT
            ) from None

    def _translate_errors(self, work: Callable[[], _T]) -> _T:
        """Do some work; turn an error into one sentence, a lost connection into ``_LostError``."""
        try:
            return work()
        except self._driver.Error as error:
            why = _error_sentence(error)
            if self._db.closed or isinstance(error, self._driver.OperationalError):
                raise _LostError(f"lost the store {self._name}: {why}", hint=_RESUME_HINT) from None
            raise StoreError(f"cannot use the store {self._name}: {why}") from None

    def _reconnect(self) -> None:
        """Connect anew; if that fails, keep the broken connection."""
        try:
            fresh = self._connect()
        except StoreError:
            return
        self._db.close()
        self._db = fresh

    def _connect(self) -> psycopg.Connection[Row]:
        try:
            db = self._driver.connect(
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_S,
                client_encoding="utf8",
                application_name="cotkit",
            )
        except self._driver.ProgrammingError:  # what it says may quote the password
            hint = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with % before hex codes only"
            raise StoreError(f"cannot read the address {self._name}", hint=hint) from None
        except self._driver.Error as error:
            hint = "is it running, and do address, user and password fit?"
            why = _hide_parts(_error_sentence(error), self._url)
            raise StoreError(f"cannot reach the store {self._name}: {why}", hint=hint) from None
        if (encoding := db.info.parameter_status("server_encoding")) != "UTF8":
            db.close()
            hint = "create it with: createdb --encoding=UTF8 --template=template0 NAME"
            raise StoreError(f"the database {self._name} is {encoding}, not UTF8", hint=hint)
        db.execute("SET search_path = cotkit")  # a schema that is not there yet is no fault
        if self._reads_only:
            db.execute("SET default_transaction_read_only = on")
        return db

    def _migrate(self) -> None:
        scripts = migration_scripts()
        if self._version() < len(scripts):
            with self._db.transaction():
                self._db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                self._db.execute("CREATE SCHEMA IF NOT EXISTS cotkit")
                self._db.execute("CREATE TABLE IF NOT EXISTS migration (number BIGINT PRIMARY KEY)")
                for number in range(self._version() + 1, len(scripts) + 1):
                    self._db.execute(_translate_migration(scripts[number - 1]).encode())
                    self._db.execute("INSERT INTO migration VALUES (%s)", (number,))
        if self._version() > len(scripts):
            raise StoreError(f"{self._name} was written by a newer cotkit", hint="upgrade cotkit")

    def _version(self) -> int:
        """Return how many migrations the schema has seen."""
        table = self._db.execute("SELECT to_regclass('cotkit.migration')").fetchone()
        if table is None or table[0] is None:
            return 0
        highest = self._db.execute("SELECT coalesce(max(number), 0) FROM migration").fetchone()
        return highest[0] if highest else 0


class _LostError(StoreError):
    """The connection is gone."""


def _translate_migration(script: str) -> str:
    """Translate a migration for PostgreSQL."""
    for pattern, replacement in _TO_POSTGRESQL:
        script = pattern.sub(replacement, script)
    return script


def _translate_marks(query: str) -> bytes:
    """Translate marks of values; no query of the store holds a ``?`` or a ``%`` otherwise."""
    return query.replace("?", "%s").encode()


def _encode_values(values: Values) -> list[object]:
    return [_escape_text(value) if isinstance(value, str) else value for value in values]


def _escape_text(text: str) -> str:
    if "\x00" not in text and _MARK not in text:
        return text
    return text.replace(_MARK, f"{_MARK}1").replace("\x00", f"{_MARK}0")


def _decode_row(row: Row) -> Row:
    return tuple(_unescape_text(value) if isinstance(value, str) else value for value in row)


def _unescape_text(text: str) -> str:
    if _MARK not in text:
        return text
    return _MARKED.sub(lambda found: "\x00" if found[1] == "0" else _MARK, text)


def _error_sentence(error: Exception) -> str:
    """Return the first line of the server's or driver's message; it holds no password."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _hide_parts(sentence: str, url: str) -> str:
    """Hide quoted words that may be of a password: one with a bare @ or / is read as an address."""
    match = re.match(r"\w+://[^:/?]*:(.*[@/?#].*)@", url, re.DOTALL)
    if match is None:
        return sentence
    secrets = list(filter(None, re.split(r"[@:/?#&]", match[1])))
    return re.sub(
        r"\"[^\"]*\"|'[^']*'",
        lambda quoted: '"***"' if any(part in quoted[0] for part in secrets) else quoted[0],
        sentence,
    )
