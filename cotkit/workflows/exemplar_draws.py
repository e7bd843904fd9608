"""Several draws of one comparison: how far its gain depends on the exemplars or on sampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

from cotkit.analysis.draws import DrawVariance, draw_variance, gain_matrix
from cotkit.analysis.values import Comparison
from cotkit.errors import InterruptedRunError, UsageError
from cotkit.protocols import Backend, Benchmark, OracleStrategy, Strategy
from cotkit.registry import parse_spec
from cotkit.run import Plan, RunSpec, plan_runnable
from cotkit.run.budget import NO_LIMITS, Budget, Resources
from cotkit.scoring.chance import CHANCE
from cotkit.store import Store, place_of
from cotkit.types import Exemplar
from cotkit.workflows.compare import LEVEL, Emit, run_spec

RESUME_HINT = "give the same command again: what is done is not made again"
"""How draws go on. A resume knows one run, so it would print the comparison of one draw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExemplarDraws:
    """One comparison of each draw, and what they say together."""

    kind: str
    """What tells them apart: ``exemplar seed``, ``sample seed``, or ``draw`` of both."""
    seeds: tuple[int | str, ...]
    """The seeds, as asked; of both the names of the draws."""
    comparisons: tuple[Comparison, ...]
    """One for each seed: a run of its own, with its own id."""
    variances: tuple[DrawVariance, ...]
    """One for each arm that shows exemplars, or whose control does; none where failed attempts
    left fewer than two problems."""


def compare_draws(
    spec: RunSpec,
    bench: Benchmark,
    *,
    log_dir: Path | str,
    backend: Backend | None = None,
    emit: Emit | None = None,
    on_plan: Callable[[Plan, Backend, Store], None] | None = None,
    resources: Resources = NO_LIMITS,
) -> ExemplarDraws:
    """Run a spec once for each of its exemplar and sample seeds, on the same problems.

    The other arguments are those of ``run_spec``, which is called for each.

    Raises:
        UsageError: as :func:`draw_plans`, before anything is generated.
        InterruptedRunError: Ctrl-C; the same call goes on.
        CotkitError: whatever ends a run.
    """
    if resources.budget != Budget():
        raise UsageError(
            "a budget is of one run, and several seeds make several",
            hint="--limit bounds what they take",
        )
    plans = draw_plans(spec, bench)
    try:
        comparisons = tuple(
            run_spec(
                plan.spec,
                bench,
                log_dir=log_dir,
                backend=backend,
                emit=emit,
                on_plan=on_plan,
                resources=resources,
            )
            for plan in plans
        )
    except InterruptedRunError as stopped:
        raise InterruptedRunError(stopped.message, hint=RESUME_HINT) from None
    with Store(place_of(log_dir)) as store:
        draws = [store.attempts(comparison.run_id) for comparison in comparisons]
    variances = tuple(
        draw_variance(
            arm,
            control,
            gains,
            seed=spec.seed,
            level=LEVEL,
        )
        for arm, control in (_exemplar_pairs(plans[0]) if spec.exemplar_seeds else plans[0].pairs)
        if len((gains := gain_matrix(draws, arm, control))[0]) >= 2
    )
    kind, seeds = "draw", tuple[int | str, ...](spec.draws())
    if not (spec.exemplar_seeds and spec.sample_seeds):
        kind = "exemplar seed" if spec.exemplar_seeds else "sample seed"
        seeds = spec.exemplar_seeds or spec.sample_seeds
    return ExemplarDraws(kind=kind, seeds=seeds, comparisons=comparisons, variances=variances)


def draw_plans(spec: RunSpec, bench: Benchmark) -> tuple[Plan, ...]:
    """Plan each draw of a spec, on the same problems; nothing is generated.

    Raises:
        UsageError: no seeds, one problem, or as :func:`check_draws`.
        CotkitError: as ``plan_runnable``.
    """
    if not spec.has_draws:
        raise UsageError("no exemplar seeds given", hint="two or more: 0,1,2,3,4")
    if spec.baseline == CHANCE:
        raise UsageError(
            "the variance of draws is of gains over a control that is run",
            hint="leave out the seeds, or --baseline chance",
        )
    plans = tuple(plan_runnable(draw, bench) for draw in spec.draws().values())
    if len(plans[0].problems) < 2:
        raise UsageError("one problem shows no variance between problems", hint="--limit 2 or more")
    check_draws(spec, plans)
    return plans


def check_draws(spec: RunSpec, plans: Sequence[Plan]) -> None:
    """Refuse draws that could not differ.

    Raises:
        UsageError: no arm that shows exemplars, one that draws them by itself, two seeds that show
            the same ones in the same order, or no arm that samples.
    """
    if spec.exemplar_seeds:
        _check_arms(plans[0])
        _check_differ(plans)
    arms = [arm.strategy for arm in plans[0].arms]
    if spec.sample_seeds and not any(getattr(arm, "temperature", 0) for arm in arms):
        raise UsageError(
            "no strategy of this run samples, so sample seeds change nothing",
            hint="--temperature 0.7, or self-consistency",
        )


def _check_arms(plan: Plan) -> None:
    for arm in plan.arms:
        spec = parse_spec(arm.name)
        if "pool" in _field_names(arm.strategy) and "seed" in spec.params:
            raise UsageError(
                f"exemplar seeds change nothing in {arm.name}: its seed says which are drawn",
                hint=f"leave seed out of {spec.name}",
            )
    if not _exemplar_pairs(plan):
        raise UsageError(
            "no strategy of this run shows exemplars, so exemplar seeds change nothing",
            hint="few-shot strategies: cot, equation-only, ...",
        )


def _check_differ(plans: Sequence[Plan]) -> None:
    seed_of: dict[tuple[tuple[Exemplar, ...], ...], int] = {}
    for plan in plans:
        seed = plan.spec.exemplar_seed
        other = seed_of.setdefault(tuple(_exemplars_of(arm.strategy) for arm in plan.arms), seed)
        if other != seed:
            raise UsageError(
                f"exemplar seeds {other} and {seed} show the same exemplars in the same order",
                hint="take another seed or more exemplars",
            )


def _exemplar_pairs(plan: Plan) -> list[tuple[str, str]]:
    """Return the pairs that depend on exemplars."""
    showing = {arm.name for arm in plan.arms if _exemplars_of(arm.strategy)}
    return [pair for pair in plan.pairs if not showing.isdisjoint(pair)]


def _exemplars_of(strategy: Strategy | OracleStrategy) -> tuple[Exemplar, ...]:
    """Return the exemplars of a strategy that is given some, or a pool to draw them from."""
    is_given = not {"exemplars", "pool"}.isdisjoint(_field_names(strategy))
    return getattr(strategy, "exemplars") if is_given else ()  # noqa: B009 - no protocol has it


def _field_names(strategy: Strategy | OracleStrategy) -> set[str]:
    return {field.name for field in fields(strategy)} if is_dataclass(strategy) else set()
