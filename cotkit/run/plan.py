"""What a spec comes to: which arms, on which problems, against which controls."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from cotkit import strategies
from cotkit.bench import UserFile, check_disjoint, draw, draw_exemplars, label_pool
from cotkit.errors import UnknownNameError, UsageError
from cotkit.identity import backend_key, content_hash
from cotkit.prompting import read_exemplars, released
from cotkit.protocols import Benchmark, OracleStrategy, Strategy
from cotkit.registry import Spec, construct, load_class, parse_spec
from cotkit.run.spec import DEFAULT_LIMIT, RunSpec
from cotkit.scoring import READERS, SCORER_VERSION
from cotkit.types import BackendInfo, Exemplar, Problem

_SHARED = ("temperature", "top_p", "top_k", "seed")
"""Decoding that an arm should have in common with its control."""


@runtime_checkable
class SameCost(Protocol):
    """A strategy that several calls should pay for: it is also measured against their price."""

    def same_cost(self) -> str | None:
        """Spec of a strategy of as many calls, e.g. ``"self-consistency:k=3"``; None: has none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One strategy of a run."""

    name: str
    """Canonical spec, unique in the run."""
    strategy: Strategy | OracleStrategy
    """Built, with its exemplars."""


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
    (arm, same-cost control) where it names one."""

    @property
    def upper_bounds(self) -> frozenset[str]:
        """Names of the arms that see the gold answers."""
        return frozenset(arm.name for arm in self.arms if isinstance(arm.strategy, OracleStrategy))

    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the design: pairs that differ in more than their idea."""
        strategies = {arm.name: arm.strategy for arm in self.arms}
        return tuple(
            f"{arm} has {field} {ours}, its control {control} {theirs}: the gain is of both"
            for arm, control in self.pairs
            for field in _SHARED
            if (ours := getattr(strategies[arm], field, None))
            != (theirs := getattr(strategies[control], field, None))
            and None not in {ours, theirs}
        )

    def run_id(self, info: BackendInfo) -> str:
        """12 hex characters of the hash of everything that can change the rows or the verdict."""
        content = {
            "backend": backend_key(info),
            "bench": [self.bench_name, self.bench_version],
            "problems": [problem.question.id for problem in self.problems],
            "arms": {arm.name: [arm.strategy, _source_hash(arm.strategy)] for arm in self.arms},
            "prompts": released(),
            "pairs": self.pairs,
            "scorer": [SCORER_VERSION, self.spec.reader],
            "margin": self.spec.margin,
        }
        return content_hash("run", content)[:12]


def make_plan(spec: RunSpec, bench: Benchmark) -> Plan:
    """Draw the problems and exemplars and build every arm; nothing is generated.

    Raises:
        CotkitError: an unknown name, a value out of range, an exemplar that is evaluated.
    """
    if spec.reader not in READERS:
        raise UnknownNameError("reader", spec.reader, READERS)
    if bench.answer_kind not in READERS[spec.reader].kinds:
        raise UsageError(
            f"reader {spec.reader} reads numbers, {bench.name} asks for a {bench.answer_kind}",
            hint="--reader flexible",
        )
    everything = tuple(bench.problems())
    problems = draw(everything, _limit(spec, len(everything)), spec.seed)
    asked = [parse_spec(text) for text in spec.strategies]
    baseline = parse_spec(spec.baseline) if spec.baseline else None
    pairs = [(s, baseline or _control_of(s)) for s in asked]
    named = [control for _, control in pairs] + asked
    exemplars = _exemplars_for(named, spec, bench, problems)
    pool = label_pool(bench, everything) if any("pool" in _fields(one) for one in named) else ()
    _check_generation(spec, named)
    arms: dict[str, Arm] = {}
    for one in named:
        if str(one) not in arms:
            arms[str(one)] = Arm(name=str(one), strategy=_build(one, spec, exemplars, pool))
    if baseline is None:
        pairs = [(s, c) for pair in pairs for s, c in (pair, *_same_cost(pair[0], arms))]
        voters = [control for _, control in pairs if str(control) not in arms]
        exemplars = exemplars or _exemplars_for(voters, spec, bench, problems)
        for one in voters:
            arms[str(one)] = Arm(name=str(one), strategy=_build(one, _sampled(spec), exemplars))
    for _, control in pairs:
        if isinstance(arms[str(control)].strategy, OracleStrategy):
            raise UsageError(
                f"{control} sees the gold answers: nothing can be measured against it",
                hint="--baseline cot",
            )
    return Plan(
        spec=spec,
        bench_name=bench.name,
        bench_version=bench.version,
        everything=everything,
        problems=problems,
        arms=tuple(arms.values()),
        pairs=tuple(
            dict.fromkeys((str(arm), str(control)) for arm, control in pairs if arm != control)
        ),
    )


def _source_hash(strategy: Strategy | OracleStrategy) -> str:
    """Hash of the code that defines a strategy: an edited idea is another run.

    That is its own file; for ours the whole room, because strategies share parts.
    """
    own = Path(inspect.getfile(type(strategy)))
    is_ours = own.parent == Path(strategies.__file__).parent
    files = sorted(own.parent.glob("*.py")) if is_ours else [own]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _limit(spec: RunSpec, n_total: int) -> int | None:
    if spec.limit == "all":
        return None
    return min(DEFAULT_LIMIT, n_total) if spec.limit is None else spec.limit


def _control_of(named: Spec) -> Spec:
    """A control written with parameters takes its other ones from the arm, where it has them."""
    control = getattr(load_class("strategy", named.name), "control", None)
    if not isinstance(control, str):
        raise UsageError(
            f"strategy {named.name} names no control",
            hint='add: control: ClassVar[str] = "few-shot"',
        )
    found = parse_spec(control)
    kept = {k: v for k, v in named.params.items() if found.params and k in _fields(found)}
    return Spec(name=found.name, params={**kept, **found.params})


def _same_cost(asked: Spec, arms: Mapping[str, Arm]) -> list[tuple[Spec, Spec]]:
    """The second pair of an arm that names a same-cost control."""
    strategy = arms[str(asked)].strategy
    control = strategy.same_cost() if isinstance(strategy, SameCost) else None
    return [] if control is None else [(asked, parse_spec(control))]


def _sampled(spec: RunSpec) -> RunSpec:
    """The spec without a greedy temperature, at which there is nothing to vote on."""
    kept = {k: v for k, v in spec.generation.items() if k != "temperature" or float(v) > 0}
    return replace(spec, generation=kept)


def _fields(named: Spec) -> set[str]:
    cls = load_class("strategy", named.name)
    return {f.name for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()


def _build(
    named: Spec,
    spec: RunSpec,
    exemplars: tuple[Exemplar, ...],
    pool: tuple[Exemplar, ...] = (),
) -> Strategy | OracleStrategy:
    fields = _fields(named)
    shared = {key: value for key, value in spec.generation.items() if key in fields}
    seed = {"seed": str(spec.seed)} if "seed" in fields else {}
    params = {**seed, **shared, **named.params}
    canonical = Spec(name=named.name, params=params)
    built = construct("strategy", canonical, exemplars=exemplars, pool=pool)
    if not isinstance(getattr(built, "reasons", None), bool):
        raise UsageError(
            f"strategy {named.name} does not say whether it reasons before the answer",
            hint="add: reasons: ClassVar[bool] = True",
        )
    if getattr(built, "runs_code", False) and not spec.run_unsafe_code:
        raise UsageError(
            f"{named.name} runs code that the model writes", hint="--confirm-run-unsafe-code"
        )
    return cast("Strategy | OracleStrategy", built)


def _check_generation(spec: RunSpec, named: Sequence[Spec]) -> None:
    """Refuse a parameter that no arm has: it would change nothing and say nothing."""
    known = {key for one in named for key in _fields(one)} - {"exemplars", "pool"}
    for key in spec.generation:
        if key not in known:
            raise UnknownNameError("generation parameter", key, known)


def _exemplars_for(
    named: Sequence[Spec], spec: RunSpec, bench: Benchmark, problems: Sequence[Problem]
) -> tuple[Exemplar, ...]:
    """Drawn only if one of these shows exemplars; never a problem that is evaluated."""
    if not any("exemplars" in _fields(one) for one in named):
        return ()
    exemplars = _exemplars(spec, bench)
    check_disjoint(exemplars, problems)
    return exemplars


def _exemplars(spec: RunSpec, bench: Benchmark) -> tuple[Exemplar, ...]:
    source, _, count = spec.exemplars.rpartition(":")
    if not source or not count.isdigit() or int(count) < 1:
        raise UsageError(
            f"cannot read exemplars {spec.exemplars!r}", hint="builtin:8, train:8 or FILE.jsonl:8"
        )
    if source == "builtin":
        if bench.answer_kind != "number":
            raise UsageError(
                f"the built-in exemplars answer in numbers, {bench.name} does not",
                hint="--exemplars train:8 or FILE.jsonl:8",
            )
        return _ordered(read_exemplars(int(count)), spec.exemplar_seed)
    if source == "train":
        pool = bench.exemplar_pool()
    elif source.endswith(".jsonl"):
        pool = UserFile(path=Path(source)).problems()
    else:
        raise UsageError(f"unknown exemplars {source!r}", hint="builtin, train or FILE.jsonl")
    return draw_exemplars(pool, int(count), spec.exemplar_seed)


def _ordered(exemplars: tuple[Exemplar, ...], seed: int) -> tuple[Exemplar, ...]:
    """The same exemplars in the order of a seed; 0 is the released order."""
    if seed == 0:
        return exemplars
    rank = {x: content_hash("order-exemplars", [seed, x.question]) for x in exemplars}
    return tuple(sorted(exemplars, key=rank.__getitem__))
