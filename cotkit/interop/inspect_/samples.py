"""A sample of Inspect as a problem, a strategy for it, and what is kept of its attempt."""

from __future__ import annotations

import functools
import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast, get_args

from cotkit.benchmarks import load_benchmark
from cotkit.errors import UnknownNameError, UsageError
from cotkit.protocols import Benchmark, OracleStrategy, Strategy
from cotkit.registry import load_class, parse_spec
from cotkit.run import Plan, RunSpec, make_plan
from cotkit.scoring.canonical import canonical_number
from cotkit.types import AnswerKind, Attempt, Problem, Question, StopReason

STOP_REASONS: Mapping[str, StopReason] = {
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "refusal",
}
"""Inspect's stop reasons that are not ``stop`` here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverSettings:
    """A solver's parameters."""

    name: str
    """The strategy."""
    params: Mapping[str, str]
    """Its own parameters, as text."""
    exemplars: str
    """As of ``RunSpec``."""
    exemplar_seed: int
    """As of ``RunSpec``."""
    answer_kind: str | None
    """What the samples ask for; None: what the sample says."""
    run_unsafe_code: bool
    """Whether code that the model wrote may be run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleView:
    """What is known of a sample."""

    id: str
    """Its id."""
    text: str
    """Its input, in words."""
    choices: tuple[str, ...]
    """Texts of its choices, as they are shown now."""
    targets: tuple[str, ...]
    """What counts as right; of choices, letters."""
    bench: str | None
    """The benchmark of ours that it is of; None: of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _SingleProblem:
    """A benchmark of one problem: all that a solver sees of another's data set."""

    problem: Problem
    name: str = "sample of Inspect"
    version: str = "1"
    answer_kind: AnswerKind = "number"
    has_own_exemplars: bool = field(default=False, init=False)

    def problems(self) -> Sequence[Problem]:
        return (self.problem,)

    def exemplar_pool(self) -> Sequence[Problem]:
        return ()


def read_settings(name: str, params: Mapping[str, object]) -> SolverSettings:
    """Read a solver's parameters.

    Raises:
        UsageError: one cannot be read; those of the strategy are checked with its first sample.
    """
    given = {key.replace("-", "_"): to_text(value) for key, value in params.items()}
    unsafe = given.pop("run_unsafe_code", "false").lower()
    if unsafe not in {"true", "false"}:
        raise UsageError(f"run_unsafe_code={unsafe}?", hint="true or false")
    return SolverSettings(
        name=name,
        exemplars=given.pop("exemplars", "builtin:8"),
        exemplar_seed=read_count(given.pop("exemplar_seed", "0"), low=0),
        answer_kind=given.pop("answer_kind", None),
        run_unsafe_code=unsafe == "true",
        params=given,
    )


def make_problem(seen: SampleView, answer_kind: str | None) -> Problem:
    """The problem that a sample is; of a benchmark of ours, that benchmark's.

    Raises:
        UsageError: the answer kind does not fit the sample, or its benchmark has no such problem.
    """
    if seen.bench is not None:
        if seen.id not in (known := _problems_by_id(seen.bench)):
            raise UsageError(f"{seen.bench} has no problem {seen.id}")
        return known[seen.id]
    kind = _answer_kind(seen, answer_kind)
    golds = [_read_gold(seen, target, kind) for target in seen.targets]
    return Problem(
        question=Question(id=seen.id, text=seen.text, choices=seen.choices, answer_kind=kind),
        gold=golds[0] if golds else "",
        also=tuple(golds[1:]),
    )


def _answer_kind(seen: SampleView, asked: str | None) -> AnswerKind:
    if asked is None:
        if seen.choices:
            return "choice"
        numbers = [canonical_number(target) for target in seen.targets]
        return "number" if numbers and None not in numbers else "text"
    if asked not in get_args(AnswerKind):
        raise UnknownNameError("answer_kind", asked, get_args(AnswerKind))
    if (asked == "choice") != bool(seen.choices):
        has = f"{len(seen.choices)} choices" if seen.choices else "no choices"
        raise UsageError(f"answer_kind={asked}, but sample {seen.id} has {has}")
    return cast("AnswerKind", asked)


def _read_gold(seen: SampleView, target: str, kind: AnswerKind) -> str:
    if kind == "number":
        found = canonical_number(target)
        if found is None:
            hint = "-S answer_kind=text, and the same of the scorer"
            raise UsageError(f"sample {seen.id}: target {target[:40]!r} is no number", hint=hint)
        return found
    letters = string.ascii_uppercase[: len(seen.choices)]
    return seen.choices[letters.index(target)] if target and target in letters else target


def build_strategy(
    of: SolverSettings, seen: SampleView, problem: Problem
) -> Strategy | OracleStrategy:
    """The strategy for a sample, with its exemplars.

    Raises:
        CotkitError: as ``make_plan``.
    """
    spec = RunSpec(
        model="(asked by Inspect)",
        strategies=(of.name,),
        # measured against itself, no other arm is built; nothing is measured against an oracle
        baseline=None if hasattr(load_class("strategy", of.name), "solve_with_oracle") else of.name,
        limit="all",
        exemplars=of.exemplars,
        exemplar_seed=of.exemplar_seed,
        generation=of.params,
        run_unsafe_code=of.run_unsafe_code,
    )
    if seen.bench is not None:
        return _strategy_of_arm(_make_plan(spec.to_json(), seen.bench), of.name)
    kind = problem.question.answer_kind
    if kind != "number" and spec.exemplars.startswith("builtin:") and _shows_exemplars(of.name):
        raise UsageError(
            f"{of.name} shows exemplars, and the built-in ones are of numbers, not of {kind}",
            hint="-S exemplars=FILE.jsonl:4, or a zero-shot strategy",
        )
    return _strategy_of_arm(
        make_plan(spec, _SingleProblem(problem=problem, answer_kind=kind)), of.name
    )


def _strategy_of_arm(plan: Plan, name: str) -> Strategy | OracleStrategy:
    return next(arm.strategy for arm in plan.arms if arm.name == name)


def _shows_exemplars(name: str) -> bool:
    from cotkit.run.plan import fields_of

    return "exemplars" in fields_of(parse_spec(name))


@functools.lru_cache(maxsize=8)
def _make_plan(spec: str, bench: str) -> Plan:
    return make_plan(RunSpec.from_json(spec), _load_bench(bench))


@functools.lru_cache(maxsize=8)
def _load_bench(spec: str) -> Benchmark:
    return load_benchmark(parse_spec(spec))


@functools.lru_cache(maxsize=8)
def _problems_by_id(spec: str) -> Mapping[str, Problem]:
    return {one.question.id: one for one in _load_bench(spec).problems()}


def inspect_target(of: Problem) -> str | list[str]:
    """What Inspect's own scorers compare with: letters of choices."""
    choices = of.question.choices
    golds = [
        string.ascii_uppercase[choices.index(gold)] if gold in choices else gold
        for gold in (of.gold, *of.also)
    ]
    return golds[0] if len(golds) == 1 else golds


def dump_attempt(of: Attempt) -> dict[str, Any]:
    """An attempt as JSON."""
    return asdict(of)


def load_attempt(found: Mapping[str, Any] | None, text: str, stopped: str) -> Attempt:
    """What :func:`kept` kept; without it, one of the last completion."""
    if found is None:
        return Attempt(text=text, stop_reason=STOP_REASONS.get(stopped, "stop"))
    values: dict[str, Any] = dict(found)
    drafts: list[dict[str, Any]] = values.pop("drafts")
    bare: dict[str, Any] = {"drafts": ()}
    return Attempt(**values, drafts=tuple(Attempt(**(one | bare)) for one in drafts))


def to_text(value: object) -> str:
    """A parameter as Inspect read it (YAML), as text again."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(to_text, cast("list[object]", value)))
    return str(value)


def read_count(text: str, *, low: int = 1) -> int:
    """A whole number.

    Raises:
        UsageError: it is none, or below ``low``.
    """
    if not text.isdecimal() or int(text) < low:
        raise UsageError(f"{text!r} is no number from {low}")
    return int(text)
