"""Completions made elsewhere: read, judged, and compared as the rows of a run are."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypeVar

from cotkit.analysis.comparison import RunFacts, check_criteria
from cotkit.analysis.comparison import compare as compare_rows
from cotkit.analysis.values import Aside, Comparison, Criteria
from cotkit.errors import BadInputError, UnknownNameError
from cotkit.identity import content_hash
from cotkit.protocols import Benchmark
from cotkit.run.spec import DEFAULTS
from cotkit.scoring.chance import CHANCE, find_chance
from cotkit.scoring.readers import resolve_reader
from cotkit.scoring.scope import runs_on
from cotkit.scoring.score import scorer_version
from cotkit.store import AttemptRow
from cotkit.types import Attempt, Problem, Reading
from cotkit.workflows.completions_file import CompletionLine
from cotkit.workflows.records import (
    ArmFacts,
    AttemptRecord,
    describe_arms,
    note_what_is_unknown,
    score_record,
)

Missing: TypeAlias = Literal["wrong", "leave-out"]
"""What becomes of a problem without a completion: counted as not solved, or not counted."""

_Value = TypeVar("_Value", bound=Hashable)
_LONGEST = 64  # characters of a reading that are kept as they are; of longer ones a digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreQuestion(Criteria):
    """What is asked of the completions; without a baseline only solve rates.

    Raises:
        UsageError: the margin is out of range.
        MissingDependencyError: the reader math-verify is not installed.
    """

    reader: str = DEFAULTS.reader
    margin: float = DEFAULTS.margin
    missing: Missing = "leave-out"
    """What becomes of problems without a completion."""

    def __post_init__(self) -> None:
        """Refuse now what would be refused after the last line."""
        object.__setattr__(self, "reader", resolve_reader(self.reader))
        check_criteria((), self)


def score_completions(
    completions: Iterable[CompletionLine],
    bench: Benchmark,
    ask: ScoreQuestion,
    *,
    source: str,
    on_row: Callable[[AttemptRow], None] = lambda _: None,
) -> Comparison:
    """Read every completion, compare it with the gold answer, and make the report of all of them.

    Args:
        completions: In any order; taken one at a time.
        bench: Has their problems.
        ask: What is asked of them.
        source: What to call them: the file's name.
        on_row: Called with every scored completion, text included.

    Returns:
        The comparison that :func:`cotkit.analysis.comparison.compare` makes of the rows of a run.

    Raises:
        BadInputError: no completions, a problem that the benchmark does not have, or a sample that
            stands there twice.
        UnknownNameError: no such reader or baseline.
    """
    scored = ScoredCompletions(bench, ask)
    for line in completions:
        on_row(scored.add(line))
    if not scored.arms:
        raise BadInputError(source, "no completions in it", hint='{"id": "...", "text": "..."}')
    over_chance = ask.baseline == CHANCE and CHANCE not in scored.arms
    if ask.baseline is not None and ask.baseline not in scored.arms and not over_chance:
        raise UnknownNameError("arm", ask.baseline, [*scored.arms, CHANCE])
    arms = [arm for arm in scored.arms if arm != ask.baseline]
    comparison = compare_rows(
        scored.rows(),
        [] if ask.baseline is None else [(arm, ask.baseline) for arm in arms],
        replace(
            _make_facts(scored, bench, ask, source),
            chance=find_chance(list(scored.problems.values())) if over_chance else None,
        ),
        list(scored.problems.values()),
        ask,
    )
    return replace(comparison, notes=(*_score_notes(scored, ask), *comparison.notes))


def _make_facts(
    scored: ScoredCompletions, bench: Benchmark, ask: ScoreQuestion, source: str
) -> RunFacts:
    version = scorer_version(bench.answer_kind)
    content = [bench.name, bench.version, version, ask.reader, ask.missing, scored.digest]
    attempted = {problem for rows in scored.arms.values() for problem in rows}
    return RunFacts(
        run_id=content_hash("scored", content)[:12],
        model=source,
        n_params=None,
        bench=bench.name,
        bench_version=bench.version,
        n_problems=len(scored.problems if ask.missing == "wrong" else attempted),
        n_total=len(scored.problems),
        run_ons=scored.run_ons,
        **describe_arms(scored.facts),
    )


def _score_notes(scored: ScoredCompletions, ask: ScoreQuestion) -> list[str]:
    notes: list[str] = []
    becomes = "count as wrong" if ask.missing == "wrong" else "are left out of its solve rate"
    n = len(scored.problems)
    missing = {arm: n - len(attempted) for arm, attempted in scored.arms.items()}
    of_same = len({frozenset(attempted) for attempted in scored.arms.values()}) == 1
    if len(missing) > 1 and of_same and ask.missing == "leave-out" and any(missing.values()):
        becomes = f"{max(missing.values()):,} of {n:,} problems have no completion in any arm"
        notes.append(Aside(f"{becomes}; they are left out"))  # the caption says how many there are
        missing = {}
    notes += [
        f"{arm}: {n_missing:,} of {n:,} problems have no completion; they {becomes}"
        for arm, n_missing in missing.items()
        if n_missing
    ]
    if not scored.says_end:
        notes.append(
            "no stop_reason is given: refusals and answers cut at a token limit are read as others"
        )
    return [*notes, *note_what_is_unknown(scored.facts)]


class ScoredCompletions:
    """The rows of all completions so far; of a text only what the tables need is kept."""

    def __init__(self, bench: Benchmark, ask: ScoreQuestion) -> None:
        self.problems = {problem.question.id: problem for problem in bench.problems()}
        self.arms: dict[str, dict[str, dict[int, AttemptRow]]] = {}
        """Arm -> problem id -> sample -> row."""
        self.facts: dict[str, ArmFacts | None] = {}
        """Arm -> what the file says of it."""
        self.run_ons: Counter[str] = Counter()
        """Arm -> attempts that ran on into another turn or problem, of those without their text."""
        self.says_end = False
        """Whether any completion came with a stop reason."""
        self._bench, self._ask = bench, ask
        self._places = list(self.problems.values())
        self._shared: dict[object, object] = {}
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        """Hash of all completions, in their order."""
        return self._digest.hexdigest()

    def add(self, line: CompletionLine) -> AttemptRow:
        """Score a completion, keep what the tables need of it, and return its whole row.

        Raises:
            BadInputError: a problem that the benchmark does not have, or a sample given before.
            UnknownNameError: no such reader.
        """
        problem, record = self._find_problem(line), line.record
        row = score_record(
            record, problem, arm=line.arm, sample=line.sample, reader=self._ask.reader
        )
        samples = self.arms.setdefault(line.arm, {}).setdefault(row.problem_id, {})
        if row.sample in samples:
            raise line.place.make_error(
                f"sample {row.sample} of {row.problem_id} by {row.arm} was given before",
                field="sample",
                hint="number several completions of a problem: 0, 1, 2, ...",
            )
        keeps_text = record.facts is not None
        if not keeps_text:
            texts = (row.text, *(draft.text for draft in row.drafts))
            self.run_ons[line.arm] += any(map(runs_on, texts))
        samples[row.sample] = self._without_texts(row, keeps_text=keeps_text)
        if self.facts.setdefault(line.arm, record.facts) != record.facts:
            self.facts[line.arm] = None  # two files in one: nothing holds of all its attempts
        self.says_end |= line.says_end
        content = (row.arm, row.problem_id, row.sample, record.attempt, record.failure)
        self._digest.update(repr(content).encode())
        return row

    def rows(self) -> list[AttemptRow]:
        """Return the rows arm by arm, in the benchmark's order.

        With ``missing="wrong"`` a problem without a completion has as many wrong ones as the
        problem of its arm that has the fewest.
        """
        rows: list[AttemptRow] = []
        for arm, attempted in self.arms.items():
            n_missing = min(map(len, attempted.values())) if self._ask.missing == "wrong" else 0
            for name, problem in self.problems.items():
                if name in attempted:
                    rows += attempted[name].values()
                elif n_missing:
                    row = missing_row(arm, problem, self._ask.reader)
                    rows += [replace(row, sample=sample) for sample in range(n_missing)]
        return rows

    def _find_problem(self, line: CompletionLine) -> Problem:
        name = line.problem
        if isinstance(name, int):
            if 0 <= name < len(self._places):
                return self._places[name]
            hint = f"a number is a place in the benchmark, 0 to {len(self._places) - 1}"
        else:
            if name in self.problems:
                return self.problems[name]
            close = difflib.get_close_matches(name[:_LONGEST], self.problems, n=3)
            hint = f"ids are like {next(iter(self.problems))}"
            if close:
                hint = f"did you mean {' or '.join(close)}?"
        raise line.place.make_error(
            f"{str(name)[:_LONGEST]}: {self._bench.name} has no such problem",
            field=line.id_field,
            hint=hint,
        )

    def _without_texts(self, row: AttemptRow, *, keeps_text: bool) -> AttemptRow:
        """Return a row for the tables; the audit alone reads texts, of arms that it knows.

        Values that are equal are kept once.
        """
        names = [n for n in row.readings if n == self._ask.reader or n.startswith("task:")]
        readings = {name: self._share(_shorten(row.readings[name])) for name in names}
        drafts = tuple(
            replace(
                draft,
                text="",
                readings={self._ask.reader: _shorten(draft.readings[self._ask.reader])},
            )
            for draft in row.drafts
        )
        return replace(
            row,
            text=row.text if keeps_text else "",
            readings=self._share_dict(readings) if not keeps_text else row.readings,
            correct_by=self._share_dict(row.correct_by),
            metrics=self._share_dict(row.metrics),
            drafts=drafts,
        )

    def _share(self, value: _Value) -> _Value:
        return self._shared.setdefault(value, value)  # pyright: ignore[reportReturnType] - equal

    def _share_dict(self, values: Mapping[str, _Value]) -> Mapping[str, _Value]:
        key = tuple(values.items())
        return self._shared.setdefault(key, values)  # pyright: ignore[reportReturnType] - equal


def missing_row(arm: str, problem: Problem, reader: str) -> AttemptRow:
    """Return what counts for a problem without a completion: an empty answer, and a wrong one."""
    record = AttemptRecord(attempt=Attempt(text="", stop_reason="stop"))
    row = score_record(record, problem, arm=arm, sample=0, reader=reader)
    return replace(row, outcome="wrong", error="no completion", text="")


def _shorten(reading: Reading) -> Reading:
    value = reading.value
    if value is None or len(value) <= _LONGEST:
        return reading
    return replace(reading, value=hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest())
