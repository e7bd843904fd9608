"""Where a store is: a SQLite file in a folder, or a PostgreSQL database by its URL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeAlias

from cotkit.errors import UsageError
from cotkit.printable import mask_passwords

STORE_NAME = "cotkit.db"
"""Name of the file in its folder."""

Place: TypeAlias = Path | str
"""A SQLite file, or ``postgresql://USER@HOST:PORT/DATABASE``."""

_SCHEMES = ("postgresql://", "postgres://")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/|.*\bpassword\s*=", re.IGNORECASE)
_PASSWORD = re.compile(r"^([\w+.-]+:/+[^:/?]*):.*@", re.DOTALL)  # here spaces are of it, too


def place_of(log_dir: Path | str) -> Place:
    """Return the store of a folder; a URL is the place itself.

    Raises:
        UsageError: a URL of something else.
    """
    text = str(log_dir)
    if isinstance(log_dir, str) and text.startswith(_SCHEMES):
        return text
    if _ADDRESS.match(text):  # also as a path, in which // became /
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
    return mask_passwords(_PASSWORD.sub(r"\1:***@", str(place)))


def store_option(log_dir: Path | str) -> str:
    """Write the option of a command that names this store again."""
    place = place_of(log_dir)
    return (
        f"--log-dir {log_dir}" if isinstance(place, Path) else f"--store '{mask_password(place)}'"
    )
