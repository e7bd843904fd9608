"""Compare what other tools ran: the same problems by content, paired, with every reader."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from cotkit.analysis.comparison import RunFacts
from cotkit.analysis.comparison import compare as compare_rows
from cotkit.analysis.disagreements import Disagreement, ToolRecord, find_disagreement
from cotkit.analysis.values import Comparison, Criteria, PageRun
from cotkit.backends.inspect import STOP_REASONS
from cotkit.benchmarks import load_benchmark
from cotkit.errors import BadInputError, CotkitError, Location, UnknownNameError, UsageError
from cotkit.identity import content_hash
from cotkit.inputs import iterate_objects, read_object
from cotkit.interop.fields import as_number, find_field, find_object, need_list, need_text
from cotkit.interop.inspect_.logs import (
    check_results,
    name_solver,
    open_log,
    read_epoch,
    read_score,
    read_usage,
)
from cotkit.interop.ladders import ResultsSource, parse_source
from cotkit.interop.lm_eval.results import check_totals
from cotkit.interop.results import pair_arms
from cotkit.registry import parse_spec
from cotkit.run.spec import DEFAULTS
from cotkit.scoring import SCORER_VERSION
from cotkit.scoring.canonical import canonical_number
from cotkit.scoring.chance import CHANCE, find_chance
from cotkit.scoring.readers import resolve_reader
from cotkit.store import AttemptRow
from cotkit.types import AnswerKind, Attempt, Problem, Question, Reading
from cotkit.workflows.records import (
    ArmFacts,
    AttemptRecord,
    describe_arms,
    make_vote,
    note_what_is_unknown,
    read_record,
    score_record,
)
from cotkit.workflows.stored_run import make_part

AS_SCORED = "as-scored"
"""The reader that repeats what each arm's own tool decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSample:
    """One attempt at a problem, as a tool recorded it."""

    key: str
    """Hash of its question; of its id where the question is not recorded."""
    label: str
    """What to call the problem in a report."""
    problem: Problem
    """As the file holds it; where it names one of our benchmarks, as that holds it."""
    record: AttemptRecord
    """What the readers are to read; several texts that were scored as one are a vote."""
    score: float | None
    """The tool's own, 0..1; None: it has none."""
    answer: str | None
    """What the tool read; None: it does not say, or read nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """One file of another tool."""

    arm: str
    """What it is called: one of ``names``."""
    names: tuple[str, ...]
    """The name that the user or cotkit's export gives; else, until all files differ: solver or
    task, both, with scorer or filter, the file's own."""
    model: str
    """As the file names it."""
    bench: str
    """As the file names it."""
    items: Mapping[str, tuple[RecordedSample, ...]]
    """Key of a problem -> its samples."""
    problems: Sequence[Problem]
    """All of the benchmark that the file names, if cotkit has it; empty: it does not."""
    is_cotkit_export: bool
    """Whether ``cotkit export`` wrote it, so that no tool scored it but cotkit."""
    notes: tuple[str, ...]
    """What was chosen where the file left a choice, without its name."""

    @property
    def facts(self) -> ArmFacts | None:
        """What the file says of its arm; None: nothing."""
        return next(iter(self.items.values()))[0].record.facts if self.items else None


def compare_recorded(
    specs: Sequence[str],
    *,
    baseline: str | None = None,
    reader: str = DEFAULTS.reader,
    margin: float = DEFAULTS.margin,
) -> Comparison:
    """Return what :func:`load_recorded` does, without its samples."""
    return load_recorded(specs, baseline=baseline, reader=reader, margin=margin).comparison


def load_recorded(
    specs: Sequence[str],
    *,
    baseline: str | None = None,
    reader: str = DEFAULTS.reader,
    margin: float = DEFAULTS.margin,
) -> PageRun:
    """Compare files of other tools on the problems that all of them have.

    Args:
        specs: Each ``[NAME=]FILE``; see :func:`read_recorded`.
        baseline: What the others are measured against; ``chance``: all of them, against what
            guessing solves; None: each against its control, as in a run, where the files have one,
            else against the first.
        reader: The reader that decides: one of cotkit, or ``as-scored`` for each tool's own scorer.
        margin: Smallest gain that counts as material, a fraction.

    Returns:
        As of a run, with ``disagreements``: why, problem by problem, two tools do not agree.

    Raises:
        UsageError: fewer than two files, two of one name, or no problem in common.
        BadInputError: names file, line and field.
        UnknownNameError: no such reader or baseline.
    """
    reader = resolve_reader(reader)
    over_chance = baseline == CHANCE
    if len(specs) < 2 and not over_chance:
        hint = "--from A.eval --from B.eval"
        raise UsageError("one file has nothing to be compared with", hint=hint)
    files = _name_files([read_recorded(text) for text in specs])
    arms = [file.arm for file in files]
    if twice := next((arm for arm in arms if arms.count(arm) > 1), None):
        raise UsageError(f"two files are called {twice}", hint=f"--from NAME=FILE, not {twice}")
    if baseline is not None and baseline not in arms and not over_chance:
        raise UnknownNameError("arm", baseline, [*arms, CHANCE])
    pairs = _pair_files(arms, baseline)
    by_arm = {file.arm: file for file in files}
    first = by_arm[arms[0] if over_chance else pairs[0][1]]
    shared = [key for key in first.items if all(key in file.items for file in files)]
    if not shared:
        hint = "problems are the same if their questions are, to the letter"
        raise UsageError(f"{' and '.join(arms)} have no problem in common", hint=hint)
    problems = {key: first.items[key][0].problem for key in shared}
    is_scored = all(
        sample.score is not None
        for file in files
        for key in shared
        for sample in file.items[key]
        if sample.record.failure is None
    )
    says_scores = is_scored and (
        reader == AS_SCORED or not all(file.is_cotkit_export for file in files)
    )
    rows = {
        (file.arm, key): [
            _make_row(file.arm, i, sample, problems[key], reader, says_score=says_scores)
            for i, sample in enumerate(file.items[key])
        ]
        for file in files
        for key in shared
    }
    everything = first.problems or list(problems.values())
    comparison = compare_rows(
        [row for samples in rows.values() for row in samples],
        pairs,
        replace(
            _make_facts(files, shared, reader),
            chance=find_chance(everything) if over_chance else None,
        ),
        everything,
        Criteria(reader=reader, baseline=baseline, margin=margin),
    )
    disagreements = [
        disagreement
        for arm, control in (pairs if says_scores and not over_chance else ())
        for key in shared
        for disagreement in _find_disagreements(by_arm[arm], by_arm[control], key, rows, reader)
    ]
    notes = (*_file_notes(files, shared, is_scored=is_scored), *comparison.notes)
    return make_part(
        replace(comparison, disagreements=tuple(disagreements), notes=notes),
        list(problems.values()),
        [row for samples in rows.values() for row in samples],
    )


def _name_files(files: Sequence[RecordedFile]) -> list[RecordedFile]:
    """Name files by the first of their names by which all of them differ."""
    for i in range(max(len(file.names) for file in files)):
        renamed = [replace(file, arm=file.names[min(i, len(file.names) - 1)]) for file in files]
        if len({file.arm for file in renamed}) == len(files):
            return renamed
    return list(files)


def _pair_files(arms: Sequence[str], baseline: str | None) -> Sequence[tuple[str, str]]:
    """Return (arm, control) as a run has them; without any, all against the first."""
    try:
        return pair_arms(arms, baseline=baseline)
    except UsageError:
        return [(arm, arms[0]) for arm in arms[1:]]


def _make_row(
    arm: str,
    number: int,
    sample: RecordedSample,
    problem: Problem,
    reader: str,
    *,
    says_score: bool,
) -> AttemptRow:
    by_tool = reader == AS_SCORED
    if by_tool and not says_score:
        raise UsageError("not every problem was scored by its tool", hint="--reader flexible")
    row = score_record(
        sample.record,
        problem,
        arm=arm,
        sample=number,
        reader="flexible" if by_tool else reader,
    )
    if row.outcome == "failed" or not says_score:
        return row
    is_right = sample.score == 1  # a partial score is no solution
    reading = Reading(value=sample.answer or (problem.gold if is_right else None), rule="tool")
    row = replace(
        row,
        readings={**row.readings, AS_SCORED: reading},
        correct_by={**row.correct_by, AS_SCORED: is_right},
    )
    if not by_tool:
        return row
    # The tool scored the whole attempt, not its drafts.
    return replace(row, outcome="correct" if is_right else "wrong", drafts=(), is_vote=False)


def _find_disagreements(
    file: RecordedFile,
    control: RecordedFile,
    key: str,
    rows: Mapping[tuple[str, str], Sequence[AttemptRow]],
    reader: str,
) -> Iterator[Disagreement]:
    """Yield why two tools disagree on a problem, if they do and each has one attempt at it."""
    reader = "flexible" if reader == AS_SCORED else reader
    sides: list[ToolRecord] = []
    for side in (file, control):
        (sample, *more), row = side.items[key], rows[side.arm, key][0]
        if more or row.outcome == "failed":
            return
        sides.append(
            ToolRecord(
                arm=side.arm,
                text=sample.record.attempt.text,
                gold=sample.problem.gold,
                is_right=sample.score == 1,
                read=sample.answer,
                reading=row.readings[reader].value,
                is_right_here=row.correct_by[reader],
                stop_reason=sample.record.attempt.stop_reason,
            )
        )
    disagreement = find_disagreement(sides[0], sides[1], file.items[key][0].label)
    if disagreement is not None:
        yield disagreement


def _make_facts(files: Sequence[RecordedFile], shared: Sequence[str], reader: str) -> RunFacts:
    benches = " and ".join(dict.fromkeys(file.bench for file in files))
    texts = {
        file.arm: [repr(sample.record.attempt) for key in shared for sample in file.items[key]]
        for file in files
    }
    return RunFacts(
        run_id=content_hash("recorded", [SCORER_VERSION, reader, list(shared), texts])[:12],
        model=" and ".join(dict.fromkeys(file.model for file in files)),
        n_params=None,
        bench=benches,
        bench_version="as recorded",
        n_problems=len(shared),
        n_total=max(len(file.items) for file in files),
        **describe_arms({file.arm: file.facts for file in files}),
    )


def _file_notes(
    files: Sequence[RecordedFile], shared: Sequence[str], *, is_scored: bool
) -> list[str]:
    notes = [f"{file.arm}: {note}" for file in files for note in file.notes]
    notes += [
        f"{file.arm}: {n_more:,} problems are not in every file and are left out"
        for file in files
        if (n_more := len(file.items) - len(shared))
    ]
    if len({file.model for file in files}) > 1:
        notes.append("the files are of different models: the gain is of the models, too")
    if not is_scored:
        notes.append("not every problem was scored by its tool: their scores are not compared")
    counted = [
        file.arm
        for file in files
        if all("n_generated_tokens" in file.items[key][0].record.usage for key in shared)
    ]
    return [*notes, *note_what_is_unknown({file.arm: file.facts for file in files}, counted)]


# What other tools recorded of each problem: question, completions, and what they made of them.
#
# Logs of Inspect (``.eval``, ``.json``) and samples files of lm-evaluation-harness.


_SOURCE = re.compile(r"(?:(?P<arm>[^=/:,]+)=)?(?P<kind>(?:lm[-_]eval|inspect):)?(?P<rest>.+)")
_SUFFIXES = {".eval": "inspect", ".json": "inspect", ".jsonl": "lm-eval"}
_QUESTIONS = ("question", "Question", "problem", "input", "query", "text", "prompt", "body")
"""Fields of an lm-eval document that hold its question, the first one there."""
_WORKED = re.compile(r"(?s).*(?:####|[Tt]he answer is)\s*(?P<answer>[^\n]+?)\.?\s*")
_HINT = "as `lm_eval --log_samples` writes it"
_FLEXIBLE, _METRIC = "flexible-extract", "exact_match"
_VOTE = re.compile(r"maj@(?P<k>[0-9]+)")
"""Name of the filter of lm-eval that takes the most common answer of k texts."""


def read_recorded(spec: str) -> RecordedFile:
    """Read one ``--from``: ``[NAME=][inspect:|lm-eval:]FILE[,scorer=NAME][,filter=NAME]``.

    Raises:
        UsageError: it is not of the form, or the kind of the file is not clear.
        BadInputError: names file, line and field.
    """
    parts = _SOURCE.fullmatch(spec.strip())
    if parts is None:
        raise UsageError(f"--from {spec!r} cannot be read", hint="[NAME=]FILE.eval")
    path = Path(parts["rest"].partition(",")[0])
    kind = parts["kind"] or f"{_SUFFIXES.get(path.suffix, '')}:"
    if kind == ":":
        hint = "FILE.eval or FILE.json of Inspect, samples_TASK_DATE.jsonl of lm-eval"
        raise UsageError(f"--from {spec!r}: what wrote it?", hint=hint)
    source = parse_source(f"{parts['arm'] or path.stem}={kind}{parts['rest']}")
    if not path.is_file():
        raise BadInputError(path, "no such file", hint="one file: a log, or a samples file")
    if source.kind == "inspect":
        return _read_inspect(source, name=parts["arm"])
    return _read_lm_eval(source, name=parts["arm"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """Where a file's problems and arm come from, as an export of cotkit records it."""

    run: str | None = None
    """The run that was exported; None: another tool ran it."""
    bench: str | None = None
    """The benchmark of cotkit that it names; None: it names none."""
    arm: str | None = None
    """What the export calls the arm."""
    problems: Mapping[str, Problem]
    """Of that benchmark, by id; empty: there is none, or it is not here."""

    @property
    def notes(self) -> list[str]:
        """Note that the benchmark is not here and so the problems are as in the file."""
        if self.run is None or self.problems:
            return []
        return [f"benchmark {self.bench} is not here, so problems are as in the file"]


def _read_origin(about: Mapping[str, object]) -> _Origin:
    names = {name: str(about[name]) for name in ("run", "bench", "arm") if about.get(name)}
    problems: Mapping[str, Problem] = {}
    if "bench" in names:
        try:
            spec = parse_spec(names["bench"])
            if spec.name.endswith(".py"):  # what a file names is not run
                return _Origin(problems={}, **names)
            bench = load_benchmark(spec)
            problems = {problem.question.id: problem for problem in bench.problems()}
        except CotkitError:  # another machine's file, or a benchmark that was since renamed
            problems = {}
    return _Origin(problems=problems, **names)


def _read_inspect(source: ResultsSource, *, name: str | None) -> RecordedFile:
    head, samples, place = open_log(source.path, full=True)
    origin = _read_origin(find_object(head, "eval", "metadata", "cotkit"))
    scorer = source.options.get("scorer")
    items: dict[str, list[RecordedSample]] = {}
    scores: dict[str, dict[str, float]] = {}
    for i, sample in enumerate(samples):
        if not isinstance(sample, dict):
            raise place.make_error(
                "must be an object", field=f"samples.{i}", hint="a log of Inspect"
            )
        fields = cast("dict[str, object]", sample)
        scorer = scorer or next(iter(find_object(fields, "scores")), None)
        problem, epoch = read_epoch(fields, f"samples.{i}", place)
        if epoch in scores.setdefault(problem, {}):
            raise place.make_error(f"epoch {epoch} of {problem!r} twice", field=f"samples.{i}")
        item = _inspect_sample(fields, scorer, f"samples.{i}", place, origin)
        scores[problem][epoch] = math.nan if item.score is None else item.score
        items.setdefault(item.key, []).append(item)
    check_results(head, scorer, [list(epochs.values()) for epochs in scores.values()], place)
    notes = [f"scored by {scorer}"] if scorer and origin.run is None else []
    if find_field(head, "eval", "config", "epochs_reducer") == ["mode"]:
        items = {key: [_vote_over(epochs)] for key, epochs in items.items()}
    has_votes = any(epochs[0].record.attempt.is_vote for epochs in items.values())
    if has_votes and origin.run is None:
        notes.append(_VOTE_NOTE)
    task, solver = need_text(head, place, "eval", "task"), name_solver(head)
    both = f"{task} {solver}" if solver else task
    names = (solver or task, both, f"{both} {scorer}", source.path.stem)
    if name or origin.arm:
        names = (name or origin.arm or "",)
    return RecordedFile(
        arm=names[0],
        names=names,
        model=need_text(head, place, "eval", "model"),
        bench=source.options.get("bench") or origin.bench or task,
        items={key: tuple(epochs) for key, epochs in items.items()},
        problems=list(origin.problems.values()),
        is_cotkit_export=origin.run is not None,
        notes=(*notes, *origin.notes),
    )


_VOTE_NOTE = "several texts of a problem were scored as one: every reader votes over them"


def _vote_over(epochs: Sequence[RecordedSample]) -> RecordedSample:
    """Return the epochs of a problem as one vote; those that failed have no part in it."""
    completed = [sample for sample in epochs if sample.record.failure is None]
    if len(completed) < 2:
        return (completed or epochs)[0]
    scores = Counter(sample.score for sample in completed)
    answers = Counter(sample.answer for sample in completed if sample.answer is not None)
    attempt = make_vote([sample.record.attempt for sample in completed])
    return replace(
        completed[0],
        record=replace(completed[0].record, attempt=attempt),
        score=scores.most_common(1)[0][0],
        answer=answers.most_common(1)[0][0] if answers else None,
    )


def _inspect_sample(
    sample: Mapping[str, object],
    scorer: str | None,
    field: str,
    place: Location,
    origin: _Origin,
) -> RecordedSample:
    def bad(problem: str, name: str) -> BadInputError:
        return place.make_error(
            problem, field=f"{field}.store.cotkit.{name}", hint="a log of cotkit's"
        )

    scores = find_object(sample, "scores")
    score = math.nan if sample.get("error") else read_score(scores, scorer, field, place)
    answer = find_object(scores, (scorer or "").partition("/")[0]).get("answer")
    choices = need_list(
        {"choices": find_field(sample, "output", "choices") or []}, place, "choices"
    )
    error = find_field(sample, "error", "message")
    nothing = None if choices else "no completion is recorded"
    if entry := find_object(sample, "store", "cotkit"):  # a strategy of cotkit made it
        record = read_record(entry, "", bad)
    elif failure := str(error) if error else nothing:
        record = AttemptRecord(attempt=Attempt(text="", stop_reason="stop"), failure=failure)
    else:
        texts = [_inspect_attempt(choice) for choice in choices]
        record = AttemptRecord(
            attempt=make_vote(texts) if len(texts) > 1 else texts[0], usage=read_usage(sample)
        )
    listed = need_list({"choices": sample.get("choices") or []}, place, "choices")
    options = tuple(map(str, listed))
    target = sample.get("target")
    first = cast("list[object]", target)[0] if isinstance(target, list) and target else target
    return _make_sample(
        origin,
        name=str(sample.get("id")),
        question=_input_text(sample.get("input")),
        target=str(first),
        choices=options,
        record=record,
        score=None if math.isnan(score) else score,
        answer=answer if isinstance(answer, str) else None,
    )


def _inspect_attempt(choice: object) -> Attempt:
    return Attempt(
        text=_input_text(find_field(choice, "message", "content")) or "",
        stop_reason=STOP_REASONS.get(str(find_field(choice, "stop_reason")), "stop"),
    )


def _read_lm_eval(source: ResultsSource, *, name: str | None) -> RecordedFile:
    path = source.path
    stem = re.fullmatch(r"samples_(?P<task>.+?)(?P<date>_\d{4}-\d\d-\d\dT.*)?", path.stem)
    task = source.options.get("task") or (stem["task"] if stem else path.stem)
    results = path.with_name(f"results{stem['date']}.json") if stem and stem["date"] else None
    page = read_object(results, hint=_HINT) if results is not None and results.is_file() else {}
    lines = list(iterate_objects(path, hint=_HINT))
    if not lines:
        raise BadInputError(path, "empty", hint=_HINT)
    filters = list(dict.fromkeys(str(line.get("filter", "none")) for _, line in lines))
    chosen = source.options.get("filter") or _choose_filter(filters)
    if chosen not in filters:
        raise BadInputError(path, f"no filter {chosen}", hint=f"there: {', '.join(filters)}")
    origin = _read_origin(find_object(page, "configs", task, "metadata", "cotkit"))
    names = (task, task, f"{task} {chosen}", source.path.stem)
    if name or origin.arm:
        names = (name or origin.arm or "",)
    metric = source.options.get("metric") or _METRIC
    items: dict[str, tuple[RecordedSample, ...]] = {}
    for place, line in lines:
        if str(line.get("filter", "none")) == chosen:
            item = _lm_eval_sample(line, metric, chosen, place, origin)
            if item.key in items:
                raise place.make_error("a problem a second time", field="doc", hint=item.label)
            items[item.key] = (item,)
    scores = [float(sample.score or 0) for (sample,) in items.values()]
    stated = (
        check_totals(page, task, f"{metric},{chosen}", scores, Location(file=results))
        if results is not None and find_object(page, "results", task)
        else ()
    )
    others = ", ".join(other for other in filters if other != chosen)
    notes = [f"scored by filter {chosen}" + (f", not {others}" if others else "")]
    if any(sample.record.attempt.is_vote for (sample,) in items.values()):
        notes.append(_VOTE_NOTE)
    model = find_field(page, "model_name")
    return RecordedFile(
        arm=names[0],
        names=names,
        model=model if isinstance(model, str) else "unknown model",
        bench=source.options.get("bench") or origin.bench or task,
        items=items,
        problems=list(origin.problems.values()),
        is_cotkit_export=origin.run is not None,
        notes=(*(origin.notes if origin.run else notes), *stated),
    )


def _choose_filter(filters: Sequence[str]) -> str:
    """Return the vote over most texts, else the flexible filter, else the first."""
    votes = [name for name in filters if _VOTE.fullmatch(name)]
    if votes:
        return max(votes, key=lambda name: int(name.removeprefix("maj@")))
    return _FLEXIBLE if _FLEXIBLE in filters else filters[0]


def _lm_eval_sample(
    line: Mapping[str, object], metric: str, chosen: str, place: Location, origin: _Origin
) -> RecordedSample:
    def bad(problem: str, name: str) -> BadInputError:
        return place.make_error(problem, field=f"cotkit.{name}", hint="a file of cotkit export")

    doc = find_object(line, "doc")
    if entry := find_object(line, "cotkit"):
        record = read_record(entry, "", bad)
    else:
        record = AttemptRecord(attempt=_lm_eval_attempt(line, chosen, place))
    score = as_number(line.get(metric))
    if score is None or not 0 <= score <= 1:
        what = "missing" if metric not in line else "must be 0 to 1"
        raise place.make_error(what, field=metric, hint="another: ,metric=NAME")
    answers = line.get("filtered_resps")
    answer = cast("list[object]", answers)[0] if isinstance(answers, list) and answers else answers
    return _make_sample(
        origin,
        name=str(doc.get("id") or line.get("doc_hash") or line.get("doc_id")),
        question=next(
            (text for name in _QUESTIONS if isinstance(text := doc.get(name), str)), None
        ),
        target=str(line.get("target")),
        choices=(),
        record=record,
        score=score,
        answer=answer if isinstance(answer, str) and answer != "[invalid]" else None,
    )


def _lm_eval_attempt(line: Mapping[str, object], chosen: str, place: Location) -> Attempt:
    """Return the attempt of the last request of a document; its several texts are a vote."""
    texts = line.get("resps")
    while isinstance(texts, list) and texts and isinstance(texts[-1], list):
        texts = cast("list[object]", texts)[-1]
    texts = cast("list[object]", texts) if isinstance(texts, list) else [texts]
    if vote := _VOTE.fullmatch(chosen):
        texts = texts[: int(vote["k"])]
    if not texts or not all(isinstance(text, str) for text in texts):
        hint = "of a task that generates (output_type generate_until)"
        raise place.make_error("holds no completion", field="resps", hint=hint)
    samples = [Attempt(text=str(text), stop_reason="stop") for text in texts]
    return make_vote(samples) if len(samples) > 1 else samples[0]


def _make_sample(
    origin: _Origin,
    *,
    name: str,
    question: str | None,
    target: str,
    choices: tuple[str, ...],
    record: AttemptRecord,
    score: float | None,
    answer: str | None,
) -> RecordedSample:
    """Return a sample with its problem: the benchmark's, if it is there with the same answer."""
    problem = origin.problems.get(name)
    gold = _read_gold(target, choices) if origin.run is None else target
    if origin.run is not None:  # its inputs are prompts
        question = None if problem is None else problem.question.text
    plain = None if question is None else " ".join(question.split())
    key = content_hash("problem-id", name) if plain is None else content_hash("problem", plain)
    label = name if plain is None else plain if len(plain) <= 60 else f"{plain[:59]}…"
    if problem is None or problem.gold != gold:
        problem = _make_problem(key, label, gold, choices)
    return RecordedSample(
        key=key, label=label, problem=problem, record=record, score=score, answer=answer
    )


def _make_problem(key: str, text: str, gold: str, choices: tuple[str, ...]) -> Problem:
    kind: AnswerKind = "text"
    if choices:
        kind = "choice"
    elif canonical_number(gold) is not None:
        kind = "number"
    question = Question(id=key, text=text, choices=choices, answer_kind=kind)
    return Problem(question=question, gold=gold)


def _read_gold(target: str, choices: Sequence[str]) -> str:
    if len(target) == 1 and choices and 0 <= ord(target) - ord("A") < len(choices):
        return choices[ord(target) - ord("A")]
    worked = _WORKED.fullmatch(target)
    answer = worked["answer"] if worked else target.strip()
    return canonical_number(answer) or answer


def _input_text(content: object) -> str | None:
    """Return the text of an input, of a message's content, or of the last message of the user."""
    if isinstance(content, str) or not isinstance(content, list):
        return content if isinstance(content, str) else None
    parts = cast("list[object]", content)
    if any(isinstance(find_field(part, "role"), str) for part in parts):
        questions = [part for part in parts if find_field(part, "role") == "user"]
        return _input_text(find_field(questions[-1], "content")) if questions else None
    return "".join(_part_texts(parts)) or None


def _part_texts(parts: Sequence[object]) -> Iterator[str]:
    for part in parts:
        text = find_field(part, "text")
        if find_field(part, "type") == "text" and isinstance(text, str):
            yield text
