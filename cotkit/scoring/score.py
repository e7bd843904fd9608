"""Score an attempt: every reader of the panel reads it, the chosen one decides the outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from cotkit.errors import MissingDependencyError, UnknownNameError, UsageError
from cotkit.scoring.expressions import UndecidedError, math_verify_name
from cotkit.scoring.readers import READERS, Reader, panel_of, resolve_reader
from cotkit.scoring.scope import answer_scope
from cotkit.types import (
    AnswerKind,
    Attempt,
    Outcome,
    Problem,
    Question,
    Reading,
    Score,
    StopReason,
    TaskReader,
)

SCORER_VERSION = "3"
"""Changes whenever any text could be read or judged differently; stored with every score, so that
a new version reads the stored completions again."""


def scorer_version(kind: AnswerKind) -> str:
    """Return the version that is stored with scores of a kind of answer: also math-verify's.

    Raises:
        MissingDependencyError: the kind is ``expression``, and math-verify is not installed.
    """
    return f"{SCORER_VERSION}+{math_verify_name()}" if kind == "expression" else SCORER_VERSION


def current_versions() -> tuple[str, ...]:
    """Return the versions of scores that need not be read again."""
    try:
        return SCORER_VERSION, scorer_version("expression")
    except MissingDependencyError:
        return (SCORER_VERSION,)


def score_attempt(attempt: Attempt, problem: Problem, reader: str = "flexible") -> Score:
    """Read an attempt with the whole panel and judge it by one reader.

    Never ``failed``: an attempt exists only if the backend gave something. The panel leaves out
    readers that do not read the question's answer kind, and has the problem's own. Of a vote each
    reader takes the plurality of what it read in the drafts; the problem's own are given them all.

    Raises:
        UnknownNameError: no reader of that name reads this kind of answer.
        UsageError: a vote without drafts.
        ValueError: the gold answer of a number question is not a number.
        MissingDependencyError: an expression, or the reader math-verify, without the extra math.
    """
    question, reader = problem.question, resolve_reader(reader)
    panel = panel_of(question.answer_kind, reader)
    if reader not in {*panel, *problem.readers}:
        names = [*panel, *problem.readers]
        raise UnknownNameError(f"reader of {question.answer_kind} answers", reader, names)
    if attempt.is_vote:
        readings, end = _read_votes(attempt, question, panel)
    else:
        readings, end = _read_all(attempt, question, panel), attempt.stop_reason
    accepted = (problem.gold, *problem.also)
    correct_by: dict[str, bool] = {}
    for name, reading in readings.items():
        try:
            correct_by[name] = reading.value is not None and any(
                panel[name].equals(reading.value, gold, question) for gold in accepted
            )
        except UndecidedError as undecided:
            readings[name] = Reading(value=None, rule=str(undecided))
            correct_by[name] = False
    for name, own in problem.readers.items():
        readings[name] = _read_with_task(own, attempt)
        value = readings[name].value
        correct_by[name] = value is not None and own.is_correct(value)
    outcome = _decide_outcome(end, readings[reader], is_correct=correct_by[reader])
    return Score(outcome=outcome, readings=readings, correct_by=correct_by)


def _read_with_task(reader: TaskReader, attempt: Attempt) -> Reading:
    if attempt.stop_reason == "refusal":
        return Reading(value=None, rule="refused")
    samples = attempt.drafts if attempt.is_vote else (attempt,)
    value = reader.read(tuple(sample.text for sample in samples))
    return Reading(value=value, rule="none" if value is None else "task")


def _read_votes(
    attempt: Attempt, question: Question, panel: Mapping[str, Reader]
) -> tuple[dict[str, Reading], StopReason]:
    if not attempt.drafts:
        raise UsageError("a vote without samples", hint="give every sample in Attempt.drafts")
    ballots = [_read_all(draft, question, panel) for draft in attempt.drafts]
    voted = {name: plurality([ballot[name] for ballot in ballots]) for name in panel}
    return voted, common_stop_reason([draft.stop_reason for draft in attempt.drafts])


def _read_all(
    attempt: Attempt, question: Question, panel: Mapping[str, Reader]
) -> dict[str, Reading]:
    if attempt.stop_reason == "refusal":
        return dict.fromkeys(panel, Reading(value=None, rule="refused"))
    answer = answer_scope(attempt.text)
    return {
        name: _read_own(answer, attempt, question, reader)
        if reader.is_own
        else reader.read(attempt.text, question)
        for name, reader in panel.items()
    }


def _read_own(answer: str, attempt: Attempt, question: Question, reader: Reader) -> Reading:
    """Read with a cotkit reader: from a text cut at its token limit, completed markers only."""
    if attempt.stop_reason != "length":
        return reader.read(answer, question)
    reading = READERS["strict"].read(_without_cut_word(answer), question)
    return reading if reading.value is not None else Reading(value=None, rule="truncated")


def _without_cut_word(text: str) -> str:
    """Leave out the last word, which the limit may have cut ("12" of "123"), unless it closed."""
    if not text or text[-1].isspace() or text[-1] in "}*":
        return text
    return text.removesuffix(text.rsplit(maxsplit=1)[-1])


def _decide_outcome(end: StopReason, reading: Reading, *, is_correct: bool) -> Outcome:
    if end == "refusal":
        return "refused"
    if reading.value is None:
        return "truncated" if end == "length" else "unparsed"
    return "correct" if is_correct else "wrong"


# The plurality answer of several samples, as one reader reads them (Wang et al. 2022).


def plurality(readings: Sequence[Reading]) -> Reading:
    """Return the value that was read most often; of several, the one that was read first.

    Args:
        readings: Of the samples, in their order. Values are compared as they are, so a vote is
            taken on the reader's own canonical form. What could not be read has no vote.

    Returns:
        The value and a rule such as ``"vote 3/5"``: votes for it, of all samples. Where nothing
        was read, the rule is the one that all readings share, else ``"none"``.
    """
    votes = Counter(reading.value for reading in readings if reading.value is not None)
    if not votes:
        rules = {reading.rule for reading in readings}
        return Reading(value=None, rule=rules.pop() if len(rules) == 1 else "none")
    ((value, n_votes),) = votes.most_common(1)  # of equals, the first that was counted
    return Reading(value=value, rule=f"vote {n_votes}/{len(readings)}")


def common_stop_reason(ends: Sequence[StopReason]) -> StopReason:
    """Return how a vote ended: as all its samples did, else ``stop``.

    An unreadable vote is refused or truncated only if every sample was.
    """
    first, *others = ends
    return first if all(end == first for end in others) else "stop"
