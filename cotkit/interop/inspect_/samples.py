"""A sample of Inspect as a problem, a strategy for it, and its attempt as JSON."""

from __future__ import annotations

import functools
import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast, get_args

from cotkit.backends.inspect import STOP_REASONS
from cotkit.benchmarks import load_benchmark
from cotkit.errors import UnknownNameError, UsageError
from cotkit.protocols import Benchmark, OracleStrategy, Strategy
from cotkit.registry import load_class, parse_spec
from cotkit.run import Plan, RunSpec, make_plan
from cotkit.scoring.canonical import read_gold_number
from cotkit.types import AnswerKind, Attempt, Problem, Question


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
    """The kind of answer that the samples ask for; None: the sample shows it."""
    run_unsafe_code: bool
    """Whether code that the model wrote may run."""
    sandbox: str
    """As of ``RunOptions``; ``auto``: that of the task, if it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleView:
    """A sample, without Inspect's classes."""

    id: str
    """Its id."""
    text: str
    """Its input as text."""
    choices: tuple[str, ...]
    """Texts of its choices, in their present order."""
    targets: tuple[str, ...]
    """Right answers; of choices, letters."""
    bench: str | None
    """The benchmark of cotkit that it is of; None: of another data set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _SingleProblem:
    """A benchmark of one problem: a solver sees no more of a data set."""

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
    texts = {key.replace("-", "_"): to_text(value) for key, value in params.items()}
    unsafe = texts.pop("run_unsafe_code", "false").lower()
    if unsafe not in {"true", "false"}:
        raise UsageError(f"run_unsafe_code={unsafe}?", hint="true or false")
    return SolverSettings(
        name=name,
        exemplars=texts.pop("exemplars", "builtin:8"),
        exemplar_seed=read_count(texts.pop("exemplar_seed", "0"), low=0),
        answer_kind=texts.pop("answer_kind", None),
        run_unsafe_code=unsafe == "true",
        sandbox=texts.pop("sandbox", "auto"),
        params=texts,
    )


def make_problem(view: SampleView, answer_kind: str | None) -> Problem:
    """Make a problem of a sample; one of a benchmark of cotkit is taken from there.

    Raises:
        UsageError: the answer kind does not fit the sample, or its benchmark has no such problem.
    """
    if view.bench is not None:
        if view.id not in (problems := _problems_by_id(view.bench)):
            raise UsageError(f"{view.bench} has no problem {view.id}")
        return problems[view.id]
    kind = _answer_kind(view, answer_kind)
    golds = [_read_gold(view, target, kind) for target in view.targets]
    return Problem(
        question=Question(id=view.id, text=view.text, choices=view.choices, answer_kind=kind),
        gold=golds[0] if golds else "",
        also=tuple(golds[1:]),
    )


def _answer_kind(view: SampleView, answer_kind: str | None) -> AnswerKind:
    if answer_kind is None:
        if view.choices:
            return "choice"
        numbers = [read_gold_number(target) for target in view.targets]
        return "number" if numbers and None not in numbers else "text"
    if answer_kind not in get_args(AnswerKind):
        raise UnknownNameError("answer_kind", answer_kind, get_args(AnswerKind))
    if (answer_kind == "choice") != bool(view.choices):
        described = f"{len(view.choices)} choices" if view.choices else "no choices"
        raise UsageError(f"answer_kind={answer_kind}, but sample {view.id} has {described}")
    return cast("AnswerKind", answer_kind)


def _read_gold(view: SampleView, target: str, kind: AnswerKind) -> str:
    if kind == "number":
        number = read_gold_number(target)
        if number is None:
            hint = "-S answer_kind=text, and the same of the scorer"
            raise UsageError(f"sample {view.id}: target {target[:40]!r} is no number", hint=hint)
        return number
    letters = string.ascii_uppercase[: len(view.choices)]
    return view.choices[letters.index(target)] if target and target in letters else target


def build_strategy(
    settings: SolverSettings, view: SampleView, problem: Problem
) -> Strategy | OracleStrategy:
    """Build the strategy for a sample, with its exemplars.

    Raises:
        CotkitError: as ``make_plan``.
    """
    spec = RunSpec(
        model="(asked by Inspect)",
        strategies=(settings.name,),
        # measured against itself, no other arm is built; nothing is measured against an oracle
        baseline=None
        if hasattr(load_class("strategy", settings.name), "solve_with_oracle")
        else settings.name,
        limit="all",
        exemplars=settings.exemplars,
        exemplar_seed=settings.exemplar_seed,
        generation=settings.params,
        run_unsafe_code=settings.run_unsafe_code,
        sandbox=settings.sandbox,
    )
    if view.bench is not None:
        plan = _make_plan(spec.to_json(), view.bench)
        if len(plan.problems) < len(plan.everything) and view.id not in _list_ids(plan):
            raise UsageError(
                f"{view.id} is kept for exemplars: {view.bench} has one split",
                hint=f"-T limit={len(plan.problems)}, or -S exemplars=FILE.jsonl:8",
            )
        return _strategy_of_arm(plan, settings.name, problem)
    kind = problem.question.answer_kind
    if (
        kind != "number"
        and spec.exemplars.startswith("builtin:")
        and _shows_exemplars(settings.name)
    ):
        raise UsageError(
            f"{settings.name} shows exemplars, and the built-in ones are of numbers, not of {kind}",
            hint="-S exemplars=FILE.jsonl:4, a set of cotkit list exemplars, or zero-shot-cot",
        )
    plan = make_plan(spec, _SingleProblem(problem=problem, answer_kind=kind))
    return _strategy_of_arm(plan, settings.name, problem)


def _list_ids(plan: Plan) -> set[str]:
    return {problem.question.id for problem in plan.problems}


def _strategy_of_arm(plan: Plan, name: str, problem: Problem) -> Strategy | OracleStrategy:
    arm = next(arm for arm in plan.arms if arm.name == name)
    return arm.strategy_for(problem.question)


def _shows_exemplars(name: str) -> bool:
    from cotkit.run.exemplars import fields_of

    return "exemplars" in fields_of(parse_spec(name))


@functools.lru_cache(maxsize=8)
def _make_plan(spec: str, bench: str) -> Plan:
    return make_plan(RunSpec.from_json(spec), _load_bench(bench))


@functools.lru_cache(maxsize=8)
def _load_bench(spec: str) -> Benchmark:
    return load_benchmark(parse_spec(spec))


@functools.lru_cache(maxsize=8)
def _problems_by_id(spec: str) -> Mapping[str, Problem]:
    return {problem.question.id: problem for problem in _load_bench(spec).problems()}


def format_target(problem: Problem) -> str | list[str]:
    """Return the target for Inspect's own scorers: of choices, letters."""
    choices = problem.question.choices
    golds = [
        string.ascii_uppercase[choices.index(gold)] if gold in choices else gold
        for gold in (problem.gold, *problem.also)
    ]
    return golds[0] if len(golds) == 1 else golds


def dump_attempt(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt as JSON."""
    return asdict(attempt)


def load_attempt(stored: Mapping[str, Any] | None, text: str, stop_reason: str) -> Attempt:
    """Read what :func:`dump_attempt` made; without it, make one of the last completion."""
    if stored is None:
        return Attempt(text=text, stop_reason=STOP_REASONS.get(stop_reason, "stop"))
    values: dict[str, Any] = dict(stored)
    drafts: list[dict[str, Any]] = values.pop("drafts")
    bare: dict[str, Any] = {"drafts": ()}
    return Attempt(**values, drafts=tuple(Attempt(**(draft | bare)) for draft in drafts))


def to_text(value: object) -> str:
    """Return a parameter, which Inspect read as YAML, as text again."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(to_text, cast("list[object]", value)))
    return str(value)


def read_count(text: str, *, low: int = 1) -> int:
    """Read a whole number.

    Raises:
        UsageError: it is no whole number, or below ``low``.
    """
    if not (text.isascii() and text.isdecimal()) or int(text) < low:
        raise UsageError(f"{text!r} is no number from {low}")
    return int(text)
