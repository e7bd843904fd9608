"""Results of lm-evaluation-harness: ``results_*.json`` and, beside it, ``samples_TASK_*.jsonl``.

As ``lm_eval --output_path DIR --log_samples`` writes them. A samples file has one line for each
document and filter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from cotkit.analysis.scale.grid import ArmTotals
from cotkit.errors import BadInputError, Location
from cotkit.inputs import iterate_objects, read_object
from cotkit.interop.fields import (
    as_count,
    as_number,
    check_mean,
    find_field,
    find_object,
    need_object,
)
from cotkit.interop.results import (
    LINEAR_METRICS,
    ModelSize,
    ProblemScore,
    Result,
    is_rate,
)

_HINT = "as `lm_eval --output_path DIR --log_samples` writes it"
_FLEXIBLE = "flexible-extract"


@dataclass(frozen=True, slots=True, kw_only=True)
class LmEvalSelection:
    """What the user chose; None: the first one, of filters ``flexible-extract`` if there."""

    arm: str | None = None
    """What to call the strategy; None: as in the file (only cotkit's own exports have it)."""
    task: str | None = None
    """Only this task."""
    metric: str | None = None
    """Which metric is correctness."""
    filter: str | None = None
    """Which filter's reading counts."""
    bench: str | None = None
    """What to call the benchmark, so that two tasks count as one."""


def read_lm_eval(path: Path, selection: LmEvalSelection) -> list[Result]:
    """Read every task of every results file under a folder (or of one file).

    Where a model has several results of a task, those of the latest file name count.

    Raises:
        BadInputError: no file, a field is missing or not as it must be, or the strategy is neither
            in the file nor in ``selection``.
    """
    files = [path] if path.is_file() else sorted(path.rglob("results*.json"), key=lambda p: p.name)
    if not files:
        raise BadInputError(path, "no results*.json under it", hint=_HINT)
    latest: dict[tuple[str, str, str], Result] = {}
    for file in files:
        for result in _read_results(file, selection):
            key = result.model, result.bench, result.arm
            if before := latest.get(key):
                note = (
                    f"{result.model}, {result.bench}: {file.name} counts, not {before.place.file}"
                )
                latest[key] = replace(result, notes=(*result.notes, note))
            else:
                latest[key] = result
    if not latest:
        hint = f"tasks there: {', '.join(_task_names(files)) or 'none'}"
        raise BadInputError(path, f"no results of task {selection.task}", hint=hint)
    return list(latest.values())


def _task_names(files: Sequence[Path]) -> list[str]:
    names: dict[str, None] = {}
    for file in files:
        names |= dict.fromkeys(
            need_object(read_object(file, hint=_HINT), Location(file=str(file)), "results")
        )
    return list(names)


def _read_results(file: Path, selection: LmEvalSelection) -> list[Result]:
    place = Location(file=str(file))
    page = read_object(file, hint=_HINT)
    tasks = need_object(page, place, "results")
    groups = find_object(page, "group_subtasks")
    model = _model_name(page, place)
    n_params = as_count(find_field(page, "config", "model_num_parameters"))
    results: list[Result] = []
    for task in tasks:
        if groups.get(task) or selection.task not in {None, task}:
            continue
        about = cast("Mapping[str, str]", find_object(page, "configs", task, "metadata", "cotkit"))
        arm = selection.arm or about.get("arm")
        if arm is None:
            hint = f"--from ARM=lm-eval:{file.parent}, e.g. --from cot=lm-eval:{file.parent}"
            raise BadInputError(file, "which strategy is it? the file does not say", hint=hint)
        scores = need_object(page, place, "results", task)
        metric, of_filter, notes = _choose_metric(task, scores, selection, place)
        up = find_object(page, "higher_is_better", task)
        if up.get(metric) is False:
            hint = "choose another with ,metric=NAME"
            raise place.make_error(
                "lower is better", field=f"higher_is_better.{task}.{metric}", hint=hint
            )
        companions = [name for name in LINEAR_METRICS if up.get(name)]
        samples = _samples_file(file, task)
        version = find_field(page, "versions", task)
        key = f"{metric},{of_filter}"
        if samples is None:
            cell = _read_totals(page, task, key, place)
        else:
            cell = _read_scores(samples, metric, of_filter, companions)
            values = [score.correct for score in cell.values()]
            notes = (*notes, *check_totals(page, task, key, values, place))
        results.append(
            Result(
                place=place,
                model=model,
                bench=selection.bench or about.get("bench") or task,
                arm=arm,
                size=ModelSize(family=about.get("family"), n_params=n_params),
                scores=cell,
                version=None if version is None else (task, str(version)),
                notes=notes,
            )
        )
    return results


def _model_name(page: Mapping[str, object], place: Location) -> str:
    name = find_field(page, "model_name")
    if isinstance(name, str) and name:
        return name
    arguments = find_field(page, "config", "model_args")
    if isinstance(arguments, str):  # older files: "pretrained=OWNER/NAME,dtype=..."
        arguments = {
            part.partition("=")[0]: part.partition("=")[2] for part in arguments.split(",")
        }
    for key in ("pretrained", "model"):
        if isinstance(name := find_field(arguments, key), str):
            return name
    raise place.make_error("missing", field="model_name", hint=_HINT)


def _choose_metric(
    task: str, scores: Mapping[str, object], selection: LmEvalSelection, place: Location
) -> tuple[str, str, tuple[str, ...]]:
    """Choose metric and filter, and return both with notes on the choice."""
    keys = [key.partition(",")[::2] for key in scores if "," in key and "_stderr," not in key]
    metrics = list(dict.fromkeys(metric for metric, _ in keys))
    metric = selection.metric or next((name for name in metrics if is_rate(name)), None)
    if metric not in metrics or not is_rate(metric):
        hint = f"there: {', '.join(metrics) or 'none'}; a share of problems is needed: ,metric=NAME"
        raise place.make_error(
            f"no metric {metric or 'that will do'}", field=f"results.{task}", hint=hint
        )
    filters = [filter_name for name, filter_name in keys if name == metric]
    chosen = selection.filter or (_FLEXIBLE if _FLEXIBLE in filters else filters[0])
    if chosen not in filters:
        hint = f"there: {', '.join(filters)}"
        raise place.make_error(
            f"no filter {chosen} of {metric}", field=f"results.{task}", hint=hint
        )
    notes: list[str] = []
    if others := [filter_name for filter_name in filters if filter_name != chosen]:
        notes.append(f"{task}: filter {chosen}, not {', '.join(others)} (,filter=NAME)")
    if others := [name for name in metrics if is_rate(name) and name != metric]:
        notes.append(f"{task}: metric {metric}, not {', '.join(others)} (,metric=NAME)")
    return metric, chosen, tuple(notes)


def _samples_file(file: Path, task: str) -> Path | None:
    """Find ``samples_TASK_DATE.jsonl`` beside ``results_DATE.json``; None: nothing logged."""
    date = file.stem.rpartition("results")[2]
    if Path(task).name != task or "\0" in task:  # the name of no file
        return None
    path = file.with_name(f"samples_{task}{date}.jsonl")
    return path if path.is_file() else None


def _read_totals(page: Mapping[str, object], task: str, key: str, place: Location) -> ArmTotals:
    value = find_field(page, "n-samples", task, "effective")
    n = as_count(value)
    if n is None:
        hint = "an interval needs the number of documents; lm-eval writes it since 0.4.3"
        what = "missing" if value is None else "must be a whole number from 1"
        raise place.make_error(what, field=f"n-samples.{task}.effective", hint=hint)
    return ArmTotals(rate=_read_rate(page, task, key, place), n=n)


def _read_rate(page: Mapping[str, object], task: str, key: str, place: Location) -> float:
    rate = as_number(need_object(page, place, "results", task).get(key))
    if rate is None or not 0 <= rate <= 1:
        raise place.make_error(
            "must be 0 to 1", field=f"results.{task}.{key}", hint="a share of problems"
        )
    return rate


def check_totals(
    page: Mapping[str, object], task: str, key: str, values: Sequence[float], place: Location
) -> tuple[str, ...]:
    """Return a note where a results file is of more documents than its samples.

    Args:
        page: The results file.
        task: One of its tasks.
        key: Metric and filter there, ``exact_match,strict-match``.
        values: Of the documents in the samples file beside it, each 0..1.
        place: The results file, for errors.

    Raises:
        BadInputError: the mean of the samples is not the value that it states.
    """
    n = as_count(find_field(page, "n-samples", task, "effective"))
    if n is not None and n != len(values):
        return (f"{task}: the samples are of {len(values):,} of {n:,} documents: they alone count",)
    check_mean(_read_rate(page, task, key, place), values, place, field=f"results.{task}.{key}")
    return ()


def _read_scores(
    path: Path, metric: str, of_filter: str, companions: Sequence[str]
) -> dict[str, ProblemScore]:
    """Read every document, keyed by its hash, which is the same in every task and run."""
    scores: dict[str, ProblemScore] = {}
    line_of_doc: dict[int | str, int] = {}
    for place, line in iterate_objects(path, hint=_HINT):
        if line.get("filter", of_filter) != of_filter:
            continue
        doc = line.get("doc_id")
        if not isinstance(doc, (int, str)):
            raise place.make_error("must be a number or a text", field="doc_id", hint=_HINT)
        if doc in line_of_doc:
            hint = f"line {line_of_doc[doc]} has it, too; only a filter tells repeats apart"
            raise place.make_error(f"document {doc} a second time", field="doc_id", hint=hint)
        assert place.line is not None
        line_of_doc[doc] = place.line
        value = as_number(line.get(metric))
        if value is None or not 0 <= value <= 1:
            what = "missing" if metric not in line else "must be 0 to 1"
            raise place.make_error(what, field=metric, hint="a document right or wrong")
        hashed = line.get("doc_hash")
        name = str(hashed) if isinstance(hashed, str) else f"doc {doc}"
        if name in scores:  # one text twice in the data set
            name = f"{name} {doc}"
        metrics = {companion: as_number(line.get(companion)) for companion in companions}
        scores[name] = ProblemScore(
            correct=value,
            metrics={key: number for key, number in metrics.items() if number is not None},
        )
    if not scores:
        raise BadInputError(path, f"no line of filter {of_filter}", hint=_HINT)
    return scores
