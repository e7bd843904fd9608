"""From a spec to its comparison: every command and function that runs one does it here."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cotkit.analysis.comparison import RunFacts
from cotkit.analysis.comparison import compare as compare_rows
from cotkit.analysis.gains import make_stop_rule
from cotkit.analysis.values import LEVEL, Aside, Comparison, Criteria, LeftOut
from cotkit.backends._hosted.addresses import address_warnings, foreign_address
from cotkit.benchmarks import draw_order
from cotkit.errors import BackendError, InterruptedRunError, UsageError
from cotkit.events import Event, GainFound, Said
from cotkit.identity import backend_key, canonical_json
from cotkit.models.prices import Price, price_of
from cotkit.printable import name_some
from cotkit.protocols import Backend, Benchmark
from cotkit.run import ExecutionResult, Plan, RunSpec, build_backend, execute_plan, plan_runnable
from cotkit.run.budget import NO_LIMITS, Meter, Resources
from cotkit.run.flips import load_flips
from cotkit.run.identity import change_since_0_1, difference, is_of_0_1, trust_note
from cotkit.run.judge import Judge, build_judge, read_judge
from cotkit.run.likelihood import note_unscored_options
from cotkit.run.loop import run_to_end
from cotkit.run.runner import is_outdated
from cotkit.store import CUT, PERMANENT, AttemptRow, Store, place_of, store_option
from cotkit.strategies.flipped_labels import FlippedLabels
from cotkit.types import BackendInfo, Notify, Problem
from cotkit.workflows.auto_exemplars import with_auto_exemplars
from cotkit.workflows.consent import required_options
from cotkit.workflows.settings import run_settings


def gain_events(comparison: Comparison) -> list[GainFound]:
    """Return the gains of a comparison as events."""
    return [
        GainFound(
            run_id=comparison.run_id,
            arm=gain.arm,
            control=gain.control,
            n=gain.n,
            gain=gain.gain,
            low=gain.interval.low,
            high=gain.interval.high,
            verdict=gain.label,
        )
        for gain in (verdict.gain for verdict in comparison.verdicts)
    ]


Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A run as it went."""

    plan: Plan
    """What was planned."""
    info: BackendInfo
    """The backend that it ran on."""
    execution: ExecutionResult
    """Its attempts."""
    price: Price | None
    """What the model's tokens cost; None: unknown."""
    settings: Mapping[str, str]
    """What it was made with."""


def run_spec(
    spec: RunSpec,
    bench: Benchmark,
    *,
    log_dir: Path | str,
    backend: Backend | None = None,
    emit: Emit | None = None,
    on_plan: Callable[[Plan, Backend, Store], None] | None = None,
    resources: Resources = NO_LIMITS,
    resumed: str | None = None,
) -> Comparison:
    """Run a spec (:func:`perform`), analyse it (:func:`analyse`) and emit its gains as events."""
    run = perform(
        spec,
        bench,
        log_dir=log_dir,
        backend=backend,
        emit=emit,
        on_plan=on_plan,
        resources=resources,
        resumed=resumed,
    )
    comparison = analyse(run.plan, run.info, run.execution, run.price)
    comparison = replace(comparison, settings=run.settings)
    for gain in gain_events(comparison):
        (emit or ignore_event)(gain)
    return comparison


def perform(
    spec: RunSpec,
    bench: Benchmark,
    *,
    log_dir: Path | str,
    backend: Backend | None = None,
    closes: bool = False,
    emit: Emit | None = None,
    on_plan: Callable[[Plan, Backend, Store], None] | None = None,
    resources: Resources = NO_LIMITS,
    resumed: str | None = None,
) -> RunResult:
    """Run a spec to its attempts.

    Args:
        spec: What to run.
        bench: Its benchmark.
        log_dir: Folder of the store, or the URL of a PostgreSQL database.
        backend: An object to use in place of the backend that the spec names.
        closes: Whether to close such an object at the end.
        emit: Called with every event.
        on_plan: Called before anything is generated.
        resources: What this call may spend; ``execution.ended_by`` says if that ended it.
        resumed: Id of the stored run that this is to complete; one of cotkit 0.1 keeps it.

    Raises:
        CotkitError: whatever ends the run.
        InterruptedRunError: Ctrl-C; the hint says how to go on.
    """
    say = emit or ignore_event
    if spec.batch:
        resources.budget.check_batch()
    run = functools.partial(
        perform, log_dir=log_dir, backend=backend, emit=emit, resources=resources
    )
    spec, notes = with_auto_exemplars(spec, run, log_dir)
    plan = plan_runnable(spec, bench)
    plan = replace(plan, bench_notes=(*plan.bench_notes, *notes))
    hint = "the same command goes on where it stopped"
    try:
        with Store(place_of(log_dir)) as store:
            running = backend or backend_of(
                spec,
                plan.known_problems,
                store=store,
                notify=lambda text: say(Said(text=text)),
                resources=resources,
            )
            info = running.info  # may fetch a model: outside the event loop, so Ctrl-C is heard
            judge = build_judge(
                plan,
                info=info,
                store=store,
                notify=lambda text: say(Said(text=text)),
                resources=resources,
            )
            plan = replace(plan, judge=judge and judge.key)
            if resumed is not None and change_of(plan, info, store, resumed) is None:
                plan = trusted(plan, store, resumed)
            if on_plan is not None:
                on_plan(plan, running, store)
            if backend is None:
                options = " ".join((store_option(log_dir), *required_options(spec)))
                hint = f"go on with: cotkit resume {plan.run_id(info)} {options}"
            if store.n_done(plan.run_id(info)) < len(plan.arms) * len(plan.problems):
                for asked_info in (info, *([judge.backend.info] if judge else [])):
                    for sentence in address_warnings(asked_info):
                        say(Said(text=sentence))
            price = price_for(spec, info, resources.prices)
            meter = Meter(resources.budget, price, model=info.model)
            try:
                execution = run_to_end(
                    _execute(
                        plan,
                        running,
                        store,
                        say,
                        meter=meter,
                        judge=judge,
                        closes=closes or backend is None,
                        retry_failed=resources.retry_failed,
                    )
                )
            except (BackendError, UsageError):
                store.end_run(plan.run_id(info), "incomplete")
                raise
            usage = read_judge(store, plan.run_id(info), plan.judge, resources.prices)
            execution = replace(execution, judge=usage)
            settings = run_settings(store, plan.run_id(info), info)
    except KeyboardInterrupt:
        message = "interrupted; everything generated so far is kept"
        raise InterruptedRunError(message, hint=hint) from None
    return RunResult(plan=plan, info=info, execution=execution, price=price, settings=settings)


def with_stored_judge(plan: Plan, store: Store, run_id: str) -> Plan:
    """Return the plan of a stored run, judged by the judge that it had."""
    return replace(plan, judge=store.run_content(run_id).get("judge"))


def trusted(plan: Plan, store: Store, run_id: str) -> Plan:
    """Return the plan of a stored run; one of cotkit 0.1 keeps the id that it has."""
    return replace(plan, stored_id=run_id) if is_of_0_1(store.run_content(run_id)) else plan


def change_of(plan: Plan, info: BackendInfo, store: Store, run_id: str) -> str | None:
    """Return in what a stored run differs from its plan as it is now; None: in nothing known."""
    content = store.run_content(run_id)
    if not is_of_0_1(content):
        return difference(content, json.loads(canonical_json(plan.content(info))))
    if store.run_backend(run_id)[0] != backend_key(info):
        return "backend"
    arms = {arm.name: arm.strategy for arm in plan.arms}
    return change_since_0_1(content, plan.content(info), arms)


def outdated_note(n_outdated: int) -> str:
    """Return the note on scores of an earlier scorer that could not be made anew."""
    return (
        f"{n_outdated} attempts keep the scores of another version of the scorer: stored "
        "completions do not suffice to read all of them again, as cotkit resume does"
    )


async def _execute(
    plan: Plan,
    backend: Backend,
    store: Store,
    emit: Emit,
    *,
    meter: Meter,
    judge: Judge | None,
    closes: bool,
    retry_failed: bool,
) -> ExecutionResult:
    stop_rule = None
    if plan.spec.stop_when:
        stop_rule = make_stop_rule(
            plan.pairs, margin=plan.spec.margin, level=LEVEL, not_asked=plan.upper_bounds
        )
    try:
        return await execute_plan(
            plan,
            backend,
            store,
            emit,
            meter=meter,
            judge=judge,
            is_enough=stop_rule,
            retry_failed=retry_failed,
        )
    finally:
        if closes:
            await backend.close()
        if judge is not None:
            await judge.backend.close()


def criteria_of(spec: RunSpec) -> Criteria:
    """Return how the gains of a run are judged."""
    return Criteria(reader=spec.reader, baseline=spec.baseline, margin=spec.margin)


def price_for(spec: RunSpec, info: BackendInfo, prices: Path | None) -> Price | None:
    """Return what the tokens of a spec's model cost the way it is asked; None: unknown."""
    url = info.settings.get("base_url")
    price = price_of(info.backend, info.model, prices, base_url=url)
    return price.batched() if price is not None and spec.batch else price


def analyse(
    plan: Plan, info: BackendInfo, result: ExecutionResult, price: Price | None
) -> Comparison:
    """Return the comparison of the rows of a plan."""
    why = failure_reason(result)
    order = {p.question.id: i for i, p in enumerate(draw_order(plan.problems, plan.spec.seed))}
    rows = (
        sorted(result.rows, key=lambda row: order[row.problem_id])
        if plan.spec.stop_when
        else result.rows
    )
    facts = RunFacts(
        run_id=plan.run_id(info),
        model=info.model,
        n_params=info.n_params,
        bench=plan.bench_name,
        bench_version=plan.bench_version,
        n_problems=len(plan.problems),
        n_total=len(plan.everything),
        reasons={arm.name: arm.strategy.reasons for arm in plan.arms},
        thinking=plan.thinking,
        upper_bounds=plan.upper_bounds,
        flips={
            arm.name: arm.strategy.fraction
            for arm in plan.arms
            if isinstance(arm.strategy, FlippedLabels)
        },
        is_unwalled=plan.is_unwalled,
        chance=plan.chance,
        address=foreign_address(info),
    )
    comparison = compare_rows(
        rows,
        plan.pairs,
        facts,
        plan.everything,
        criteria_of(plan.spec),
        sequential=plan.spec.stop_when is not None,
        price=price,
    )
    return replace(
        comparison,
        notes=(
            *left_out_notes(plan),
            *plan.notes(),
            *comparison.notes,
            *note_unscored_options(plan, info),
            *_run_notes(plan, info, result, price, why),
        ),
        ended_by=result.ended_by,
        why_failed=why,
        n_refused_for_good=sum(row.is_permanent for row in result.rows),
        n_shot=plan.n_shot,
        server=result.server.facts() if result.server is not None else {},
    )


def left_out_notes(plan: Plan) -> Iterator[LeftOut]:
    """Yield a note on each strategy that could not run."""
    for reason in plan.left_out:
        yield LeftOut(f"not run: {reason}")


def failure_reason(result: ExecutionResult) -> str | None:
    """Return the commonest reason of failed attempts that may yet succeed; None: none is."""
    reasons = Counter(
        row.error
        for row in result.rows
        if row.outcome == "failed" and row.error and not row.is_permanent
    )
    return reasons.most_common(1)[0][0] if reasons else None


def _run_notes(
    plan: Plan, info: BackendInfo, result: ExecutionResult, price: Price | None, why: str | None
) -> tuple[str, ...]:
    """Return what a reader must know of how the run went and of what its dollars are made."""
    notes: list[str] = []
    if plan.stored_id is not None:
        notes.append(trust_note([plan.stored_id]))
    if n_outdated := sum(map(is_outdated, result.rows)):
        notes.append(outdated_note(n_outdated))
    if result.ended_by is not None:
        ends = {"budget": "its budget was used up", "decided": "no verdict could change any more"}
        n_done = len({row.problem_id for row in result.rows})
        ended = (
            f"ended after {n_done} of {len(plan.problems)} problems, the same in every arm: "
            f"{ends[result.ended_by]}"
        )
        notes.append(Aside(ended))
    if why is not None:
        notes.append(f"the commonest reason of failed attempts: {why}")
    if (flips := load_flips(info)) is not None:
        notes.append(str(flips))
    refused = info.settings.get("parameters", "").split(",")
    if "-temperature" in refused and any(
        getattr(arm.strategy, "temperature", None) == 0 for arm in plan.arms
    ):
        notes.append(
            f"{info.model} takes no temperature: what should be greedy was sampled at the "
            "provider's default, and a second run will differ"
        )
    notes += _note_refusals(
        [row for row in result.rows if row.is_permanent and not (row.error or "").startswith(CUT)]
    )
    notes += result.server.notes() if result.server is not None else ()
    notes += result.judge.notes() if result.judge is not None else ()
    if price is not None:
        way = ", batch interface" if plan.spec.batch else ""
        dollars = (
            f"dollars: list prices of {price.as_of} ({price.status}{way}): {price.input:g} in, "
            f"{price.cached_input:g} from cache, {price.output:g} out for a million tokens; "
            f"check them at {price.source}"
        )
        notes.append(Aside(dollars))
    return tuple(notes)


_MOST_NAMED = 5  # problems in a note


def _note_refusals(rows: Sequence[AttemptRow]) -> Iterator[str]:
    """Yield the note on attempts that a server refuses for good."""
    if not rows:
        return
    names = list(dict.fromkeys(row.problem_id for row in rows))
    reasons = Counter((row.error or "").removeprefix(PERMANENT) for row in rows)
    yield (
        f"{len(rows)} attempts are left out, for a server refuses their prompts "
        f"({name_some(names, _MOST_NAMED)}): {reasons.most_common(1)[0][0]}; "
        "--retry-failed tries them again"
    )


def ignore_event(event: Event) -> None:
    """Show nothing of an event."""


def backend_of(
    spec: RunSpec,
    problems: Sequence[Problem],
    *,
    store: Store,
    notify: Notify,
    resources: Resources,
) -> Backend:
    """Build the backend that a spec names, here or on the machines of an executor.

    Raises:
        CotkitError: as ``build_backend`` and ``RayExecutor.sharded``; or a batch on a cluster.
    """
    model, args, executor = spec.model, spec.model_args, resources.executor
    if executor is not None and spec.batch:
        raise UsageError("a batch waits at the provider: no cluster makes it faster")
    backend = build_backend(
        model,
        args,
        problems=problems,
        store=store,
        notify=notify,
        batch=spec.batch,
        trusted_addresses=resources.trusted_addresses,
    )
    if executor is None:
        return backend
    return executor.sharded(backend, model, args, problems, notify)
