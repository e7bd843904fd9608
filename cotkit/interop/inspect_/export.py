"""A run as logs of Inspect: one JSON log for each arm, which ``inspect view`` opens.

Each reader is a scorer, the one that decided first; a failed attempt is a sample with an error;
several attempts at a problem are epochs. ``--from inspect:DIR`` reads it back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from cotkit import __version__
from cotkit.errors import UsageError
from cotkit.identity import content_hash
from cotkit.interop.inspect_.logs import INSPECT_STOP_REASONS, VERSION
from cotkit.interop.stored import StoredRun
from cotkit.store import AttemptRow, StoredTurn
from cotkit.types import Completion


def write_inspect(run: StoredRun, folder: Path) -> list[Path]:
    """Write a log for each arm, named as Inspect names its own, and return the files.

    Raises:
        UsageError: the folder cannot be written.
    """
    files: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for arm, rows in run.rows().items():
            log = _make_log(run, arm, rows)
            name = re.sub(r"[^\w.]+", "-", f"{run.bench}-{arm}")
            files.append(folder / f"{run.date}_{name}_{_make_id(run, arm, 'task')}.json")
            text = json.dumps(log, indent=1, ensure_ascii=False)
            files[-1].write_text(text + "\n", encoding="utf-8")
    except OSError as refused:
        raise UsageError(f"cannot write {folder}: {refused.strerror}") from refused
    return files


def _make_log(run: StoredRun, arm: str, rows: Sequence[AttemptRow]) -> dict[str, object]:
    info = run.info
    ids = list(dict.fromkeys(row.problem_id for row in rows))
    completed = [row for row in rows if row.outcome != "failed"]
    about = {
        "run": run.run_id,
        "bench": run.bench,
        "arm": arm,
        "reader": run.reader,
        "family": info.family,
        "n_params": info.n_params,
    }
    return {
        "version": VERSION,
        "status": "success" if run.is_complete else "error",
        "eval": {
            "eval_id": _make_id(run, arm, "eval"),
            "run_id": run.run_id,
            "created": run.updated_utc,
            "task": f"{run.bench} · {arm}",
            "task_id": _make_id(run, arm, "task"),
            "dataset": {"name": run.bench, "samples": len(ids), "sample_ids": ids},
            "model": info.model,
            "model_args": dict(info.settings),
            "config": {"epochs": max((row.sample for row in rows), default=0) + 1},
            "packages": {"cotkit": __version__},
            "metadata": {"cotkit": about},
        },
        "plan": {
            "name": arm,
            "steps": [{"solver": arm, "params": {}}],
            "config": {},
        },
        "results": {
            "total_samples": len(rows),
            "completed_samples": len(completed),
            "scores": _summarise_scores(run, completed),
        },
        "stats": {"started_at": run.updated_utc, "completed_at": run.updated_utc},
        "samples": [_make_sample(run, row) for row in rows],
    }


def _summarise_scores(run: StoredRun, rows: Sequence[AttemptRow]) -> list[dict[str, object]]:
    values: dict[str, list[float]] = {}
    for row in rows:
        for reader, is_correct in run.readers(row):
            values.setdefault(reader, []).append(is_correct)
    return [
        {
            "name": reader,
            "scorer": reader,
            "scored_samples": len(scores),
            "metrics": {
                "accuracy": {"name": "accuracy", "value": fmean(scores)},
                "stderr": {
                    "name": "stderr",
                    "value": stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else 0.0,
                },
            },
        }
        for reader, scores in values.items()
    ]


def _make_sample(run: StoredRun, row: AttemptRow) -> dict[str, object]:
    turns = run.turns(row)
    prompt = _make_messages(turns[0]) if turns else []
    sample: dict[str, object] = {
        "id": row.problem_id,
        "epoch": row.sample + 1,
        "input": prompt or "",
        "target": row.gold,
        "messages": _make_conversation(turns),
        "metadata": {
            "outcome": row.outcome,
            "n_steps": row.n_steps,
            "cluster": row.cluster,
            "metrics": dict(row.metrics),
            "n_calls": row.n_calls,
        },
        "store": {"cotkit": run.record(row, turns)},
        "total_time": row.seconds,
        "model_usage": {run.info.model: _token_usage(row)},
    }
    if row.outcome == "failed":
        why = row.error or "the backend gave nothing"
        return sample | {"error": {"message": why, "traceback": "", "traceback_ansi": ""}}
    return sample | {
        "output": {
            "model": run.info.model,
            "choices": [
                {
                    "message": _make_answer(completion),
                    "stop_reason": INSPECT_STOP_REASONS[completion.stop_reason],
                }
                for completion in (turns[-1].completions if turns else ())
            ],
            "usage": _token_usage(row),
        },
        "scores": {
            reader: {
                "value": "C" if is_correct else "I",
                "answer": row.readings[reader].value,
                "explanation": row.text,
                "metadata": {"rule": row.readings[reader].rule},
            }
            for reader, is_correct in run.readers(row)
        },
    }


def _token_usage(row: AttemptRow) -> dict[str, int]:
    prompt, generated = row.n_prompt_tokens or 0, row.n_generated_tokens or 0
    return {
        "input_tokens": prompt,
        "output_tokens": generated,
        "total_tokens": prompt + generated,
    }


def _make_messages(turn: StoredTurn) -> list[dict[str, object]]:
    return [{"role": message.role, "content": message.content} for message in turn.request.messages]


def _make_conversation(turns: Sequence[StoredTurn]) -> list[dict[str, object]]:
    """List prompt and answers of every turn in order: a later prompt may repeat earlier ones."""
    talk: list[dict[str, object]] = []
    for turn in turns:
        talk += _make_messages(turn)
        talk += [_make_answer(completion) for completion in turn.completions]
    return talk


def _make_answer(completion: Completion) -> dict[str, object]:
    return {"role": "assistant", "content": completion.text, "source": "generate"}


def _make_id(run: StoredRun, arm: str, what: str) -> str:
    """Make an id as long as Inspect's; equal runs have equal ones."""
    return content_hash(f"inspect-{what}", [run.run_id, arm])[:22]
