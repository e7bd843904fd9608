"""Files of benchmarks: find or download them, read their records, make a benchmark of them.

A record is one line, row or example: an object that is checked field by field, so that an error
names the file, the line and the field.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import importlib
import io
import json
import math
import queue
import threading
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast
from urllib.parse import urlsplit

from cotkit import inputs
from cotkit.errors import BadInputError, Location, MissingDataError, MissingDependencyError
from cotkit.inputs import describe_json_value, is_encodable
from cotkit.paths import cache_dir, data_dir, write_atomically
from cotkit.types import Problem

PATIENCE_S = 5.0
"""How long to wait, over all mirrors, for an answer to begin; then the network counts as absent."""


_T = TypeVar("_T")


# Files that are known by their SHA-256: the user's, the cache's, or downloaded once.


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One file of a benchmark."""

    folder: str
    """The benchmark's folder under ``$COTKIT_DATA_DIR`` and the cache, e.g. ``"gsm8k"``."""
    name: str
    """The file's name in that folder."""
    sha256: str
    """Of its bytes; a file with another hash is never read."""


def find_local(file: DataFile) -> Path | None:
    """Find the file where the user or an earlier download put it; its content is not checked."""
    user = data_dir()
    roots = ([user] if user else []) + [cache_dir() / "data"]
    places = (root / file.folder / file.name for root in roots)
    return next((path for path in places if path.is_file()), None)


def obtain(file: DataFile, urls: tuple[str, ...], *, patience_s: float = PATIENCE_S) -> Path:
    """Return the path of the verified file: the user's, the cached one, or download it.

    A mirror whose URL ends in ``.parquet`` is written out as one JSON object per row.

    Raises:
        BadInputError: the file is on this machine, but it is another one (wrong hash).
        MissingDataError: it is not on this machine and no mirror gave it.
    """
    if path := find_local(file):
        check_sha256(path, file.sha256)
        return path
    failures: list[str] = []
    for url in urls:
        try:
            content = _download(url, patience_s / len(urls))
        except _NoFileError as failure:
            failures.append(f"{urlsplit(url).netloc}: {failure}")
            continue
        if hashlib.sha256(content).hexdigest() == file.sha256:
            return write_cached(content, cache_dir() / "data" / file.folder / file.name)
        failures.append(f"{urlsplit(url).netloc}: wrong sha256")
    raise MissingDataError(
        f"{file.folder}/{file.name} is not on this machine and cannot be downloaded "
        f"({'; '.join(failures)}): put it into $COTKIT_DATA_DIR/{file.folder}/ "
        "or use --bench gsm-mini"
    )


def check_sha256(path: Path, sha256: str) -> None:
    """Refuse a file that is not the official one.

    Raises:
        BadInputError: its hash is another one.
    """
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != sha256:
        raise BadInputError(
            path,
            f"expected sha256 {sha256}, found {actual}",
            hint="put the official file there, or delete it to have it downloaded",
        )


def to_jsonl(rows: Iterable[Mapping[str, object]]) -> bytes:
    """Write rows as the official files do: ``question`` and ``answer``, ASCII, one per line."""
    lines = (json.dumps({"question": r["question"], "answer": r["answer"]}) for r in rows)
    return "".join(f"{line}\n" for line in lines).encode("ascii")


class _NoFileError(Exception):
    """A mirror gave no file; the message says why in a few words."""


def _download(url: str, patience_s: float) -> bytes:
    convert = _parquet_converter() if url.endswith(".parquet") else bytes
    try:
        with open_url(url, patience_s) as response:
            content = response.read()
    except TimeoutError as late:
        raise _NoFileError("no answer") from late
    except urllib.error.URLError as refused:
        raise _NoFileError(str(refused.reason)) from refused
    except (OSError, http.client.HTTPException) as broken:
        raise _NoFileError(f"broke off ({type(broken).__name__})") from broken
    return convert(content)


def open_url(url: str, patience_s: float) -> http.client.HTTPResponse:
    """Open a URL; ``patience_s`` is for the answer to begin, and for each later read of its body.

    Raises:
        TimeoutError: no answer began in time.
        OSError, http.client.HTTPException: refused, or broken off.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "cotkit"})  # noqa: S310  # our own https mirrors
    return call_within(patience_s, lambda: urllib.request.urlopen(request, timeout=patience_s))  # noqa: S310  # as above


def call_within(seconds: float, function: Callable[[], _T]) -> _T:
    """Return what a function returns, or raise what it raises, within a time.

    In a thread because a socket's timeout covers neither the name look-up nor several addresses.

    Raises:
        TimeoutError: it took longer.
    """
    results: queue.SimpleQueue[tuple[_T] | Exception] = queue.SimpleQueue()

    def call() -> None:
        try:
            results.put((function(),))
        except Exception as failure:  # noqa: BLE001  raised again by the caller
            results.put(failure)

    threading.Thread(target=call, daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(result, Exception):
        raise result
    return result[0]


def _parquet_converter() -> Callable[[bytes], bytes]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise _NoFileError("needs pyarrow") from None

    def convert(content: bytes) -> bytes:
        try:
            return to_jsonl(parquet.read_table(io.BytesIO(content)).to_pylist())
        except (ValueError, KeyError, OSError) as broken:  # pyarrow's own derive from these
            raise _NoFileError(f"unreadable parquet ({type(broken).__name__})") from broken

    return convert


def write_cached(content: bytes, path: Path) -> Path:
    """Write a file under the cache folder.

    Raises:
        MissingDataError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as refused:
        raise MissingDataError(
            f"cannot write {path}: {refused.strerror}", hint="set COTKIT_CACHE_DIR to a folder"
        ) from refused
    return path


# Files without a known hash: the user's own.


def find_user_file(folder: str, *names: str) -> Path:
    """Return the first of ``names`` that is in ``$COTKIT_DATA_DIR/<folder>``.

    Raises:
        MissingDataError: there is none; says where it was looked for.
    """
    root = data_dir()
    for name in names:
        if root and (path := root / folder / name).is_file():
            return path
    candidates = " or ".join(f"{folder}/{name}" for name in names)
    raise MissingDataError(
        f"{candidates} is not in $COTKIT_DATA_DIR ({root or 'not set'})",
        hint=f"cotkit show bench {folder} says where to get it",
    )


# Records: lines of JSON, rows of parquet, examples of one JSON document.


MAX_LINE_BYTES = 4 * 1024 * 1024
"""No question is longer; a longer line is refused before the rest of it is read."""

_SHAPE = 'one object per line, at least {"question": "...", "answer": "..."}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Location):
    """One line, row or example of a file: an object that still has to be checked field by field."""

    number: int
    """Its line or row, from 1; of an example in a list its place, from 0."""
    fields: Mapping[str, object]
    """Its fields; numbers with a point are ``Decimal``, so no digit is lost."""
    is_typed: bool = True
    """Whether the file tells numbers from texts: CSV does not."""

    def require_text(self, field: str) -> str:
        """Return a text that must be there and not be blank.

        Raises:
            BadInputError: it is missing, blank, or no text that can be encoded.
        """
        if field not in self.fields:
            raise self.make_error("missing", field=field)
        value = self.fields[field]
        if value is None and not self.is_typed:
            value = ""
        if not isinstance(value, str):
            raise self.make_error(
                f"must be text, not {describe_json_value(value)}", field=field, hint="quote it"
            )
        if not is_encodable(value):
            raise self.make_error(
                "half a surrogate pair", field=field, hint="write the character itself"
            )
        if not value.strip():
            raise self.make_error("empty", field=field, hint="fill it in or delete the line")
        return value

    def find_text(self, field: str) -> str | None:
        """Return a text, or None where the field is absent or null; raises as require_text."""
        return None if self.fields.get(field) is None else self.require_text(field)

    def find_integer(self, field: str) -> int | None:
        """Return an integer, also where the file writes it as 2.0; None if it is none."""
        value = self.fields.get(field)
        if isinstance(value, int):
            return None if isinstance(value, bool) else value
        if not isinstance(value, (float, Decimal)) or not math.isfinite(value):
            return None
        return int(value) if value == int(value) else None


def read_records(path: Path) -> tuple[Record, ...]:
    """Read a file of problems; raises as :func:`iterate_records`."""
    return tuple(iterate_records(path))


def iterate_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file; its name's end says how to read it, with ``.gz`` unpacked.

    ``.jsonl`` and any other end: an object a line. ``.json``: one document, or an object a line.
    ``.csv``, ``.tsv``: a header, then rows. ``.parquet``, ``.arrow``, ``.feather``: a table.

    Raises:
        BadInputError: it cannot be read, or is empty.
        MissingDependencyError: a table, and ``pyarrow`` is not installed.
    """
    match Path(path.name.lower().removesuffix(".gz")).suffix:
        case ".json" if not _has_lines(path):
            return iter(read_task(path).examples)
        case ".csv" | ".tsv" as ending:
            return _iterate_rows(path, ending)
        case ".parquet" | ".arrow" | ".feather" as ending:
            return _iterate_table(path, ending)
        case _:
            return iterate_lines(path)


def _has_lines(path: Path) -> bool:
    """Return whether the first two lines of a file that is named ``.json`` are objects."""
    lines = inputs.iterate_lines(path, limit=MAX_LINE_BYTES)
    try:
        objects = [inputs.parse_object(text, place) for place, text, _ in islice(lines, 2)]
    except BadInputError:
        return False
    return len(objects) == 2


_ROW_SHAPE = "first a line that names the columns, at least question and answer"


def _iterate_rows(path: Path, ending: str) -> Iterator[Record]:
    delimiter = "\t" if ending == ".tsv" else ","
    first = next((text for _, text, _ in inputs.iterate_lines(path, hint=_ROW_SHAPE)), "")
    if delimiter not in first:  # where the comma is a decimal mark, spreadsheets write another one
        delimiter = next((mark for mark in ";\t" if mark in first), delimiter)
    columns, rows = inputs.iterate_csv(path, delimiter=delimiter, hint=_ROW_SHAPE)
    is_empty = True
    for place, cells in rows:
        is_empty = False
        assert place.line is not None
        yield Record(
            file=path,
            line=place.line,
            hint=f"the columns are {', '.join(columns)[:200]}",
            number=place.line,
            fields={name: cell or None for name, cell in cells.items()},
            is_typed=False,
        )
    if is_empty:
        raise BadInputError(path, "no problems in it", hint=_ROW_SHAPE)


_MAX_TABLE_BYTES = 1024 * 1024 * 1024


def _iterate_table(path: Path, ending: str) -> Iterator[Record]:
    """Yield the rows of a table of Arrow: Parquet, a file of its own format, or a stream of it."""
    try:
        import pyarrow as pa  # pyright: ignore[reportMissingImports]  # an extra
        from pyarrow import ipc, parquet  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError:
        raise MissingDependencyError("pyarrow", "data") from None
    what = "parquet" if ending == ".parquet" else "an Arrow table"
    content = inputs.read_bytes(path, limit=_MAX_TABLE_BYTES)
    source = pa.BufferReader(content)
    pa.set_memory_pool(pa.system_memory_pool())  # the others end the process at a limit
    try:
        with inputs.limited_memory(len(content)):
            if ending == ".parquet":
                table = parquet.ParquetFile(source).read(use_threads=False)
            else:
                try:
                    table = ipc.open_file(source).read_all()
                except pa.ArrowInvalid:
                    source.seek(0)
                    table = ipc.open_stream(source).read_all()
            _check_table(path, table.schema, table.num_rows)
            rows: list[dict[str, object]] = table.to_pylist()
    except MemoryError:
        raise BadInputError(path, "unpacks to more than fits in the memory allowed") from None
    except (pa.ArrowException, OSError, ValueError) as broken:
        raise BadInputError(path, f"not {what}: {type(broken).__name__}") from broken
    if not rows:
        raise BadInputError(path, "no rows in it")
    for number, row in enumerate(rows, start=1):
        fields = {name: _exact(value) for name, value in row.items()}
        yield Record(file=path, line=number, hint=_SHAPE, number=number, fields=fields)


def _check_table(path: Path, schema: Any, n_rows: int) -> None:  # noqa: ANN401 - of pyarrow
    """Refuse a table of too many values, or with a column, or a field within one, twice."""
    if n_rows * max(len(schema), 1) > inputs.MAX_VALUES:
        raise BadInputError(path, f"more than {inputs.MAX_VALUES // 1_000_000} million values")
    level: list[tuple[str, Any]] = [("", schema)]
    while level:
        place, parent = level.pop()
        n_fields = parent.num_fields if hasattr(parent, "num_fields") else len(parent)
        fields = [parent.field(i) for i in range(n_fields)]
        if (twice := inputs.find_duplicate([(field.name, None) for field in fields])) is not None:
            raise BadInputError(path, "stands twice", field=f"{place}{twice}"[:80])
        level += [(f"{place}{field.name}.", field.type) for field in fields]


def _exact(value: object) -> object:
    """Return a number of a table as JSON would give it; nothing for what is no number."""
    if not isinstance(value, float):
        return value
    return Decimal(repr(value)) if math.isfinite(value) else None


def iterate_lines(path: Path) -> Iterator[Record]:
    """Yield the objects of a file, one line at a time; blank lines are skipped.

    Raises:
        BadInputError: no such file, not UTF-8, not JSON, not an object, a field twice, a line above
            ``MAX_LINE_BYTES``, or nothing in it.
    """
    is_empty = True
    for place, text, _ in inputs.iterate_lines(path, limit=MAX_LINE_BYTES, hint=_SHAPE):
        is_empty = False
        fields = inputs.parse_object(text, place, exact=True)
        assert place.line is not None
        yield Record(file=path, line=place.line, hint=_SHAPE, number=place.line, fields=fields)
    if is_empty:
        raise BadInputError(path, "no problems in it", hint=_SHAPE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFile:
    """A file that is one JSON document: what it says of itself, and its examples."""

    path: Path
    """The file."""
    fields: Mapping[str, object]
    """Everything beside the examples; empty where the file is only their list."""
    examples: tuple[Record, ...]
    """At least one."""

    def get_text(self, field: str, default: str) -> str:
        """Return a field of the task, or what it means if it is left out.

        Raises:
            BadInputError: it is present and is no text.
        """
        value = self.fields.get(field, default)
        if not isinstance(value, str):
            raise BadInputError(self.path, "must be text", field=field)
        return value


def read_task(path: Path, *, marks: bool = False) -> TaskFile:
    """Read ``{"examples": [{...}, ...], ...}``, or only the list. Numbers with a point: Decimal.

    The list may have another name where it is the only list of objects. ``marks``: an object
    within an example that holds a name twice is a ``DuplicateKeys``.

    Raises:
        BadInputError: no such file, empty, not UTF-8, not JSON, a name twice, or no examples.
    """
    document = _read_document(path, marks=marks)
    if isinstance(document, DuplicateKeys):
        raise BadInputError(path, "stands twice", field=document.name)
    fields = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    lists = [name for name, value in fields.items() if _is_list_of_objects(value)]
    list_name = lists[0] if len(lists) == 1 and "examples" not in fields else "examples"
    items = fields.get(list_name) if isinstance(document, dict) else document
    if not isinstance(items, list) or not items:
        raise BadInputError(
            path, "no examples in it", field="examples", hint='{"examples": [{...}, ...]}'
        )
    examples: list[Record] = []
    for index, item in enumerate(cast("list[object]", items)):
        place = f"{list_name}[{index}]"
        if not isinstance(item, dict):
            raise BadInputError(path, "must be an object", field=place)
        if isinstance(item, DuplicateKeys):
            raise BadInputError(path, "stands twice", field=f"{place}.{item.name}")
        example = cast("dict[str, object]", item)
        examples.append(Record(file=path, field=place, number=index, fields=example))
    return TaskFile(
        path=path,
        fields={name: value for name, value in fields.items() if name != list_name},
        examples=tuple(examples),
    )


def _is_list_of_objects(value: object) -> bool:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return bool(items) and all(isinstance(item, dict) for item in items)


def _read_document(path: Path, *, marks: bool) -> object:
    place = Location(file=path)
    text = inputs.decode(inputs.read_bytes(path), place)
    if not text.strip():
        raise place.make_error("empty")
    make_object = _mark_duplicates if marks else inputs.refuse_duplicates
    return inputs.parse_json(text, place, exact=True, make_object=make_object)


class DuplicateKeys(dict[str, object]):
    """An object in which one name stands twice; JSON itself would silently keep the last value."""

    name: str = ""


def _mark_duplicates(pairs: inputs.Pairs) -> dict[str, object]:
    name = inputs.find_duplicate(pairs)
    if name is None:
        return dict(pairs)
    fields = DuplicateKeys(pairs)
    fields.name = name
    return fields


# The benchmark that such a file is.


def hash_files(*paths: Path) -> str:
    """Return the first 12 hex characters of the SHA-256 of the files, one after the other."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


class FileBenchmark(ABC):
    """The common part of benchmarks in files, one file for each split.

    A subclass names its splits, says where the file of one is, and makes problems of its records.
    """

    __slots__ = ()

    evaluated_split: ClassVar[str] = "test"
    """The split that is evaluated."""
    exemplar_split: ClassVar[str | None] = None
    """The split to draw exemplars from; None: there is none."""

    @abstractmethod
    def find_file(self, split: str, /) -> Path:
        """Return the path of a split's file, which is downloaded where it can be.

        Raises:
            BadInputError: the file on this machine is not the official one.
            MissingDataError: it is not on this machine and cannot be downloaded.
        """

    @abstractmethod
    def make_problems(self, records: Sequence[Record], split: str, /) -> Iterable[Problem]:
        """Make the problems of a split, in the file's order.

        Raises:
            BadInputError: a record cannot be used; names file, place and field.
        """

    @property
    def version(self) -> str:
        """``1-`` and the first 12 hex characters of the SHA-256 of the evaluated file."""
        return f"1-{hash_files(self.find_file(self.evaluated_split))}"

    def problems(self) -> Sequence[Problem]:
        """Return all problems of the evaluated split."""
        return self.load_split(self.evaluated_split)

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return all problems to draw exemplars from."""
        return self.load_split(self.exemplar_split) if self.exemplar_split else ()

    def load_split(self, split: str) -> tuple[Problem, ...]:
        """Read the problems of a split; a file that has not changed is read once."""
        path = self.find_file(split)
        status = path.stat()
        return _load_problems(self, split, path, (status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=32)
def _load_problems(
    benchmark: FileBenchmark, split: str, path: Path, _state: tuple[int, int]
) -> tuple[Problem, ...]:
    return tuple(benchmark.make_problems(read_records(path), split))
