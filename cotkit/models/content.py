"""What files of a model hold, by hash: each is read once for each state that the system tells.

A state is size, time of change of content and of the file itself (which no program can set), and
inode. What was hashed is remembered in one small file of the cache folder, and so is what each file
of a hub's commit held when it was first seen here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, cast

from cotkit import paths
from cotkit.errors import ModelLoadError
from cotkit.types import Notify, say_nothing

HashKind = Literal["sha256", "git"]
"""``git``: the SHA-1 that git gives a file, by which a hub names its small ones."""

_CHUNK_BYTES = 1 << 20
_TICK_NS = 20_000_000  # the clock of file systems moves at least so often
_QUIET_S = 2.0  # of reading, before the first note
_NOTE_EVERY_S = 10.0
_MOST_ENTRIES = 5_000  # of the memory; the oldest go first
_COMMIT = re.compile(r"[0-9a-f]{40}")
_KINDS: Mapping[int, HashKind] = {64: "sha256", 40: "git"}
_HEX = re.compile(r"[0-9a-f]+")


def file_hash(path: Path, notify: Notify = say_nothing, *, kind: HashKind = "sha256") -> str:
    """Return the hash of a file in hex, read only if its state is new; ``notify`` hears how far.

    Raises:
        ModelLoadError: it is not there, cannot be read, or changes while it is read.
    """
    key = str(path.resolve()) if kind == "sha256" else f"{kind}:{path.resolve()}"
    try:
        state = _state(path.stat())
        entry = _load_memory().get(key)
        if isinstance(entry, list) and entry[:-1] == state:
            return str(cast("list[object]", entry)[-1])
        state, digest = _hash_file(path, notify, kind)
    except OSError as refused:
        raise ModelLoadError(f"{path}: cannot be read: {refused.strerror or refused}") from refused
    _remember(key, [*state, digest])
    return digest


def remember_hash(path: Path, digest: str) -> None:
    """Remember the SHA-256 of a file that was just written."""
    with suppress(OSError):
        _wait_a_tick(path.stat())
        _remember(str(path.resolve()), [*_state(path.stat()), digest])


def remember_weights(content: str, weights: str) -> None:
    """Remember that a folder of this content was made here of weights known by another hash."""
    if content != weights:
        _remember(f"content:{content}", weights)


def weights_of(content: str) -> str:
    """Return what the weights of a folder of this content are known by: the hash in float32."""
    return str(_load_memory().get(f"content:{content}", content))


def commit_of(folder: Path) -> str | None:
    """Return the commit that names a folder of the hub's cache; None: it is another folder."""
    is_snapshot = folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name)
    return folder.name if is_snapshot else None


def hash_snapshot(
    folder: Path, names: Iterable[str], notify: Notify = say_nothing
) -> dict[str, str]:
    """Return the SHA-256 of files of a hub's commit, each checked against the name of its blob.

    Raises:
        ModelLoadError: a file is not what its name says, no link into the cache as the others are,
            or not what this commit held when it was first seen here.
    """
    blobs = folder.parent.parent / "blobs"
    has_blobs = blobs.is_dir() and any(blobs.iterdir())
    key = f"commit:{folder.parent.parent.name}/{folder.name}"
    before: Any = _load_memory().get(key)
    before = cast("dict[str, str]", before) if isinstance(before, dict) else {}
    hashes: dict[str, str] = {}
    for name in names:
        path = folder / name
        if path.is_symlink():
            _check_blob(path, blobs, notify)
        elif has_blobs:
            raise _not_the_hubs(path, "it is no link into the hub's cache, as other files are")
        hashes[name] = file_hash(path, notify)
        if before.get(name, hashes[name]) != hashes[name]:
            raise _not_the_hubs(path, "another content was seen here under this commit")
    if not hashes.items() <= before.items():
        _remember(key, before | hashes)
    return hashes


def hashes_of_commit(commit: str) -> dict[str, str]:
    """Return the hashes of a hub's commit as they were first seen here; empty: they were not."""
    memory = _load_memory()
    key = next(
        (key for key in memory if key.startswith("commit:") and key.endswith(f"/{commit}")), ""
    )
    hashes: Any = memory.get(key)
    return cast("dict[str, str]", hashes) if isinstance(hashes, dict) else {}


def _check_blob(path: Path, blobs: Path, notify: Notify) -> None:
    blob = Path(os.path.normpath(path.parent / path.readlink()))
    if blob.parent.resolve() != blobs.resolve():
        raise _not_the_hubs(path, "it is a link to outside of its blobs")
    kind = _KINDS.get(len(blob.name)) if _HEX.fullmatch(blob.name) else None
    if kind is None:  # a server of one's own may name its files in another way
        return
    digest = file_hash(path, notify, kind=kind)
    if digest != blob.name:
        raise _not_the_hubs(path, f"its content has the hash {digest[:12]}, not {blob.name[:12]}")


def _not_the_hubs(path: Path, why: str) -> ModelLoadError:
    return ModelLoadError(
        f"{path} is not what the hub gave: {why}",
        hint=f"delete {path.parent.parent.parent} and fetch the model again",
    )


def _state(stat: os.stat_result) -> list[int]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _wait_a_tick(stat: os.stat_result) -> None:
    """Wait until a further change of a file must show in its times."""
    age_ns = time.time_ns() - stat.st_ctime_ns
    if age_ns < _TICK_NS:
        time.sleep(min(_TICK_NS, _TICK_NS - age_ns) / 1e9)


def _hash_file(path: Path, notify: Notify, kind: HashKind) -> tuple[list[int], str]:
    """Return a file's state and hash.

    Raises:
        ModelLoadError: it changes while it is read.
    """
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        _wait_a_tick(stat)
        digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(usedforsecurity=False)
        if kind == "git":
            digest.update(b"blob %d\0" % stat.st_size)
        n_bytes, next_note = 0, time.monotonic() + _QUIET_S
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            n_bytes += len(chunk)
            if time.monotonic() > next_note:
                next_note += _NOTE_EVERY_S
                share = f"{n_bytes / 1e9:.1f} of {stat.st_size / 1e9:.1f} GB"
                notify(f"checking what {path.name} holds, once: {share}")
        state = _state(os.fstat(file.fileno()))
    if state != _state(stat):
        raise ModelLoadError(f"{path} changes while it is read", hint="try again when it is whole")
    return state, digest.hexdigest()


# The memory: only a cache, without which files are hashed again.


_unsaved: dict[str, object] = {}
"""What could not be written, because the cache folder cannot be: good for this process."""


def _load_memory() -> dict[str, Any]:
    try:
        memory: Any = json.loads(_memory_path().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        memory = {}
    return {**(cast("dict[str, Any]", memory) if isinstance(memory, dict) else {}), **_unsaved}


def _remember(key: str, value: object) -> None:
    memory = _load_memory()
    memory.pop(key, None)
    memory[key] = value
    for oldest in list(memory)[:-_MOST_ENTRIES]:
        del memory[oldest]
    path = _memory_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.write_atomically(path, json.dumps(memory).encode())
    except OSError:
        _unsaved[key] = value


def _memory_path() -> Path:
    return paths.cache_dir() / "fingerprints.json"
