"""What others ran, compared: the same problems by content, paired, every reader side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cotkit.analysis.comparison import RunFacts
from cotkit.analysis.comparison import compare as compare_rows
from cotkit.analysis.disagreements import Disagreement, Side, disagreement
from cotkit.analysis.results import Comparison
from cotkit.bench._gold import canonical_number
from cotkit.errors import UnknownNameError, UsageError
from cotkit.identity import content_hash
from cotkit.interop.items import Item, Recorded, read_recorded
from cotkit.running import LEVEL
from cotkit.scoring import SCORER_VERSION, score_attempt
from cotkit.store import AttemptRow
from cotkit.types import AnswerKind, Attempt, Problem, Question, Reading

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
    problems = {key: _problem(first.items[key]) for key in shared}
    scored = all(
        one.items[key].score is not None
        for one in sources
        for key in shared
        if one.items[key].error is None
    )
    rows = {
        (one.arm, key): _row(one.arm, one.items[key], problems[key], reader, scored=scored)
        for one in sources
        for key in shared
    }
    others = [one for one in sources if one is not first]
    pairs = [(one.arm, first.arm) for one in others]
    found = compare_rows(
        list(rows.values()),
        pairs,
        _facts(sources, shared, reader),
        reader=reader,
        margin=margin,
        level=LEVEL,
    )
    disagreements: list[Disagreement] = []
    for one in others if scored else ():
        for key in shared:
            sides = [_side(of, key, rows[of.arm, key], reader) for of in (one, first)]
            if (arm := sides[0]) is not None and (control := sides[1]) is not None:
                why = disagreement(arm, control, one.items[key].shown)
                disagreements += [why] if why is not None else []
    notes = _notes(sources, shared, scored=scored)
    return replace(found, disagreements=tuple(disagreements), notes=(*notes, *found.notes))


def _problem(of: Item) -> Problem:
    kind: AnswerKind = "text"
    if of.choices:
        kind = "choice"
    elif canonical_number(of.gold) is not None:
        kind = "number"
    question = Question(id=of.key, text=of.shown, choices=of.choices, answer_kind=kind)
    return Problem(question=question, gold=of.gold)


def _row(arm: str, of: Item, problem: Problem, reader: str, *, scored: bool) -> AttemptRow:
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


def _is_right(of: Item) -> bool:
    """A partial score is no solution."""
    return of.score == 1


def _side(of: Recorded, key: str, row: AttemptRow, reader: str) -> Side | None:
    item = of.items[key]
    if row.outcome == "failed":
        return None
    ours = "flexible" if reader == AS_SCORED else reader
    return Side(
        arm=of.arm,
        text=item.text,
        gold=item.gold,
        is_right=_is_right(item),
        read=item.read,
        reading=row.readings[ours].value,
        is_right_here=row.correct_by[ours],
        stop_reason=item.stop_reason,
    )


def _facts(sources: Sequence[Recorded], shared: Sequence[str], reader: str) -> RunFacts:
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


def _notes(sources: Sequence[Recorded], shared: Sequence[str], *, scored: bool) -> list[str]:
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
