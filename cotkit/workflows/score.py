"""What completions made elsewhere come to: the comparison that a run of them would have been."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, TypeVar

from cotkit.analysis.comparison import RunFacts, check_question
from cotkit.analysis.comparison import compare as compare_rows
from cotkit.analysis.samples import Ballot, count_winning_windows, rate_interval, summarise_repeats
from cotkit.analysis.steps import count_chain_steps
from cotkit.analysis.values import Cell, Comparison, Repeats
from cotkit.errors import BadInputError, UnknownNameError
from cotkit.identity import content_hash
from cotkit.protocols import Benchmark
from cotkit.scoring import SCORER_VERSION, score_attempt
from cotkit.scoring.measure import measure_attempt, read_steps
from cotkit.scoring.metrics import pass_at_k
from cotkit.store import AttemptRow
from cotkit.types import Attempt, Outcome, Problem, Reading
from cotkit.workflows.compare import LEVEL
from cotkit.workflows.completions_file import CompletionLine


def score_completions(
    completions: Iterable[CompletionLine],
    bench: Benchmark,
    ask: ScoreQuestion,
    *,
    source: str,
    on_row: Callable[[AttemptRow], None] = lambda _: None,
) -> Comparison:
    """Read every completion, compare it with the gold answer, and say what all of them come to.

    Args:
        completions: In any order; taken one at a time.
        bench: Has their problems.
        ask: What is asked of them.
        source: What to call them: the file's name.
        on_row: Given every scored completion, text included.

    Returns:
        As of a run: solve rates, outcomes and, with a baseline, paired gains. Where an arm has
        several samples of a problem, its solve rate is the mean over problems.

    Raises:
        BadInputError: no completions, a problem that the benchmark does not have, a sample given
            twice, several samples of a problem where arms are to be paired.
        UnknownNameError: no such reader or baseline.
    """
    tally = ScoreAccumulator(bench, ask)
    for made in completions:
        on_row(tally.add(made))
    if not tally.n:
        raise BadInputError(source, "no completions in it", hint='{"id": "...", "text": "..."}')
    rows = [row for name in tally.arms for row in _rows_of_arm(name, tally, ask)]
    pairs = _arm_pairs(tally, ask.baseline)
    found = compare_rows(
        rows,
        pairs,
        _run_facts(tally, bench, ask, source),
        list(tally.problems.values()),
        reader=ask.reader,
        margin=ask.margin,
        level=LEVEL,
    )
    repeated = {name: arm for name, arm in tally.arms.items() if arm.sizes[1] > 1}
    single = [row for row in rows if row.arm not in repeated]
    n_missing = {name: _n_missing(arm, tally, ask) for name, arm in repeated.items()}
    return replace(
        found,
        cells=tuple(
            _arm_cell(one.arm, repeated[one.arm], n_missing[one.arm])
            if one.arm in repeated
            else one
            for one in found.cells
        ),
        repeats=tuple(
            one
            for name, arm in repeated.items()
            for one in _arm_repeats(name, arm, n_missing[name])
        ),
        notes=(*_score_notes(tally, ask), *found.notes),
        chains=found.chains if not repeated else count_chain_steps(single),
        bias=() if repeated else found.bias,
        bias_changes=() if repeated else found.bias_changes,
    )


def _arm_pairs(tally: ScoreAccumulator, baseline: str | None) -> list[tuple[str, str]]:
    if baseline is None:
        return []
    if baseline not in tally.arms:
        raise UnknownNameError("arm", baseline, tally.arms)
    return [(arm, baseline) for arm in tally.arms if arm != baseline]


def _run_facts(
    tally: ScoreAccumulator, bench: Benchmark, ask: ScoreQuestion, source: str
) -> RunFacts:
    of = [bench.name, bench.version, SCORER_VERSION, ask.reader, ask.missing, tally.digest]
    tried = {problem for arm in tally.arms.values() for problem in arm.tried}
    return RunFacts(
        run_id=content_hash("scored", of)[:12],
        model=source,
        n_params=None,
        bench=bench.name,
        bench_version=bench.version,
        n_problems=len(tally.problems if ask.missing == "wrong" else tried),
        n_total=len(tally.problems),
    )


def _rows_of_arm(name: str, tally: ScoreAccumulator, ask: ScoreQuestion) -> list[AttemptRow]:
    """One of each problem, in the benchmark's order; with ``--missing wrong`` of every one."""
    tried = tally.arms[name].tried
    return [
        tried[of].row if of in tried else missing_row(name, problem, ask.reader)
        for of, problem in tally.problems.items()
        if of in tried or ask.missing == "wrong"
    ]


def _n_missing(arm: ArmAttempts, tally: ScoreAccumulator, ask: ScoreQuestion) -> int:
    """Problems that count as tried once and not solved."""
    return len(tally.problems) - len(arm.tried) if ask.missing == "wrong" else 0


def _arm_cell(name: str, arm: ArmAttempts, n_missing: int) -> Cell:
    outcomes = arm.outcomes.copy()
    outcomes["wrong"] += n_missing
    return summarise_repeats(
        name, [*arm.values(_share_correct), *[0.0] * n_missing], outcomes, LEVEL
    )


def _arm_repeats(name: str, arm: ArmAttempts, n_missing: int) -> list[Repeats]:
    """For k = 1, 2, 4, ... and the fewest samples that any problem has."""
    fewest, _ = arm.sizes
    n_samples = arm.outcomes.total() + n_missing
    missing = [0.0] * n_missing
    won = arm.values(lambda ballots: count_winning_windows(ballots[:fewest]))
    found: list[Repeats] = []
    for k in [*(2**i for i in range(fewest.bit_length()) if 2**i < fewest), fewest]:
        passed = [*arm.values(lambda ballots, k=k: _pass_rate(ballots, k)), *missing]
        voted = [*(windows[k - 1] / fewest for windows in won), *missing]
        most = n_samples / k  # so many times k samples were drawn
        found.append(
            Repeats(
                arm=name,
                k=k,
                n=len(passed),
                pass_at_k=sum(passed) / len(passed),
                pass_interval=rate_interval(passed, most, LEVEL),
                maj_at_k=sum(voted) / len(voted),
                maj_interval=rate_interval(voted, most, LEVEL),
            )
        )
    return found


def _share_correct(ballots: list[Ballot]) -> float:
    return sum(is_correct for _, is_correct in ballots) / len(ballots)


def _pass_rate(ballots: list[Ballot], k: int) -> float:
    return pass_at_k(len(ballots), sum(is_correct for _, is_correct in ballots), k)


def _score_notes(tally: ScoreAccumulator, ask: ScoreQuestion) -> list[str]:
    said: list[str] = []
    becomes = "count as wrong" if ask.missing == "wrong" else "are left out of its solve rate"
    for name, arm in tally.arms.items():
        n, n_missing = len(tally.problems), len(tally.problems) - len(arm.tried)
        if n_missing:
            said.append(
                f"{name}: {n_missing:,} of {n:,} problems have no completion; they {becomes}"
            )
        fewest, most = arm.sizes
        if fewest < most:
            said.append(
                f"{name}: problems have {fewest} to {most} samples; each problem weighs the same, "
                f"and k goes no further than {fewest}"
            )
    if not tally.n_ended:
        said.append(
            "no stop_reason is given: refusals and answers cut at a token limit are read as others"
        )
    return said


# Completions counted in as they come: what the analysis needs is kept, and no text.


Missing: TypeAlias = Literal["wrong", "leave-out"]
"""What becomes of a problem without a completion: counted as not solved, or not counted."""

_T = TypeVar("_T")
_LONGEST = 64  # characters of a reading that are kept as they are; of longer ones a digest
_NO_READINGS: Mapping[str, Reading] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreQuestion:
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
class ProblemAttempts:
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
class ArmAttempts:
    """All attempts of one arm; grows."""

    tried: dict[str, ProblemAttempts] = field(default_factory=dict[str, ProblemAttempts])
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


class ScoreAccumulator:
    """Everything that was counted in."""

    def __init__(self, bench: Benchmark, ask: ScoreQuestion) -> None:
        self.problems = {problem.question.id: problem for problem in bench.problems()}
        self.arms: dict[str, ArmAttempts] = {}
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

    def add(self, made: CompletionLine) -> AttemptRow:
        """Score a completion and count it in.

        Raises:
            BadInputError: a problem that the benchmark does not have, a sample given twice, or
                a second one where arms are to be paired.
            UnknownNameError: no such reader.
        """
        attempt = Attempt(text=made.text, stop_reason=made.stop_reason or "stop")
        row = _score_row(made.arm, self._find(made), attempt, self._ask.reader, made.sample)
        arm = self.arms.setdefault(made.arm, ArmAttempts())
        tried = arm.tried.get(row.problem_id)
        if tried is None:
            tried = arm.tried[row.problem_id] = ProblemAttempts(
                first=replace(
                    row, text="", readings=_readings_to_keep(row, self._bench, self._ask.reader)
                )
            )
        else:
            self._check_again(made, tried, row)
        ballot = _make_ballot(row, self._ask.reader)
        tried.ballots[row.sample] = self._same.setdefault(ballot, ballot)
        for name, value in row.metrics.items():
            tried.sums[name] = tried.sums.get(name, 0.0) + value
        arm.outcomes[row.outcome] += 1
        self.n += 1
        self.n_ended += made.stop_reason is not None
        of = (made.arm, row.problem_id, made.sample, made.stop_reason, made.text)
        self._digest.update(repr(of).encode())
        return row

    def _find(self, made: CompletionLine) -> Problem:
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

    def _check_again(self, made: CompletionLine, tried: ProblemAttempts, row: AttemptRow) -> None:
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


def missing_row(arm: str, problem: Problem, reader: str) -> AttemptRow:
    """What counts for a problem without a completion: an empty answer, and a wrong one."""
    row = _score_row(arm, problem, Attempt(text="", stop_reason="stop"), reader)
    return replace(row, outcome="wrong", error="no completion")


def _score_row(
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
        metrics=measure_attempt(
            attempt, problem, score.readings[reader], chain=_find_chain(attempt.text)
        ),
    )


def _find_chain(text: str) -> str | None:
    """The text where it states an equation: nobody says whether it was to reason."""
    return text if next(read_steps(text), None) else None


def _readings_to_keep(row: AttemptRow, bench: Benchmark, reader: str) -> Mapping[str, Reading]:
    """The chosen letter, which tables of bias count; what else is read may be as long as a text."""
    return {reader: row.readings[reader]} if bench.answer_kind == "choice" else _NO_READINGS


def _make_ballot(row: AttemptRow, reader: str) -> Ballot:
    value = row.readings[reader].value
    if value is not None and len(value) > _LONGEST:
        value = hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()
    return value, row.correct_by[reader]
