"""Two models, or two ladders, on the same problems: ``compare --models A,B``, ``scale --over``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cotkit.analysis.scale.contrasts import (
    ContrastQuestion,
    ModelContrasts,
    ModelPair,
    contrast_models,
    match_sizes,
)
from cotkit.analysis.scale.grid import Rung, rung_position
from cotkit.analysis.scale.values import Scale
from cotkit.analysis.values import Aside
from cotkit.errors import UsageError
from cotkit.protocols import Backend, Benchmark
from cotkit.run import RunSpec
from cotkit.run.budget import NO_LIMITS, Resources
from cotkit.store import Store, existing_place, place_of
from cotkit.workflows.compare import Emit, criteria_of, ignore_event, left_out_notes
from cotkit.workflows.ladder import check_ladder
from cotkit.workflows.scale import (
    LadderForecast,
    LadderJob,
    ScaleOptions,
    ScaleResult,
    check_fixed,
    complete_jobs,
    explain_interrupt,
    first_draw,
    forecast_ladder,
    make_jobs,
    pairs_of,
    read_jobs,
    scale_models,
    stored_jobs,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastResult:
    """The contrasts of two sides, and how many attempts they lack."""

    contrasts: tuple[ModelContrasts, ...]
    """One for each benchmark."""
    n_failed: int
    """Attempts that failed; they are holes."""
    why_failed: str | None
    """The most common reason in the last run with failures; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderSide:
    """A model or a ladder that is compared with another."""

    name: str | None
    """Its family, as reports name it; None: as its models are of."""
    models: tuple[str | Backend, ...]
    """Its models, at least one; of stored runs, their ids."""


def scale_ladders(
    spec: RunSpec,
    sides: Sequence[LadderSide],
    benches: Sequence[tuple[str, Benchmark]],
    options: ScaleOptions,
    *,
    log_dir: Path | str,
    emit: Emit | None = None,
    on_plan: Callable[[LadderForecast], None] | None = None,
    resources: Resources = NO_LIMITS,
) -> ScaleResult:
    """Analyse several ladders as ``scale_models`` analyses one; each is a curve by its name.

    Raises:
        CotkitError: as there.
    """
    scales: list[Scale] = []
    results = [
        scale_models(
            spec,
            side.models,
            benches,
            options,
            log_dir=log_dir,
            emit=emit,
            on_plan=on_plan,
            resources=resources,
        )
        for side in sides
    ]
    for side, result in zip(sides, results, strict=True):
        scales += [replace(scale, family=side.name or scale.family) for scale in result.scales]
    if len(sides) > 1:
        note = Aside("intervals hold together within a family, not over families")
        scales = [replace(scale, notes=(*scale.notes, note)) for scale in scales]
    reasons = [result.why_failed for result in results if result.why_failed]
    return ScaleResult(
        scales=tuple(scales),
        n_failed=sum(result.n_failed for result in results),
        why_failed=reasons[-1] if reasons else None,
    )


def compare_models(
    spec: RunSpec,
    sides: tuple[LadderSide, LadderSide],
    benches: Sequence[tuple[str, Benchmark]],
    options: ScaleOptions | None,
    *,
    log_dir: Path | str,
    emit: Emit | None = None,
    on_plan: Callable[[LadderForecast], None] | None = None,
    resources: Resources = NO_LIMITS,
) -> ContrastResult:
    """Run a spec on the models of two sides, and compare them problem by problem.

    Args:
        spec: Its ``model`` and ``bench`` are those of the next two in turn.
        sides: The first, and what it is compared with.
        benches: Each as the user wrote it, and itself.
        options: What size means, of two ladders; None: one model a side, whatever its size.
        log_dir: Folder of the store, or URL of a database.
        emit: Called with every event.
        on_plan: Called with what the runs would take, before the first of them.
        resources: Prices and executor of every run.

    Raises:
        UsageError: a model twice, no common size, or what ``scale_models`` refuses.
        InterruptedRunError: Ctrl-C; the same command goes on.
        CotkitError: whatever ends a run.
    """
    check_fixed(spec, resources, [text for text, _ in benches])
    say = emit or ignore_event
    scale_options = options or ScaleOptions(axis="ordinal")
    with explain_interrupt(), Store(place_of(log_dir)) as store:
        models = [model for side in sides for model in side.models]
        jobs = make_jobs(spec, models, benches, scale_options, resources, store=store, emit=say)
        n_first = len(sides[0].models) * len(benches) * len(spec.draws())
        split = jobs[:n_first], jobs[n_first:]
        for _, bench in benches:
            _match(_rungs([[job for job in half if job.bench is bench] for half in split]), options)
        forecast = forecast_ladder(jobs, store, scale_options, resources)
        if on_plan is not None:
            on_plan(forecast)
        why = complete_jobs(jobs, store, resources, log_dir=log_dir, emit=say)
        names = _side_names(sides, split)
        results = [
            _contrast(
                [[job for job in half if job.bench is bench] for half in split],
                names,
                store,
                options,
                level_of=len(benches),
            )
            for _, bench in benches
        ]
    return ContrastResult(
        contrasts=tuple(contrasts for contrasts, _ in results),
        n_failed=sum(n_failed for _, n_failed in results),
        why_failed=why,
    )


def compare_runs(
    sides: tuple[LadderSide, LadderSide],
    options: ScaleOptions,
    *,
    margin: float,
    log_dir: Path | str,
    trusts_code: bool = False,
) -> ContrastResult:
    """Compare two ladders of stored runs as :func:`compare_models` does; nothing is generated.

    ``trusts_code``: whether Python files that the runs name may be run.

    Raises:
        UsageError: as ``scale_runs`` and :func:`compare_models`.
    """
    with explain_interrupt(), Store(existing_place(log_dir)) as store:
        ids = [[store.run(str(run)).id for run in side.models] for side in sides]
        jobs = stored_jobs(
            store, [run_id for half in ids for run_id in half], options, trusts_code=trusts_code
        )
        jobs = [
            replace(job, plan=replace(job.plan, spec=replace(job.plan.spec, margin=margin)))
            for job in jobs
        ]
        split = jobs[: len(ids[0])], jobs[len(ids[0]) :]
        contrasts, n_failed = _contrast(
            split, _side_names(sides, split), store, options, level_of=1
        )
    return ContrastResult(contrasts=(contrasts,), n_failed=n_failed, why_failed=None)


def _side_names(
    sides: Sequence[LadderSide], split: Sequence[Sequence[LadderJob]]
) -> tuple[str, str]:
    """Return what to call either side: its family, else its models; with what sets it apart."""
    names: list[str] = []
    for side, jobs in zip(sides, split, strict=True):
        models = dict.fromkeys(job.rung.model for job in jobs)
        families = {job.rung.family for job in jobs}
        shared = families.pop() if len(families) == 1 and len(models) > 1 else None
        names.append(side.name or shared or ", ".join(models))
    if names[0] != names[1]:
        return names[0], names[1]
    settings = [
        set.intersection(
            *(set({**job.plan.spec.model_args, **job.plan.spec.generation}.items()) for job in jobs)
        )
        for jobs in split
    ]
    first, second = (
        ",".join(sorted(f"{key}={value}" for key, value in own - other))
        for own, other in (settings, settings[::-1])
    )
    return ":".join(filter(None, (names[0], first))), ":".join(filter(None, (names[1], second)))


def _rungs(split: Sequence[Sequence[LadderJob]]) -> list[list[Rung]]:
    return [[job.rung for job in first_draw(jobs)] for jobs in split]


def _match(rungs: Sequence[Sequence[Rung]], options: ScaleOptions | None) -> tuple[ModelPair, ...]:
    """Pair the models of two sides.

    Raises:
        UsageError: a model twice, or no common size.
    """
    first, second = rungs
    models = [rung.model for side in rungs for rung in side]
    for model in models:
        if models.count(model) > 1:
            raise UsageError(f"{model} is given twice", hint="name two models, or two settings")
    if options is None:
        return (ModelPair(model=first[0], reference=second[0], x=None),)
    for side in rungs:
        if len(side) > 1:
            check_ladder(side, options.axis)
    placed = [
        [(rung, rung_position(rung, i, options.axis)) for i, rung in enumerate(side)]
        for side in rungs
    ]
    return match_sizes(placed[0], placed[1], options.axis)


def _contrast(
    split: Sequence[Sequence[LadderJob]],
    names: tuple[str, str],
    store: Store,
    options: ScaleOptions | None,
    *,
    level_of: int,
) -> tuple[ModelContrasts, int]:
    """Compare two sides on one benchmark; ``level_of``: how many such comparisons hold at once."""
    jobs = [job for half in split for job in half]
    pairs = _match(_rungs(split), options)
    spec = jobs[0].plan.spec
    criteria = criteria_of(spec)
    data, notes = read_jobs(jobs, store, criteria, prices=None, n_curves=level_of)
    answer = contrast_models(
        data.grid,
        pairs,
        ContrastQuestion(
            names=names,
            pairs=tuple(dict.fromkeys(pair for job in jobs for pair in pairs_of(job.plan))),
            margin=criteria.margin,
            level=criteria.level ** (1 / level_of),
            axis=None if options is None else options.axis,
            seed=spec.seed,
        ),
    )
    compared = {rung.model for pair in pairs for rung in (pair.model, pair.reference)}
    unmatched = [job.rung.model for job in jobs if job.rung.model not in compared]
    alone = [f"of a size that the other has not: {', '.join(unmatched)}"] if unmatched else []
    plan = jobs[0].plan
    return (
        replace(
            answer,
            notes=tuple(
                dict.fromkeys((*left_out_notes(plan), *plan.notes(), *answer.notes, *alone, *notes))
            ),
            runs={job.rung.model: job.run_id for job in first_draw(jobs)},
        ),
        data.n_failed - data.n_left_out,
    )
