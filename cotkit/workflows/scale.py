"""From a ladder of models to where a strategy starts to help: the work of ``cotkit scale``.

One model runs after another, each on the same problems; what the store holds is not made again.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from cotkit.analysis.bias import measure_bias, measure_bias_changes
from cotkit.analysis.scale.analysis import analyse
from cotkit.analysis.scale.grid import (
    THRESHOLDS,
    ArmOutcomes,
    Axis,
    ResultGrid,
    Rung,
    ScaleQuestion,
    rung_position,
)
from cotkit.analysis.scale.values import BiasBySize, RunOrigin, Scale
from cotkit.analysis.trends import measure_trends, trend_sentence
from cotkit.analysis.values import Aside, Bias, BiasChange, Criteria
from cotkit.backends._hosted.addresses import foreign_address
from cotkit.benchmarks import allow_code, load_benchmark
from cotkit.errors import InterruptedRunError, UnknownNameError, UsageError
from cotkit.events import Event, RunStarted, Said
from cotkit.identity import backend_key
from cotkit.protocols import Backend, Benchmark
from cotkit.registry import parse_spec
from cotkit.run import Plan, RunSpec, make_plan, plan_runnable
from cotkit.run.backend import with_model
from cotkit.run.budget import NO_LIMITS, Budget, Resources
from cotkit.run.identity import Content, trust_note
from cotkit.run.judge import build_judge
from cotkit.run.loop import run_to_end
from cotkit.run.runner import reread
from cotkit.run.served import settle_server
from cotkit.run.spec import DEFAULTS, GIVEN_IN_PYTHON
from cotkit.scoring import score
from cotkit.scoring.chance import CHANCE
from cotkit.scoring.measure import answer_length
from cotkit.stats.hypotheses import CORRELATION, LadderDesign, sidak_level
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
    left_out_notes,
    outdated_note,
    perform,
    price_for,
    trusted,
    with_stored_judge,
)
from cotkit.workflows.consent import check_code
from cotkit.workflows.exemplar_draws import check_draws
from cotkit.workflows.ladder import (
    FREE_LIMIT,
    Grouping,
    check_alike,
    check_count,
    check_ladder,
    cost_nothing,
    group_problems,
    rung_of,
    split_grid,
)
from cotkit.workflows.ladder_grid import (
    LadderArms,
    LadderData,
    LadderRun,
    average_draws,
    read_grid,
)
from cotkit.workflows.plan import SHOWN_RATES, Forecast, forecast_plan
from cotkit.workflows.settings import run_settings, shared_settings


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
    design: LadderDesign
    """What decides which step is named with both its ends."""
    chance: float | None = None
    """What guessing solves, where arms are measured against it; None: controls are run."""

    @property
    def shown_rates(self) -> tuple[float, ...]:
        """Solve rates of a control for which it is said what can be found."""
        return SHOWN_RATES if self.chance is None else (self.chance,)


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
    check_fixed(spec, resources, [text for text, _ in benches])
    say = emit or ignore_event
    with explain_interrupt(), Store(place_of(log_dir)) as store:
        jobs = _plan_jobs(spec, models, benches, options, resources, store=store, emit=say)
        if options.assume_sustained:
            _check_chosen_before(jobs, store)
        forecast = forecast_ladder(jobs, store, options, resources)
        if on_plan is not None:
            on_plan(forecast)
        why = complete_jobs(jobs, store, resources, log_dir=log_dir, emit=say)
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


def plan_ladder(
    spec: RunSpec,
    models: Sequence[str | Backend],
    benches: Sequence[tuple[str, Benchmark]],
    options: ScaleOptions,
    *,
    log_dir: Path | str,
    emit: Emit | None = None,
    resources: Resources = NO_LIMITS,
) -> LadderForecast:
    """Forecast what the same :func:`scale_models` would take and could find; nothing is generated.

    Raises:
        CotkitError: as there, for what is wrong with the arguments.
    """
    place = place_of(log_dir)
    is_missing = isinstance(place, Path) and not place.is_file()
    with (
        TemporaryDirectory() as scratch,
        Store(Path(scratch, "empty.db") if is_missing else place) as store,
    ):
        jobs = _plan_jobs(
            spec, models, benches, options, resources, store=store, emit=emit or ignore_event
        )
        try:
            return forecast_ladder(jobs, store, options, resources)
        finally:
            for job in jobs:
                if job.closes and job.backend is not None:
                    run_to_end(job.backend.close())


def _plan_jobs(
    spec: RunSpec,
    models: Sequence[str | Backend],
    benches: Sequence[tuple[str, Benchmark]],
    options: ScaleOptions,
    resources: Resources,
    *,
    store: Store,
    emit: Emit,
) -> list[LadderJob]:
    """Plan every model on every benchmark, model by model.

    Raises:
        UsageError: no ladder, or a benchmark given twice.
    """
    check_count(len(models))
    check_fixed(spec, resources, [text for text, _ in benches])
    if options.assume_sustained:
        spec = replace(spec, assume="sustained")
    is_free = spec.limit is None and cost_nothing(models)
    jobs = make_jobs(
        spec, models, benches, options, resources, store=store, emit=emit, is_free=is_free
    )
    for _, bench in benches:
        check_ladder(
            [job.rung for job in first_draw(jobs) if job.bench is bench],
            options.axis,
            replicates=options.replicates,
        )
    return jobs


def make_jobs(
    spec: RunSpec,
    models: Sequence[str | Backend],
    benches: Sequence[tuple[str, Benchmark]],
    options: ScaleOptions,
    resources: Resources,
    *,
    store: Store,
    emit: Emit,
    is_free: bool = False,
) -> list[LadderJob]:
    """Return a job for each model, benchmark and draw, model by model.

    ``is_free``: whether to draw as many problems as models that cost nothing are asked.

    Raises:
        CotkitError: a name, a size or a loss that does not fit.
    """

    def limit_free(draw: RunSpec, bench: Benchmark) -> RunSpec:
        n_problems = len(allow_code(bench, allowed=spec.run_unsafe_code).problems())
        return replace(draw, limit=min(FREE_LIMIT, n_problems))

    jobs = [
        replace(
            make_job(
                limit_free(draw, bench[1]) if is_free else draw,
                model,
                bench,
                options,
                resources,
                store=store,
                emit=emit,
            ),
            draw=name,
        )
        for model in models
        for bench in benches
        for name, draw in spec.draws().items()
    ]
    if spec.has_draws:
        check_draws(spec, [job.plan for job in jobs if job.bench is benches[0][1]])
    jobs = name_settings(jobs)
    check_sizes(options, jobs)
    return jobs


def first_draw(jobs: Sequence[LadderJob]) -> list[LadderJob]:
    """Return the jobs of the first draw: one for each model and benchmark."""
    return [job for job in jobs if job.draw == jobs[0].draw]


def _check_chosen_before(jobs: Sequence[LadderJob], store: Store) -> None:
    """Refuse an assumption about results that are there already, unless they were made under it.

    Raises:
        UsageError: names a run of the same model, problems and strategy that did not assume it.
    """
    runs = [run for run in store.runs() if run.n_attempts]
    contents = {run.id: store.run_content(run.id) for run in runs}
    for run in runs:
        if json.loads(run.spec).get("assume") == "sustained":
            continue
        content, key = contents[run.id], store.run_backend(run.id)[0]
        for job in jobs:
            arms = {arm for arm, _ in pairs_of(job.plan)}
            ids = {problem.question.id for problem in job.plan.problems}
            if (
                key == backend_key(job.info)
                and not arms.isdisjoint(content.get("arms", ()))
                and not ids.isdisjoint(content.get("problems", ()))
            ):
                raise _chosen_afterwards(run.id)


def _chosen_afterwards(run_id: str) -> UsageError:
    return UsageError(
        f"--assume sustained is chosen before there are results, and those of run {run_id} are "
        "here already",
        hint="leave it out; or a store without them: --log-dir",
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
    with explain_interrupt(), Store(place) as store:
        stored = [store.run(prefix) for prefix in runs]
        specs = [RunSpec.from_json(run.spec) for run in stored]
        for run, stored_spec in zip(stored, specs, strict=True):
            if options.assume_sustained and stored_spec.assume is None:
                raise _chosen_afterwards(run.id)
        jobs = stored_jobs(store, [run.id for run in stored], options, trusts_code=trusts_code)
        check_ladder([job.rung for job in jobs], options.axis, replicates=options.replicates)
        check_sizes(options, jobs)
        n_curves = len(_curve_sizes(jobs, options))
        spec = jobs[0].plan.spec
        criteria = replace(criteria_of(spec), margin=margin)
        scales, n_failed = analyse_jobs(
            jobs, store, options, criteria, prices=prices, seed=seed, n_curves=n_curves
        )
    return ScaleResult(scales=scales, n_failed=n_failed, why_failed=None)


def stored_jobs(
    store: Store, run_ids: Sequence[str], options: ScaleOptions, *, trusts_code: bool = False
) -> list[LadderJob]:
    """Return the jobs of stored runs, read again where the scorer has changed since.

    Raises:
        UsageError: as :func:`scale_runs`.
    """
    specs = [RunSpec.from_json(store.run(run_id).spec) for run_id in run_ids]
    contents = [(run_id, _run_content(store, run_id)) for run_id in run_ids]
    check_alike(contents)
    for run_id, spec in zip(run_ids, specs, strict=True):
        check_code(run_id, spec, trusts_code=trusts_code)
    benches = {spec.bench: load_benchmark(parse_spec(spec.bench)) for spec in specs}
    jobs: list[LadderJob] = []
    for (run_id, _), spec in zip(contents, specs, strict=True):
        _, info = store.run_backend(run_id)
        job = LadderJob(
            bench=benches[spec.bench],
            plan=with_stored_judge(make_plan(spec, benches[spec.bench]), store, run_id),
            info=info,
            rung=size_of(options, spec.model, info),
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
        settle_server(store, run_id, info)
    return name_settings(jobs)


def check_fixed(spec: RunSpec, resources: Resources, benches: Sequence[str]) -> None:
    """Refuse what would give the models of a ladder different problems.

    Raises:
        UsageError: an end before all problems, a budget, or a benchmark given twice.
    """
    if spec.stop_when is not None:
        raise UsageError(
            "the problems of a ladder are fixed beforehand, the same for every model",
            hint="leave out stop_when; limit bounds what is asked",
        )
    if resources.budget != Budget():
        raise UsageError(
            "a budget is of one run, and several models make several",
            hint="limit bounds what they take",
        )
    for text in benches:
        if benches.count(text) > 1:
            raise UsageError(f"benchmark {text} is given twice", hint="name each once")


def forecast_ladder(
    jobs: Sequence[LadderJob], store: Store, options: ScaleOptions, resources: Resources
) -> LadderForecast:
    """Return what the runs of a ladder take, and could find."""
    n_problems = _curve_sizes(jobs, options)
    n_pairs = max(len(pairs_of(job.plan)) for job in jobs)
    n_sizes = len({job.rung.model for job in jobs})
    n_at_once = n_pairs * len(n_problems) * (1 if options.assume_sustained else n_sizes)
    chance, each = jobs[0].plan.chance, sidak_level(LEVEL, n_at_once)
    return LadderForecast(
        forecasts=tuple(
            (
                job.plan.spec.bench,
                forecast_plan(job.plan, job.info, store, resources.prices, job.backend),
            )
            for job in jobs
        ),
        n_sizes=n_sizes,
        n_pairs=n_pairs,
        n_problems=n_problems,
        each=each,
        design=LadderDesign(
            n_sizes=n_sizes,
            level=each,
            thresholds=(jobs[0].plan.spec.margin, *options.thresholds),
            correlation=CORRELATION if chance is None else None,
        ),
        chance=None if chance is None else fmean(chance.rates.values()),
    )


def _curve_sizes(jobs: Sequence[LadderJob], options: ScaleOptions) -> tuple[int, ...]:
    """Return the number of problems of each analysis.

    Raises:
        UsageError: problems that do not fall into groups.
    """
    plans = {job.plan.spec.bench: job.plan for job in jobs}
    if options.grouping is None:
        return tuple(len(plan.problems) for plan in plans.values())
    number_of = answer_length if options.by_length else attrgetter("n_steps")
    return tuple(
        len(places)
        for bench, plan in plans.items()
        for places in group_problems(
            bench, options.grouping, list(map(number_of, plan.problems))
        ).values()
    )


@contextmanager
def explain_interrupt() -> Generator[None]:
    """Turn Ctrl-C into an error that says how to go on."""
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


def complete_jobs(
    jobs: Sequence[LadderJob],
    store: Store,
    resources: Resources,
    *,
    log_dir: Path | str,
    emit: Emit,
) -> str | None:
    """Run what is missing of each job; return why attempts of the last such run failed."""
    why: str | None = None
    for number, job in enumerate(jobs, start=1):
        title = f"{number} of {len(jobs)}, {job.rung.model} on {job.plan.spec.bench}"
        titled = _add_title(emit, title)
        why = _complete_job(job, store, resources, log_dir=log_dir, emit=titled) or why
    return why


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
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    """The same -> parameters, where neither its backend nor the catalogue knows them."""
    by_steps: bool = False
    """Whether to ask it of the problems of each number of steps, in place of all together."""
    replicates: bool = False
    """Whether models of equal size and unknown family are trainings of one recipe."""
    by_length: bool = False
    """Whether to ask it of the problems of each length of the answer, in place of all together."""

    def __post_init__(self) -> None:
        """Refuse two ways of grouping.

        Raises:
            UsageError: both are asked for.
        """
        if self.by_steps and self.by_length:
            raise UsageError("by steps or by length?", hint="--by-steps or --by-length")

    @property
    def grouping(self) -> Grouping | None:
        """By what problems are grouped; None: they are not."""
        return "steps" if self.by_steps else "length" if self.by_length else None


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
    draw: str = ""
    """Which draw of exemplars and samples; empty: there is one."""

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
    of_bench = replace(spec, bench=bench_text, model=GIVEN_IN_PYTHON)
    plan = plan_runnable(
        with_model(of_bench, model) if isinstance(model, str) else of_bench, benchmark
    )
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
    judge = build_judge(
        plan,
        info=info,
        store=store,
        notify=lambda text: emit(Said(text=text)),
        resources=resources,
    )
    plan = replace(plan, judge=judge and judge.key)
    return LadderJob(
        bench=benchmark,
        plan=plan,
        info=info,
        rung=size_of(options, plan.spec.model, info),
        backend=backend,
        closes=isinstance(model, str),
    )


def name_settings(jobs: Sequence[LadderJob]) -> list[LadderJob]:
    """Return jobs whose models have names of their own: settings of one model join its name."""
    named_jobs: list[LadderJob] = []
    for job in jobs:
        settings = [
            {**each.plan.spec.model_args, **each.plan.spec.generation}
            for each in jobs
            if each.bench is job.bench
            and each.rung.model == job.rung.model
            and each.draw == job.draw
        ]
        own = {**job.plan.spec.model_args, **job.plan.spec.generation}
        differing = [
            f"{key}={value}"
            for key, value in own.items()
            if any(each.get(key) != value for each in settings)
        ]
        name = f"{job.rung.model}:{','.join(differing)}" if differing else job.rung.model
        named_jobs.append(replace(job, rung=replace(job.rung, model=name)))
    return named_jobs


def size_of(options: ScaleOptions, name: str, info: BackendInfo) -> Rung:
    """Return the size of a model; the user's is by the name that they or reports call it."""
    loss = options.losses.get(name, options.losses.get(info.model))
    return rung_of(info, loss, options.sizes.get(name, options.sizes.get(info.model)))


def check_sizes(options: ScaleOptions, jobs: Sequence[LadderJob]) -> None:
    """Refuse losses and parameters of models that are not in the ladder.

    Raises:
        UnknownNameError: names one.
    """
    models = {name for job in jobs for name in (job.plan.spec.model, job.info.model)}
    for name in (*options.losses, *options.sizes):
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
    """Analyse one benchmark, as a whole or by groups; count the attempts that it lacks.

    ``n_curves``: how many analyses of this command hold at once at the level of a report.
    """
    import numpy as np

    plan = jobs[0].plan
    data, notes = read_jobs(jobs, store, criteria, prices=prices, n_curves=n_curves)
    question = ScaleQuestion(
        pairs=tuple(dict.fromkeys(pair for job in jobs for pair in pairs_of(job.plan))),
        margin=criteria.margin,
        level=criteria.level ** (1 / n_curves),
        axis=options.axis,
        assume_sustained=options.assume_sustained,
        thresholds=options.thresholds,
        replicates=options.replicates,
    )
    origin = RunOrigin(
        reader=criteria.reader,
        n_total=len(plan.everything),
        runs={job.rung.model: job.run_id for job in first_draw(jobs)},
        n_shot={name: n for job in jobs for name, n in job.plan.n_shot.items()},
        bench_version=plan.bench_version,
        is_unwalled=any(job.plan.is_unwalled for job in jobs),
        addresses={
            job.info.model: address
            for job in jobs
            if (address := foreign_address(job.info)) is not None
        },
        outcomes=_count_outcomes(jobs, store),
        settings=shared_settings(
            [run_settings(store, job.run_id, job.info) for job in first_draw(jobs)]
        ),
    )
    rng = np.random.default_rng(seed)
    scales = [
        analyse(grid, question, rng)
        for grid in (split_grid(data.grid, options.grouping) if options.grouping else (data.grid,))
    ]
    bias = None if options.grouping else _bias_by_size(first_draw(jobs), store, question, criteria)
    scales_with_origin = tuple(
        replace(
            scale,
            origin=origin,
            bias=bias,
            notes=(*left_out_notes(plan), *plan.notes(), *scale.notes, *notes),
        )
        for scale in scales
    )
    return scales_with_origin, data.n_failed - data.n_left_out


def read_jobs(
    jobs: Sequence[LadderJob],
    store: Store,
    criteria: Criteria,
    *,
    prices: Path | None,
    n_curves: int,
) -> tuple[LadderData, tuple[str, ...]]:
    """Read the runs of jobs on one benchmark, the mean over draws; return it, and notes on it."""
    plan = jobs[0].plan
    arms = {arm.name: arm.strategy for job in jobs for arm in job.plan.arms}
    ladder_arms = LadderArms(
        bench=plan.spec.bench,
        problem_ids=tuple(sorted(problem.question.id for problem in plan.problems)),
        reasons={name: strategy.reasons for name, strategy in arms.items()},
        may_think=frozenset(
            name for job in jobs for name, how in job.plan.thinking.items() if how != "off"
        ),
        reader=criteria.reader,
        answer_lengths={p.question.id: answer_length(p) for p in plan.problems},
        chance=None if plan.chance is None else plan.chance.rates,
    )
    by_draw: dict[str, list[LadderRun]] = {}
    for job in jobs:
        price = price_for(job.plan.spec, job.info, prices)
        run = LadderRun(rung=job.rung, run_id=job.run_id, price=price)
        by_draw.setdefault(job.draw, []).append(run)
    data = average_draws([read_grid(store, runs, ladder_arms) for runs in by_draw.values()])
    notes = (
        *_grid_notes(jobs, by_draw[jobs[0].draw], data, n_curves),
        *_notes_on_stored(jobs, store),
    )
    if len(by_draw) > 1:
        note = (
            f"means over {len(by_draw)} draws ({'; '.join(by_draw)}), problem by problem; "
            "intervals are over problems, for these draws; run ids and samples are of the first"
        )
        notes = (Aside(note), *notes)
    return data, notes


def _bias_by_size(
    jobs: Sequence[LadderJob], store: Store, question: ScaleQuestion, criteria: Criteria
) -> BiasBySize | None:
    """Return the bias of every model, by size; None: the problems are not of stereotypes."""
    tags = {problem.question.id: problem.tags for problem in jobs[0].plan.problems}
    if not any("condition" in of_problem for of_problem in tags.values()):
        return None
    placed = [(rung_position(job.rung, i, question.axis), i, job) for i, job in enumerate(jobs)]
    ordered = [job for x, _, job in sorted(placed, key=lambda place: place[:2]) if x is not None]
    level = sidak_level(question.level, max(1, len(ordered)))
    pairs = [pair for pair in question.pairs if pair[1] != CHANCE]
    scores: list[tuple[Rung, Bias]] = []
    changes: list[tuple[Rung, BiasChange]] = []
    for job in ordered:
        rows = [row for arm in store.arms(job.run_id) for row in store.readings(job.run_id, arm)]
        clusters = {problem.question.id: problem.cluster for problem in job.plan.problems}
        rows = [replace(row, cluster=clusters.get(row.problem_id)) for row in rows]
        scores += [
            (job.rung, bias)
            for bias in measure_bias(rows, tags, reader=criteria.reader, level=question.level)
            if bias.category is None
        ]
        changes += [
            (job.rung, change)
            for change in measure_bias_changes(
                rows, tags, pairs, reader=criteria.reader, level=level
            )
        ]
    return BiasBySize(scores=tuple(scores), changes=tuple(changes))


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
    if (chance := jobs[0].plan.chance) is not None:
        yield f"chance: {chance.how}"
    bounds = sorted({arm for job in jobs for arm in job.plan.upper_bounds})
    for arm in bounds:
        yield f"{arm} sees the gold answers: an upper bound, which has no onset"
    for model, arm, share in data.contaminated:
        yield (
            f"contaminated: {arm} asks for no reasoning, but {model} reasons before answering in "
            f"{100 * share:.0f} % of its answers; that cell is left out"
        )
    yield from data.mute_notes
    yield from _trend_notes(data.grid)
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


def _trend_notes(grid: ResultGrid) -> Iterator[str]:
    """Yield a sentence for each model and each setting of which three arms or more are a curve."""
    ids = grid.problem_ids
    clusters = dict(zip(ids, grid.clusters or (None,) * len(ids), strict=True))
    for rung in grid.rungs:
        scores = {
            arm: {
                problem: score
                for problem, score in zip(ids, cell.correct.tolist(), strict=True)
                if not math.isnan(score)
            }
            for (model, arm), cell in grid.cells.items()
            if model == rung.model and isinstance(cell, ArmOutcomes)
        }
        for trend in measure_trends(scores, clusters, level=sidak_level(LEVEL, len(grid.rungs))):
            yield f"{rung.model}: {trend_sentence(trend)}"


def _notes_on_stored(jobs: Sequence[LadderJob], store: Store) -> Iterator[str]:
    """Yield what must be known of runs that an earlier cotkit made or scored."""
    if trusted_ids := [job.plan.stored_id for job in jobs if job.plan.stored_id is not None]:
        yield trust_note(trusted_ids)
    if n_outdated := sum(store.n_outdated(job.run_id, score.current_versions()) for job in jobs):
        yield outdated_note(n_outdated)
