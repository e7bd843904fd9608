"""Files that cotkit writes whole: never over a file of another kind."""

from __future__ import annotations

from pathlib import Path

from cotkit.errors import UsageError


def check_overwrites(path: Path, begins: bytes, what: str) -> None:
    """Refuse a file that is there and is none of those that would be written.

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
