"""Analyse a stored run again, for its report; no model is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cotkit.analysis.values import Comparison, PageRun, PageSample, SampleAttempt
from cotkit.benchmarks import load_benchmark
from cotkit.errors import UsageError
from cotkit.registry import parse_spec
from cotkit.run import ExecutionResult, Plan, RunSpec, make_plan
from cotkit.run.forecast import start_without_gold
from cotkit.run.judge import read_judge
from cotkit.run.loop import run_to_end
from cotkit.run.runner import reread
from cotkit.run.served import settle_server
from cotkit.scoring.score import SCORER_VERSION
from cotkit.store import AttemptRow, RunRow, Store
from cotkit.types import Notify, Outcome, Problem, Request
from cotkit.workflows.compare import analyse, change_of, price_for, trusted, with_stored_judge
from cotkit.workflows.consent import check_code
from cotkit.workflows.settings import run_settings


def load_part(
    store: Store,
    run: RunRow,
    notify: Notify,
    *,
    trusts_code: bool = False,
    prices: Path | None = None,
) -> PageRun:
    """Analyse one run again from its rows; ``notify`` hears of a benchmark's download.

    ``trusts_code``: whether Python files that the run names may be run; ``prices``: a file of the
    user's own.

    Raises:
        UsageError: the run has no attempts, its problems or arms are not what they were, or it
            names Python files that may not be run.
        CotkitError: its benchmark or a strategy of its own cannot be loaded any more.
    """
    rows = store.attempts(run.id)
    if not rows:
        raise UsageError(f"run {run.id} has no attempts yet", hint=f"cotkit resume {run.id}")
    spec = RunSpec.from_json(run.spec)
    check_code(run.id, spec, trusts_code=trusts_code)
    plan = make_plan(spec, load_benchmark(parse_spec(spec.bench), notify))
    _, info = store.run_backend(run.id)
    _check_unchanged(run, plan, rows)
    plan = with_stored_judge(plan, store, run.id)
    change = change_of(plan, info, store, run.id)
    plan = trusted(plan, store, run.id)
    moved = ""
    if plan.run_id(info) == run.id and run_to_end(reread(plan, info, store)):
        before = {(row.arm, row.problem_id, row.sample): row.outcome for row in rows}
        rows = store.attempts(run.id)
        n = sum(before[row.arm, row.problem_id, row.sample] != row.outcome for row in rows)
        moved = f"read again by scorer version {SCORER_VERSION}: {n} of {len(rows)} outcomes moved"
    record = settle_server(store, run.id, info)
    if record is not None and record.cut:
        rows = store.attempts(run.id)
    n_planned = len(plan.arms) * len(plan.problems)
    decided = spec.stop_when is not None and run.status == "complete" and len(rows) < n_planned
    result = ExecutionResult(
        rows=tuple(rows),
        ended_by="decided" if decided else None,
        server=record,
        judge=read_judge(store, run.id, plan.judge),
    )
    comparison = analyse(plan, info, result, price_for(spec, info, prices))
    notes = (*comparison.notes, moved) if moved else comparison.notes
    if change is not None or plan.run_id(info) != run.id:
        changed = "cotkit, its prompts or a strategy changed since this run: it was analysed anew"
        notes = (*notes, changed)
    settings = run_settings(store, run.id, info)
    comparison = replace(comparison, run_id=run.id, notes=notes, settings=settings)
    part = make_part(comparison, plan.problems, rows, store)
    return replace(part, prompts=tuple(_list_prompts(plan)))


def make_part(
    comparison: Comparison,
    problems: Sequence[Problem],
    rows: Sequence[AttemptRow],
    store: Store | None = None,
) -> PageRun:
    """Return a comparison with the samples that it was made from; ``store``: has their thoughts."""
    takes: dict[str, list[SampleAttempt]] = {}
    for row in rows:
        turns = (
            store.turns(comparison.run_id, row.arm, row.problem_id, row.sample)
            if store is not None and row.reasoned_apart
            else ()
        )
        thoughts = [each.reasoning for turn in turns for each in turn.completions]
        take = replace(_make_take(row), thoughts=tuple(filter(None, thoughts)))
        takes.setdefault(row.problem_id, []).append(take)
    samples = tuple(
        PageSample(problem=problem, takes=tuple(takes[problem.question.id]))
        for problem in problems
        if problem.question.id in takes
    )
    return PageRun(comparison=comparison, samples=samples)


def _list_prompts(plan: Plan) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Yield (arm, messages) of the first prompt of each arm, for the first problem."""
    for arm in plan.arms:
        step = next(start_without_gold(arm, plan.problems[0].question), None)
        if isinstance(step, Request):
            yield arm.name, tuple((message.role, message.content) for message in step.messages)


def _check_unchanged(run: RunRow, plan: Plan, rows: Sequence[AttemptRow]) -> None:
    """Refuse a run whose questions or gold answers the benchmark has changed since."""
    golds = {problem.question.id: problem.gold for problem in plan.problems}
    arms = {arm.name for arm in plan.arms}
    for row in rows:
        if row.arm not in arms or golds.get(row.problem_id) != row.gold:
            what = f"arm {row.arm}" if row.arm not in arms else f"problem {row.problem_id}"
            raise UsageError(
                f"run {run.id}: {what} is not what it was",
                hint="benchmark or cotkit changed; give the compare command again",
            )


def _make_take(row: AttemptRow) -> SampleAttempt:
    drafts: tuple[tuple[Outcome, str], ...] = tuple((d.outcome, d.text) for d in row.drafts)
    return SampleAttempt(
        arm=row.arm,
        outcome=row.outcome,
        text=row.text,
        readings=row.readings,
        correct_by=row.correct_by,
        error=row.error,
        n_generated_tokens=row.n_generated_tokens,
        drafts=drafts,
        n_reasoning_tokens=row.n_reasoning_tokens,
    )
