"""A store in one SQLite file: WAL mode, numbered migrations, errors as sentences.

A file that is deleted or replaced while it is open still takes what is written, and loses it with
the last process: so after each commit its inode is looked at, and what it holds is saved elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from cotkit.errors import DamagedStoreError, StoreError
from cotkit.store.database import Row, Values, migration_scripts

BUSY_TIMEOUT_S = 10.0
"""How long a process waits for the commits of others."""
FILE_SUFFIXES = ("", "-wal", "-shm")
"""Of the three files that are one store while it is open."""

_APPLICATION_ID = 0x636F746B  # "cotk": tells our files from other SQLite files
_NO_PLACE_TO_WRITE = frozenset({"SQLITE_CANTOPEN", "SQLITE_READONLY"})


class Sqlite:
    """An open file; a ``Database``."""

    def __init__(self, path: Path, *, reads_only: bool = False) -> None:
        """Open the file, creating or migrating it as needed; read only where its place is.

        ``reads_only``: nothing is created, migrated or written, though others may write meanwhile.

        Raises:
            StoreError: as :func:`_translate_errors`; or a file of another program or newer cotkit.
        """
        self._path = path
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._is_read_only = False
        self._lost: StoreError | None = None
        self._wrote = False
        with _translate_errors(path):
            if not reads_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._db = self._open_beside_writers() if reads_only else _open(path, path)
            except sqlite3.OperationalError as refused:
                if not (_is(refused, _NO_PLACE_TO_WRITE) and os.access(path, os.R_OK)):
                    raise
                self._db = self._open_read_only()
        self._inodes = self._find_inodes()
        self._n_bytes = 0

    def rows(self, query: str, values: Values = ()) -> list[Row]:
        """Return all rows, as ``Database``."""
        with _translate_errors(self._path):
            return self._db.execute(query, values).fetchall()

    def stream(self, query: str, values: Values = ()) -> Iterator[Row]:
        """Yield rows, as ``Database``."""
        with _translate_errors(self._path):
            yield from self._db.execute(query, values)

    def commit(self, *statements: tuple[str, Sequence[Values]], durable: bool = False) -> list[int]:
        """Execute statements, as ``Database``.

        Raises:
            StoreError: it cannot be written; or the file was deleted or replaced, which names the
                file that now holds everything, these statements included.
        """
        if self._lost is not None:
            raise self._lost
        if self._is_read_only:
            raise _read_only_error(self._path)
        try:
            with _translate_errors(self._path):
                changed = self._commit(statements, durable=durable)
        except StoreError:
            self._check_files()
            raise
        self._wrote = True
        self._check_files()
        return changed

    def close(self) -> None:
        """Close the file.

        Raises:
            StoreError: it was written, and deleted or replaced since.
        """
        try:
            if self._wrote and self._lost is None:
                self._check_files()
        finally:
            self._db.close()
            if self._scratch is not None:
                self._scratch.cleanup()

    def _commit(
        self, statements: Sequence[tuple[str, Sequence[Values]]], *, durable: bool
    ) -> list[int]:
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

    def _open_beside_writers(self) -> sqlite3.Connection:
        """Open a file that others may be writing; a copy of one that an older cotkit wrote."""
        self._is_read_only = True
        db = _connect(f"file:{quote(str(self._path.absolute()))}?mode=ro", uri=True)
        try:
            is_current = _read_version(db, self._path) >= len(migration_scripts())
            _check_version(db, self._path)
        except BaseException:
            db.close()
            raise
        if is_current:
            return db
        db.close()
        return self._open_read_only()

    def _open_read_only(self) -> sqlite3.Connection:
        """Open a file whose place cannot be written; a copy of it where more than reading it needs.

        That is where an older cotkit wrote it, or where commits still lie beside it.
        """
        self._is_read_only = True
        wal = Path(f"{self._path}-wal")
        if not (wal.is_file() and wal.stat().st_size):
            uri = f"file:{quote(str(self._path.absolute()))}?mode=ro&immutable=1"
            db = _connect(uri, uri=True)
            try:
                if _read_version(db, self._path) >= len(migration_scripts()):
                    _check_version(db, self._path)
                    return db
            except BaseException:
                db.close()
                raise
            db.close()
        self._scratch = tempfile.TemporaryDirectory(prefix="cotkit-store-")
        copy = Path(self._scratch.name, self._path.name)
        shutil.copyfile(self._path, copy)
        if wal.is_file():
            shutil.copyfile(wal, f"{copy}-wal")
        return _open(copy, self._path)

    # A file that is no longer the one that was opened.

    def _find_inodes(self) -> dict[str, tuple[int, int] | None]:
        return {suffix: _inode(f"{self._path}{suffix}") for suffix in FILE_SUFFIXES}

    def _check_files(self) -> None:
        """Save what the open file holds, if it no longer lies where it was opened.

        Raises:
            StoreError: it does not; says where everything is now.
        """
        if self._is_read_only:
            return
        inodes, n_bytes = self._find_inodes(), _size(self._path)
        if inodes == self._inodes and n_bytes >= self._n_bytes:
            self._n_bytes = n_bytes
            return
        for suffix, inode in inodes.items():
            if self._inodes[suffix] is None:  # the companions come with the first write
                self._inodes[suffix] = inode
            elif inode != self._inodes[suffix]:
                change = "deleted" if inode is None else "replaced by another file"
                self._lost = self._save(f"{self._path}{suffix} was {change} while it was open")
                raise self._lost
        if n_bytes < self._n_bytes and n_bytes < self._count_bytes():
            self._lost = self._save(f"{self._path} was cut short while it was open")
            raise self._lost
        self._n_bytes = n_bytes

    def _count_bytes(self) -> int:
        """Return how long the file should be at most; it may shrink where someone compacts it."""
        with _translate_errors(self._path):
            return self._db.execute(
                "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            ).fetchone()[0]

    def _save(self, change: str) -> StoreError:
        """Write everything to a new file; return the error that names it."""
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        name = f"{self._path.stem}-saved-{now}-{os.getpid()}.db"
        why = ""
        for folder in (self._path.parent, Path.cwd(), Path(tempfile.gettempdir())):
            target = folder / name
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with contextlib.closing(sqlite3.connect(target)) as copy:
                    self._db.backup(copy)
            except (OSError, sqlite3.Error) as refused:
                why = str(refused)
                target.unlink(missing_ok=True)
                continue
            if not self._path.exists():  # what is beside it would be taken for the saved file's
                for suffix in FILE_SUFFIXES[1:]:
                    Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            hint = f"move it to {self._path}, and the same command makes only what is missing"
            return StoreError(f"{change}: all that it held is saved as {target}", hint=hint)
        return StoreError(
            f"{change}, and what it held could not be saved elsewhere: {why}",
            hint="cotkit store recover keeps what is still in the file",
        )


def _inode(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)  # noqa: PTH116 - after each commit
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _connect(path: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, uri=uri
    )


def _open(path: Path, origin: Path) -> sqlite3.Connection:
    """Open and migrate a file; ``origin``: as errors call it."""
    db = _connect(path)
    try:
        db.execute("PRAGMA synchronous = NORMAL")
        _migrate(db, origin)
    except BaseException:
        db.close()
        raise
    return db


def _is(error: sqlite3.Error, names: frozenset[str]) -> bool:
    """Return whether SQLite's code of an error, or the kind that it is of, has one of the names."""
    name = getattr(error, "sqlite_errorname", "")
    return any(name == kind or name.startswith(f"{kind}_") for kind in names)


def _read_only_error(path: Path) -> StoreError:
    return StoreError(
        f"the store {path} can only be read: nothing can be added to it",
        hint="choose another --log-dir",
    )


@contextlib.contextmanager
def _translate_errors(path: Path) -> Generator[None]:
    """Turn what SQLite and the file system say into one sentence that names the file.

    Raises:
        StoreError: the file cannot be created, opened, locked or written.
        DamagedStoreError: it is damaged, or is no database.
    """
    try:
        yield
    except sqlite3.Error as error:
        if _is(error, frozenset({"SQLITE_READONLY"})):
            raise _read_only_error(path) from error
        if _is(error, frozenset({"SQLITE_CORRUPT"})):
            raise DamagedStoreError(
                f"the store {path} is damaged: {error}",
                hint=f"cotkit store recover --log-dir {path.parent} keeps what can still be read",
            ) from error
        if _is(error, frozenset({"SQLITE_NOTADB"})):
            raise DamagedStoreError(
                f"{path} is not a cotkit store: {error}",
                hint="move it away or choose another --log-dir; if it was one, "
                f"cotkit store recover --log-dir {path.parent} keeps what can still be read",
            ) from error
        locked = _is(error, frozenset({"SQLITE_BUSY", "SQLITE_LOCKED"}))
        hint = "another process is writing to it" if locked else "choose another --log-dir"
        raise StoreError(f"cannot use the store {path}: {error}", hint=hint) from error
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
    _check_version(db, path)


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    if _read_version(db, path) > len(migration_scripts()):
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
        except sqlite3.OperationalError as error:
            if time.monotonic() > deadline or _is(error, _NO_PLACE_TO_WRITE):
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
