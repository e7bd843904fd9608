"""A run as completions, one JSON object a line: what ``cotkit score`` reads."""

from __future__ import annotations

import json
from pathlib import Path

from cotkit.errors import UsageError
from cotkit.interop.stored import StoredRun


def write_completions(run: StoredRun, folder: Path) -> list[Path]:
    """Write ``completions_RUN.jsonl``, all arms of a run in one file; return it.

    Beside id, arm, sample and text a line holds the attempt as every export does, so that
    ``cotkit score`` makes the tables of the run.

    Raises:
        UsageError: the folder cannot be written.
    """
    file = folder / f"completions_{run.run_id}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8") as lines:
            for arm, rows in run.rows().items():
                for row in rows:
                    line = {
                        "id": row.problem_id,
                        "arm": arm,
                        "sample": row.sample,
                        "text": row.text,
                        "cotkit": run.record(row, run.turns(row)),
                    }
                    lines.write(json.dumps(line, ensure_ascii=False) + "\n")
    except OSError as refused:
        raise UsageError(f"cannot write {folder}: {refused.strerror}") from refused
    return [file]
