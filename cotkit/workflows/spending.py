"""Solve rate by what models spend while they answer: ``cotkit scale --x thinking-tokens``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cotkit.analysis.scale.spending import (
    Spending,
    SpendingUnit,
    analyse_spending,
    check_curves,
)
from cotkit.analysis.values import PageRun
from cotkit.errors import UsageError
from cotkit.protocols import Backend, Benchmark
from cotkit.run import RunSpec
from cotkit.run.budget import NO_LIMITS, Resources
from cotkit.store import Store, existing_place, place_of
from cotkit.types import say_nothing
from cotkit.workflows.compare import Emit, ignore_event
from cotkit.workflows.scale import (
    LadderForecast,
    ScaleOptions,
    check_fixed,
    complete_jobs,
    explain_interrupt,
    forecast_ladder,
    make_job,
    name_settings,
)
from cotkit.workflows.stored_run import load_part


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingQuestion:
    """What is asked of the runs."""

    unit: SpendingUnit
    """What is spent."""
    margin: float
    """Smallest difference that counts as material, in (0, 1)."""
    reach: float | None = None
    """A solve rate, 0..1: the cheapest that reaches it is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingResult:
    """The analysis, the runs that it is of, and how many attempts they lack."""

    spending: Spending
    """What they say."""
    parts: tuple[PageRun, ...]
    """The runs, in the order of the models."""
    n_failed: int
    """Attempts that failed and may yet be made."""
    why_failed: str | None
    """The most common reason; None: not known."""


def measure_spending(
    spec: RunSpec,
    models: Sequence[str | Backend],
    bench: tuple[str, Benchmark],
    question: SpendingQuestion,
    *,
    log_dir: Path | str,
    emit: Emit | None = None,
    on_plan: Callable[[LadderForecast], None] | None = None,
    resources: Resources = NO_LIMITS,
) -> SpendingResult:
    """Run a spec on every model, and say what each solves by what it spends.

    Args:
        spec: Its ``model`` and ``bench`` are those of the next two.
        models: One or more; names, or backend objects, which are left open.
        bench: As the user wrote it, and itself.
        question: What is asked.
        log_dir: Folder of the store, or URL of a database.
        emit: Called with every event.
        on_plan: Called with what the runs would take, before the first of them.
        resources: Prices and executor of every run.

    Raises:
        UsageError: a budget or an early end, no curve, or nothing counted.
        InterruptedRunError: Ctrl-C; the same command goes on.
        CotkitError: whatever ends a run.
    """
    check_fixed(spec, resources, [bench[0]])
    say, options = emit or ignore_event, ScaleOptions(axis="ordinal")
    with explain_interrupt(), Store(place_of(log_dir)) as store:
        jobs = name_settings(
            [
                make_job(spec, model, bench, options, resources, store=store, emit=say)
                for model in models
            ]
        )
        check_curves([arm.name for job in jobs for arm in job.plan.arms])
        if on_plan is not None:
            on_plan(forecast_ladder(jobs, store, options, resources))
        complete_jobs(jobs, store, resources, log_dir=log_dir, emit=say)
        ids = {job.rung.model: job.run_id for job in jobs}
        return _analyse(ids, store, question, resources.prices, trusts_code=True)


def measure_stored_spending(
    run_ids: Sequence[str],
    question: SpendingQuestion,
    *,
    log_dir: Path | str,
    prices: Path | None = None,
    trusts_code: bool = False,
) -> SpendingResult:
    """Analyse runs of the store in the same way; nothing is generated.

    Raises:
        UsageError: no such run, two of one model or on other problems, or as above.
    """
    with explain_interrupt(), Store(existing_place(log_dir)) as store:
        runs = [store.run(run_id).id for run_id in run_ids]
        ids = {store.run_backend(run)[1].model: run for run in runs}
        if len(ids) < len(runs):
            raise UsageError("two of these runs are of one model", hint="name one run of each")
        return _analyse(ids, store, question, prices, trusts_code=trusts_code)


def _analyse(
    ids: dict[str, str],
    store: Store,
    question: SpendingQuestion,
    prices: Path | None,
    *,
    trusts_code: bool,
) -> SpendingResult:
    parts = {
        model: load_part(store, store.run(run), say_nothing, trusts_code=trusts_code, prices=prices)
        for model, run in ids.items()
    }
    comparisons = [part.comparison for part in parts.values()]
    if len({(c.bench, c.bench_version, c.n_problems, c.reader) for c in comparisons}) > 1:
        raise UsageError(
            "these runs are of other problems, or read in another way",
            hint="cotkit scale --models runs them alike",
        )
    return SpendingResult(
        spending=analyse_spending(
            parts, question.unit, margin=question.margin, reach=question.reach
        ),
        parts=tuple(parts.values()),
        n_failed=sum(
            sum(cell.outcomes["failed"] for cell in c.cells) - c.n_refused_for_good
            for c in comparisons
        ),
        why_failed=next((c.why_failed for c in comparisons if c.why_failed), None),
    )
