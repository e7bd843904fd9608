"""Splits of hub data sets: a file of the user's, or what the hub's own client fetches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from cotkit.bench._jsonl import Line, read_lines
from cotkit.errors import BadInputError, MissingDataError, MissingDependencyError
from cotkit.resources import data_dir

_REPLY_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One split of a data set."""

    folder: str
    """Its folder under ``$COTKIT_DATA_DIR``, e.g. ``"mmlu"``."""
    name: str
    """File name there, without ``.jsonl`` or ``.parquet``."""
    repo: str
    """Data set on the hub, e.g. ``"cais/mmlu"``."""
    file: str
    """Path in that repository, ends in ``.parquet``."""


def find_split(split: Split) -> Path:
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


def read_split(path: Path) -> tuple[Line, ...]:
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
    return tuple(Line(path=path, number=at, fields=row) for at, row in enumerate(rows, start=1))


def whole_number(fields: Mapping[str, object], name: str) -> int | None:
    """An integer field, also where a file writes it as 2.0; None if it is none."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    return int(value) if value == int(value) else None
