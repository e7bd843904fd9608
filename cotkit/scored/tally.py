"""Completions counted in as they come: what the analysis needs is kept, and no text."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, TypeVar

from cotkit.analysis.comparison import check_question
from cotkit.analysis.votes import Ballot
from cotkit.protocols import Benchmark
from cotkit.running import LEVEL
from cotkit.scored.made import Made
from cotkit.scoring import score_attempt
from cotkit.scoring.arithmetic import read_steps
from cotkit.scoring.measure import measure
from cotkit.store import AttemptRow
from cotkit.types import Attempt, Outcome, Problem, Reading

Missing: TypeAlias = Literal["wrong", "leave-out"]
"""What becomes of a problem without a completion: counted as not solved, or not counted."""

_T = TypeVar("_T")
_LONGEST = 64  # characters of a reading that are kept as they are; of longer ones a digest
_NO_READINGS: Mapping[str, Reading] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked of the completions.

    Raises:
        UsageError: the margin is out of range.
    """

    reader: str = "flexible"
    """Who decides what is correct."""
    baseline: str | None = None
    """The arm that the others are measured against, pair by pair; None: solve rates only."""
    margin: float = 0.02
    """Smallest gain that counts as material, a fraction."""
    missing: Missing = "leave-out"
    """What becomes of problems without a completion."""

    def __post_init__(self) -> None:
        """Refuse now what would be refused after the last line."""
        check_question((), self.margin, LEVEL)


@dataclass(slots=True, kw_only=True)
class Tried:
    """The attempts of one arm at one problem; grows."""

    first: AttemptRow
    """The one that came first, without its text."""
    ballots: dict[int, Ballot] = field(default_factory=dict[int, Ballot])
    """Sample -> what was read and whether it is correct."""
    sums: dict[str, float] = field(default_factory=dict[str, float])
    """Metric -> its sum over the samples."""

    @property
    def row(self) -> AttemptRow:
        """As the one attempt of a comparison; its metrics are means over the samples."""
        if len(self.ballots) == 1:
            return replace(self.first, sample=0)
        means = {name: value / len(self.ballots) for name, value in self.sums.items()}
        return replace(self.first, sample=0, metrics=means)


@dataclass(slots=True, kw_only=True)
class Arm:
    """All attempts of one arm; grows."""

    tried: dict[str, Tried] = field(default_factory=dict[str, Tried])
    """Problem id -> its attempts."""
    outcomes: Counter[Outcome] = field(default_factory=Counter[Outcome])
    """Of all its attempts."""

    @property
    def sizes(self) -> tuple[int, int]:
        """Fewest and most samples of a problem that has any."""
        sizes = [len(tried.ballots) for tried in self.tried.values()]
        return min(sizes), max(sizes)

    def values(self, of_problem: Callable[[list[Ballot]], _T]) -> list[_T]:
        """A value for each problem, made from its samples in their order."""
        return [
            of_problem([ballot for _, ballot in sorted(tried.ballots.items())])
            for tried in self.tried.values()
        ]


class Tally:
    """Everything that was counted in."""

    def __init__(self, bench: Benchmark, ask: Ask) -> None:
        self.problems = {problem.question.id: problem for problem in bench.problems()}
        self.arms: dict[str, Arm] = {}
        self.n = 0
        self.n_ended = 0
        """Completions that came with a stop reason."""
        self._bench, self._ask = bench, ask
        self._places = list(self.problems.values())
        self._same: dict[Ballot, Ballot] = {}
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        """Hash of all that was counted in, in its order."""
        return self._digest.hexdigest()

    def add(self, made: Made) -> AttemptRow:
        """Score a completion and count it in.

        Raises:
            BadInputError: a problem that the benchmark does not have, a sample given twice, or
                a second one where arms are to be paired.
            UnknownNameError: no such reader.
        """
        attempt = Attempt(text=made.text, stop_reason=made.stop_reason or "stop")
        row = _scored(made.arm, self._find(made), attempt, self._ask.reader, made.sample)
        arm = self.arms.setdefault(made.arm, Arm())
        tried = arm.tried.get(row.problem_id)
        if tried is None:
            tried = arm.tried[row.problem_id] = Tried(
                first=replace(row, text="", readings=_kept(row, self._bench, self._ask.reader))
            )
        else:
            self._check_again(made, tried, row)
        ballot = _ballot(row, self._ask.reader)
        tried.ballots[row.sample] = self._same.setdefault(ballot, ballot)
        for name, value in row.metrics.items():
            tried.sums[name] = tried.sums.get(name, 0.0) + value
        arm.outcomes[row.outcome] += 1
        self.n += 1
        self.n_ended += made.stop_reason is not None
        of = (made.arm, row.problem_id, made.sample, made.stop_reason, made.text)
        self._digest.update(repr(of).encode())
        return row

    def _find(self, made: Made) -> Problem:
        wanted = made.problem
        if isinstance(wanted, int):
            if 0 <= wanted < len(self._places):
                return self._places[wanted]
            hint = f"a number is a place in the benchmark, 0 to {len(self._places) - 1}"
        else:
            if wanted in self.problems:
                return self.problems[wanted]
            close = difflib.get_close_matches(wanted[:_LONGEST], self.problems, n=3)
            hint = f"ids are like {next(iter(self.problems))}"
            if close:
                hint = f"did you mean {' or '.join(close)}?"
        shown = str(wanted)[:_LONGEST]
        raise made.place.bad(
            f"{shown}: {self._bench.name} has no such problem", field=made.place.id_field, hint=hint
        )

    def _check_again(self, made: Made, tried: Tried, row: AttemptRow) -> None:
        if row.sample in tried.ballots:
            raise made.place.bad(
                f"sample {row.sample} of {row.problem_id} by {row.arm} was given before",
                field="sample",
                hint="number several completions of a problem: 0, 1, 2, ...",
            )
        if self._ask.baseline is not None:
            raise made.place.bad(
                f"a second sample of {row.problem_id} by {row.arm}",
                field="sample",
                hint="paired arms take one sample of each problem: leave out --baseline",
            )


def missed(arm: str, problem: Problem, reader: str) -> AttemptRow:
    """What counts for a problem without a completion: an empty answer, and a wrong one."""
    row = _scored(arm, problem, Attempt(text="", stop_reason="stop"), reader)
    return replace(row, outcome="wrong", error="no completion")


def _scored(
    arm: str, problem: Problem, attempt: Attempt, reader: str, sample: int = 0
) -> AttemptRow:
    score = score_attempt(attempt, problem, reader)
    return AttemptRow(
        arm=arm,
        problem_id=problem.question.id,
        sample=sample,
        outcome=score.outcome,
        text=attempt.text,
        gold=problem.gold,
        readings=score.readings,
        correct_by=score.correct_by,
        truncated=attempt.stop_reason == "length",
        n_calls=1,
        n_steps=problem.n_steps,
        cluster=problem.cluster,
        metrics=measure(attempt, problem, score.readings[reader], chain=_chain(attempt.text)),
    )


def _chain(text: str) -> str | None:
    """The text where it states an equation: nobody says whether it was to reason."""
    return text if next(read_steps(text), None) else None


def _kept(row: AttemptRow, bench: Benchmark, reader: str) -> Mapping[str, Reading]:
    """The chosen letter, which tables of bias count; what else is read may be as long as a text."""
    return {reader: row.readings[reader]} if bench.answer_kind == "choice" else _NO_READINGS


def _ballot(row: AttemptRow, reader: str) -> Ballot:
    value = row.readings[reader].value
    if value is not None and len(value) > _LONGEST:
        value = hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()
    return value, row.correct_by[reader]
