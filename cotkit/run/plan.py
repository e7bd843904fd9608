"""What a spec comes to: which arms, on which problems, against which controls."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cotkit.bench import UserFile, check_disjoint, draw, draw_exemplars
from cotkit.errors import UnknownNameError, UsageError
from cotkit.identity import backend_key, content_hash
from cotkit.prompting import read_exemplars, released
from cotkit.registry import Spec, construct, load_class, parse_spec
from cotkit.run.spec import DEFAULT_LIMIT, RunSpec
from cotkit.scoring import READERS, SCORER_VERSION
from cotkit.types import BackendInfo, Benchmark, Exemplar, Problem, Strategy

_SHARED = ("temperature", "top_p", "top_k", "seed")
"""Decoding that an arm should have in common with its control."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One strategy of a run."""

    name: str
    """Canonical spec, unique in the run."""
    strategy: Strategy
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
    """Controls first, then in the order asked."""
    pairs: tuple[tuple[str, str], ...]
    """(arm, control) for every strategy asked that has another as its control."""

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
    pairs = [(s, baseline or parse_spec(_control_of(s))) for s in asked]
    exemplars: tuple[Exemplar, ...] = ()
    if any("exemplars" in _fields(s) for pair in pairs for s in pair):
        exemplars = _exemplars(spec, bench)
        check_disjoint(exemplars, problems)
    _check_generation(spec, [named for pair in pairs for named in pair])
    arms: dict[str, Arm] = {}
    for named in [control for _, control in pairs] + [arm for arm, _ in pairs]:
        if str(named) not in arms:
            arms[str(named)] = Arm(name=str(named), strategy=_build(named, spec, exemplars))
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


def _source_hash(strategy: Strategy) -> str:
    """Hash of the file that defines a strategy: an edited idea is another run."""
    return hashlib.sha256(Path(inspect.getfile(type(strategy))).read_bytes()).hexdigest()


def _limit(spec: RunSpec, n_total: int) -> int | None:
    if spec.limit == "all":
        return None
    return min(DEFAULT_LIMIT, n_total) if spec.limit is None else spec.limit


def _control_of(named: Spec) -> str:
    control = getattr(load_class("strategy", named.name), "control", None)
    if not isinstance(control, str):
        raise UsageError(
            f"strategy {named.name} names no control",
            hint='add: control: ClassVar[str] = "few-shot"',
        )
    return control


def _fields(named: Spec) -> Mapping[str, object]:
    return getattr(load_class("strategy", named.name), "__dataclass_fields__", {})


def _build(named: Spec, spec: RunSpec, exemplars: tuple[Exemplar, ...]) -> Strategy:
    fields = _fields(named)
    shared = {key: value for key, value in spec.generation.items() if key in fields}
    seed = {"seed": str(spec.seed)} if "seed" in fields else {}
    params = {**seed, **shared, **named.params}
    built = construct("strategy", Spec(name=named.name, params=params), exemplars=exemplars)
    return cast("Strategy", built)


def _check_generation(spec: RunSpec, named: Sequence[Spec]) -> None:
    """Refuse a parameter that no arm has: it would change nothing and say nothing."""
    known = {key for one in named for key in _fields(one)} - {"exemplars"}
    for key in spec.generation:
        if key not in known:
            raise UnknownNameError("generation parameter", key, known)


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
        return read_exemplars(int(count))
    if source == "train":
        pool = bench.exemplar_pool()
    elif source.endswith(".jsonl"):
        pool = UserFile(path=Path(source)).problems()
    else:
        raise UsageError(f"unknown exemplars {source!r}", hint="builtin, train or FILE.jsonl")
    return draw_exemplars(pool, int(count), spec.exemplar_seed)
