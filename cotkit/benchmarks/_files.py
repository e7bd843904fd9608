"""Benchmark files that are known by their SHA-256: found on this machine, or downloaded once."""

from __future__ import annotations

import hashlib
import http.client
import importlib
import io
import json
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from cotkit.errors import BadInputError, MissingDataError, MissingDependencyError
from cotkit.paths import cache_dir, data_dir, write_atomically

PATIENCE_S = 10.0
"""How long to wait, over all mirrors, for an answer to begin; then the network counts as absent."""


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
    """The file where the user or an earlier download put it; its content is not looked at."""
    user = data_dir()
    roots = ([user] if user else []) + [cache_dir() / "data"]
    places = (root / file.folder / file.name for root in roots)
    return next((path for path in places if path.is_file()), None)


def obtain(file: DataFile, urls: tuple[str, ...], *, patience_s: float = PATIENCE_S) -> Path:
    """Path of the verified file: the user's folder, then the cache, then the first good mirror.

    A mirror whose URL ends in ``.parquet`` is written out as one JSON object per row.

    Raises:
        BadInputError: the file is on this machine, but it is another one (wrong hash).
        MissingDataError: it is not on this machine and no mirror gave it.
    """
    if path := find_local(file):
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != file.sha256:
            raise BadInputError(
                path,
                f"expected sha256 {file.sha256}, found {found}",
                hint="put the official file there, or delete it to have it downloaded",
            )
        return path
    failures: list[str] = []
    for url in urls:
        try:
            content = _download(url, patience_s / len(urls))
        except _NoFileError as failure:
            failures.append(f"{urlsplit(url).netloc}: {failure}")
            continue
        if hashlib.sha256(content).hexdigest() == file.sha256:
            return _write_cached(content, cache_dir() / "data" / file.folder / file.name)
        failures.append(f"{urlsplit(url).netloc}: wrong sha256")
    raise MissingDataError(
        f"{file.folder}/{file.name} is not on this machine and cannot be downloaded "
        f"({'; '.join(failures)}): put it into $COTKIT_DATA_DIR/{file.folder}/ "
        "or use --bench gsm-mini"
    )


def to_jsonl(rows: Iterable[Mapping[str, object]]) -> bytes:
    """Rows as the official files write them: ``question`` and ``answer``, ASCII, one per line."""
    lines = (json.dumps({"question": r["question"], "answer": r["answer"]}) for r in rows)
    return "".join(f"{line}\n" for line in lines).encode("ascii")


class _NoFileError(Exception):
    """A mirror gave no file; says why in a few words."""


def _download(url: str, patience_s: float) -> bytes:
    read = _parquet_reader() if url.endswith(".parquet") else bytes
    try:
        with open_url(url, patience_s) as response:
            content = response.read()
    except TimeoutError as late:
        raise _NoFileError("no answer") from late
    except urllib.error.URLError as refused:
        raise _NoFileError(str(refused.reason)) from refused
    except (OSError, http.client.HTTPException) as broken:
        raise _NoFileError(f"broke off ({type(broken).__name__})") from broken
    return read(content)


def open_url(url: str, patience_s: float) -> http.client.HTTPResponse:
    """The response, its body still to be read; ``patience_s`` is also that of each later read.

    Raises:
        TimeoutError: no answer began in time.
        OSError, http.client.HTTPException: refused, or broken off.
    """
    # In a thread because a socket timeout covers neither the name look-up nor several addresses.
    answers: queue.SimpleQueue[http.client.HTTPResponse | OSError | http.client.HTTPException]
    answers = queue.SimpleQueue()

    def ask() -> None:
        request = urllib.request.Request(url, headers={"User-Agent": "cotkit"})  # noqa: S310  # our own https mirrors
        try:
            answers.put(urllib.request.urlopen(request, timeout=patience_s))  # noqa: S310  # as above
        except (OSError, http.client.HTTPException) as failure:
            answers.put(failure)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=patience_s)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _parquet_reader() -> Callable[[bytes], bytes]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise _NoFileError("needs pyarrow") from None

    def read(content: bytes) -> bytes:
        try:
            return to_jsonl(parquet.read_table(io.BytesIO(content)).to_pylist())
        except (ValueError, KeyError, OSError) as broken:  # pyarrow's own derive from these
            raise _NoFileError(f"unreadable parquet ({type(broken).__name__})") from broken

    return read


def _write_cached(content: bytes, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as refused:
        raise MissingDataError(
            f"cannot write {path}: {refused.strerror}", hint="set COTKIT_CACHE_DIR to a folder"
        ) from refused
    return path


# Splits of hub data sets: a file of the user's, or what the hub's own client fetches.


_REPLY_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSplit:
    """One split of a data set."""

    folder: str
    """Its folder under ``$COTKIT_DATA_DIR``, e.g. ``"mmlu"``."""
    name: str
    """File name there, without ``.jsonl`` or ``.parquet``."""
    repo: str
    """Data set on the hub, e.g. ``"cais/mmlu"``."""
    file: str
    """Path in that repository, ends in ``.parquet``."""


def find_split(split: DataSplit) -> Path:
    """The user's ``.jsonl`` or ``.parquet``, else the hub's file, which its client caches.

    There is no hash to check it against: the file's own hash belongs into the version.

    Raises:
        MissingDataError: not here, and the hub did not give it; says what was tried.
    """
    tried: list[str] = []
    if root := data_dir():
        for path in (root / split.folder / f"{split.name}{end}" for end in (".jsonl", ".parquet")):
            if path.is_file():
                return path
        tried.append(f"no {split.name}.jsonl or .parquet in $COTKIT_DATA_DIR/{split.folder}/")
    else:
        tried.append("$COTKIT_DATA_DIR is not set")
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        tried.append("huggingface_hub is not installed")
    else:
        try:
            return Path(
                hf_hub_download(
                    split.repo, split.file, repo_type="dataset", etag_timeout=_REPLY_SECONDS
                )
            )
        except (HfHubHTTPError, OSError, ValueError) as fault:  # its offline mode is a ValueError
            said = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
            tried.append(f"the hub did not give {split.repo} {split.file}: {said}")
    raise MissingDataError(
        f"{split.folder}/{split.name} cannot be had: {'; '.join(tried)}",
        hint=f"put it there, or pip install 'cotkit[data]' where the hub can be reached; "
        f"cotkit show bench {split.folder}",
    )


def read_split(path: Path) -> tuple[SourceLine, ...]:
    """The rows of a ``.jsonl`` or ``.parquet`` file, to be checked field by field.

    Raises:
        BadInputError: it cannot be read, or is empty.
        MissingDependencyError: a parquet file, and ``pyarrow`` is not installed.
    """
    if path.suffix != ".parquet":
        return read_lines(path)
    try:
        from pyarrow import ArrowException, parquet  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError:
        raise MissingDependencyError("pyarrow", "data") from None
    try:
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    except (ArrowException, OSError, ValueError) as broken:
        raise BadInputError(path, f"not parquet: {type(broken).__name__}") from broken
    if not rows:
        raise BadInputError(path, "no rows in it")
    return tuple(
        SourceLine(path=path, number=at, fields=row) for at, row in enumerate(rows, start=1)
    )


def read_integer(fields: Mapping[str, object], name: str) -> int | None:
    """An integer field, also where a file writes it as 2.0; None if it is none."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    return int(value) if value == int(value) else None


# JSON lines, one after the other: an error names the file, the line and the field.


MAX_LINE_BYTES = 4 * 1024 * 1024
"""No question is longer; a longer line is refused before the rest of it is read."""

_SHAPE = 'one object per line, at least {"question": "...", "answer": "..."}'


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLine:
    """One line of a file, as an object that still has to be checked field by field."""

    path: Path
    """The file."""
    number: int
    """Line number from 1."""
    fields: Mapping[str, object]
    """What the line holds; numbers with a point are ``Decimal``, so no digit is lost."""

    def bad(self, problem: str, *, field: str | None = None, hint: str = _SHAPE) -> BadInputError:
        """An error at this line."""
        return BadInputError(self.path, problem, line=self.number, field=field, hint=hint)

    def text(self, field: str) -> str:
        """A text that must be there and not be blank."""
        if field not in self.fields:
            raise self.bad("missing", field=field)
        value = self.fields[field]
        if not isinstance(value, str):
            raise self.bad(
                f"must be text, not {describe_json_value(value)}", field=field, hint="quote it"
            )
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise self.bad("half a surrogate pair", field=field, hint="write the character itself")
        if not value.strip():
            raise self.bad("empty", field=field, hint="fill it in or delete the line")
        return value

    def optional_text(self, field: str) -> str | None:
        """A text, or None where the field is absent or null."""
        return None if self.fields.get(field) is None else self.text(field)


def read_lines(path: Path) -> tuple[SourceLine, ...]:
    """The objects of a file, blank lines skipped; raises as :func:`each_line` does."""
    return tuple(iterate_lines(path))


def iterate_lines(path: Path) -> Iterator[SourceLine]:
    """The objects of a file, each read when it is asked for; blank lines skipped.

    Raises:
        BadInputError: no such file, not UTF-8, not JSON, not an object, a field twice, a line above
            ``MAX_LINE_BYTES``, or nothing in it.
    """
    if not path.is_file():
        raise BadInputError(path, "no such file", hint="write a path that ends in .jsonl")
    found = False
    for number, content in enumerate(_read_pieces(path), start=1):
        if len(content) > MAX_LINE_BYTES:
            raise BadInputError(
                path, f"longer than {MAX_LINE_BYTES >> 20} MiB", line=number, hint=_SHAPE
            )
        try:
            text = content.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as broken:
            hint = "save it as UTF-8"
            raise BadInputError(path, "not UTF-8", line=number, hint=hint) from broken
        if text.strip():
            found = True
            yield SourceLine(path=path, number=number, fields=_parse(path, number, text))
    if not found:
        raise BadInputError(path, "no problems in it", hint=_SHAPE)


def _read_pieces(path: Path) -> Iterator[bytes]:
    """Lines, cut one byte beyond the longest that is read; only a line feed ends one."""
    try:
        with path.open("rb") as file:
            while piece := file.readline(MAX_LINE_BYTES + 1):
                yield piece
    except OSError as refused:
        hint = "check its permissions"
        raise BadInputError(path, f"cannot be read: {refused.strerror}", hint=hint) from refused


def _parse(path: Path, number: int, line: str) -> Mapping[str, object]:
    try:
        value: object = json.loads(line, parse_float=Decimal, object_pairs_hook=_make_object)
    except (ValueError, RecursionError) as broken:  # also: an endless integer, endless nesting
        raise BadInputError(path, f"not JSON: {broken}", line=number, hint=_SHAPE) from broken
    if not isinstance(value, dict):
        raise BadInputError(
            path, f"{describe_json_value(value)}, not an object", line=number, hint=_SHAPE
        )
    return cast("dict[str, object]", value)


def _make_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object; JSON itself would keep the last of two values of one name silently."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return fields


def describe_json_value(value: object) -> str:
    """What a JSON value is, in words."""
    names: dict[type[object], str]
    names = {list: "a list", dict: "an object", str: "a text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")


# Benchmark files that are one JSON document: a list of examples, each checked field by field.


class DuplicateKeys(dict[str, object]):
    """An object of a file in which one name stands twice; JSON would keep the last silently."""

    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExample(SourceLine):
    """One example of a file; ``number`` is its place in the list, from 0."""

    def bad(
        self, problem: str, *, field: str | None = None, hint: str | None = None
    ) -> BadInputError:
        """An error at this example."""
        place = f"examples[{self.number}]" + (f".{field}" if field else "")
        return BadInputError(self.path, problem, field=place, hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFile:
    """A file: what it says of itself, and its examples."""

    path: Path
    """The file."""
    fields: Mapping[str, object]
    """Everything beside the examples; empty where the file is only their list."""
    examples: tuple[TaskExample, ...]
    """At least one."""

    def text(self, field: str, default: str) -> str:
        """A field of the task, or what it means if it is left out.

        Raises:
            BadInputError: it is there and is no text.
        """
        value = self.fields.get(field, default)
        if not isinstance(value, str):
            raise BadInputError(self.path, "must be text", field=field)
        return value


def read_task(path: Path) -> TaskFile:
    """Read ``{"examples": [{...}, ...], ...}``, or only the list. Numbers with a point: Decimal.

    Raises:
        BadInputError: no such file, empty, not UTF-8, not JSON, or no examples in it.
    """
    document = _read_document(path)
    fields = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    found = fields.get("examples") if isinstance(document, dict) else document
    if not isinstance(found, list) or not found:
        raise BadInputError(
            path, "no examples in it", field="examples", hint='{"examples": [{...}, ...]}'
        )
    items = cast("list[object]", found)
    for at, item in enumerate(items):
        if not isinstance(item, dict):
            raise BadInputError(path, "must be an object", field=f"examples[{at}]")
    return TaskFile(
        path=path,
        fields={name: value for name, value in fields.items() if name != "examples"},
        examples=tuple(
            TaskExample(path=path, number=at, fields=cast("dict[str, object]", item))
            for at, item in enumerate(items)
        ),
    )


def find_user_file(folder: str, *names: str) -> Path:
    """The first of ``names`` that is in ``$COTKIT_DATA_DIR/<folder>``.

    Raises:
        MissingDataError: there is none; says where it was looked for.
    """
    root = data_dir()
    for name in names:
        if root and (path := root / folder / name).is_file():
            return path
    wanted = " or ".join(f"{folder}/{name}" for name in names)
    raise MissingDataError(
        f"{wanted} is not in $COTKIT_DATA_DIR ({root or 'not set'})",
        hint=f"cotkit show bench {folder} says where to get it",
    )


def _read_document(path: Path) -> object:
    if not path.is_file():
        raise BadInputError(path, "no such file")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        line = content.count(b"\n", 0, broken.start) + 1
        raise BadInputError(path, "not UTF-8", line=line, hint="save it as UTF-8") from broken
    if not text.strip():
        raise BadInputError(path, "empty")
    try:
        return json.loads(text, parse_float=Decimal, object_pairs_hook=_object_or_repeated)
    except json.JSONDecodeError as broken:
        raise BadInputError(path, f"not JSON: {broken.msg}", line=broken.lineno) from broken
    except (ValueError, RecursionError) as broken:  # an endless integer, endless nesting
        raise BadInputError(path, f"not JSON: {broken}") from broken


def _object_or_repeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    repeated = DuplicateKeys(fields)
    names = [name for name, _ in pairs]
    repeated.name = next(name for name in names if names.count(name) > 1)
    return repeated
