"""Benchmark files that are known by their SHA-256: found on this machine, or downloaded once."""

from __future__ import annotations

import hashlib
import http.client
import importlib
import io
import json
import queue
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cotkit.errors import BadInputError, MissingDataError
from cotkit.resources import cache_dir, data_dir

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
            return _keep(content, cache_dir() / "data" / file.folder / file.name)
        failures.append(f"{urlsplit(url).netloc}: wrong sha256")
    raise MissingDataError(
        f"{file.folder}/{file.name} is not on this machine and cannot be downloaded "
        f"({'; '.join(failures)}): put it into $COTKIT_DATA_DIR/{file.folder}/ "
        "or use --bench gsm-mini"
    )


def as_jsonl(rows: Iterable[Mapping[str, object]]) -> bytes:
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
            return as_jsonl(parquet.read_table(io.BytesIO(content)).to_pylist())
        except (ValueError, KeyError, OSError) as broken:  # pyarrow's own derive from these
            raise _NoFileError(f"unreadable parquet ({type(broken).__name__})") from broken

    return read


def _keep(content: bytes, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
            part.write(content)
        return Path(part.name).replace(path)
    except OSError as refused:
        raise MissingDataError(
            f"cannot write {path}: {refused.strerror}", hint="set COTKIT_CACHE_DIR to a folder"
        ) from refused
