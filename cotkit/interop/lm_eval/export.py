"""A run as lm-evaluation-harness would have left it: results and, for each arm, samples.

Each arm is a task; each reader is a filter, the one that decided first. Failed attempts are left
out, since lm-eval has no such outcome. ``--from lm-eval:DIR`` reads it back.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean, stdev

from cotkit import __version__
from cotkit.errors import UsageError
from cotkit.interop.stored import StoredRun
from cotkit.scoring.metrics import find_metric
from cotkit.store import AttemptRow, StoredTurn

_EXACT = "exact_match"


@dataclass(frozen=True, slots=True, kw_only=True)
class _ExportTask:
    """One arm as a task."""

    name: str
    lines: list[dict[str, object]]
    metrics: tuple[str, ...]


def write_lm_eval(run: StoredRun, folder: Path) -> list[Path]:
    """Write ``MODEL/results_DATE.json`` and ``samples_TASK_DATE.jsonl``; return the files.

    Raises:
        UsageError: several samples of a problem, which lm-eval would not tell apart, only failed
            attempts, or the folder cannot be written.
    """
    arms = run.rows()
    ids = {row.problem_id: None for rows in arms.values() for row in rows}
    places = {problem: i for i, problem in enumerate(ids)}
    tasks = {arm: _make_task(run, arm, rows, places) for arm, rows in arms.items()}
    home = folder / _sanitise_name(run.info.model)
    try:
        home.mkdir(parents=True, exist_ok=True)
        files = [home / f"results_{run.date}.json"]
        page = json.dumps(_make_results(run, tasks), indent=2, ensure_ascii=False)
        files[0].write_text(page + "\n", encoding="utf-8")
        for task in tasks.values():
            files.append(home / f"samples_{task.name}_{run.date}.jsonl")
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in task.lines)
            files[-1].write_text(text, encoding="utf-8")
    except OSError as refused:
        raise UsageError(f"cannot write {home}: {refused.strerror}") from refused
    return files


def _make_task(
    run: StoredRun, arm: str, rows: Sequence[AttemptRow], places: Mapping[str, int]
) -> _ExportTask:
    if any(row.sample for row in rows):
        hint = "--to inspect:DIR writes them as epochs"
        raise UsageError(f"{arm} has several samples of a problem", hint=hint)
    completed = [row for row in rows if row.outcome != "failed"]
    if not completed:
        raise UsageError(f"every attempt of {arm} failed: there is nothing to write")
    shared = set.intersection(*(set(row.metrics) for row in completed)) - {_EXACT}
    metrics = tuple(
        sorted(name for name in shared if find_metric(name).higher_is_better is not None)
    )
    lines = [
        line for row in completed for line in _make_lines(run, row, places[row.problem_id], metrics)
    ]
    return _ExportTask(
        name=f"{_sanitise_name(run.bench)}-{_sanitise_name(arm)}", lines=lines, metrics=metrics
    )


def _make_lines(
    run: StoredRun, row: AttemptRow, place: int, metrics: Sequence[str]
) -> list[dict[str, object]]:
    """Make a line for each reader; the first, which decided, has the other metrics, too."""
    doc = {"id": row.problem_id, "answer": row.gold}
    turns = run.turns(row)
    shared = {
        "doc_id": place,
        "doc": doc,
        "target": row.gold,
        "arguments": {f"gen_args_{i}": _make_arguments(turn) for i, turn in enumerate(turns)},
        "resps": [[completion.text for completion in turn.completions] for turn in turns],
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(_make_arguments(turns[0])["arg_0"] if turns else ""),
        "target_hash": _hash(row.gold),
        "cotkit": run.record(row, turns),
    }
    lines: list[dict[str, object]] = []
    for reader, is_correct in run.readers(row):
        others = {} if lines else {name: row.metrics[name] for name in metrics}
        lines.append(
            {
                **shared,
                "filtered_resps": [_reading_text(row, reader)],
                "filter": reader,
                "metrics": [_EXACT, *others],
                _EXACT: is_correct,
                **others,
            }
        )
    return lines


def _reading_text(row: AttemptRow, reader: str) -> str:
    value = row.readings[reader].value
    return "[invalid]" if value is None else value


def _make_arguments(turn: StoredTurn) -> dict[str, object]:
    decoding = turn.request.decoding
    return {
        "arg_0": "".join(message.content for message in turn.request.messages),
        "arg_1": {
            "until": list(decoding.stop),
            "max_gen_toks": decoding.max_tokens,
            "do_sample": decoding.temperature > 0,
            "temperature": decoding.temperature,
        },
    }


def _make_results(run: StoredRun, tasks: Mapping[str, _ExportTask]) -> dict[str, object]:
    info = run.info
    return {
        "results": {task.name: _aggregate_scores(task) for task in tasks.values()},
        "group_subtasks": {task.name: [] for task in tasks.values()},
        "configs": {
            task.name: {
                "task": task.name,
                "output_type": "generate_until",
                "metadata": {
                    "cotkit": {
                        "run": run.run_id,
                        "bench": run.bench,
                        "arm": arm,
                        "family": info.family,
                    }
                },
            }
            for arm, task in tasks.items()
        },
        "versions": {},
        "n-shot": {},
        "higher_is_better": {
            task.name: {_EXACT: True}
            | {name: find_metric(name).higher_is_better for name in task.metrics}
            for task in tasks.values()
        },
        "n-samples": {
            task.name: dict.fromkeys(("original", "effective"), _count_docs(task))
            for task in tasks.values()
        },
        "config": {
            "model": info.backend,
            "model_args": {"pretrained": info.model, **info.settings},
            "model_num_parameters": -1 if info.n_params is None else info.n_params,
        },
        "date": datetime.fromisoformat(run.updated_utc).timestamp(),
        "cotkit_version": __version__,
        "model_source": info.backend,
        "model_name": info.model,
        "model_name_sanitized": _sanitise_name(info.model),
    }


def _aggregate_scores(task: _ExportTask) -> dict[str, object]:
    scores: dict[str, object] = {"alias": task.name}
    for reader in dict.fromkeys(str(line["filter"]) for line in task.lines):
        lines = [line for line in task.lines if line["filter"] == reader]
        for metric in (_EXACT, *task.metrics):
            if metric not in lines[0]:
                continue
            values = [float(str(line[metric])) for line in lines]
            error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else "N/A"
            scores[f"{metric},{reader}"] = fmean(values)
            scores[f"{metric}_stderr,{reader}"] = error
    return scores


def _count_docs(task: _ExportTask) -> int:
    return len({line["doc_id"] for line in task.lines})


def _hash(text: object) -> str:
    return hashlib.sha256(str(text).encode(errors="surrogatepass")).hexdigest()


def _sanitise_name(name: str) -> str:
    """Make a name fit for a file, as lm-eval does it."""
    return re.sub(r"[\"<>:/|\\?*\[\],= ]+", "__", name)
