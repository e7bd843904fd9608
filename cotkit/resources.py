"""Where released data lies, in a wheel or a checkout: prompts, benchmarks, published, weights."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from cotkit.errors import MissingDataError

_PACKAGE = Path(__file__).parent


def resource(relative: str) -> Path:
    """Path of a released file or folder such as ``"prompts/cot.v1.jinja"``.

    A wheel carries the folders at ``cotkit/_data``; a checkout has them beside the package.

    Raises:
        MissingDataError: neither place has it; the installation is broken.
    """
    for root in (_PACKAGE / "_data", _PACKAGE.parent):
        if (path := root / relative).exists():
            return path
    raise MissingDataError(f"cotkit's own file {relative} is missing", hint="reinstall cotkit")


def data_dir() -> Path | None:
    """The user's folder of benchmark data (``$COTKIT_DATA_DIR``); None if unset or empty."""
    value = os.environ.get("COTKIT_DATA_DIR")
    return Path(value) if value else None


def cache_dir() -> Path:
    """Where downloads and converted models are kept (``$COTKIT_CACHE_DIR`` or the user cache)."""
    value = os.environ.get("COTKIT_CACHE_DIR")
    return Path(value) if value else Path(platformdirs.user_cache_dir("cotkit"))
