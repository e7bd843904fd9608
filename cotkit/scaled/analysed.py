"""The analysis of a ladder's runs on one benchmark, with what must be known of how they went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cotkit.analysis.scale.analysis import analyse
from cotkit.analysis.scale.inputs import Question
from cotkit.analysis.scale.values import Origin, Scale
from cotkit.run.identity import trust_note
from cotkit.running import LEVEL, outdated_note, price_for
from cotkit.scaled.grid import Arms, Ran, Read, read_grid
from cotkit.scaled.job import Ask, Job, pairs_of
from cotkit.scaled.steps import by_steps
from cotkit.scoring import score
from cotkit.store import Store


def analysed(
    jobs: Sequence[Job],
    store: Store,
    ask: Ask,
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
        Ran(
            rung=job.rung,
            run_id=job.run_id,
            price=price_for(job.plan.spec, job.info, ask.prices),
        )
        for job in jobs
    ]
    read = read_grid(
        store,
        runs,
        Arms(
            bench=plan.spec.bench,
            problem_ids=tuple(sorted(problem.question.id for problem in plan.problems)),
            reasons={name: strategy.reasons for name, strategy in arms.items()},
            reader=plan.spec.reader,
        ),
    )
    question = Question(
        pairs=tuple(dict.fromkeys(pair for job in jobs for pair in pairs_of(job.plan))),
        margin=margin,
        level=LEVEL ** (1 / n_curves),
        axis=ask.axis,
        assume_sustained=ask.assume_sustained,
    )
    origin = Origin(
        reader=plan.spec.reader,
        n_total=len(plan.everything),
        runs={run.rung.model: run.run_id for run in runs},
        n_shot={name: n for job in jobs for name, n in job.plan.n_shot.items()},
        bench_version=plan.bench_version,
    )
    own = (*_notes(jobs, runs, read, n_curves), *_notes_on_stored(jobs, store))
    rng = np.random.default_rng(seed)
    found = [
        analyse(grid, question, rng)
        for grid in (by_steps(read.grid) if ask.by_steps else (read.grid,))
    ]
    scales = tuple(
        replace(one, origin=origin, notes=(*plan.notes(), *one.notes, *own)) for one in found
    )
    return scales, read.n_failed


def _notes(jobs: Sequence[Job], runs: Sequence[Ran], read: Read, n_curves: int) -> Iterator[str]:
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


def _notes_on_stored(jobs: Sequence[Job], store: Store) -> Iterator[str]:
    """Yield what must be known of runs that an earlier cotkit made or scored."""
    if trusted_ids := [job.plan.stored_id for job in jobs if job.plan.stored_id is not None]:
        yield trust_note(trusted_ids)
    if n_outdated := sum(store.n_outdated(job.run_id, score.SCORER_VERSION) for job in jobs):
        yield outdated_note(n_outdated)
