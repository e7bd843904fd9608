"""Results as the Hugging Face hub shows them: ``model-index`` and ``.eval_results``, both YAML.

The first stands in the header of a model card, the second is a file of its own in a model's folder
``.eval_results``. Rates are in percent. The tests read both with the hub's own library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from cotkit.errors import UsageError
from cotkit.registry import parse_spec
from cotkit.report.lm_eval import ResultTask

DATASETS: Mapping[str, str] = {
    "bbh": "lukaemon/bbh",
    "gsm8k": "openai/gsm8k",
    "gsm8k-platinum": "madrylab/gsm8k-platinum",
    "mmlu": "cais/mmlu",
    "svamp": "ChilleD/SVAMP",
}
"""Benchmark -> the data set of the hub that holds its problems."""


def model_index(tasks: Sequence[ResultTask]) -> str:
    """Return the rates of each model as the part ``model-index`` of a model card."""
    models = [
        {
            "name": model,
            "results": [
                {
                    "task": {"type": "text-generation", "name": "Text Generation"},
                    "dataset": {
                        "type": _find_dataset(task.bench) or task.bench,
                        "name": f"{task.bench} ({task.version})",
                    },
                    "metrics": [
                        {
                            "type": "exact_match",
                            "name": f"{task.arm}, read by {task.reader}",
                            "value": _as_percent(task),
                            "args": {"n": task.n, "stderr": _round(task.stderr)},
                            "verified": False,
                        }
                    ],
                }
                for task in of_model
            ],
        }
        for model, of_model in groupby(
            sorted(tasks, key=lambda task: task.model), key=lambda task: task.model
        )
    ]
    return "\n".join(_write_yaml({"model-index": models})) + "\n"


def eval_results(tasks: Sequence[ResultTask]) -> str:
    """Return the rates as entries of a file in ``.eval_results``; all are of one model.

    Raises:
        UsageError: several models, or a benchmark that is no data set of the hub.
    """
    if len(models := {task.model for task in tasks}) > 1:
        raise UsageError(
            f"eval-results are of one model, not {len(models)}", hint="--format model-index"
        )
    entries: list[dict[str, object]] = []
    for task in tasks:
        dataset = _find_dataset(task.bench)
        if dataset is None:
            raise UsageError(
                f"eval-results need a data set of the hub, and {task.bench} is none that is known",
                hint=f"--format model-index; there: {', '.join(DATASETS)}",
            )
        part = f", {task.n:,} of {task.n_total:,} problems" if task.n < task.n_total else ""
        entries.append(
            {
                "dataset": {"id": dataset, "task_id": parse_spec(task.bench).name},
                "value": _as_percent(task),
                "notes": f"{task.arm}, read by {task.reader}{part}, cotkit run {task.run_id}",
            }
        )
    return "\n".join(_write_yaml(entries)) + "\n"


def _find_dataset(bench: str) -> str | None:
    return DATASETS.get(parse_spec(bench).name)


def _as_percent(task: ResultTask) -> float:
    return round(100 * task.rate, 2)


def _round(stderr: float | str) -> float | str:
    return stderr if isinstance(stderr, str) else round(100 * stderr, 2)


def _write_yaml(value: object, indent: str = "") -> Iterator[str]:
    """Yield lines of objects and lists, indented; a text is written as JSON does, which is YAML."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            is_nested = isinstance(item, (Mapping, list))
            yield f"{indent}{key}:" if is_nested else f"{indent}{key}: {json.dumps(item)}"
            if is_nested:
                yield from _write_yaml(item, f"{indent}  ")
    elif isinstance(value, list):
        for item in value:
            first, *others = _write_yaml(item, f"{indent}  ")
            yield f"{indent}- {first.lstrip()}"
            yield from others
