"""From a ladder of models to where a strategy starts to help: the front door of ``cotkit scale``.

One model runs after another, each on the same problems; what the store holds is not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cotkit.analysis.scale.analysis import analyse
from cotkit.analysis.scale.grid import Axis, Rung, ScaleQuestion
from cotkit.analysis.scale.values import RunOrigin, Scale
from cotkit.benchmarks import load_benchmark
from cotkit.errors import InterruptedRunError, UnknownNameError, UsageError
from cotkit.events import Event, RunStarted, Said
from cotkit.executors.ray import RayExecutor
from cotkit.protocols import Backend, Benchmark
from cotkit.registry import parse_spec
from cotkit.run import Plan, RunSpec, make_plan
from cotkit.run.identity import Content, trust_note
from cotkit.run.loop import run_to_end
from cotkit.run.runner import reread
from cotkit.run.spec import GIVEN_IN_PYTHON
from cotkit.scoring import score
from cotkit.stats.hypotheses import sidak_level
from cotkit.store import Store, existing_place, place_of
from cotkit.types import BackendInfo
from cotkit.workflows.compare import (
    LEVEL,
    Emit,
    Resources,
    backend_of,
    change_of,
    failure_reason,
    outdated_note,
    perform,
    price_for,
    trusted,
)
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
    """What a ladder came to."""

    scales: tuple[Scale, ...]
    """One for each benchmark or, by steps, for each group of its problems."""
    n_failed: int
    """Attempts that failed; they are holes."""
    why_failed: str | None
    """The commonest reason in the last run that had any; None: not known."""


def scale_models(
    spec: RunSpec,
    models: Sequence[str | Backend],
    benches: Sequence[tuple[str, Benchmark]],
    ask: ScaleOptions,
    *,
    log_dir: Path | str,
    emit: Emit,
    on_plan: Callable[[LadderForecast], None] | None = None,
) -> ScaleResult:
    """Run a spec on every model and benchmark and say from which size on its strategies help.

    Args:
        spec: Its ``model`` and ``bench`` are those of the next two in turn.
        models: Names, or backend objects, which are left open.
        benches: Each as the user wrote it, and itself.
        ask: What else is asked.
        log_dir: Folder of the store, or URL of a database.
        emit: Told every event.
        on_plan: Told what the runs would take and could find, before the first of them.

    Raises:
        UsageError: no ladder, a benchmark given twice, or no strategy that has a control.
        InterruptedRunError: Ctrl-C; the same command goes on.
        CotkitError: whatever ends a run.
    """
    check_count(len(models))
    _check_benches([written for written, _ in benches])
    with _explain_interrupt(), Store(place_of(log_dir)) as store:
        jobs = [
            make_job(spec, model, bench, ask=ask, store=store, emit=emit)
            for model in models
            for bench in benches
        ]
        for _, bench in benches:
            check_ladder([job.rung for job in jobs if job.bench is bench], ask.axis)
        check_losses(ask.losses, jobs)
        prospect = _make_prospect(jobs, store, ask)
        if on_plan is not None:
            on_plan(prospect)
        why: str | None = None
        for number, job in enumerate(jobs, start=1):
            title = f"{number} of {len(jobs)}, {job.info.model} on {job.plan.spec.bench}"
            titled = _add_title(emit, title)
            why = _complete_job(job, store, log_dir=log_dir, emit=titled, ask=ask) or why
        read = [
            analyse_jobs(
                [job for job in jobs if job.bench is bench],
                store,
                ask,
                margin=spec.margin,
                seed=spec.seed,
                n_curves=len(prospect.n_problems),
            )
            for _, bench in benches
        ]
    return ScaleResult(
        scales=tuple(scale for scales, _ in read for scale in scales),
        n_failed=sum(n_failed for _, n_failed in read),
        why_failed=why,
    )


def scale_runs(
    runs: Sequence[str], ask: ScaleOptions, *, margin: float, seed: int, log_dir: Path | str
) -> ScaleResult:
    """As :func:`scale_models`, of runs that the store already holds; nothing is generated.

    Args:
        runs: Their ids, or how they begin; one for each model.
        ask: What is asked of them.
        margin: Smallest gain that counts as material.
        seed: Of the bootstraps.
        log_dir: Folder of the store, or URL of a database.

    Raises:
        UsageError: no such run, one that ended when it was decided, or runs that differ in more
            than the model, or from what this version would run: names the field.
        CotkitError: the benchmark of the runs cannot be read.
    """
    place = existing_place(log_dir)
    check_count(len(runs))
    with _explain_interrupt(), Store(place) as store:
        found = [store.run(prefix) for prefix in runs]
        specs = [RunSpec.from_json(one.spec) for one in found]
        contents = [(one.id, _run_content(store, one.id)) for one in found]
        check_alike(contents)
        benches = {spec.bench: load_benchmark(parse_spec(spec.bench)) for spec in specs}
        jobs: list[LadderJob] = []
        for (run_id, _), spec in zip(contents, specs, strict=True):
            _, info = store.run_backend(run_id)
            job = LadderJob(
                bench=benches[spec.bench],
                plan=make_plan(spec, benches[spec.bench]),
                info=info,
                rung=rung_of(info, loss_of(ask.losses, spec.model, info)),
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
        check_ladder([job.rung for job in jobs], ask.axis)
        check_losses(ask.losses, jobs)
        n_curves = len(_curve_sizes(jobs, ask))
        scales, n_failed = analyse_jobs(
            jobs, store, ask, margin=margin, seed=seed, n_curves=n_curves
        )
    return ScaleResult(scales=scales, n_failed=n_failed, why_failed=None)


def _check_benches(written: Sequence[str]) -> None:
    for one in written:
        if written.count(one) > 1:
            raise UsageError(f"benchmark {one} is given twice", hint="name each once")


def _make_prospect(jobs: Sequence[LadderJob], store: Store, ask: ScaleOptions) -> LadderForecast:
    n_problems = _curve_sizes(jobs, ask)
    n_pairs = max(len(pairs_of(job.plan)) for job in jobs)
    n_sizes = len({job.info.model for job in jobs})
    n_at_once = n_pairs * len(n_problems) * (1 if ask.assume_sustained else n_sizes)
    return LadderForecast(
        forecasts=tuple(
            (job.plan.spec.bench, forecast_plan(job.plan, job.info, store, ask.prices))
            for job in jobs
        ),
        n_sizes=n_sizes,
        n_pairs=n_pairs,
        n_problems=n_problems,
        each=sidak_level(LEVEL, n_at_once),
    )


def _curve_sizes(jobs: Sequence[LadderJob], ask: ScaleOptions) -> tuple[int, ...]:
    """Problems of each analysis.

    Raises:
        UsageError: problems that do not fall into groups by steps.
    """
    plans = {job.plan.spec.bench: job.plan for job in jobs}
    if not ask.by_steps:
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
            f"run {run_id} was made by an earlier cotkit, which did not keep what a run is of",
            hint="give its compare command again; completions are not made again",
        )
    return content


def _add_title(emit: Emit, title: str) -> Emit:
    """An `Emit` whose runs say which of several they are."""

    def emit_titled(event: Event) -> None:
        emit(replace(event, title=title) if isinstance(event, RunStarted) else event)

    return emit_titled


def _complete_job(
    job: LadderJob, store: Store, *, log_dir: Path | str, emit: Emit, ask: ScaleOptions
) -> str | None:
    """Run what is missing of a job; why attempts failed, if any did."""
    is_current = not store.n_outdated(job.run_id, score.SCORER_VERSION)
    if is_current and store.n_done(job.run_id) == len(job.plan.arms) * len(job.plan.problems):
        return None
    assert job.backend is not None, "a run that is only read is complete or has holes"
    ran = perform(
        job.plan.spec,
        job.bench,
        log_dir=log_dir,
        backend=job.backend,
        closes=job.closes,  # a local model gives its memory back before the next one is loaded
        emit=emit,
        means=Resources(prices=ask.prices),
    )
    return failure_reason(ran.done)


# One model on one benchmark of a ladder, and what is asked of all of them.


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleOptions:
    """What is asked of a ladder, beside its spec; chosen before the run."""

    axis: Axis = "params"
    """What size means."""
    assume_sustained: bool = False
    """Whether help that began is assumed not to stop (``Question.assume_sustained``)."""
    losses: Mapping[str, float] = field(default_factory=dict[str, float])
    """Model, as given or as reports name it -> pretraining loss in nats per token."""
    prices: Path | None = None
    """A file of the user's own prices."""
    by_steps: bool = False
    """Whether to ask it of the problems of each number of steps, in place of all together."""
    cluster: RayExecutor | None = None
    """Whose machines ask the models; None: this process."""


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
    *,
    ask: ScaleOptions,
    store: Store,
    emit: Emit,
) -> LadderJob:
    """Plan a model on a benchmark (as the user wrote it, and itself) and build its backend."""
    written, benchmark = bench
    name = model if isinstance(model, str) else GIVEN_IN_PYTHON
    plan = make_plan(replace(spec, model=name, bench=written), benchmark)
    backend = (
        backend_of(
            plan.spec,
            plan.everything,
            store=store,
            notify=lambda text: emit(Said(text=text)),
            cluster=ask.cluster,
        )
        if isinstance(model, str)
        else model
    )
    info = backend.info
    return LadderJob(
        bench=benchmark,
        plan=plan,
        info=info,
        rung=rung_of(info, loss_of(ask.losses, name, info)),
        backend=backend,
        closes=isinstance(model, str),
    )


def loss_of(losses: Mapping[str, float], given: str, info: BackendInfo) -> float | None:
    """The loss of a model, by the name that the user gave it or that reports give it."""
    return losses.get(given, losses.get(info.model))


def check_losses(losses: Mapping[str, float], jobs: Sequence[LadderJob]) -> None:
    """Refuse losses of models that are not in the ladder.

    Raises:
        UnknownNameError: names one.
    """
    known = {name for job in jobs for name in (job.plan.spec.model, job.info.model)}
    for name in losses:
        if name not in known:
            raise UnknownNameError("model of the ladder", name, known)


def pairs_of(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Those of which help can be said: an arm that sees the gold answers gives none.

    Raises:
        UsageError: there are none.
    """
    found = tuple(pair for pair in plan.pairs if pair[0] not in plan.upper_bounds)
    if not found:
        raise UsageError(
            "no strategy of this run is measured against a control, so none can start to help",
            hint="--strategy cot, or --baseline few-shot",
        )
    return found


# The analysis of a ladder's runs on one benchmark, with what must be known of how they went.


def analyse_jobs(
    jobs: Sequence[LadderJob],
    store: Store,
    ask: ScaleOptions,
    *,
    margin: float,
    seed: int,
    n_curves: int,
) -> tuple[tuple[Scale, ...], int]:
    """The analysis of one benchmark (or one by number of steps), and how many attempts it lacks.

    ``n_curves``: how many analyses of this command hold at once at the level of a report.
    """
    import numpy as np

    plan = jobs[0].plan
    arms = {arm.name: arm.strategy for job in jobs for arm in job.plan.arms}
    runs = [
        LadderRun(
            rung=job.rung,
            run_id=job.run_id,
            price=price_for(job.plan.spec, job.info, ask.prices),
        )
        for job in jobs
    ]
    read = read_grid(
        store,
        runs,
        LadderArms(
            bench=plan.spec.bench,
            problem_ids=tuple(sorted(problem.question.id for problem in plan.problems)),
            reasons={name: strategy.reasons for name, strategy in arms.items()},
            reader=plan.spec.reader,
        ),
    )
    question = ScaleQuestion(
        pairs=tuple(dict.fromkeys(pair for job in jobs for pair in pairs_of(job.plan))),
        margin=margin,
        level=LEVEL ** (1 / n_curves),
        axis=ask.axis,
        assume_sustained=ask.assume_sustained,
    )
    origin = RunOrigin(
        reader=plan.spec.reader,
        n_total=len(plan.everything),
        runs={run.rung.model: run.run_id for run in runs},
        n_shot={name: n for job in jobs for name, n in job.plan.n_shot.items()},
        bench_version=plan.bench_version,
    )
    own = (*_grid_notes(jobs, runs, read, n_curves), *_notes_on_stored(jobs, store))
    rng = np.random.default_rng(seed)
    found = [
        analyse(grid, question, rng)
        for grid in (split_by_steps(read.grid) if ask.by_steps else (read.grid,))
    ]
    scales = tuple(
        replace(one, origin=origin, notes=(*plan.notes(), *one.notes, *own)) for one in found
    )
    return scales, read.n_failed


def _grid_notes(
    jobs: Sequence[LadderJob], runs: Sequence[LadderRun], read: LadderData, n_curves: int
) -> Iterator[str]:
    """What a reader must know of how the grid came about."""
    bounds = sorted({arm for job in jobs for arm in job.plan.upper_bounds})
    for arm in bounds:
        yield f"{arm} sees the gold answers: an upper bound, which has no onset"
    for model, arm, share in read.contaminated:
        yield (
            f"contaminated: {arm} asks for no reasoning, but {model} reasons before answering in "
            f"{100 * share:.0f} % of its answers; that cell is left out"
        )
    if read.n_failed:
        yield f"{read.n_failed} attempts failed or were not made; they are left out, not wrong"
    if n_curves > 1:
        yield (
            f"all intervals of the {n_curves} analyses hold at once at {100 * LEVEL:g} %, so each "
            f"analysis's at {100 * LEVEL ** (1 / n_curves):.4g} %"
        )
    for run in runs:
        if run.price is not None:
            yield (
                f"dollars of {run.rung.model}: list prices of {run.price.as_of} "
                f"({run.price.status}); check them at {run.price.source}"
            )


def _notes_on_stored(jobs: Sequence[LadderJob], store: Store) -> Iterator[str]:
    """Yield what must be known of runs that an earlier cotkit made or scored."""
    if trusted_ids := [job.plan.stored_id for job in jobs if job.plan.stored_id is not None]:
        yield trust_note(trusted_ids)
    if n_outdated := sum(store.n_outdated(job.run_id, score.SCORER_VERSION) for job in jobs):
        yield outdated_note(n_outdated)
