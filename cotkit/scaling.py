"""From a ladder of models to where a strategy starts to help: the front door of ``cotkit scale``.

One model runs after another, each on the same problems; what the store holds is not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cotkit.analysis.hypotheses import sidak_level
from cotkit.analysis.scale.values import Scale
from cotkit.bench import load_benchmark
from cotkit.errors import InterruptedRunError, UsageError
from cotkit.events import Event, RunStarted
from cotkit.forecast import Forecast, forecast
from cotkit.protocols import Backend, Benchmark
from cotkit.registry import parse_spec
from cotkit.run import RunSpec, make_plan
from cotkit.run.identity import Content
from cotkit.run.loop import run_to_end
from cotkit.run.runner import reread
from cotkit.running import LEVEL, Emit, Means, change_of, perform, trusted, why_failed
from cotkit.scaled import check_alike, check_count, check_ladder, rung_of
from cotkit.scaled.analysed import analysed
from cotkit.scaled.job import Ask, Job, check_losses, loss_of, make_job, pairs_of
from cotkit.scaled.steps import counts_by_steps
from cotkit.scoring import score
from cotkit.store import Store, existing, place_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
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
class Scaled:
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
    ask: Ask,
    *,
    log_dir: Path | str,
    emit: Emit,
    on_plan: Callable[[Prospect], None] | None = None,
) -> Scaled:
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
    with _kept(), Store(place_of(log_dir)) as store:
        jobs = [
            make_job(spec, model, bench, ask=ask, store=store, emit=emit)
            for model in models
            for bench in benches
        ]
        for _, bench in benches:
            check_ladder([job.rung for job in jobs if job.bench is bench], ask.axis)
        check_losses(ask.losses, jobs)
        prospect = _prospect(jobs, store, ask)
        if on_plan is not None:
            on_plan(prospect)
        why: str | None = None
        for number, job in enumerate(jobs, start=1):
            title = f"{number} of {len(jobs)}, {job.info.model} on {job.plan.spec.bench}"
            titled = _titled(emit, title)
            why = _complete(job, store, log_dir=log_dir, emit=titled, ask=ask) or why
        read = [
            analysed(
                [job for job in jobs if job.bench is bench],
                store,
                ask,
                margin=spec.margin,
                seed=spec.seed,
                n_curves=len(prospect.n_problems),
            )
            for _, bench in benches
        ]
    return Scaled(
        scales=tuple(scale for scales, _ in read for scale in scales),
        n_failed=sum(n_failed for _, n_failed in read),
        why_failed=why,
    )


def scale_runs(
    runs: Sequence[str], ask: Ask, *, margin: float, seed: int, log_dir: Path | str
) -> Scaled:
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
    place = existing(log_dir)
    check_count(len(runs))
    with _kept(), Store(place) as store:
        found = [store.run(prefix) for prefix in runs]
        specs = [RunSpec.from_json(one.spec) for one in found]
        contents = [(one.id, _content(store, one.id)) for one in found]
        check_alike(contents)
        benches = {spec.bench: load_benchmark(parse_spec(spec.bench)) for spec in specs}
        jobs: list[Job] = []
        for (run_id, _), spec in zip(contents, specs, strict=True):
            _, info = store.run_backend(run_id)
            job = Job(
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
        n_curves = len(_curves(jobs, ask))
        scales, n_failed = analysed(jobs, store, ask, margin=margin, seed=seed, n_curves=n_curves)
    return Scaled(scales=scales, n_failed=n_failed, why_failed=None)


def _check_benches(written: Sequence[str]) -> None:
    for one in written:
        if written.count(one) > 1:
            raise UsageError(f"benchmark {one} is given twice", hint="name each once")


def _prospect(jobs: Sequence[Job], store: Store, ask: Ask) -> Prospect:
    n_problems = _curves(jobs, ask)
    n_pairs = max(len(pairs_of(job.plan)) for job in jobs)
    n_sizes = len({job.info.model for job in jobs})
    n_at_once = n_pairs * len(n_problems) * (1 if ask.assume_sustained else n_sizes)
    return Prospect(
        forecasts=tuple(
            (job.plan.spec.bench, forecast(job.plan, job.info, store, ask.prices)) for job in jobs
        ),
        n_sizes=n_sizes,
        n_pairs=n_pairs,
        n_problems=n_problems,
        each=sidak_level(LEVEL, n_at_once),
    )


def _curves(jobs: Sequence[Job], ask: Ask) -> tuple[int, ...]:
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
def _kept() -> Generator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "interrupted; everything generated so far is kept",
            hint="the same command goes on where it stopped",
        ) from None


def _content(store: Store, run_id: str) -> Content:
    content = store.run_content(run_id)
    if not content:
        raise UsageError(
            f"run {run_id} was made by an earlier cotkit, which did not keep what a run is of",
            hint="give its compare command again; completions are not made again",
        )
    return content


def _titled(emit: Emit, title: str) -> Emit:
    """An `Emit` whose runs say which of several they are."""

    def emit_titled(event: Event) -> None:
        emit(replace(event, title=title) if isinstance(event, RunStarted) else event)

    return emit_titled


def _complete(job: Job, store: Store, *, log_dir: Path | str, emit: Emit, ask: Ask) -> str | None:
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
        means=Means(prices=ask.prices),
    )
    return why_failed(ran.done)
