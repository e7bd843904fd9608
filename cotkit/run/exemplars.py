"""Which exemplars a run shows: released ones, drawn ones, or a user's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from cotkit.bench import UserFile, check_disjoint, draw_exemplars, draw_order
from cotkit.errors import UsageError
from cotkit.identity import content_hash
from cotkit.prompting import read_exemplars, shown
from cotkit.protocols import Benchmark
from cotkit.registry import Spec, load_class
from cotkit.run.spec import RunSpec
from cotkit.types import Exemplar, Problem

_BARE = frozenset({"few-shot"})
"""Strategies that show no rationale, so that their exemplars need none."""


@runtime_checkable
class OwnExemplars(Protocol):
    """A benchmark that the built-in word problems do not fit: its own pool takes their place."""

    @property
    def has_own_exemplars(self) -> bool:
        """Whether ``builtin:K`` means ``train:K``, spread over the numbers of steps."""
        ...


def fields_of(named: Spec) -> set[str]:
    """Parameters of a strategy, given ones included."""
    cls = load_class("strategy", named.name)
    return {f.name for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()


def exemplars_for(
    named: Sequence[Spec], spec: RunSpec, bench: Benchmark, problems: Sequence[Problem]
) -> tuple[Exemplar, ...]:
    """Drawn only if one of these shows exemplars; never a problem that is evaluated."""
    showing = [one for one in named if "exemplars" in fields_of(one)]
    if not showing:
        return ()
    bare = all(one.name in _BARE for one in showing)
    exemplars = _exemplars(spec, bench, problems, bare=bare)
    check_disjoint(exemplars, [_as_shown(problem) for problem in problems])
    return exemplars


def _exemplars(
    spec: RunSpec, bench: Benchmark, problems: Sequence[Problem], *, bare: bool
) -> tuple[Exemplar, ...]:
    source, _, count = spec.exemplars.rpartition(":")
    if not source or not count.isdecimal() or int(count) < 1:
        raise UsageError(
            f"cannot read exemplars {spec.exemplars!r}",
            hint="builtin:8, train:8, rest:8 or FILE.jsonl:8",
        )
    has_own = isinstance(bench, OwnExemplars) and bench.has_own_exemplars
    if source == "builtin" and has_own:
        source = "train"
    if source == "builtin" and bench.answer_kind != "number":
        source = "train" if bench.exemplar_pool() else "rest"  # the built-in ones are numbers
    if source == "builtin":
        return _ordered(read_exemplars(int(count)), spec.exemplar_seed)
    if source == "train":
        pool = bench.exemplar_pool()
    elif source == "rest":
        pool = _rest(bench, problems, int(count), spec.seed)
    elif source.endswith(".jsonl"):
        pool = UserFile(path=Path(source), kind=bench.answer_kind).problems()
    else:
        raise UsageError(f"unknown exemplars {source!r}", hint="builtin, train, rest or FILE.jsonl")
    return draw_exemplars(
        [_as_shown(p) for p in pool],
        int(count),
        spec.exemplar_seed,
        spread=has_own and source == "train",
        bare=bare,
    )


def _rest(bench: Benchmark, problems: Sequence[Problem], k: int, seed: int) -> Sequence[Problem]:
    """Problems that are not evaluated, of a benchmark of one split: the last ones to be drawn.

    So a larger ``--limit`` shows the same exemplars until it takes them for itself.
    """
    evaluated = {problem.question.id for problem in problems}
    last = draw_order(bench.problems(), seed)[-4 * k :]
    left = [problem for problem in last if problem.question.id not in evaluated]
    if len(left) < k:
        most = max(len(bench.problems()) - k, 0)
        raise UsageError(
            f"{bench.name} has one split: {k} of its problems have to be kept for exemplars",
            hint=f"--limit {most}, or --exemplars FILE.jsonl:{k}",
        )
    return left


def _as_shown(problem: Problem) -> Problem:
    """Its question with the choices among the words, as prompts show it."""
    question = problem.question
    return replace(problem, question=replace(question, text=shown(question)))


def _ordered(exemplars: tuple[Exemplar, ...], seed: int) -> tuple[Exemplar, ...]:
    """The same exemplars in the order of a seed; 0 is the released order."""
    if seed == 0:
        return exemplars
    rank = {x: content_hash("order-exemplars", [seed, x.question]) for x in exemplars}
    return tuple(sorted(exemplars, key=rank.__getitem__))
