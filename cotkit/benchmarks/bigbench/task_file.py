"""Where BIG-bench tasks are: the user's folder, the cache, or the source package on the index.

The package is one archive of 358 MB. It is streamed, never unpacked and never run: only the
``task.json`` files of the asked task are kept, once the archive has turned out to be the right one.
"""

from __future__ import annotations

import hashlib
import html
import http.client
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from cotkit.benchmarks._files import open_url
from cotkit.errors import MissingDataError, UnknownNameError
from cotkit.paths import cache_dir, data_dir, resource
from cotkit.types import Notify

if TYPE_CHECKING:
    from typing_extensions import Buffer

PATIENCE_S = 10.0
"""How long to wait for an answer to begin, and for each further piece of it."""

_FILE = "task.json"
_MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPackage:
    """A source package that holds the tasks."""

    name: str
    """On the index."""
    archive: str
    """File name of the release."""
    sha256: str
    """Of the archive."""
    folder: str
    """Path in the archive under which every task has its folder."""


PACKAGE = TaskPackage(
    name="bigbench",
    archive="bigbench-1.0.0.tar.gz",
    sha256="1bb398a5512c6d798cdebe0dfa0ac03f67f6033fa6b39c6ef71df978c7cbc5c2",
    folder="bigbench-1.0.0/bigbench/benchmark_tasks/",
)


def task_files(task: str, notify: Notify) -> tuple[tuple[str, Path], ...]:
    """Return (name, file) of a task, its subtasks, or one: ``arithmetic/1_digit_addition``.

    Raises:
        UnknownNameError: the package has no JSON task of this name.
        MissingDataError: it is not on this machine and the package cannot be had.
    """
    user = data_dir()
    cache = cache_dir() / "data" / PACKAGE.archive.removesuffix(".tar.gz")
    for root in ([user / "bigbench"] if user else []) + [cache]:
        if files := _list_files(root, task):
            return files
    top = task.partition("/")[0]
    tasks = resource("benchmarks/bigbench/tasks.v1.txt").read_text(encoding="utf-8").split()
    if top not in tasks:
        raise UnknownNameError("BIG-bench task", top, tasks)
    if not (cache / top).exists():
        _fetch(top, cache / top, notify)
    if files := _list_files(cache, task):
        return files
    raise UnknownNameError(f"subtask of {top}", task, [name for name, _ in _list_files(cache, top)])


def _list_files(root: Path, task: str) -> tuple[tuple[str, Path], ...]:
    files = sorted((root / task).glob(f"*/{_FILE}"))
    if not files and (root / task / _FILE).is_file():
        files = [root / task / _FILE]
    return tuple((path.parent.relative_to(root).as_posix(), path) for path in files)


def _fetch(task: str, target: Path, notify: Notify) -> None:
    """Download the task's files into ``target``, all of them or none."""
    try:
        url = _archive_url()
        notify(f"fetching {task} out of {PACKAGE.archive} from {urlsplit(url).hostname}")
        with open_url(url, PATIENCE_S) as response:
            content = _read_archive(_HashedResponse(response, notify), task)
    except (OSError, EOFError, zlib.error, tarfile.TarError, http.client.HTTPException) as fault:
        reason = fault.reason if isinstance(fault, urllib.error.URLError) else fault
        raise MissingDataError(
            f"BIG-bench {task} is not on this machine and {PACKAGE.name} cannot be fetched from "
            f"{urlsplit(_index_url()).hostname}: {reason or type(fault).__name__}",
            hint=f"put it into $COTKIT_DATA_DIR/bigbench/{task}/, or set COTKIT_INDEX_URL",
        ) from fault
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            for name, data in content.items():
                path = Path(scratch, task, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            Path(scratch, task).rename(target)
    except OSError as refused:
        raise MissingDataError(
            f"cannot write {target}: {refused.strerror}", hint="set COTKIT_CACHE_DIR to a folder"
        ) from refused


def _read_archive(archive: _HashedResponse, task: str) -> dict[str, bytes]:
    """Return the content of each ``task.json``, by its path under the task's folder.

    Raises:
        OSError: the archive is not the one that is pinned, or has no such task.
    """
    prefix = f"{PACKAGE.folder}{task}/"
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=archive, mode="r|gz") as tar:
        for member in tar:
            name = member.name.removeprefix(prefix)
            is_task = name != member.name and Path(name).name == _FILE and ".." not in name
            if is_task and (file := tar.extractfile(member)) is not None:
                contents[name] = file.read()
    while archive.read(_MB):  # what follows the archive's end counts for its hash
        pass
    if archive.sha256.hexdigest() != PACKAGE.sha256:
        raise OSError(f"{PACKAGE.archive} has the wrong sha256")
    if not contents:
        raise OSError(f"{PACKAGE.archive} does not hold {task}")
    return contents


class _HashedResponse(io.RawIOBase):
    """A response that is hashed and counted as it is read; notifies at every fifth of its size."""

    def __init__(self, response: http.client.HTTPResponse, notify: Notify) -> None:
        super().__init__()
        self.sha256 = hashlib.sha256()
        self._response = response
        self._notify = notify
        self._size = int(response.headers.get("Content-Length") or 0)
        self._done = 0

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Read as :class:`io.RawIOBase` does."""
        room = memoryview(buffer)
        data = self._response.read(len(room))
        room[: len(data)] = data
        self.sha256.update(data)
        before, self._done = self._done, self._done + len(data)
        if self._size and 5 * self._done // self._size > 5 * before // self._size:
            self._notify(f"read {self._done // _MB} of {self._size // _MB} MB")
        return len(data)


def _archive_url() -> str:
    page = f"{_index_url().rstrip('/')}/{PACKAGE.name}/"
    with open_url(page, PATIENCE_S) as response:
        links = list(_find_links(response.read().decode("utf-8", "replace")))
        base = response.url
    for link in links:
        if urlsplit(link).path.endswith(f"/{PACKAGE.archive}") or link == PACKAGE.archive:
            return urljoin(base, link)
    raise OSError(f"its page has no {PACKAGE.archive}")


def _find_links(page: str) -> Iterator[str]:
    for link in re.findall(r"""<a\s[^>]*?href\s*=\s*["']([^"'#]+)""", page):
        yield html.unescape(link)


def _index_url() -> str:
    """Return the index that pip uses, unless ``$COTKIT_INDEX_URL`` names another."""
    for name in ("COTKIT_INDEX_URL", "PIP_INDEX_URL"):
        if url := os.environ.get(name):
            return url
    command = [sys.executable, "-P", "-m", "pip", "config", "get", "global.index-url"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own interpreter
    return process.stdout.strip() or "https://pypi.org/simple"
