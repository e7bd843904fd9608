"""Runs as one Parquet file: one row for each attempt, a fixed schema, readable by DuckDB.

The schema is in ``docs/foreign.md``; its version is in the file's metadata under ``cotkit.schema``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotkit.errors import MissingDependencyError, UsageError
from cotkit.interop.stored import StoredRun
from cotkit.paths import check_overwrites
from cotkit.store import AttemptRow
from cotkit.workflows.settings import run_settings

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = "1"
"""Changes when a column is renamed, removed or changes meaning; a new column leaves it alone."""

COLUMNS: dict[str, str] = {
    "run": "string",
    "model": "string",
    "family": "string",
    "n_params": "int64",
    "n_active_params": "int64",
    "backend": "string",
    "bench": "string",
    "arm": "string",
    "problem_id": "string",
    "sample": "int32",
    "outcome": "string",
    "correct": "bool",
    "reader": "string",
    "gold": "string",
    "text": "string",
    "readings": "map<string, string>",
    "correct_by": "map<string, bool>",
    "metrics": "map<string, double>",
    "truncated": "bool",
    "is_vote": "bool",
    "n_drafts": "int32",
    "n_calls": "int32",
    "n_prompt_tokens": "int64",
    "n_shared_tokens": "int64",
    "n_cache_write_tokens": "int64",
    "n_generated_tokens": "int64",
    "n_reasoning_tokens": "int64",
    "seconds": "double",
    "n_steps": "int32",
    "cluster": "string",
    "served_by": "string",
    "error": "string",
}
"""Column -> type, in the order of the file."""

_GROUP_ROWS = 10_000  # of a row group: so many rows are in memory at once


def write_parquet(runs: Sequence[StoredRun], path: Path) -> int:
    """Write the attempts of runs, in their order, and return how many.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        UsageError: the file cannot be written, or is there and is no Parquet file.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise MissingDependencyError("pyarrow", "data") from None
    schema = pa.schema(
        [(name, _arrow_type(kind)) for name, kind in COLUMNS.items()],
        metadata={"cotkit.schema": SCHEMA, "cotkit.settings": _write_settings(runs)},
    )
    check_overwrites(path, b"par1", "Parquet file")
    n = 0
    try:
        with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
            for run in runs:
                rows = (_make_row(run, row) for row in run.store.attempts(run.run_id))
                while group := list(islice(rows, _GROUP_ROWS)):
                    writer.write_table(pa.Table.from_pylist(group, schema=schema))
                    n += len(group)
    except OSError as refused:
        raise UsageError(f"cannot write {path}: {refused.strerror or refused}") from refused
    return n


def _write_settings(runs: Sequence[StoredRun]) -> str:
    """Return how the runs were made, as JSON: run -> setting -> value."""
    settings = {run.run_id: run_settings(run.store, run.run_id, run.info) for run in runs}
    return json.dumps(settings, ensure_ascii=False)


def _arrow_type(kind: str) -> pa.DataType:  # pyright: ignore[reportUnknownParameterType] - no stubs
    import pyarrow as pa

    if kind.startswith("map<"):
        key, _, value = kind.removeprefix("map<").removesuffix(">").partition(", ")
        return pa.map_(_arrow_type(key), _arrow_type(value))
    types: dict[str, pa.DataType] = {
        "string": pa.string(),
        "bool": pa.bool_(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "double": pa.float64(),
    }
    return types[kind]


def _make_row(run: StoredRun, row: AttemptRow) -> dict[str, Any]:
    fields = {name: getattr(row, name) for name in COLUMNS if name in AttemptRow.__slots__}
    return fields | {
        "run": run.run_id,
        "model": run.info.model,
        "family": run.info.family,
        "n_params": run.info.n_params,
        "n_active_params": run.info.n_active_params,
        "backend": run.info.backend,
        "bench": run.bench,
        "correct": None if row.outcome == "failed" else row.outcome == "correct",
        "reader": run.reader,
        "readings": [(name, reading.value) for name, reading in row.readings.items()],
        "correct_by": list(row.correct_by.items()),
        "metrics": list(row.metrics.items()),
        "n_drafts": len(row.drafts),
        "served_by": row.served_by or None,
        "cluster": row.cluster,
    }
