"""Plan a spec: which arms, on which problems, against which controls."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast, runtime_checkable

from cotkit.benchmarks import allow_code, draw, label_pool
from cotkit.errors import BadInputError, UnknownNameError, UsageError
from cotkit.identity import backend_key, content_hash
from cotkit.protocols import Benchmark, OracleStrategy, Strategy
from cotkit.registry import Spec, construct, entries, load_class, parameter_name, parse_spec
from cotkit.run.driver import name_user_errors
from cotkit.run.exemplars import (
    SimilarExemplars,
    auto_run,
    count_kept_back,
    exemplars_for,
    fields_of,
)
from cotkit.run.identity import arm_content, is_built_in
from cotkit.run.spec import CONFIRM, DEFAULT_LIMIT, RunSpec
from cotkit.scoring.chance import CHANCE, Chance, find_chance
from cotkit.scoring.readers import READERS, panel_of
from cotkit.types import EFFORTS, BackendInfo, Exemplar, Problem, Question

N_SHOT = "n_shot"
"""Parameter of every strategy that shows exemplars: how many of the run's, from the first on."""

_SHARED_FIELDS = ("temperature", "top_p", "top_k", "seed", "calculator")
"""Decoding that an arm should have in common with its control."""


@runtime_checkable
class SameCost(Protocol):
    """A strategy that several calls should pay for: it is also measured against their price."""

    def same_cost(self) -> str | None:
        """Return the spec of a strategy of as many calls; None: there is none.

        For example ``"self-consistency:k=3"``.
        """
        ...


@runtime_checkable
class NotedBenchmark(Protocol):
    """A benchmark with notes that every report of it must show."""

    def notes(self) -> tuple[str, ...]:
        """Return the notes, one sentence each: which fields of a task file have no effect."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One strategy of a run."""

    name: str
    """Canonical spec, unique in the run."""
    strategy: Strategy | OracleStrategy
    """Built, with its exemplars."""
    system: str | None = None
    """What every request of it begins with, as a system message; None: nothing."""
    selector: SimilarExemplars | None = None
    """Chooses the exemplars of each question; None: all questions have those of the strategy."""

    def strategy_for(self, question: Question) -> Strategy | OracleStrategy:
        """Return the strategy with the exemplars of a question."""
        if self.selector is None:
            return self.strategy
        exemplars = self.selector.choose(question)
        return replace(cast("Any", self.strategy), exemplars=exemplars)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run before anything is generated."""

    spec: RunSpec
    """What was asked."""
    bench_name: str
    """What the problems come from."""
    bench_version: str
    """Its version when they were read."""
    everything: tuple[Problem, ...]
    """All its problems."""
    problems: tuple[Problem, ...]
    """Drawn; the same in every arm; in the benchmark's order."""
    arms: tuple[Arm, ...]
    """Controls first, then in the order asked, then same-cost controls."""
    pairs: tuple[tuple[str, str], ...]
    """(arm, control) for every strategy asked that has another as its control, followed by
    (arm, same-cost control) where it names one; ``chance`` as a control is no arm."""
    same_cost: frozenset[tuple[str, str]]
    """Of the pairs, those with a same-cost control."""
    thinking_pairs: frozenset[tuple[str, str]] = frozenset()
    """Of the pairs, those of one strategy that thinks more with the same that thinks least."""
    bench_notes: tuple[str, ...] = ()
    """What the benchmark wants said of itself."""
    judge: str | None = None
    """Key of the backend that judges; None: the model itself does."""
    stored_id: str | None = None
    """Id under which cotkit 0.1 stored the run; None: the id is computed."""
    left_out: tuple[str, ...] = ()
    """Strategies asked for that cannot run on this benchmark, each with the reason."""

    @property
    def known_problems(self) -> tuple[Problem, ...]:
        """What a simulated model has to know: all problems, and the exemplars of label arms."""
        pools = (getattr(arm.strategy, "pool", ()) for arm in self.arms)
        pool: tuple[Exemplar, ...] = next(filter(None, pools), ())
        first = self.everything[0].question if self.everything else None
        return self.everything + tuple(
            Problem(
                question=replace(first, id=f"exemplar/{i}", text=exemplar.question),
                gold=exemplar.answer,
            )
            for i, exemplar in enumerate(pool)
            if first is not None
        )

    @property
    def upper_bounds(self) -> frozenset[str]:
        """Names of the arms that see the gold answers."""
        return frozenset(arm.name for arm in self.arms if isinstance(arm.strategy, OracleStrategy))

    @property
    def runs_code(self) -> bool:
        """Whether code that the model writes may be run: an arm says so, or is a user's own."""
        return self.spec.run_unsafe_code and any(
            getattr(arm.strategy, "runs_code", False) or not is_built_in(arm.strategy)
            for arm in self.arms
        )

    @property
    def is_unwalled(self) -> bool:
        """Whether such code can reach the answers: the user said so."""
        return self.runs_code and self.spec.sandbox == "none"

    @property
    def chance(self) -> Chance | None:
        """What guessing solves of all problems; None: nothing is measured against it."""
        return find_chance(self.everything) if self.spec.baseline == CHANCE else None

    @property
    def thinking(self) -> dict[str, str | None]:
        """Arm -> how its model is told to think; None: as it does by itself."""
        return {arm.name: getattr(arm.strategy, "thinking", None) for arm in self.arms}

    @property
    def n_shot(self) -> dict[str, int]:
        """Arm -> number of exemplars that its prompts show."""
        return {arm.name: len(getattr(arm.strategy, "exemplars", ())) for arm in self.arms}

    def notes(self) -> tuple[str, ...]:
        """Return notes on the benchmark, and on pairs that differ in more than their idea."""
        strategies = {arm.name: arm.strategy for arm in self.arms}
        return self.bench_notes + tuple(
            f"{arm} has {field} {value}, its control {control} {other}: the gain is of both"
            for arm, control in self.pairs
            if (arm, control) not in self.same_cost  # a vote has to sample
            and control in strategies
            for field in _SHARED_FIELDS
            if (value := _shared_field(strategies[arm], field))
            != (other := _shared_field(strategies[control], field))
            and None not in {value, other}
        )

    def run_id(self, info: BackendInfo) -> str:
        """Return 12 hex characters of the hash of :meth:`content`; a run of 0.1 keeps its own."""
        return self.stored_id or content_hash("run", self.content(info))[:12]

    def content(self, info: BackendInfo) -> dict[str, object]:
        """Return all that can change completions or the verdict of the run on a backend.

        Not how answers are read: the version of the scorer is kept with every score, and a new one
        reads the stored completions again.
        """
        content: dict[str, object] = {
            "backend": backend_key(info),
            "bench": [self.bench_name, self.bench_version],
            "problems": [problem.question.id for problem in self.problems],
            "arms": {
                arm.name: arm_content(parse_spec(arm.name).name, arm.strategy)
                | ({} if arm.system is None else {"system": arm.system})
                | ({} if arm.selector is None else {"selector": arm.selector})
                for arm in self.arms
            },
            "pairs": self.pairs,
            "reader": self.spec.reader,
            "margin": self.spec.margin,
        }
        if self.judge is not None:
            content["judge"] = self.judge
        if self.spec.likelihood:
            content["likelihood"] = True
        if run := auto_run(self.spec.exemplars):
            content["exemplars_of_run"] = run
        if self.is_unwalled:
            content["sandbox"] = self.spec.sandbox
        if self.spec.stop_when:
            content["stop_when"] = [self.spec.stop_when, self.spec.seed]  # the seed orders problems
        return content


def plan_runnable(spec: RunSpec, bench: Benchmark) -> Plan:
    """Plan as :func:`make_plan`, without the strategies that cannot run by themselves.

    Of several strategies one that cannot run here, whatever its parameters (no exemplars to be had,
    no leave to run code), is left out, and the plan says so.

    Raises:
        CotkitError: as there; or no strategy can run.
    """
    try:
        return make_plan(spec, bench)
    except UsageError as error:
        reasons = {text: _why_not_alone(text, spec, bench) for text in spec.strategies}
        able = tuple(text for text, reason in reasons.items() if reason is None)
        if not able or len(able) == len(reasons):
            raise
        try:
            plan = make_plan(replace(spec, strategies=able), bench)
        except UsageError:
            raise error from None
    left_out = (f"{text}: {reason}" for text, reason in reasons.items() if reason is not None)
    return replace(plan, left_out=tuple(left_out))


def _why_not_alone(text: str, spec: RunSpec, bench: Benchmark) -> str | None:
    """Return why a strategy cannot run on a benchmark; None: it can.

    Raises:
        UsageError: it could, but for what the user wrote of it.
    """
    strategy = parse_spec(text)
    try:
        make_plan(replace(spec, strategies=(text,), generation={}), bench)
    except (UnknownNameError, BadInputError):
        raise
    except UsageError as error:
        if strategy.params and _why_not_alone(strategy.name, spec, bench) is None:
            raise
        return str(error)
    return None


def make_plan(spec: RunSpec, bench: Benchmark) -> Plan:
    """Draw the problems and exemplars and build every arm; nothing is generated.

    Raises:
        CotkitError: an unknown name, a value out of range, an exemplar that is evaluated.
    """
    bench = allow_code(bench, allowed=spec.run_unsafe_code)
    with name_user_errors("benchmark", bench):
        everything = tuple(bench.problems())
    for problem in cast("tuple[object, ...]", everything):
        if not isinstance(problem, Problem):
            raise UsageError(
                f"problems() of {bench.name} holds {problem!r}", hint="make it a Problem"
            )
    _check_reader(spec.reader, bench, everything)
    strategies = [_with_thinking(parse_spec(text), spec) for text in spec.strategies]
    is_over_chance = spec.baseline == CHANCE
    baseline_text = spec.baseline if spec.baseline and not is_over_chance else None
    baseline = _with_thinking(_read_baseline(baseline_text), spec) if baseline_text else None
    pairs = [(s, baseline or _control_of(s)) for s in strategies if not is_over_chance]
    thinking_pairs = [] if spec.baseline else pair_by_thinking(pairs)
    in_order = [control for _, control in [*pairs, *thinking_pairs]] + strategies
    limit, notes = _resolve_limit(spec, len(everything)), ()
    most = len(everything) - count_kept_back(in_order, spec, bench, everything)
    if most < (len(everything) if limit is None else limit) <= len(everything):
        limit, n_kept = most, len(everything) - most
        notes = (f"{n_kept} problems of {bench.name} are kept for exemplars: it has one split",)
    problems = draw(everything, limit, spec.seed)
    exemplars, selector = exemplars_for(in_order, spec, bench, problems)
    has_pool = any("pool" in fields_of(strategy) for strategy in in_order)
    pool = label_pool(bench, everything) if has_pool else ()
    _check_generation(spec, in_order)
    _check_judge(spec, in_order)
    arms = _Arms()
    built = {  # those that were asked for first: what is wrong with one is said of that one
        str(strategy): _build_strategy(strategy, spec, exemplars, pool)
        for strategy in (*strategies, *in_order)
    }
    for strategy in in_order:
        arms.add(strategy, built[str(strategy)])
    costs = [
        cost
        for s in (() if spec.baseline else strategies)
        for cost in _same_cost_pairs(s, arms.of(s))
    ]
    if costs:
        if not exemplars:
            exemplars, selector = exemplars_for([c for _, c in costs], spec, bench, problems)
        for _, control in costs:
            arms.add(control, _build_strategy(control, _drop_greedy_temperature(spec), exemplars))
    same_cost = {(arms.of(s).name, arms.of(c).name) for s, c in costs}
    ordered = [pair for s, c in pairs for pair in ((s, c), *(x for x in costs if x[0] == s))]
    ordered += thinking_pairs
    for _, control in ordered:
        if isinstance(arms.of(control).strategy, OracleStrategy):
            raise UsageError(
                f"{control} sees the gold answers: nothing can be measured against it",
                hint="--baseline cot",
            )
    pairs_of_names = [(arms.of(arm).name, arms.of(control).name) for arm, control in ordered]
    pairs_of_names += [(arms.of(s).name, CHANCE) for s in strategies if is_over_chance]
    return Plan(
        spec=spec,
        bench_name=bench.name,
        bench_version=bench.version,
        everything=everything,
        problems=problems,
        arms=tuple(
            replace(arm, system=spec.system, selector=_fit_selector(selector, arm))
            for arm in arms.all()
        ),
        pairs=tuple(dict.fromkeys(pair for pair in pairs_of_names if pair[0] != pair[1])),
        same_cost=frozenset(same_cost),
        thinking_pairs=frozenset(
            (arms.of(arm).name, arms.of(control).name) for arm, control in thinking_pairs
        ),
        bench_notes=notes + (bench.notes() if isinstance(bench, NotedBenchmark) else ()),
    )


def _read_baseline(text: str) -> Spec:
    spec = parse_spec(text)
    try:
        load_class("strategy", spec.name)
    except UnknownNameError:
        names = [CHANCE, *(entry.name for entry in entries("strategy"))]
        raise UnknownNameError("baseline", spec.name, names) from None
    return spec


def _fit_selector(selector: SimilarExemplars | None, arm: Arm) -> SimilarExemplars | None:
    """Return what chooses the exemplars of an arm, as many as it shows; None: nothing does."""
    n_shown = len(getattr(arm.strategy, "exemplars", ()))
    return replace(selector, k=n_shown) if selector is not None and n_shown else None


def _check_reader(reader: str, bench: Benchmark, problems: Sequence[Problem]) -> None:
    own = problems[0].readers if problems else {}
    if reader in own:
        return
    if reader in panel_of(bench.answer_kind, reader):
        return
    if reader not in {*READERS, *panel_of("number", reader)}:
        raise UnknownNameError("reader", reader, [*READERS, *own])
    raise UsageError(
        f"reader {reader} does not read a {bench.answer_kind}, which {bench.name} asks for",
        hint="--reader flexible",
    )


class _Arms:
    """Arms in the order added; two spellings of one strategy are one arm, under its first name."""

    def __init__(self) -> None:
        self._by_spelling: dict[str, Arm] = {}

    def add(self, strategy_spec: Spec, strategy: Strategy | OracleStrategy) -> None:
        name = str(strategy_spec)
        same = next((arm for arm in self.all() if arm.strategy == strategy), None)
        self._by_spelling[name] = same or Arm(name=name, strategy=strategy)

    def of(self, strategy_spec: Spec) -> Arm:
        return self._by_spelling[str(strategy_spec)]

    def all(self) -> tuple[Arm, ...]:
        return tuple({arm.name: arm for arm in self._by_spelling.values()}.values())


def _shared_field(strategy: Strategy | OracleStrategy, field: str) -> object:
    """Return a field of decoding; None where a strategy has none, False without a calculator."""
    return getattr(strategy, field, False if field == "calculator" else None)


def _resolve_limit(spec: RunSpec, n_total: int) -> int | None:
    if spec.limit == "all":
        return None
    return min(DEFAULT_LIMIT, n_total) if spec.limit is None else spec.limit


def _control_of(strategy: Spec) -> Spec:
    """Return the control; one declared with parameters has its other ones from the strategy."""
    control = getattr(load_class("strategy", strategy.name), "control", None)
    if not isinstance(control, str) or not control:
        raise UsageError(
            f"strategy {strategy.name} names no control",
            hint='--baseline few-shot, or begin it with {# control = "few-shot" #}'
            if strategy.name.endswith(".jinja")
            else 'add: control: ClassVar[str] = "few-shot"',
        )
    declared = parse_spec(control)
    shared = _shared_params(strategy, declared, fields_of(declared) if declared.params else set())
    return Spec(name=declared.name, params={**shared, **declared.params})


def _shared_params(strategy: Spec, control: Spec, names: Collection[str] = ()) -> dict[str, str]:
    """Return the parameters of a strategy that hold for its control, too."""
    shared = {*names, *_THINKING}
    if "exemplars" in fields_of(control):
        shared.add(N_SHOT)
    return {key: value for key, value in strategy.params.items() if key in shared}


def _same_cost_pairs(strategy_spec: Spec, arm: Arm) -> list[tuple[Spec, Spec]]:
    """Return the second pair of an arm that names a same-cost control."""
    strategy = arm.strategy
    control = strategy.same_cost() if isinstance(strategy, SameCost) else None
    if control is None:
        return []
    declared = parse_spec(control)
    shared = _shared_params(strategy_spec, declared)
    return [(strategy_spec, replace(declared, params={**shared, **declared.params}))]


# Settings of thinking: every prompt gain is measured at one, every thinking gain against the least.


_THINKING = ("thinking", "max_thinking_tokens")
_BY_DEFAULT = ("on", "default")


def _with_thinking(strategy: Spec, spec: RunSpec) -> Spec:
    """Return the spec of an arm with the run's thinking, where it does not say how it thinks.

    Raises:
        UsageError: the strategy has no such field.
    """
    run = {"thinking": spec.thinking, "max_thinking_tokens": spec.max_thinking_tokens}
    shared = {key: str(value) for key, value in run.items() if value is not None}
    if shared and "thinking" not in fields_of(strategy):
        raise UsageError(
            f"strategy {strategy.name} has no setting of thinking",
            hint="derive it from DecodingStrategy, or put a field thinking into its Decoding",
        )
    setting = strategy.params.get("thinking", spec.thinking) or ""
    if setting == "off" or setting.isdecimal():
        shared.pop("max_thinking_tokens", None)
    return replace(strategy, params={**shared, **strategy.params})


def pair_by_thinking(pairs: Sequence[tuple[Spec, Spec]]) -> list[tuple[Spec, Spec]]:
    """Return (strategy, the same at the least thinking) for every strategy at several settings.

    A strategy that is its own control, at one setting that is not off, is paired with itself at
    ``thinking=off``.

    Args:
        pairs: (strategy, control) as asked for.
    """
    alone = [arm for arm, control in pairs if arm == control and _thinks(arm)]
    specs = dict.fromkeys(str(spec) for pair in pairs for spec in pair)
    by_idea: dict[str, list[Spec]] = {}
    for spec in map(parse_spec, specs):
        idea = replace(spec, params={k: v for k, v in spec.params.items() if k not in _THINKING})
        by_idea.setdefault(str(idea), []).append(spec)
    thinking_pairs: list[tuple[Spec, Spec]] = []
    for settings in by_idea.values():
        least = min(settings, key=_thinking_rank)
        if len(settings) > 1:
            thinking_pairs += [(spec, least) for spec in settings if spec != least]
        elif least in alone:
            params = {k: v for k, v in least.params.items() if k not in _THINKING}
            thinking_pairs.append((least, replace(least, params={**params, "thinking": "off"})))
    return thinking_pairs


def _thinks(spec: Spec) -> bool:
    return spec.params.get("thinking", "off") != "off"


def _thinking_rank(spec: Spec) -> tuple[int, int]:
    """Order settings from the least thinking: off, budgets, efforts, then what is not said."""
    setting = spec.params.get("thinking", "default")
    if setting.isdecimal():
        return 1, int(setting)
    order = ("off", *EFFORTS, *_BY_DEFAULT)
    place = order.index(setting) if setting in order else len(order)
    return (0 if setting == "off" else 2), place


def _drop_greedy_temperature(spec: RunSpec) -> RunSpec:
    """Return the spec without a greedy temperature, at which there is nothing to vote on."""
    sampled = {k: v for k, v in spec.generation.items() if k != "temperature" or float(v) > 0}
    return replace(spec, generation=sampled)


def _build_strategy(
    strategy: Spec,
    spec: RunSpec,
    exemplars: tuple[Exemplar, ...],
    pool: tuple[Exemplar, ...] = (),
) -> Strategy | OracleStrategy:
    fields = fields_of(strategy)
    shared = {
        parameter: value
        for key, value in spec.generation.items()
        if (parameter := parameter_name(strategy.name, key)) in fields
    }
    drawn_by_itself = spec.exemplar_seed if "pool" in fields else 0
    seed = {"seed": str(spec.seed + drawn_by_itself)} if "seed" in fields else {}
    params = {**seed, **shared, **strategy.params}
    if "exemplars" in fields and N_SHOT in params:
        exemplars = _first_exemplars(exemplars, params.pop(N_SHOT), spec)
    canonical = Spec(name=strategy.name, params=params)
    try:
        built = construct("strategy", canonical, exemplars=exemplars, pool=pool)
    except UsageError as refused:
        if isinstance(refused.__cause__, ValueError):  # a value: name what the user wrote
            raise UsageError(f"strategy {strategy}: {refused.__cause__}") from refused.__cause__
        raise
    if not isinstance(getattr(built, "reasons", None), bool):
        raise UsageError(
            f"strategy {strategy.name} does not say whether it reasons before the answer",
            hint="add: reasons: ClassVar[bool] = True",
        )
    if getattr(built, "runs_code", False) and not spec.run_unsafe_code:
        raise UsageError(f"{strategy.name} runs code that the model writes", hint=CONFIRM)
    return cast("Strategy | OracleStrategy", built)


def _first_exemplars(
    exemplars: tuple[Exemplar, ...], count: str, spec: RunSpec
) -> tuple[Exemplar, ...]:
    """Return the first so many of a run's exemplars.

    Raises:
        UsageError: it is no number of them.
    """
    n = int(count) if count.isascii() and count.isdecimal() else -1
    if not 0 <= n <= len(exemplars):
        source = spec.exemplars.rpartition(":")[0]
        raise UsageError(
            f"n_shot={count} is none of 0 to {len(exemplars)}, the exemplars of this run",
            hint=f"--exemplars {source}:{n}" if n > 0 else "cot:n_shot=0+1+2+4+8",
        )
    return exemplars[:n]


def _check_generation(spec: RunSpec, strategies: Sequence[Spec]) -> None:
    """Refuse a parameter that no arm has: it would change nothing and say nothing."""
    fields = {key for strategy in strategies for key in fields_of(strategy)}
    settable = fields - {"exemplars", "pool"}
    for key in spec.generation:
        if settable.isdisjoint(parameter_name(strategy.name, key) for strategy in strategies):
            raise UnknownNameError("generation parameter", key, settable)


def _check_judge(spec: RunSpec, strategies: Sequence[Spec]) -> None:
    """Refuse a judge that nobody asks, and a strategy that has none but the model itself."""
    classes = [load_class("strategy", strategy.name) for strategy in strategies]
    if spec.judge is None:
        for strategy, cls in zip(strategies, classes, strict=True):
            if getattr(cls, "needs_judge", False):
                raise UsageError(
                    f"strategy {strategy.name} needs a judge other than the model itself",
                    hint="--judge MODEL",
                )
    elif not any(getattr(cls, "asks_judge", False) for cls in classes):
        raise UsageError(
            f"judge {spec.judge}: no strategy of this run asks a judge",
            hint="--strategy best-of-n, or leave out --judge",
        )
