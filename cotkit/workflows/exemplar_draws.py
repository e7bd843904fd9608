"""Several exemplar draws of one comparison: how far its gain depends on the exemplars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path

from cotkit.analysis.draws import DrawVariance, draw_variance, gain_matrix
from cotkit.analysis.values import Comparison
from cotkit.errors import InterruptedRunError, UsageError
from cotkit.protocols import Backend, Benchmark, OracleStrategy, Strategy
from cotkit.registry import parse_spec
from cotkit.run import Plan, RunSpec, make_plan
from cotkit.run.budget import NO_LIMITS, Budget, Resources
from cotkit.scoring.chance import CHANCE
from cotkit.store import Store, place_of
from cotkit.types import Exemplar
from cotkit.workflows.compare import LEVEL, Emit, run_spec

RESUME_HINT = "give the same command again: what is done is not made again"
"""How draws go on. A resume knows one run, so it would print the comparison of one draw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExemplarDraws:
    """One comparison under each exemplar seed, and what they say together."""

    seeds: tuple[int, ...]
    """The exemplar seeds, as asked."""
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
    """Run a spec once for each of its ``exemplar_seeds``, on the same problems.

    The other arguments are those of ``run_spec``, which is called for each seed.

    Raises:
        UsageError: as :func:`draw_plans`, before anything is generated.
        InterruptedRunError: Ctrl-C; the same call goes on.
        CotkitError: whatever ends a run.
    """
    if resources.budget != Budget():
        raise UsageError(
            "a budget is of one run, and exemplar seeds make several",
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
        for arm, control in _exemplar_pairs(plans[0])
        if len((gains := gain_matrix(draws, arm, control))[0]) >= 2
    )
    return ExemplarDraws(seeds=spec.exemplar_seeds, comparisons=comparisons, variances=variances)


def draw_plans(spec: RunSpec, bench: Benchmark) -> tuple[Plan, ...]:
    """Plan each exemplar seed of a spec, on the same problems; nothing is generated.

    Raises:
        UsageError: no seeds, one problem, no arm that shows exemplars, one that draws them by
            itself, or two seeds that show the same ones in the same order.
        CotkitError: as ``make_plan``.
    """
    seeds = spec.exemplar_seeds
    if not seeds:
        raise UsageError("no exemplar seeds given", hint="two or more: 0,1,2,3,4")
    if spec.baseline == CHANCE:
        raise UsageError(
            "the variance of exemplar draws is of gains over a control that is run",
            hint="leave out --exemplar-seeds, or --baseline chance",
        )
    plans = tuple(
        make_plan(replace(spec, exemplar_seed=seed, exemplar_seeds=()), bench) for seed in seeds
    )
    if len(plans[0].problems) < 2:
        raise UsageError("one problem shows no variance between problems", hint="--limit 2 or more")
    _check_arms(plans[0])
    _check_differ(plans, seeds)
    return plans


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


def _check_differ(plans: tuple[Plan, ...], seeds: tuple[int, ...]) -> None:
    seed_of: dict[tuple[tuple[Exemplar, ...], ...], int] = {}
    for seed, plan in zip(seeds, plans, strict=True):
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
