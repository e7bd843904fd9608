"""Check a store, and make a new one of what a damaged SQLite file still holds.

Recovery reads the file page by page, as SQLite's own shell does: every row lies whole in a page and
the pages that overflow from it, so only what lies in a damaged page is lost. Keys are hashes of
what they name, so a row that does not fit its key is left out.

The format is that of https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cotkit.errors import DamagedStoreError, StoreError, UsageError
from cotkit.identity import backend_key, completion_key, content_hash
from cotkit.store.database import Database, Row
from cotkit.store.place import STORE_NAME, Place
from cotkit.store.sqlite import FILE_SUFFIXES, Sqlite
from cotkit.store.store import open_database
from cotkit.types import OUTCOMES, BackendInfo

_MOST_NAMED = 5  # problems that a check names
_ROWS_A_COMMIT = 1000
_COUNTED = ("completion", "run", "attempt")
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCheck:
    """What a check of a store came to."""

    counts: Mapping[str, int]
    """Table -> rows; empty where they cannot be counted."""
    problems: tuple[str, ...]
    """What is wrong, one sentence each, the first few; empty: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What was kept of a damaged store."""

    path: Path
    """The new store."""
    damaged: Path
    """The damaged file, as it was."""
    counts: Mapping[str, int]
    """Table -> rows kept."""


def check_store(place: Place) -> StoreCheck:
    """Look at every page and every row of a store; nothing is changed.

    Raises:
        StoreError: it cannot be reached or read, so nothing is known of it.
    """
    try:
        with closing(open_database(place)) as db:
            problems = list(_find_problems(db, is_file=isinstance(place, Path)))
            counts = {table: db.rows(f"SELECT count(*) FROM {table}")[0][0] for table in _COUNTED}  # noqa: S608 - constants
    except DamagedStoreError as damaged:
        return StoreCheck(counts={}, problems=(damaged.message,))
    return StoreCheck(counts=counts, problems=tuple(problems))


def _find_problems(db: Database, *, is_file: bool) -> Iterator[str]:
    if is_file:
        answers = [row[0] for row in db.rows(f"PRAGMA integrity_check({_MOST_NAMED})")]
        if answers != ["ok"]:
            yield from answers
            return
    keys = set[str]()
    for row in db.stream("SELECT key, backend, request, sample, body FROM completion"):
        keys.add(row[0])
        if not _is_completion(row):
            yield f"completion {row[0]} is not what its key names"
    for run, arm, problem, turns in db.stream("SELECT run, arm, problem_id, turns FROM attempt"):
        if not _has_completions(turns, keys):
            yield f"attempt {run} {arm} {problem} names a completion that is not in the store"


def recover_store(path: Path, to: Path | None = None) -> Recovery:
    """Make a new store of what a damaged file holds, in its place or in the folder ``to``.

    The damaged file is kept: beside the new one, under another name, or where it is. Attempts whose
    completions are lost are left out, and every run counts as unfinished: resuming it makes what is
    missing.

    Raises:
        UsageError: nothing is wrong with the file, or there is a store at the new place.
        StoreError: nothing of a store is left in it, or the new file cannot be written.
    """
    if not check_store(path).problems:
        raise UsageError(f"{path} is whole: there is nothing to recover")
    target = path if to is None else to / STORE_NAME
    if to is not None and target.exists():
        raise UsageError(f"there is a store at {target}", hint="name another folder with --to")
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    part = target.with_name(f"{target.stem}-recovering-{now}-{os.getpid()}.db")
    try:
        with closing(Sqlite(part)) as db:
            counts = _copy_rows(path, db)
        if not counts["completion"] and not counts["run"]:
            raise StoreError(f"nothing of a cotkit store can be read in {path}")
        damaged = path
        if to is None:
            damaged = path.with_name(f"{path.name}.damaged-{now}")
            for suffix in FILE_SUFFIXES:
                if (old := Path(f"{path}{suffix}")).exists():
                    old.rename(f"{damaged}{suffix}")
        part.rename(target)
    except OSError as refused:
        raise StoreError(
            f"cannot recover {path}: {refused.strerror}", hint="--to FOLDER writes elsewhere"
        ) from refused
    finally:
        for suffix in FILE_SUFFIXES:
            Path(f"{part}{suffix}").unlink(missing_ok=True)
    return Recovery(path=target, damaged=damaged, counts=counts)


class _Writer:
    """An empty store that takes rows as they are found, many to a commit."""

    def __init__(self, db: Sqlite) -> None:
        self._db = db
        self.columns = {table: _stored_columns(db, table) for table in _TABLES}
        self.counts = dict.fromkeys(_TABLES, 0)
        self._pending: dict[tuple[str, int], list[Row]] = {}

    def add(self, table: str, row: Row) -> None:
        """Take a row, which may lack the columns that later migrations added."""
        rows = self._pending.setdefault((table, len(row)), [])
        rows.append(row)
        if len(rows) >= _ROWS_A_COMMIT:
            self.flush()

    def flush(self) -> None:
        """Write what was taken."""
        for (table, n_values), rows in self._pending.items():
            names = ", ".join(self.columns[table][:n_values])
            marks = ", ".join("?" * n_values)
            statement = f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - our own tables
            self.counts[table] += self._db.commit((statement, rows))[0]
        self._pending.clear()


def _copy_rows(path: Path, db: Sqlite) -> dict[str, int]:
    """Copy rows to an empty store; return table -> rows."""
    writer, attempts = _Writer(db), list[Row]()
    for row in _Pages(path).rows():
        table = next((table for table, fits in _TABLES.items() if fits(row)), None)
        if table == "attempt":
            attempts.append(row)
        elif table is not None:
            writer.add(table, row)
    writer.flush()
    keys = {row[0] for row in db.rows("SELECT key FROM completion")}
    turns, outcome = (writer.columns["attempt"].index(name) for name in ("turns", "outcome"))
    for row in attempts:
        # one that failed may be an earlier version of its row, and would be tried again
        if row[outcome] != "failed" and _has_completions(row[turns], keys):
            writer.add("attempt", row)
    writer.flush()
    db.commit(("UPDATE run SET status = 'incomplete'", [()]))
    return writer.counts


def _stored_columns(db: Database, table: str) -> list[str]:
    """Return the columns of a table in the order of its records: those of its key first."""
    info = db.rows("SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", (table,))
    of_key = sorted((pk, name) for name, pk in info if pk)
    return [name for _, name in of_key] + [name for name, pk in info if not pk]


# Which table a record is of, and whether it is as it was written.


def _is_object(value: object) -> bool:
    return isinstance(value, str) and value.startswith("{") and _load(value) is not None


def _load(text: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_key(value: object) -> bool:
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def _is_backend(row: Row) -> bool:
    if len(row) != 2 or not _is_object(row[1]):
        return False
    try:
        return backend_key(BackendInfo(**_load(row[1]))) == row[0]
    except (TypeError, ValueError):
        return False


def _is_request(row: Row) -> bool:
    if len(row) not in {3, 4} or not all(isinstance(value, str) for value in row):
        return False
    messages, decoding, *options = map(_load, row[1:])
    content = {"messages": messages, "decoding": decoding}
    if options and options[0]:
        content["options"] = options[0]
    return content_hash("request", content) == row[0]


def _is_completion(row: Row) -> bool:
    if len(row) < 5 or not (_is_key(row[0]) and type(row[3]) is int and _is_object(row[4])):
        return False
    return completion_key(row[1], row[2], row[3]) == row[0] and "text" in _load(row[4])


def _is_run(row: Row) -> bool:
    statuses = {"running", "complete", "incomplete"}
    return len(row) in {6, 7} and _is_object(row[1]) and _is_key(row[2]) and row[3] in statuses


def _is_attempt(row: Row) -> bool:
    return len(row) >= 19 and row[5] in OUTCOMES and type(row[3]) is int and type(row[4]) is int


def _is_batch(row: Row) -> bool:
    return len(row) == 7 and _is_key(row[2]) and row[6] in {"intended", "submitted", "collected"}


def _is_batch_item(row: Row) -> bool:
    return len(row) == 4 and _is_key(row[1]) and type(row[2]) is int and type(row[3]) is int


_TABLES: Mapping[str, Callable[[Row], bool]] = {
    "backend": _is_backend,
    "request": _is_request,
    "completion": lambda row: len(row) == 6 and _is_completion(row),
    "run": _is_run,
    "batch": _is_batch,
    "batch_item": _is_batch_item,
    "attempt": _is_attempt,
}


def _has_completions(turns: object, keys: set[str]) -> bool:
    loaded = _load(turns) if isinstance(turns, str) else None
    if not isinstance(loaded, list):
        return False
    return all(key in keys for turn in loaded if isinstance(turn, list) for key in turn)


# The pages of a SQLite file.


class _Pages:
    """The pages of a file, with those that were committed beside it."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            is_empty = not os.fstat(file.fileno()).st_size
            self._data = b"" if is_empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        has_header = self._data[:16] == b"SQLite format 3\0"
        (size,) = struct.unpack(">H", self._data[16:18]) if has_header else (0,)
        size = 65_536 if size == 1 else size
        self._size = size if size >= 512 and not size & (size - 1) else 4096
        self._usable = self._size - (self._data[20] if has_header else 0)
        self._committed = self._read_wal(Path(f"{path}-wal"))
        self._free = set(self._free_pages()) if has_header else set[int]()

    def rows(self) -> Iterator[Row]:
        """Yield the record of every cell of every index page that can be read.

        All our tables lie in index pages (``WITHOUT ROWID``), inner ones included.
        """
        n_pages = max(len(self._data) // self._size + 1, *self._committed, 1)
        for number in range(1, n_pages + 1):
            page = self._page(number)
            if number in self._free or len(page) < self._usable or page[0] not in {2, 10}:
                continue
            child = 4 if page[0] == 2 else 0
            (n_cells,) = struct.unpack(">H", page[3:5])
            for i in range(min(n_cells, self._usable // 2)):
                start = 8 + child + 2 * i
                try:
                    (cell,) = struct.unpack(">H", page[start : start + 2])
                    row = _record(self._payload(page, cell + child))
                except (ValueError, IndexError, struct.error):
                    continue
                yield row

    def _page(self, number: int) -> bytes:
        start = (number - 1) * self._size
        return self._committed.get(number) or self._data[start : start + self._size]

    def _payload(self, page: bytes, start: int) -> bytes:
        length, start = _varint(page, start)
        most, least = ((self._usable - 12) * share // 255 - 23 for share in (64, 32))
        if length > self._size * (len(self._data) // self._size + len(self._committed) + 1):
            raise ValueError("longer than the file")
        n_local = length
        if length > most:
            n_local = least + (length - least) % (self._usable - 4)
            n_local = n_local if n_local <= most else least
        parts, n_left = [page[start : start + n_local]], length - n_local
        overflow = page[start + n_local : start + n_local + 4]
        while n_left > 0:
            (number,) = struct.unpack(">I", overflow)
            page = self._page(number)
            if not number or len(page) < self._usable:
                raise ValueError("it goes on in a page that is not there")
            parts.append(page[4 : min(4 + n_left, self._usable)])
            n_left -= self._usable - 4
            overflow = page[:4]
        payload = b"".join(parts)
        if len(payload) != length:
            raise ValueError("cut short")
        return payload

    def _read_wal(self, path: Path) -> dict[int, bytes]:
        """Return page number -> content of the pages that were committed to the log."""
        try:
            log = path.read_bytes()
        except OSError:
            return {}
        committed: dict[int, bytes] = {}
        pending: dict[int, bytes] = {}
        step = 24 + self._size
        for start in range(32, len(log) - step + 1, step):
            number, n_pages = struct.unpack(">II", log[start : start + 8])
            if log[start + 8 : start + 16] != log[16:24]:  # left there by an earlier log
                break
            pending[number] = log[start + 24 : start + step]
            if n_pages:
                committed |= pending
                pending.clear()
        return committed

    def _free_pages(self) -> Iterator[int]:
        """Yield the pages that are not in use; what lies in them was deleted."""
        (trunk,) = struct.unpack(">I", self._page(1)[32:36])
        trunks = set[int]()
        while trunk and trunk not in trunks:
            trunks.add(trunk)
            page = self._page(trunk)
            if len(page) < self._usable:
                return
            following, n_leaves = struct.unpack(">II", page[:8])
            n_leaves = min(n_leaves, self._usable // 4 - 2)
            yield from struct.unpack(f">{n_leaves}I", page[8 : 8 + 4 * n_leaves])
            yield trunk
            trunk = following


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """Return the number at a place, and where it ends."""
    value = 0
    for i in range(9):
        byte = data[start + i]
        if i == 8:
            return value << 8 | byte, start + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, start + i + 1
    raise AssertionError("unreachable")


def _record(payload: bytes) -> Row:
    """Return the values of a record.

    Raises:
        ValueError: it is none, or a text is no UTF-8.
        IndexError: it is cut short.
    """
    n_header, place = _varint(payload, 0)
    types: list[int] = []
    while place < n_header:
        kind, place = _varint(payload, place)
        types.append(kind)
    values: list[Any] = []
    place = n_header
    for kind in types:
        size = (kind - 12) // 2 if kind >= 12 else _SIZES[kind]
        content = payload[place : place + size]
        place += size
        if len(content) < size:
            raise ValueError("cut short")
        if kind >= 12:
            values.append(content.decode() if kind % 2 else content)
        elif kind == 7:
            values.append(struct.unpack(">d", content)[0])
        elif kind in {0, 8, 9}:
            values.append({0: None, 8: 0, 9: 1}[kind])
        else:
            values.append(int.from_bytes(content, "big", signed=True))
    return tuple(values)


_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)
"""Serial type below 12 -> bytes."""
