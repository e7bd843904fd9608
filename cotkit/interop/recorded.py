"""What others ran, compared: the same problems by content, paired, every reader side by side."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from cotkit.analysis.comparison import RunFacts
from cotkit.analysis.comparison import compare as compare_rows
from cotkit.analysis.disagreements import Disagreement, ToolRecord, find_disagreement
from cotkit.analysis.values import Comparison
from cotkit.benchmarks import load_benchmark
from cotkit.errors import BadInputError, CotkitError, UnknownNameError, UsageError
from cotkit.identity import content_hash
from cotkit.interop.fields import (
    as_number,
    find_field,
    find_object,
    need_list,
    need_text,
    read_file,
    read_lines,
)
from cotkit.interop.inspect_.logs import STOP_REASONS, open_log, read_score
from cotkit.interop.ladders import ResultsSource, parse_source
from cotkit.interop.results import FileLocation
from cotkit.registry import parse_spec
from cotkit.scoring import SCORER_VERSION, score_attempt
from cotkit.scoring.canonical import canonical_number
from cotkit.store import AttemptRow
from cotkit.types import AnswerKind, Attempt, Problem, Question, Reading, StopReason
from cotkit.workflows.compare import LEVEL

AS_SCORED = "as-scored"
"""The reader that says of each arm what its own tool said."""


def compare_recorded(
    written: Sequence[str],
    *,
    baseline: str | None = None,
    reader: str = "flexible",
    margin: float = 0.02,
) -> Comparison:
    """Compare files of other tools on the problems that all of them have.

    Args:
        written: Each ``[NAME=]FILE``; see ``items.read_recorded``.
        baseline: What the others are measured against; None: the first.
        reader: Who decides: one of ours, or ``as-scored`` for each tool's own scorer.
        margin: Smallest gain that counts as material, a fraction.

    Returns:
        As of a run, with ``disagreements``: why, problem by problem, two tools do not agree.

    Raises:
        UsageError: fewer than two files, two of one name, or no problem in common.
        BadInputError: names file, line and field.
        UnknownNameError: no such reader or baseline.
    """
    if len(written) < 2:
        hint = "--from A.eval --from B.eval"
        raise UsageError("one file has nothing to be compared with", hint=hint)
    sources = [read_recorded(text) for text in written]
    arms = [one.arm for one in sources]
    if twice := next((arm for arm in arms if arms.count(arm) > 1), None):
        raise UsageError(f"two files are called {twice}", hint=f"--from NAME=FILE, not {twice}")
    if baseline is not None and baseline not in arms:
        raise UnknownNameError("arm", baseline, arms)
    first = next(one for one in sources if one.arm == (baseline or arms[0]))
    shared = [key for key in first.items if all(key in one.items for one in sources)]
    if not shared:
        hint = "problems are the same if their questions are, to the letter"
        raise UsageError(f"{' and '.join(arms)} have no problem in common", hint=hint)
    problems = {key: _make_problem(first.items[key]) for key in shared}
    scored = all(
        one.items[key].score is not None
        for one in sources
        for key in shared
        if one.items[key].error is None
    )
    rows = {
        (one.arm, key): _make_row(one.arm, one.items[key], problems[key], reader, scored=scored)
        for one in sources
        for key in shared
    }
    others = [one for one in sources if one is not first]
    pairs = [(one.arm, first.arm) for one in others]
    found = compare_rows(
        list(rows.values()),
        pairs,
        _run_facts(sources, shared, reader),
        list(problems.values()),
        reader=reader,
        margin=margin,
        level=LEVEL,
    )
    disagreements: list[Disagreement] = []
    for one in others if scored else ():
        for key in shared:
            sides = [_make_tool_record(of, key, rows[of.arm, key], reader) for of in (one, first)]
            if (arm := sides[0]) is not None and (control := sides[1]) is not None:
                why = find_disagreement(arm, control, one.items[key].shown)
                disagreements += [why] if why is not None else []
    notes = _source_notes(sources, shared, scored=scored)
    return replace(found, disagreements=tuple(disagreements), notes=(*notes, *found.notes))


def _make_problem(of: RecordedSample) -> Problem:
    kind: AnswerKind = "text"
    if of.choices:
        kind = "choice"
    elif canonical_number(of.gold) is not None:
        kind = "number"
    question = Question(id=of.key, text=of.shown, choices=of.choices, answer_kind=kind)
    return Problem(question=question, gold=of.gold)


def _make_row(
    arm: str, of: RecordedSample, problem: Problem, reader: str, *, scored: bool
) -> AttemptRow:
    if of.error is not None:
        return AttemptRow(arm=arm, problem_id=of.key, outcome="failed", error=of.error)
    by_tool = reader == AS_SCORED
    if by_tool and not scored:
        raise UsageError("not every problem was scored by its tool", hint="--reader flexible")
    attempt = Attempt(text=of.text, stop_reason=of.stop_reason)
    score = score_attempt(attempt, problem, "flexible" if by_tool else reader)
    readings, correct_by, outcome = dict(score.readings), dict(score.correct_by), score.outcome
    if scored:
        is_right = _is_right(of)
        readings[AS_SCORED] = Reading(value=of.read, rule="tool")
        correct_by[AS_SCORED] = is_right
        outcome = ("correct" if is_right else "wrong") if by_tool else outcome
    return AttemptRow(
        arm=arm,
        problem_id=of.key,
        outcome=outcome,
        text=of.text,
        gold=problem.gold,
        readings=readings,
        correct_by=correct_by,
        truncated=of.stop_reason == "length",
        n_calls=1,
    )


def _is_right(of: RecordedSample) -> bool:
    """A partial score is no solution."""
    return of.score == 1


def _make_tool_record(
    of: RecordedFile, key: str, row: AttemptRow, reader: str
) -> ToolRecord | None:
    item = of.items[key]
    if row.outcome == "failed":
        return None
    ours = "flexible" if reader == AS_SCORED else reader
    return ToolRecord(
        arm=of.arm,
        text=item.text,
        gold=item.gold,
        is_right=_is_right(item),
        read=item.read,
        reading=row.readings[ours].value,
        is_right_here=row.correct_by[ours],
        stop_reason=item.stop_reason,
    )


def _run_facts(sources: Sequence[RecordedFile], shared: Sequence[str], reader: str) -> RunFacts:
    benches = " and ".join(dict.fromkeys(one.bench for one in sources))
    texts: Mapping[str, list[str]] = {
        one.arm: [one.items[key].text for key in shared] for one in sources
    }
    return RunFacts(
        run_id=content_hash("recorded", [SCORER_VERSION, reader, list(shared), texts])[:12],
        model=" and ".join(dict.fromkeys(one.model for one in sources)),
        n_params=None,
        bench=benches,
        bench_version="as recorded",
        n_problems=len(shared),
        n_total=max(len(one.items) for one in sources),
    )


def _source_notes(
    sources: Sequence[RecordedFile], shared: Sequence[str], *, scored: bool
) -> list[str]:
    said = [note for one in sources for note in one.notes]
    said += [
        f"{one.arm}: {left:,} problems are not in every file and are left out"
        for one in sources
        if (left := len(one.items) - len(shared))
    ]
    if len({one.model for one in sources}) > 1:
        said.append("the files are of different models: the gain is of the models, too")
    if not scored:
        said.append("not every problem was scored by its tool: their scores are not compared")
    return said


# What other tools recorded of each problem: question, completion, and what they made of it.
#
# Logs of Inspect (``.eval``, ``.json``) and samples files of lm-evaluation-harness.


_SOURCE = re.compile(r"(?:(?P<arm>[^=/:,]+)=)?(?P<kind>(?:lm[-_]eval|inspect):)?(?P<rest>.+)")
_SUFFIXES = {".eval": "inspect", ".json": "inspect", ".jsonl": "lm-eval"}
_QUESTIONS = ("question", "Question", "problem", "input", "query", "text", "prompt", "body")
"""Fields of an lm-eval document that hold its question, the first one there."""
_WORKED = re.compile(r"(?s).*(?:####|[Tt]he answer is)\s*(?P<answer>[^\n]+?)\.?\s*")
_HINT = "as `lm_eval --log_samples` writes it"
_FLEXIBLE, _METRIC = "flexible-extract", "exact_match"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSample:
    """One problem, as a tool recorded it."""

    key: str
    """Hash of its question; of its id where the question is not recorded."""
    shown: str
    """What to call it in a report."""
    gold: str
    """Canonical if a number."""
    choices: tuple[str, ...] = ()
    """Texts of its choices."""
    text: str
    """The completion."""
    stop_reason: StopReason
    """Why it ended; ``stop`` where the tool does not say."""
    score: float | None
    """The tool's own, 0..1; None: it has none."""
    read: str | None
    """What the tool read; None: it does not say, or read nothing."""
    error: str | None = None
    """Why there is no completion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """One file of another tool."""

    arm: str
    """What the user calls it, else the log's file name or lm-eval's task."""
    model: str
    """As the file names it."""
    bench: str
    """As the file names it."""
    items: Mapping[str, RecordedSample]
    """By key."""
    notes: tuple[str, ...]
    """What was chosen where the file left a choice."""


def read_recorded(written: str) -> RecordedFile:
    """One ``--from``: ``[NAME=][inspect:|lm-eval:]FILE[,scorer=NAME][,filter=NAME]``.

    Raises:
        UsageError: it is not of the form, or the file's kind cannot be told.
        BadInputError: names file, line and field.
    """
    found = _SOURCE.fullmatch(written.strip())
    if found is None:
        raise UsageError(f"--from {written!r} cannot be read", hint="[NAME=]FILE.eval")
    path = Path(found["rest"].partition(",")[0])
    kind = found["kind"] or f"{_SUFFIXES.get(path.suffix, '')}:"
    if kind == ":":
        hint = "FILE.eval or FILE.json of Inspect, samples_TASK_DATE.jsonl of lm-eval"
        raise UsageError(f"--from {written!r}: what wrote it?", hint=hint)
    source = parse_source(f"{found['arm'] or path.stem}={kind}{found['rest']}")
    if not path.is_file():
        raise BadInputError(path, "no such file", hint="one file: a log, or a samples file")
    if source.kind == "inspect":
        return _read_inspect(source)
    return _read_lm_eval(source, named=found["arm"])


def _read_inspect(source: ResultsSource) -> RecordedFile:
    head, samples, place = open_log(source.path, full=True)
    about = cast("Mapping[str, str]", find_object(head, "eval", "metadata", "cotkit"))
    is_ours = "run" in about  # written by cotkit export: inputs are prompts, ids are problems
    texts = _load_questions(about["bench"]) if is_ours else {}
    scorer = source.options.get("scorer")
    found: dict[str, RecordedSample] = {}
    n_again = 0
    for at, sample in enumerate(samples):
        if not isinstance(sample, dict):
            raise place.bad("must be an object", field=f"samples.{at}", hint="a log of Inspect")
        of = cast("dict[str, object]", sample)
        scores = find_object(of, "scores")
        scorer = scorer or next(iter(scores), None)
        question = texts.get(str(of.get("id"))) if is_ours else _input_text(of.get("input"))
        item = _inspect_item(of, scorer, f"samples.{at}", place, is_ours=is_ours)
        item = _add_key(item, question, str(of.get("id")))
        n_again += item.key in found
        found.setdefault(item.key, item)
    notes = [f"{source.arm}: scored by {scorer}"] if scorer else []
    if n_again:
        notes.append(f"{source.arm}: {n_again} more epochs of a problem; the first of each counts")
    assert source.arm is not None
    return RecordedFile(
        arm=source.arm,
        model=need_text(head, place, "eval", "model"),
        bench=source.options.get("bench")
        or about.get("bench")
        or need_text(head, place, "eval", "task"),
        items=found,
        notes=tuple(notes),
    )


def _inspect_item(
    of: Mapping[str, object], scorer: str | None, field: str, place: FileLocation, *, is_ours: bool
) -> RecordedSample:
    scores = find_object(of, "scores")
    score = math.nan if of.get("error") else read_score(scores, scorer, field, place)
    given = find_object(scores, (scorer or "").partition("/")[0])
    choices = need_list({"choices": find_field(of, "output", "choices") or []}, place, "choices")
    text = _input_text(find_field(choices[0], "message", "content")) if choices else None
    if is_ours and isinstance(given.get("explanation"), str):
        text = cast("str", given["explanation"])  # what the readers read, the cue included
    options = tuple(str(one) for one in cast("list[object]", of.get("choices") or []))
    target = of.get("target")
    first = cast("list[object]", target)[0] if isinstance(target, list) and target else target
    answer = given.get("answer")
    error = find_field(of, "error", "message")
    return RecordedSample(
        key="",
        shown="",
        gold=_read_gold(str(first), options),
        choices=options,
        text=text or "",
        stop_reason=STOP_REASONS.get(str(find_field(choices[0], "stop_reason")), "stop")
        if choices
        else "stop",
        score=None if math.isnan(score) else score,
        read=answer if isinstance(answer, str) else None,
        error=str(error) if error else (None if choices else "no completion is recorded"),
    )


def _read_lm_eval(source: ResultsSource, *, named: str | None) -> RecordedFile:
    path = source.path
    stem = re.fullmatch(r"samples_(?P<task>.+?)(?P<date>_\d{4}-\d\d-\d\dT.*)?", path.stem)
    task = source.options.get("task") or (stem["task"] if stem else path.stem)
    results = path.with_name(f"results{stem['date']}.json") if stem and stem["date"] else None
    page = read_file(results, _HINT) if results is not None and results.is_file() else {}
    lines = list(read_lines(path, _HINT))
    if not lines:
        raise BadInputError(path, "empty", hint=_HINT)
    filters = list(dict.fromkeys(str(line.get("filter", "none")) for _, line in lines))
    chosen = source.options.get("filter") or (_FLEXIBLE if _FLEXIBLE in filters else filters[0])
    if chosen not in filters:
        raise BadInputError(path, f"no filter {chosen}", hint=f"there: {', '.join(filters)}")
    about = cast("Mapping[str, str]", find_object(page, "configs", task, "metadata", "cotkit"))
    texts = _load_questions(about["bench"]) if about.get("run") else {}
    found: dict[str, RecordedSample] = {}
    for place, line in lines:
        if str(line.get("filter", "none")) == chosen:
            item = _lm_eval_item(line, source.options.get("metric") or _METRIC, place, texts)
            if item.key in found:
                raise place.bad("a problem a second time", field="doc", hint=item.shown)
            found[item.key] = item
    others = ", ".join(one for one in filters if one != chosen)
    arm = named or task
    model = find_field(page, "model_name")
    return RecordedFile(
        arm=arm,
        model=model if isinstance(model, str) else "unknown model",
        bench=source.options.get("bench") or about.get("bench") or task,
        items=found,
        notes=(f"{arm}: scored by filter {chosen}" + (f", not {others}" if others else ""),),
    )


def _lm_eval_item(
    line: Mapping[str, object], metric: str, place: FileLocation, texts: Mapping[str, str]
) -> RecordedSample:
    doc = find_object(line, "doc")
    said = line.get("resps")
    while isinstance(said, list) and said:
        said = cast("list[object]", said)[-1 if isinstance(said[0], list) else 0]
    if not isinstance(said, str):
        hint = "of a task that generates (output_type generate_until)"
        raise place.bad("holds no completion", field="resps", hint=hint)
    score = as_number(line.get(metric))
    if score is None or not 0 <= score <= 1:
        what = "missing" if metric not in line else "must be 0 to 1"
        raise place.bad(what, field=metric, hint="another: ,metric=NAME")
    read = line.get("filtered_resps")
    read = cast("list[object]", read)[0] if isinstance(read, list) and read else read
    question = texts.get(str(doc.get("id"))) or next(
        (str(doc[name]) for name in _QUESTIONS if isinstance(doc.get(name), str)), None
    )
    item = RecordedSample(
        key="",
        shown="",
        gold=_read_gold(str(line.get("target")), ()),
        text=said,
        stop_reason="stop",
        score=score,
        read=read if isinstance(read, str) and read != "[invalid]" else None,
    )
    return _add_key(
        item, question, str(doc.get("id") or line.get("doc_hash") or line.get("doc_id"))
    )


def _add_key(item: RecordedSample, question: str | None, name: str) -> RecordedSample:
    if question is None:
        return replace(item, key=content_hash("problem-id", name), shown=name)
    plain = " ".join(question.split())
    shown = plain if len(plain) <= 60 else f"{plain[:59]}…"
    return replace(item, key=content_hash("problem", plain), shown=shown)


def _load_questions(bench: str) -> Mapping[str, str]:
    """Problem id -> question, of a benchmark that one of our exports names; empty: not here."""
    try:
        problems = load_benchmark(parse_spec(bench)).problems()
    except CotkitError:
        return {}
    return {one.question.id: one.question.text for one in problems}


def _read_gold(target: str, choices: Sequence[str]) -> str:
    if len(target) == 1 and choices and 0 <= ord(target) - ord("A") < len(choices):
        return choices[ord(target) - ord("A")]
    worked = _WORKED.fullmatch(target)
    answer = worked["answer"] if worked else target.strip()
    return canonical_number(answer) or answer


def _input_text(content: object) -> str | None:
    """Text of an input, a message's content, or the last message of the user."""
    if isinstance(content, str) or not isinstance(content, list):
        return content if isinstance(content, str) else None
    parts = cast("list[object]", content)
    if any(isinstance(find_field(one, "role"), str) for one in parts):
        asked = [one for one in parts if find_field(one, "role") == "user"]
        return _input_text(find_field(asked[-1], "content")) if asked else None
    return "".join(_part_texts(parts)) or None


def _part_texts(parts: Sequence[object]) -> Iterator[str]:
    for part in parts:
        text = find_field(part, "text")
        if find_field(part, "type") == "text" and isinstance(text, str):
            yield text
