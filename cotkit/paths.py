"""Find data files in a wheel or a checkout, the user's folders; write files as a whole."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import platformdirs

from cotkit.errors import MissingDataError, UsageError

_PACKAGE = Path(__file__).parent


def resource(relative: str) -> Path:
    """Return the path of a released file or folder such as ``"prompts/cot.v1.jinja"``.

    A wheel carries the folders at ``cotkit/_data``; a checkout has them beside the package.

    Raises:
        MissingDataError: neither place has it; the installation is broken.
    """
    for root in (_PACKAGE / "_data", _PACKAGE.parent):
        if (path := root / relative).exists():
            return path
    raise MissingDataError(f"cotkit's own file {relative} is missing", hint="reinstall cotkit")


def data_dir() -> Path | None:
    """Return the user's folder of benchmark data (``$COTKIT_DATA_DIR``); None if unset or empty."""
    value = os.environ.get("COTKIT_DATA_DIR")
    return Path(value) if value else None


def cache_dir() -> Path:
    """Return the folder of downloads and models (``$COTKIT_CACHE_DIR`` or the user cache)."""
    value = os.environ.get("COTKIT_CACHE_DIR")
    return Path(value) if value else Path(platformdirs.user_cache_dir("cotkit"))


# Files that cotkit writes: as a whole, and never over a file of another kind.


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds all of it, or what was there before; follow links.

    Raises:
        OSError: it cannot be written, e.g. because its folder does not exist; nothing has changed.
    """
    target = path.resolve()
    partial = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def check_overwrites(path: Path, begins: bytes, what: str) -> None:
    """Refuse to write over a file of another kind.

    Args:
        path: Where something is to be written.
        begins: How such a file begins, in lower case; an empty file is as good as none.
        what: Its kind, for the message: "HTML page".

    Raises:
        UsageError: the file is of another kind, or cannot be read or be there.
    """
    try:
        if not path.exists():
            return
        if path.is_dir():
            raise UsageError(f"cannot write {path}: it is a folder")
        if not path.is_file():
            raise UsageError(f"cannot write {path}: it is no ordinary file")
        with path.open("rb") as file:
            head = file.read(len(begins)).lower()
    except OSError as refused:
        raise UsageError(f"cannot write {path}: {refused.strerror}") from refused
    if head and head != begins:
        raise UsageError(
            f"{path} is there and is no {what}", hint="remove it, or name another file"
        )
