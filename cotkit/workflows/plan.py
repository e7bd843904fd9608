"""Forecast a run: what it asks, what the store saves, what it costs, which gain it can find."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from cotkit.backends._hosted.addresses import address_warnings
from cotkit.backends._thinking import thinking_room
from cotkit.events import Said
from cotkit.identity import backend_key
from cotkit.models.prices import Price
from cotkit.protocols import Backend, Benchmark
from cotkit.run import Plan, RunSpec, build_backend, plan_runnable
from cotkit.run.budget import NO_LIMITS, Resources
from cotkit.run.forecast import ArmSurvey, CostEstimate, Pace, estimate_arm, survey_arms
from cotkit.run.judge import build_judge
from cotkit.run.likelihood import count_scored_options
from cotkit.run.loop import run_to_end
from cotkit.run.thinking import check_thinking
from cotkit.stats.hypotheses import CORRELATION, minimum_detectable_effect
from cotkit.store import Store, place_of
from cotkit.types import BackendInfo
from cotkit.workflows.compare import LEVEL, Emit, left_out_notes, price_for
from cotkit.workflows.exemplar_draws import draw_plans

SHOWN_RATES = (0.05, 0.2, 0.5)
"""Solve rates of a control for which a forecast says the smallest gain it can find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Counts and a power calculation; :mod:`cotkit.run.forecast` says what is certain."""

    run_id: str
    """Identity of the run (12 hex characters); of several exemplar draws, one for each."""
    model: str
    """The model as reports name it."""
    bench: str
    """Benchmark name."""
    n_problems: int
    """Problems drawn."""
    n_total: int
    """Problems the benchmark has."""
    arms: tuple[ArmSurvey, ...]
    """Controls first, in the order in which requests are counted as shared."""
    upper_bounds: frozenset[str]
    """Names of the arms that see the gold answers."""
    prompt_tokens: tuple[int | None, ...] = ()
    """For each arm, about how many prompt tokens its ``n_to_make`` completions are asked with
    (the mean first prompt of a few problems); None: the backend cannot tell. Empty: not asked."""
    n_weighed: int = 0
    """Options that come on top, at most: their log-probabilities are asked after each attempt. Not
    in ``arms`` and ``estimates``."""
    estimates: tuple[CostEstimate, ...]
    """For each arm, what its completions to be made will take, as ranges."""
    price: Price | None
    """Of the model's tokens; None: unknown."""
    detectable: tuple[tuple[float, float], ...]
    """(the control's solve rate, smallest gain that the run finds there with power 0.8); NaN:
    none. Over chance, one: at what guessing solves.
    Empty if no arm has a control, and for exemplar draws, which are judged together."""


def plan_spec(
    spec: RunSpec,
    bench: Benchmark,
    *,
    log_dir: Path | str,
    backend: Backend | None = None,
    emit: Emit | None = None,
    resources: Resources = NO_LIMITS,
) -> Forecast:
    """Forecast the run of a spec; a store that does not exist is not made.

    Exemplar draws are counted together, as arms of one run: what they share is made once.

    Raises:
        CotkitError: as ``run_spec`` and ``compare_draws``, for what is wrong with the spec.
    """

    def say(text: str) -> None:
        if emit is not None:
            emit(Said(text=text))

    plans = draw_plans(spec, bench) if spec.has_draws else (plan_runnable(spec, bench),)
    for note in left_out_notes(plans[0]):
        say(note)
    merged, place = _merge_plans(plans, list(spec.draws())), place_of(log_dir)
    exists = not isinstance(place, Path) or place.is_file()
    with Store(place) if exists else contextlib.nullcontext() as store:
        asking = backend or build_backend(
            spec.model,
            spec.model_args,
            problems=merged.known_problems,
            store=store,
            notify=say,
            trusted_addresses=resources.trusted_addresses,
        )
        judge = build_judge(
            merged,
            info=asking.info,
            store=store,
            notify=say,
            resources=resources,
        )
        if judge is not None:
            plans = tuple(replace(plan, judge=judge.key) for plan in plans)
            merged = replace(merged, judge=judge.key)
        for info in (asking.info, *([judge.backend.info] if judge else [])):
            for sentence in address_warnings(info):
                say(sentence)
        forecast = forecast_plan(merged, asking.info, store, resources.prices, asking)
        run_ids = ", ".join(plan.run_id(asking.info) for plan in plans)
    return run_to_end(
        _measure_prompts(
            replace(forecast, run_id=run_ids), merged.spec, asking, closes=backend is None
        )
    )


def forecast_plan(
    plan: Plan,
    info: BackendInfo,
    store: Store | None,
    prices: Path | None = None,
    backend: Backend | None = None,
) -> Forecast:
    """Forecast a plan on a backend, with what a store holds; prompts are not measured.

    The smallest gains are at the level that each of the plan's gains is reported at (Sidak).
    Without the backend itself nothing is asked, so nothing is thought.

    Raises:
        UsageError: the model cannot think as an arm says.
    """
    if backend is not None:
        check_thinking(plan, backend)
    n, each = len(plan.problems), LEVEL ** (1 / max(len(plan.pairs), 1))
    chance = plan.chance
    if chance is None:
        rates, correlation = SHOWN_RATES, CORRELATION
    else:
        rates, correlation = (fmean(chance.rates.values()),), None
    gains = [
        (rate, minimum_detectable_effect(n, rate, level=each, correlation=correlation))
        for rate in rates
    ]
    arms = survey_arms(plan, backend_key(info), store.completion if store else lambda _: None)
    price, pace = price_for(plan.spec, info, prices), _estimate_pace(plan.spec, info)
    return Forecast(
        run_id=plan.run_id(info),
        model=info.model,
        bench=plan.bench_name,
        n_problems=n,
        n_total=len(plan.everything),
        arms=arms,
        n_weighed=count_scored_options(plan, info),
        estimates=tuple(
            estimate_arm(arm, price, thinking_tokens=_mean_room(arm, backend), pace=pace)
            for arm in arms
        ),
        price=price,
        upper_bounds=plan.upper_bounds,
        detectable=tuple(gains) if plan.pairs else (),
    )


def _merge_plans(plans: Sequence[Plan], names: Sequence[str]) -> Plan:
    """Return a plan with the arms of all draws, and without pairs, as no gain is of one draw."""
    if len(plans) == 1:
        return plans[0]
    arms = [
        replace(arm, name=f"{arm.name} ({name})")
        for plan, name in zip(plans, names, strict=True)
        for arm in plan.arms
    ]
    return replace(plans[0], arms=tuple(arms), pairs=())


def _estimate_pace(spec: RunSpec, info: BackendInfo) -> Pace:
    def limit(name: str) -> float | None:
        return float(spec.model_args[name]) if name in spec.model_args else None

    return Pace(
        connections=info.max_concurrency,
        requests_per_minute=limit("requests_per_minute"),
        tokens_per_minute=limit("tokens_per_minute"),
    )


async def _measure_prompts(
    forecast: Forecast, spec: RunSpec, backend: Backend, *, closes: bool
) -> Forecast:
    """Return the forecast with its prompts measured, which loads a tokenizer at most.

    ``closes``: whether to close the backend at the end.
    """
    try:
        tokens = [await _prompt_tokens(arm, backend) for arm in forecast.arms]
    finally:
        if closes:
            await backend.close()
    pace = _estimate_pace(spec, backend.info)
    counted = [
        estimate_arm(
            arm,
            forecast.price,
            prompt_tokens=all_tokens / arm.n_to_make if all_tokens and arm.n_to_make else None,
            thinking_tokens=_mean_room(arm, backend),
            pace=pace,
        )
        for arm, all_tokens in zip(forecast.arms, tokens, strict=True)
    ]
    return replace(forecast, prompt_tokens=tuple(tokens), estimates=tuple(counted))


def _mean_room(arm: ArmSurvey, backend: Backend | None) -> float:
    """Return the most tokens that a completion may think, the mean over an arm's first requests."""
    if backend is None or not arm.first:
        return 0.0
    return fmean(
        0 if request.options else thinking_room(backend, request.decoding) for request in arm.first
    )


async def _prompt_tokens(arm: ArmSurvey, backend: Backend) -> int | None:
    if not arm.n_to_make:
        return 0
    counts = [await backend.count_tokens(request) for request in arm.first]
    numbers = [count for count in counts if count is not None]
    return round(sum(numbers) / len(numbers) * arm.n_to_make) if numbers else None
