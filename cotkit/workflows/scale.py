"""From a ladder of models to where a strategy starts to help: the work of ``cotkit scale``.

One model runs after another, each on the same problems; what the store holds is not made again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cotkit.analysis.scale.analysis import analyse
from cotkit.analysis.scale.grid import THRESHOLDS, Axis, Rung, ScaleQuestion
from cotkit.analysis.scale.values import RunOrigin, Scale
from cotkit.analysis.values import Aside, Criteria
from cotkit.backends._hosted.addresses import foreign_address
from cotkit.benchmarks import load_benchmark
from cotkit.errors import InterruptedRunError, UnknownNameError, UsageError
from cotkit.events import Event, RunStarted, Said
from cotkit.protocols import Backend, Benchmark
from cotkit.registry import parse_spec
from cotkit.run import Plan, RunSpec, make_plan
from cotkit.run.budget import NO_LIMITS, Budget, Resources
from cotkit.run.identity import Content, trust_note
from cotkit.run.loop import run_to_end
from cotkit.run.runner import reread
from cotkit.run.served import leave_out_cut, read_server
from cotkit.run.spec import DEFAULTS, GIVEN_IN_PYTHON
from cotkit.scoring import score
from cotkit.scoring.measure import answer_length
from cotkit.stats.hypotheses import sidak_level
from cotkit.store import Store, existing_place, place_of
from cotkit.types import BackendInfo, Outcome
from cotkit.workflows.compare import (
    LEVEL,
    Emit,
    backend_of,
    change_of,
    criteria_of,
    failure_reason,
    ignore_event,
    outdated_note,
    perform,
    price_for,
    trusted,
)
from cotkit.workflows.consent import check_code
from cotkit.workflows.ladder import (
    check_alike,
    check_count,
    check_ladder,
    counts_by_steps,
    rung_of,
    split_by_steps,
)
from cotkit.workflows.ladder_grid import LadderArms, LadderData, LadderRun, read_grid
from cotkit.workflows.plan import Forecast, forecast_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderForecast:
    """A ladder before it is run."""

    forecasts: tuple[tuple[str, Forecast], ...]
    """(benchmark as the user wrote it, what a run would take), in the order of the runs."""
    n_sizes: int
    """Models."""
    n_pairs: int
    """Gains on each benchmark."""
    n_problems: tuple[int, ...]
    """Problems of each analysis: one for each benchmark or, by steps, for each group of them."""
    each: float
    """Level of the interval of one gain at one size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleResult:
    """The analyses of a ladder, and how many attempts they lack."""

    scales: tuple[Scale, ...]
    """One for each benchmark or, by steps, for each group of its problems."""
    n_failed: int
    """Attempts that failed or were not made, and may yet be; they are holes."""
    why_failed: str | None
    """The most common reason in the last run with failures; None: not known."""


def scale_models(
    spec: RunSpec,
    models: Sequence[str | Backend],
    benches: Sequence[tuple[str, Benchmark]],
    options: ScaleOptions,
    *,
    log_dir: Path | str,
    emit: Emit | None = None,
    on_plan: Callable[[LadderForecast], None] | None = None,
    resources: Resources = NO_LIMITS,
) -> ScaleResult:
    """Run a spec on every model and benchmark and say from which size on its strategies help.

    Args:
        spec: Its ``model`` and ``bench`` are those of the next two in turn.
        models: Names, or backend objects, which are left open.
        benches: Each as the user wrote it, and itself.
        options: What is asked of the ladder.
        log_dir: Folder of the store, or URL of a database.
        emit: Called with every event.
        on_plan: Called with what the runs would take and could find, before the first of them.
        resources: Prices and executor of every run.

    Raises:
        UsageError: no ladder, a benchmark given twice, a budget, problems that are not fixed
            beforehand, or no strategy that has a control.
        InterruptedRunError: Ctrl-C; the same command goes on.
        CotkitError: whatever ends a run.
    """
    if spec.stop_when is not None:
        raise UsageError(
            "the problems of a ladder are fixed beforehand, the same for every model",
            hint="leave out stop_when; limit bounds what is asked",
        )
    if resources.budget != Budget():
        raise UsageError(
            "a budget is of one run, and a ladder makes several",
            hint="limit bounds what they take",
        )
    check_count(len(models))
    _check_benches([text for text, _ in benches])
    say = emit or ignore_event
    with _explain_interrupt(), Store(place_of(log_dir)) as store:
        jobs = [
            make_job(spec, model, bench, options, resources, store=store, emit=say)
            for model in models
            for bench in benches
        ]
        for _, bench in benches:
            check_ladder([job.rung for job in jobs if job.bench is bench], options.axis)
        check_losses(options.losses, jobs)
        forecast = _forecast_ladder(jobs, store, options, resources)
        if on_plan is not None:
            on_plan(forecast)
        why: str | None = None
        for number, job in enumerate(jobs, start=1):
            title = f"{number} of {len(jobs)}, {job.info.model} on {job.plan.spec.bench}"
            titled = _add_title(say, title)
            reason = _complete_job(job, store, resources, log_dir=log_dir, emit=titled)
            why = reason or why
        analyses = [
            analyse_jobs(
                [job for job in jobs if job.bench is bench],
                store,
                options,
                criteria_of(spec),
                prices=resources.prices,
                seed=spec.seed,
                n_curves=len(forecast.n_problems),
            )
            for _, bench in benches
        ]
    return ScaleResult(
        scales=tuple(scale for scales, _ in analyses for scale in scales),
        n_failed=sum(n_failed for _, n_failed in analyses),
        why_failed=why,
    )


def scale_runs(
    runs: Sequence[str],
    options: ScaleOptions,
    *,
    margin: float = DEFAULTS.margin,
    prices: Path | None = None,
    seed: int = DEFAULTS.seed,
    log_dir: Path | str,
    trusts_code: bool = False,
) -> ScaleResult:
    """Analyse runs that the store already holds as :func:`scale_models` does; nothing is generated.

    Args:
        runs: Their ids, or how they begin; one for each model.
        options: What is asked of them.
        margin: Smallest gain that counts as material.
        prices: A file of the user's own prices.
        seed: Of the bootstraps.
        log_dir: Folder of the store, or URL of a database.
        trusts_code: Whether Python files that the runs name may be run.

    Raises:
        UsageError: no such run, one that ended when it was decided, or runs that differ in more
            than the model, or from what this version would run: names the field.
        CotkitError: the benchmark of the runs cannot be read.
    """
    place = existing_place(log_dir)
    check_count(len(runs))
    with _explain_interrupt(), Store(place) as store:
        stored = [store.run(prefix) for prefix in runs]
        specs = [RunSpec.from_json(run.spec) for run in stored]
        contents = [(run.id, _run_content(store, run.id)) for run in stored]
        check_alike(contents)
        for run, spec in zip(stored, specs, strict=True):
            check_code(run.id, spec, trusts_code=trusts_code)
        benches = {spec.bench: load_benchmark(parse_spec(spec.bench)) for spec in specs}
        jobs: list[LadderJob] = []
        for (run_id, _), spec in zip(contents, specs, strict=True):
            _, info = store.run_backend(run_id)
            job = LadderJob(
                bench=benches[spec.bench],
                plan=make_plan(spec, benches[spec.bench]),
                info=info,
                rung=rung_of(info, loss_of(options.losses, spec.model, info)),
                backend=None,
            )
            if (field := change_of(job.plan, info, store, run_id)) is not None:
                raise UsageError(
                    f"run {run_id} differs in {field} from what would be run now",
                    hint="cotkit scale --models runs it anew; completions are not made again",
                )
            if spec.stop_when is not None:
                raise UsageError(
                    f"run {run_id} ended when it was decided, so its problems were not fixed "
                    "beforehand",
                    hint="run it without --stop-when",
                )
            jobs.append(replace(job, plan=trusted(job.plan, store, run_id)))
            run_to_end(reread(jobs[-1].plan, info, store))
            leave_out_cut(store, run_id, read_server(store, run_id, info))
        check_ladder([job.rung for job in jobs], options.axis)
        check_losses(options.losses, jobs)
        n_curves = len(_curve_sizes(jobs, options))
        spec = jobs[0].plan.spec
        criteria = replace(criteria_of(spec), margin=margin)
        scales, n_failed = analyse_jobs(
            jobs, store, options, criteria, prices=prices, seed=seed, n_curves=n_curves
        )
    return ScaleResult(scales=scales, n_failed=n_failed, why_failed=None)


def _check_benches(texts: Sequence[str]) -> None:
    for text in texts:
        if texts.count(text) > 1:
            raise UsageError(f"benchmark {text} is given twice", hint="name each once")


def _forecast_ladder(
    jobs: Sequence[LadderJob], store: Store, options: ScaleOptions, resources: Resources
) -> LadderForecast:
    n_problems = _curve_sizes(jobs, options)
    n_pairs = max(len(pairs_of(job.plan)) for job in jobs)
    n_sizes = len({job.info.model for job in jobs})
    n_at_once = n_pairs * len(n_problems) * (1 if options.assume_sustained else n_sizes)
    return LadderForecast(
        forecasts=tuple(
            (job.plan.spec.bench, forecast_plan(job.plan, job.info, store, resources.prices))
            for job in jobs
        ),
        n_sizes=n_sizes,
        n_pairs=n_pairs,
        n_problems=n_problems,
        each=sidak_level(LEVEL, n_at_once),
    )


def _curve_sizes(jobs: Sequence[LadderJob], options: ScaleOptions) -> tuple[int, ...]:
    """Return the number of problems of each analysis.

    Raises:
        UsageError: problems that do not fall into groups by steps.
    """
    plans = {job.plan.spec.bench: job.plan for job in jobs}
    if not options.by_steps:
        return tuple(len(plan.problems) for plan in plans.values())
    return tuple(
        n
        for bench, plan in plans.items()
        for n in counts_by_steps(bench, [problem.n_steps for problem in plan.problems]).values()
    )


@contextmanager
def _explain_interrupt() -> Generator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "interrupted; everything generated so far is kept",
            hint="the same command goes on where it stopped",
        ) from None


def _run_content(store: Store, run_id: str) -> Content:
    content = store.run_content(run_id)
    if not content:
        raise UsageError(
            f"run {run_id} was made by an earlier cotkit, which did not record its content",
            hint="give its compare command again; completions are not made again",
        )
    return content


def _add_title(emit: Emit, title: str) -> Emit:
    """Return an `Emit` whose runs say which of several they are."""

    def emit_titled(event: Event) -> None:
        emit(replace(event, title=title) if isinstance(event, RunStarted) else event)

    return emit_titled


def _complete_job(
    job: LadderJob, store: Store, resources: Resources, *, log_dir: Path | str, emit: Emit
) -> str | None:
    """Run what is missing of a job; return why attempts failed, if any did."""
    is_current = not store.n_outdated(job.run_id, score.current_versions())
    if is_current and store.n_done(job.run_id) == len(job.plan.arms) * len(job.plan.problems):
        return None
    assert job.backend is not None, "a run that is only read is complete or has holes"
    run = perform(
        job.plan.spec,
        job.bench,
        log_dir=log_dir,
        backend=job.backend,
        closes=job.closes,  # a local model gives its memory back before the next one is loaded
        emit=emit,
        resources=resources,
    )
    return failure_reason(run.execution)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleOptions:
    """What is asked of a ladder, beside the spec of its runs; chosen before the run."""

    axis: Axis = "params"
    """What size means."""
    assume_sustained: bool = False
    """Whether help that began is assumed not to stop (``Question.assume_sustained``)."""
    thresholds: tuple[float, ...] = THRESHOLDS
    """Gains whose beginnings the staircase names, rising, each in (0, 1]."""
    losses: Mapping[str, float] = field(default_factory=dict[str, float])
    """Model, as given or as reports name it -> pretraining loss in nats per token."""
    by_steps: bool = False
    """Whether to ask it of the problems of each number of steps, in place of all together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderJob:
    """One model on one benchmark."""

    bench: Benchmark
    plan: Plan
    info: BackendInfo
    rung: Rung
    backend: Backend | None
    """None: its run is only read."""
    closes: bool = False
    """Whether to close the backend once its run is done."""

    @property
    def run_id(self) -> str:
        """Identity of its run."""
        return self.plan.run_id(self.info)


def make_job(
    spec: RunSpec,
    model: str | Backend,
    bench: tuple[str, Benchmark],
    options: ScaleOptions,
    resources: Resources,
    *,
    store: Store,
    emit: Emit,
) -> LadderJob:
    """Plan a model on a benchmark (as the user wrote it, and itself) and build its backend."""
    bench_text, benchmark = bench
    name = model if isinstance(model, str) else GIVEN_IN_PYTHON
    plan = make_plan(replace(spec, model=name, bench=bench_text), benchmark)
    backend = (
        backend_of(
            plan.spec,
            plan.known_problems,
            store=store,
            notify=lambda text: emit(Said(text=text)),
            resources=resources,
        )
        if isinstance(model, str)
        else model
    )
    info = backend.info
    return LadderJob(
        bench=benchmark,
        plan=plan,
        info=info,
        rung=rung_of(info, loss_of(options.losses, name, info)),
        backend=backend,
        closes=isinstance(model, str),
    )


def loss_of(losses: Mapping[str, float], name: str, info: BackendInfo) -> float | None:
    """Return the loss of a model, by the name that the user or that reports call it."""
    return losses.get(name, losses.get(info.model))


def check_losses(losses: Mapping[str, float], jobs: Sequence[LadderJob]) -> None:
    """Refuse losses of models that are not in the ladder.

    Raises:
        UnknownNameError: names one.
    """
    models = {name for job in jobs for name in (job.plan.spec.model, job.info.model)}
    for name in losses:
        if name not in models:
            raise UnknownNameError("model of the ladder", name, models)


def pairs_of(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Return the pairs that can show help: an arm that sees the gold answers shows none.

    Raises:
        UsageError: there are none.
    """
    pairs = tuple(pair for pair in plan.pairs if pair[0] not in plan.upper_bounds)
    if not pairs:
        raise UsageError(
            "no strategy of this run is measured against a control, so none can start to help",
            hint="--strategy cot, or --baseline few-shot",
        )
    return pairs


def analyse_jobs(
    jobs: Sequence[LadderJob],
    store: Store,
    options: ScaleOptions,
    criteria: Criteria,
    *,
    prices: Path | None,
    seed: int,
    n_curves: int,
) -> tuple[tuple[Scale, ...], int]:
    """Analyse one benchmark, as a whole or by number of steps; count the attempts that it lacks.

    ``n_curves``: how many analyses of this command hold at once at the level of a report.
    """
    import numpy as np

    plan = jobs[0].plan
    arms = {arm.name: arm.strategy for job in jobs for arm in job.plan.arms}
    runs = [
        LadderRun(
            rung=job.rung,
            run_id=job.run_id,
            price=price_for(job.plan.spec, job.info, prices),
        )
        for job in jobs
    ]
    data = read_grid(
        store,
        runs,
        LadderArms(
            bench=plan.spec.bench,
            problem_ids=tuple(sorted(problem.question.id for problem in plan.problems)),
            reasons={name: strategy.reasons for name, strategy in arms.items()},
            may_think=frozenset(
                name for job in jobs for name, how in job.plan.thinking.items() if how != "off"
            ),
            reader=criteria.reader,
            answer_lengths={p.question.id: answer_length(p) for p in plan.problems},
        ),
    )
    question = ScaleQuestion(
        pairs=tuple(dict.fromkeys(pair for job in jobs for pair in pairs_of(job.plan))),
        margin=criteria.margin,
        level=criteria.level ** (1 / n_curves),
        axis=options.axis,
        assume_sustained=options.assume_sustained,
        thresholds=options.thresholds,
    )
    origin = RunOrigin(
        reader=criteria.reader,
        n_total=len(plan.everything),
        runs={run.rung.model: run.run_id for run in runs},
        n_shot={name: n for job in jobs for name, n in job.plan.n_shot.items()},
        bench_version=plan.bench_version,
        is_unwalled=any(job.plan.is_unwalled for job in jobs),
        addresses={
            job.info.model: address
            for job in jobs
            if (address := foreign_address(job.info)) is not None
        },
        outcomes=_count_outcomes(jobs, store),
    )
    notes = (*_grid_notes(jobs, runs, data, n_curves), *_notes_on_stored(jobs, store))
    rng = np.random.default_rng(seed)
    scales = [
        analyse(grid, question, rng)
        for grid in (split_by_steps(data.grid) if options.by_steps else (data.grid,))
    ]
    scales_with_origin = tuple(
        replace(scale, origin=origin, notes=(*plan.notes(), *scale.notes, *notes))
        for scale in scales
    )
    return scales_with_origin, data.n_failed - data.n_left_out


def _count_outcomes(jobs: Sequence[LadderJob], store: Store) -> Mapping[str, Mapping[Outcome, int]]:
    """Return arm -> outcome -> how many attempts; what a run has not made counts as failed."""
    totals: dict[str, Counter[Outcome]] = {}
    for job in jobs:
        counts = store.count_outcomes(job.run_id)
        for arm in (arm.name for arm in job.plan.arms):
            total = totals.setdefault(arm, Counter())
            total.update(counts.get(arm, {}))
            total["failed"] += len(job.plan.problems) - sum(counts.get(arm, {}).values())
    return totals


def _grid_notes(
    jobs: Sequence[LadderJob], runs: Sequence[LadderRun], data: LadderData, n_curves: int
) -> Iterator[str]:
    """Yield what a reader must know of how the grid was made."""
    bounds = sorted({arm for job in jobs for arm in job.plan.upper_bounds})
    for arm in bounds:
        yield f"{arm} sees the gold answers: an upper bound, which has no onset"
    for model, arm, share in data.contaminated:
        yield (
            f"contaminated: {arm} asks for no reasoning, but {model} reasons before answering in "
            f"{100 * share:.0f} % of its answers; that cell is left out"
        )
    if data.n_failed:
        yield Aside(
            f"{data.n_failed} attempts failed or were not made; they are left out, not wrong"
        )
    if data.n_left_out:
        yield (
            f"{data.n_left_out} of them are left for good, for a server refuses or cut their "
            "prompts; --retry-failed tries them again"
        )
    if n_curves > 1:
        yield Aside(
            f"all intervals of the {n_curves} analyses hold at once at {100 * LEVEL:g} %, so each "
            f"analysis's at {100 * LEVEL ** (1 / n_curves):.4g} %"
        )
    for run in runs:
        if run.price is not None:
            yield Aside(
                f"dollars of {run.rung.model}: list prices of {run.price.as_of} "
                f"({run.price.status}); check them at {run.price.source}"
            )


def _notes_on_stored(jobs: Sequence[LadderJob], store: Store) -> Iterator[str]:
    """Yield what must be known of runs that an earlier cotkit made or scored."""
    if trusted_ids := [job.plan.stored_id for job in jobs if job.plan.stored_id is not None]:
        yield trust_note(trusted_ids)
    if n_outdated := sum(store.n_outdated(job.run_id, score.current_versions()) for job in jobs):
        yield outdated_note(n_outdated)
