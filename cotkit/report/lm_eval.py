"""Results as lm-evaluation-harness writes them to ``results_*.json``: one object for each model.

A task is an arm on a benchmark. What only that program can say (its version, its git hash, the
environment) is left out; what cotkit says more stands under ``metadata``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cotkit.analysis.scale.values import OnsetAnswer, Scale
from cotkit.analysis.values import Comparison
from cotkit.errors import UsageError
from cotkit.printable import printable_json

_METRIC = "exact_match"


@dataclass(frozen=True, slots=True, kw_only=True)
class _ResultTask:
    """One arm of one model on one benchmark."""

    model: str
    bench: str
    version: str
    arm: str
    run_id: str
    reader: str
    n_shot: int | None
    n: int
    n_total: int
    rate: float
    address: str | None

    @property
    def name(self) -> str:
        return f"{self.bench}_{self.arm}"

    @property
    def stderr(self) -> float | str:
        """Return the standard error as lm-eval's ``mean_stderr``: of the sample."""
        if self.n < 2 or math.isnan(self.rate):
            return "N/A"
        return math.sqrt(self.rate * (1 - self.rate) / (self.n - 1))


def lm_eval_comparison(comparison: Comparison) -> str:
    """Return a comparison as one indented object."""
    tasks = [
        _ResultTask(
            model=comparison.model,
            bench=comparison.bench,
            version=comparison.bench_version,
            arm=cell.arm,
            run_id=comparison.run_id,
            reader=comparison.reader,
            n_shot=comparison.n_shot.get(cell.arm),
            n=cell.n,
            n_total=comparison.n_total,
            rate=cell.solve_rate,
            address=comparison.address,
        )
        for cell in comparison.cells
        if cell.n
    ]
    page = json.dumps(_make_results(comparison.model, tasks), indent=2, ensure_ascii=False)
    return printable_json(page) + "\n"


def lm_eval_scales(scales: Sequence[Scale]) -> str:
    """Return one object a line, for each model; its tasks are those of all the benchmarks.

    Rates are of the problems that both arms of a pair completed.

    Raises:
        UsageError: an analysis is not of runs of the store.
    """
    by_model: dict[str, dict[str, _ResultTask]] = {}
    for scale in scales:
        for task in _make_tasks(scale):
            by_model.setdefault(task.model, {}).setdefault(task.name, task)
    lines = (_make_results(model, list(tasks.values())) for model, tasks in by_model.items())
    return "".join(printable_json(json.dumps(line, ensure_ascii=False)) + "\n" for line in lines)


def _make_tasks(scale: Scale) -> Iterator[_ResultTask]:
    origin = scale.origin
    if origin is None:
        raise UsageError(
            f"{scale.bench} is not of runs of the store, which lm-eval's format needs",
            hint="--format json",
        )
    for answer in scale.answers:
        for model, arm, n, rate in _iterate_rates(answer):
            yield _ResultTask(
                model=model,
                bench=scale.bench,
                version=origin.bench_version,
                arm=arm,
                run_id=origin.runs[model],
                reader=origin.reader,
                n_shot=origin.n_shot.get(arm),
                n=n,
                n_total=origin.n_total,
                rate=rate,
                address=origin.addresses.get(model),
            )


def _iterate_rates(answer: OnsetAnswer) -> Iterator[tuple[str, str, int, float]]:
    for point in (*answer.trainings, *answer.points):
        if point.n and point.rung.n_trainings == 1:
            yield point.rung.model, answer.arm, point.n, point.arm_rate
            if not answer.is_over_chance:
                yield point.rung.model, answer.control, point.n, point.control_rate


def _make_results(model: str, tasks: Sequence[_ResultTask]) -> dict[str, object]:
    address = next((task.address for task in tasks), None)
    return {
        "results": {
            task.name: {
                "alias": task.name,
                f"{_METRIC},{task.reader}": task.rate,
                f"{_METRIC}_stderr,{task.reader}": task.stderr,
            }
            for task in tasks
        },
        "group_subtasks": {task.name: [] for task in tasks},
        "configs": {task.name: _task_config(task) for task in tasks},
        "versions": {task.name: task.version for task in tasks},
        "n-shot": {task.name: task.n_shot for task in tasks if task.n_shot is not None},
        "higher_is_better": {task.name: {_METRIC: True} for task in tasks},
        "n-samples": {task.name: {"original": task.n_total, "effective": task.n} for task in tasks},
        "config": {"model": model, "model_args": f"base_url={address}" if address else ""},
        "model_source": "cotkit",
        "model_name": model,
        "model_name_sanitized": model.replace("/", "__"),
    }


def _task_config(task: _ResultTask) -> dict[str, object]:
    return {
        "task": task.name,
        "dataset_name": task.bench,
        "output_type": "generate_until",
        "repeats": 1,
        **({} if task.n_shot is None else {"num_fewshot": task.n_shot}),
        "metric_list": [{"metric": _METRIC, "aggregation": "mean", "higher_is_better": True}],
        "filter_list": [{"name": task.reader}],
        "metadata": {"version": task.version, "strategy": task.arm, "cotkit_run": task.run_id},
    }
