"""Results as lm-evaluation-harness writes them to ``results_*.json``: one object for each model.

A task is an arm on a benchmark. What only that program can say (its version, its git hash, the
environment) is left out; what cotkit says more stands under ``metadata``.
"""

from __future__ import annotations

import itertools
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
class ResultTask:
    """One arm of one model on one benchmark."""

    model: str
    """As reports name it."""
    bench: str
    """As the run names it."""
    version: str
    """Of the benchmark."""
    arm: str
    """Its canonical spec."""
    run_id: str
    """The run that it is of."""
    reader: str
    """Who decided what is right."""
    n_shot: int | None
    """Exemplars; None: unknown."""
    n: int
    """Problems."""
    n_total: int
    """Problems of the benchmark."""
    rate: float
    """Solve rate, 0..1."""
    address: str | None
    """Of the server; None: the provider's own, or no server."""

    @property
    def name(self) -> str:
        """Return what lm-eval's files call it."""
        return f"{self.bench}_{self.arm}"

    @property
    def stderr(self) -> float | str:
        """Return the standard error as lm-eval's ``mean_stderr``: of the sample."""
        if self.n < 2 or math.isnan(self.rate):
            return "N/A"
        return math.sqrt(self.rate * (1 - self.rate) / (self.n - 1))


def list_tasks(report: Comparison | Sequence[Scale]) -> list[ResultTask]:
    """Return what a comparison or scale analyses say of each arm of each model.

    Rates of an analysis are of the problems that both arms of a pair completed.

    Raises:
        UsageError: an analysis is not of runs of the store.
    """
    if not isinstance(report, Comparison):
        tasks: dict[tuple[str, str], ResultTask] = {}
        for task in itertools.chain.from_iterable(map(_make_tasks, report)):
            tasks.setdefault((task.model, task.name), task)
        return list(tasks.values())
    return [
        ResultTask(
            model=report.model,
            bench=report.bench,
            version=report.bench_version,
            arm=cell.arm,
            run_id=report.run_id,
            reader=report.reader,
            n_shot=report.n_shot.get(cell.arm),
            n=cell.n,
            n_total=report.n_total,
            rate=cell.solve_rate,
            address=report.address,
        )
        for cell in report.cells
        if cell.n
    ]


def lm_eval_results(report: Comparison | Sequence[Scale]) -> str:
    """Return a comparison as one indented object, analyses as one object a line for each model.

    Raises:
        UsageError: as :func:`list_tasks`.
    """
    tasks = list_tasks(report)
    if isinstance(report, Comparison):
        page = json.dumps(_make_results(report.model, tasks), indent=2, ensure_ascii=False)
        return printable_json(page) + "\n"
    by_model: dict[str, list[ResultTask]] = {}
    for task in tasks:
        by_model.setdefault(task.model, []).append(task)
    lines = (_make_results(model, of_model) for model, of_model in by_model.items())
    return "".join(printable_json(json.dumps(line, ensure_ascii=False)) + "\n" for line in lines)


def _make_tasks(scale: Scale) -> Iterator[ResultTask]:
    origin = scale.origin
    if origin is None:
        raise UsageError(
            f"{scale.bench} is not of runs of the store, which this format needs",
            hint="--format json",
        )
    for answer in scale.answers:
        for model, arm, n, rate in _iterate_rates(answer):
            yield ResultTask(
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


def _make_results(model: str, tasks: Sequence[ResultTask]) -> dict[str, object]:
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


def _task_config(task: ResultTask) -> dict[str, object]:
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
