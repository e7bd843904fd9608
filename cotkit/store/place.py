"""Where a store is: a SQLite file in a folder, or a PostgreSQL database by its URL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeAlias

from cotkit.errors import UsageError

STORE_NAME = "cotkit.db"
"""Name of the file in its folder."""

Place: TypeAlias = Path | str
"""A SQLite file, or ``postgresql://USER@HOST:PORT/DATABASE``."""

_SCHEMES = ("postgresql://", "postgres://")
_PASSWORD = re.compile(r"^(\w+://[^:/?]*):.*@")  # up to the last @: a password may hold anything
_PASSWORD_PARAM = re.compile(r"((?:ssl)?password=)[^&]*", re.IGNORECASE)


def place_of(log_dir: Path | str) -> Place:
    """Return the store of a folder; a URL is the place itself.

    Raises:
        UsageError: a URL of something else.
    """
    text = str(log_dir)
    if isinstance(log_dir, str) and text.startswith(_SCHEMES):
        return text
    if isinstance(log_dir, str) and "://" in text:
        raise UsageError(
            f"no store can be at {mask_password(text)}",
            hint="--store postgresql://USER@HOST/DATABASE",
        )
    return Path(log_dir) / STORE_NAME


def existing_place(log_dir: Path | str) -> Place:
    """Return the store of a folder, as :func:`place_of`, for what only reads.

    Raises:
        UsageError: there is no such file.
    """
    place = place_of(log_dir)
    if isinstance(place, Path) and not place.is_file():
        raise UsageError(f"no store at {place}", hint="name its folder with --log-dir")
    return place


def mask_password(place: Place) -> str:
    """Write a place for messages: without its password."""
    if isinstance(place, Path):
        return str(place)
    return _PASSWORD_PARAM.sub(r"\1***", _PASSWORD.sub(r"\1:***@", place))


def store_option(log_dir: Path | str) -> str:
    """Write the option of a command that names this store again."""
    place = place_of(log_dir)
    return (
        f"--log-dir {log_dir}" if isinstance(place, Path) else f"--store '{mask_password(place)}'"
    )
