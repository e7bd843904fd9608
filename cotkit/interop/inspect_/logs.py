"""Logs of Inspect: ``.json``, and ``.eval``, which is a zip of the same objects.

Of a ``.eval`` only the header and the summaries of samples are read. Epochs of a sample are samples
of a problem: their mean counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cotkit.errors import BadInputError, Location
from cotkit.inputs import ZipFile, parse_json, parse_object, read_object
from cotkit.interop.fields import (
    as_count,
    as_number,
    check_mean,
    find_field,
    find_object,
    need_list,
    need_object,
    need_text,
)
from cotkit.interop.results import ModelSize, ProblemScore, Result
from cotkit.types import StopReason

VERSION = 2
"""Of the log format."""
INSPECT_STOP_REASONS: Mapping[StopReason, str] = {
    "stop": "stop",
    "length": "max_tokens",
    "refusal": "content_filter",
}
"""Our stop reason -> Inspect's."""

_HINT = "a log of Inspect"
_WORDS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectSelection:
    """What the user chose; None: what the log has, or its first scorer."""

    arm: str | None = None
    """What to call the strategy."""
    scorer: str | None = None
    """The scorer whose score is correctness; ``NAME/KEY`` where a score is an object."""
    bench: str | None = None
    """What to call the benchmark, so that two tasks count as one."""


def read_inspect(path: Path, selection: InspectSelection) -> list[Result]:
    """Read the results of one log, or of every log under a folder.

    Raises:
        BadInputError: no log, a newer version, a field missing or not as it must be, or the
            strategy is neither in the log nor in ``selection``.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in {".json", ".eval"})
        if not files:
            raise BadInputError(path, "no .eval or .json under it", hint=_HINT)
        return [result for file in files for result in read_inspect(file, selection)]
    if not path.is_file():
        raise BadInputError(path, "no such file", hint=_HINT)
    head, samples, place = open_log(path)
    about = cast("Mapping[str, str]", find_object(head, "eval", "metadata", "cotkit"))
    arm = selection.arm or about.get("arm") or _cotkit_strategy(head)
    if arm is None:
        hint = f"--from ARM=inspect:{path}, e.g. --from cot=inspect:{path}"
        raise BadInputError(path, "which strategy is it? the log does not say", hint=hint)
    task = need_text(head, place, "eval", "task")
    n_params = as_count(about.get("n_params"))
    status = head.get("status")
    notes = () if status == "success" else (f"{path.name}: status {status}: it may be cut short",)
    scored, chosen = _score_samples(head, samples, selection.scorer, place)
    return [
        Result(
            place=place,
            model=need_text(head, place, "eval", "model"),
            bench=selection.bench or about.get("bench") or task,
            arm=arm,
            size=ModelSize(family=about.get("family"), n_params=n_params),
            scores=scored,
            version=(task, str(find_field(head, "eval", "task_version") or 0)),
            notes=(*notes, *chosen),
        )
    ]


def open_log(
    path: Path, *, full: bool = False
) -> tuple[Mapping[str, object], Iterable[object], Location]:
    """Return header, samples (of a ``.eval`` their summaries unless ``full``) and place of a log.

    Raises:
        BadInputError: it is no log, or of a newer version.
    """
    if path.suffix == ".eval":
        head, samples, place = _open_archive(path, full=full)
    else:
        head, place = read_object(path, hint=_HINT), Location(file=str(path))
        samples = need_list(head, place, "samples")
    version = head.get("version")
    if not isinstance(version, int) or version > VERSION:
        hint = f"cotkit knows {VERSION}: upgrade it"
        raise place.make_error(f"log version {version!r}", field="version", hint=hint)
    return head, samples, place


def _cotkit_strategy(head: Mapping[str, object]) -> str | None:
    """Return the strategy with its parameters, if a solver of cotkit ran it (``cotkit/cot``)."""
    name = find_field(head, "eval", "solver")
    if not isinstance(name, str) or not name.startswith("cotkit/"):
        return None
    arguments = find_object(head, "eval", "solver_args")
    params = ",".join(f"{key}={value}" for key, value in sorted(arguments.items()))
    arm = name.removeprefix("cotkit/").replace("_", "-")
    return f"{arm}:{params}" if params else arm


def name_solver(head: Mapping[str, object]) -> str | None:
    """Return what solved the samples of a log: cotkit's strategy, else the names of its solvers.

    ``generate``, with which others end, is named only where it is alone; None: the log names none.
    """
    if (strategy := _cotkit_strategy(head)) is not None:
        return strategy
    steps = find_field(head, "plan", "steps")
    listed = cast("list[object]", steps) if isinstance(steps, list) else []
    names = [str(name) for step in listed if (name := find_field(step, "solver"))]
    if not names and isinstance(name := find_field(head, "eval", "solver"), str):
        names = [name]
    return "+".join([name for name in names if name != "generate"] or names[:1]) or None


def read_usage(sample: Mapping[str, object]) -> dict[str, int | float]:
    """Return what a sample took, over all its calls and models, as fields of a row."""
    totals: dict[str, int | float] = {}
    for usage in find_object(sample, "model_usage").values():
        counts = {name: as_count(find_field(usage, name)) or 0 for name in _TOKENS}
        cached = counts["input_tokens_cache_read"]
        stored = counts["input_tokens_cache_write"]
        for name, count in (
            ("n_prompt_tokens", counts["input_tokens"] + cached + stored),
            ("n_shared_tokens", cached),
            ("n_cache_write_tokens", stored),
            ("n_generated_tokens", counts["output_tokens"]),
            ("n_reasoning_tokens", counts["reasoning_tokens"]),
        ):
            totals[name] = totals.get(name, 0) + count
    seconds = as_number(sample.get("working_time", sample.get("total_time")))
    return {name: n for name, n in {**totals, "seconds": seconds or 0}.items() if n}


_TOKENS = (
    "input_tokens",
    "input_tokens_cache_read",
    "input_tokens_cache_write",
    "output_tokens",
    "reasoning_tokens",
)


def _open_archive(
    path: Path, *, full: bool
) -> tuple[Mapping[str, object], Iterable[object], Location]:
    with ZipFile(path, hint=_convert_hint(path)) as archive:
        header = next(
            (name for name in ("header.json", "_journal/start.json") if name in archive.names), None
        )
        if header is None:
            raise BadInputError(path, "has no header.json", hint=_HINT)
        head = _read_member(archive, path, header)
        place = Location(file=f"{path}!{header}")
        if full:
            return head, _read_samples(path, archive.names), place
        journal = sorted(name for name in archive.names if name.startswith("_journal/summaries/"))
        samples: list[object] = []
        for member in ["summaries.json"] if "summaries.json" in archive.names else journal:
            where = Location(file=f"{path}!{member}", hint=_HINT)
            summaries = parse_json(archive.read(member), where)
            samples += need_list({"samples": summaries}, where, "samples")
    return head, samples, place


def _read_samples(path: Path, names: Iterable[str]) -> Iterator[object]:
    """Yield the samples of an archive, one in memory at a time."""
    with ZipFile(path, hint=_convert_hint(path)) as archive:
        for name in sorted(name for name in names if name.startswith("samples/")):
            yield _read_member(archive, path, name)


def _read_member(archive: ZipFile, path: Path, name: str) -> Mapping[str, object]:
    return parse_object(archive.read(name), Location(file=f"{path}!{name}", hint=_HINT))


def _convert_hint(path: Path) -> str:
    """Return the command that makes JSON of a log."""
    return f"inspect log convert {path} --to json --output-dir json"


def _score_samples(
    head: Mapping[str, object], samples: Iterable[object], scorer: str | None, place: Location
) -> tuple[dict[str, ProblemScore], tuple[str, ...]]:
    epochs: dict[str, dict[str, ProblemScore]] = {}
    chosen, others = scorer, dict[str, None]()
    for i, sample in enumerate(samples):
        field = f"samples.{i}"
        if not isinstance(sample, dict):
            raise place.make_error("must be an object", field=field, hint=_HINT)
        fields = cast("dict[str, object]", sample)
        problem, epoch = read_epoch(fields, field, place)
        scores = find_object(fields, "scores")
        if chosen is None and scores:
            chosen = next(iter(scores))
        others |= dict.fromkeys(name for name in scores if name != (chosen or "").partition("/")[0])
        value = math.nan if fields.get("error") else read_score(scores, chosen, field, place)
        score = ProblemScore(
            correct=value, tokens=_count_tokens(fields), seconds=as_number(fields.get("total_time"))
        )
        if epochs.setdefault(problem, {}).setdefault(epoch, score) is not score:
            raise place.make_error(f"epoch {epoch} of {problem!r} twice", field=field, hint=_HINT)
    if not epochs:
        raise place.make_error("empty", field="samples", hint="a log without samples has no pairs")
    note = (f"scorer {chosen}, not {', '.join(others)} (,scorer=NAME)",) if others else ()
    check_results(
        head,
        chosen,
        [[score.correct for score in scores.values()] for scores in epochs.values()],
        place,
    )
    return {name: _mean_of_epochs(list(scores.values())) for name, scores in epochs.items()}, note


def read_epoch(sample: Mapping[str, object], field: str, place: Location) -> tuple[str, str]:
    """Return the id of a sample and its epoch, both as text.

    Raises:
        BadInputError: it has no id.
    """
    if "id" not in sample:
        raise place.make_error("missing", field=f"{field}.id", hint=_HINT)
    return str(sample["id"]), str(sample.get("epoch", 1))


def check_results(
    head: Mapping[str, object],
    scorer: str | None,
    epochs: Iterable[Sequence[float]],
    place: Location,
) -> None:
    """Refuse an accuracy in a log's header that its own samples contradict.

    Args:
        head: The header.
        scorer: Whose scores these are.
        epochs: The scores of each problem's epochs, 0..1; NaN: not scored.
        place: The log.

    Raises:
        BadInputError: the header states another mean.
    """
    problems = list(epochs)
    if any(math.isnan(score) for scores in problems for score in scores):
        return  # what a tool makes of samples without a score is its own business
    means = [sum(scores) / len(scores) for scores in problems]
    listed = find_field(head, "results", "scores")
    for i, entry in enumerate(cast("list[object]", listed) if isinstance(listed, list) else []):
        stated = as_number(find_field(entry, "metrics", "accuracy", "value"))
        is_mean = find_field(entry, "reducer") in {None, "mean"}
        if find_field(entry, "name") == scorer and is_mean and stated is not None:
            field = f"results.scores.{i}.metrics.accuracy.value"
            check_mean(stated, means, place, field=field)


def read_score(
    scores: Mapping[str, object], scorer: str | None, field: str, place: Location
) -> float:
    """Return a sample's score as a share; NaN: not scored.

    Raises:
        BadInputError: no such scorer, or its value says neither right nor wrong.
    """
    name, _, key = (scorer or "").partition("/")
    if not scores:
        return math.nan
    if name not in scores:
        hint = f"there: {', '.join(scores)}; ,scorer=NAME"
        raise place.make_error("missing", field=f"{field}.scores.{name}", hint=hint)
    score = need_object(scores, place, name)
    value = score.get("value")
    field = f"{field}.scores.{name}.value"
    if isinstance(value, dict):
        keys = cast("dict[str, object]", value)
        if key not in keys:
            hint = f",scorer={name}/KEY with one of: {', '.join(keys)}"
            raise place.make_error("is an object", field=field, hint=hint)
        value = keys[key]
    if value is None:
        return math.nan
    if isinstance(value, str):
        value = _WORDS.get(value, _WORDS.get(value.lower(), value))
    number = as_number(value)
    if number is None or not 0 <= number <= 1:
        hint = "C, I, P, N, true, false or 0 to 1; another: ,scorer=NAME"
        raise place.make_error(
            f"{str(value)[:30]!r} says neither right nor wrong", field=field, hint=hint
        )
    return number


def _count_tokens(sample: Mapping[str, object]) -> float | None:
    usage = find_object(sample, "model_usage")
    counts = [as_number(find_field(count, "total_tokens")) for count in usage.values()]
    return (
        None
        if None in counts or not counts
        else sum(count for count in counts if count is not None)
    )


def _mean_of_epochs(epochs: list[ProblemScore]) -> ProblemScore:
    """Return the mean score of the epochs that were scored; costs are summed."""
    values = [epoch.correct for epoch in epochs if not math.isnan(epoch.correct)]
    tokens = [epoch.tokens for epoch in epochs if epoch.tokens is not None]
    seconds = [epoch.seconds for epoch in epochs if epoch.seconds is not None]
    return ProblemScore(
        correct=sum(values) / len(values) if values else math.nan,
        tokens=sum(tokens) if len(tokens) == len(epochs) else None,
        seconds=sum(seconds) if len(seconds) == len(epochs) else None,
    )
