"""Several exemplar draws of one comparison: does its gain hang on the exemplars or the problems?"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cotkit.analysis.draws import DrawVariance, draw_variance, gain_matrix
from cotkit.analysis.results import Comparison
from cotkit.api import LEVEL, STORE_NAME, Emit, run_spec
from cotkit.errors import UsageError
from cotkit.protocols import Backend, Benchmark
from cotkit.run import Plan, RunSpec, make_plan
from cotkit.store import Store
from cotkit.types import BackendInfo, Exemplar


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """One comparison under each exemplar seed, and what they say together."""

    seeds: tuple[int, ...]
    """The exemplar seeds, as asked."""
    comparisons: tuple[Comparison, ...]
    """One for each seed: a run of its own, with its own id."""
    variances: tuple[DrawVariance, ...]
    """One for each arm that shows exemplars, or whose control does."""


def compare_draws(
    spec: RunSpec,
    bench: Benchmark,
    *,
    log_dir: Path,
    backend: Backend | None = None,
    emit: Emit | None = None,
    on_plan: Callable[[Plan, BackendInfo, Store], None] | None = None,
) -> Draws:
    """Run a spec once for each of its ``exemplar_seeds``, on the same problems.

    The other arguments are those of ``run_spec``, which is called for each seed.

    Raises:
        UsageError: no seeds, no arm that shows exemplars, or two seeds that show the same ones in
            the same order; said before anything is generated.
        CotkitError: whatever ends a run.
    """
    seeds = spec.exemplar_seeds
    each = [replace(spec, exemplar_seed=seed, exemplar_seeds=()) for seed in seeds]
    pairs = _check([make_plan(one, bench) for one in each], seeds)
    comparisons = tuple(
        run_spec(one, bench, log_dir=log_dir, backend=backend, emit=emit, on_plan=on_plan)
        for one in each
    )
    with Store(log_dir / STORE_NAME) as store:
        draws = [store.attempts(comparison.run_id) for comparison in comparisons]
    variances = tuple(
        draw_variance(
            arm,
            control,
            gain_matrix(draws, arm, control),
            rng=random.Random(spec.seed),  # noqa: S311 - resampling, not cryptography
            level=LEVEL,
        )
        for arm, control in pairs
    )
    return Draws(seeds=seeds, comparisons=comparisons, variances=variances)


def _check(plans: list[Plan], seeds: tuple[int, ...]) -> list[tuple[str, str]]:
    """The pairs that depend on exemplars."""
    if not plans:
        raise UsageError("no exemplar seeds given", hint="two or more: 0,1,2,3,4")
    shown = [{arm.name: getattr(arm.strategy, "exemplars", ()) for arm in p.arms} for p in plans]
    pairs = [pair for pair in plans[0].pairs if any(shown[0][name] for name in pair)]
    if not pairs:
        raise UsageError(
            "no strategy of this run shows exemplars, so exemplar seeds change nothing",
            hint="few-shot strategies: cot, equation-only, ...",
        )
    seen: dict[tuple[tuple[str, tuple[Exemplar, ...]], ...], int] = {}
    for seed, exemplars in zip(seeds, shown, strict=True):
        other = seen.setdefault(tuple(sorted(exemplars.items(), key=lambda kv: kv[0])), seed)
        if other != seed:
            raise UsageError(
                f"exemplar seeds {other} and {seed} show the same exemplars in the same order",
                hint="take another seed or more exemplars",
            )
    return pairs
