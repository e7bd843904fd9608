"""Which exemplars a run shows: released ones, drawn ones, or a user's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from cotkit.bench import UserFile, check_disjoint, draw_exemplars
from cotkit.errors import UsageError
from cotkit.identity import content_hash
from cotkit.prompting import read_exemplars, shown
from cotkit.protocols import Benchmark
from cotkit.registry import Spec, load_class
from cotkit.run.spec import RunSpec
from cotkit.types import Exemplar, Problem


@runtime_checkable
class OwnExemplars(Protocol):
    """A benchmark that the built-in word problems do not fit: its own pool takes their place."""

    @property
    def has_own_exemplars(self) -> bool:
        """Whether ``builtin:K`` means ``train:K``."""
        ...


def fields_of(named: Spec) -> set[str]:
    """Parameters of a strategy, given ones included."""
    cls = load_class("strategy", named.name)
    return {f.name for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()


def exemplars_for(
    named: Sequence[Spec], spec: RunSpec, bench: Benchmark, problems: Sequence[Problem]
) -> tuple[Exemplar, ...]:
    """Drawn only if one of these shows exemplars; never a problem that is evaluated."""
    if not any("exemplars" in fields_of(one) for one in named):
        return ()
    exemplars = _exemplars(spec, bench)
    check_disjoint(exemplars, [_as_shown(problem) for problem in problems])
    return exemplars


def _exemplars(spec: RunSpec, bench: Benchmark) -> tuple[Exemplar, ...]:
    source, _, count = spec.exemplars.rpartition(":")
    if not source or not count.isdecimal() or int(count) < 1:
        raise UsageError(
            f"cannot read exemplars {spec.exemplars!r}", hint="builtin:8, train:8 or FILE.jsonl:8"
        )
    if source == "builtin" and isinstance(bench, OwnExemplars) and bench.has_own_exemplars:
        source = "train"
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
        pool = UserFile(path=Path(source), kind=bench.answer_kind).problems()
    else:
        raise UsageError(f"unknown exemplars {source!r}", hint="builtin, train or FILE.jsonl")
    return draw_exemplars([_as_shown(p) for p in pool], int(count), spec.exemplar_seed)


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
