"""Benchmarks: a file here is a name for ``--bench``; the path of a file of problems is one, too."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

from cotkit.benchmarks._problems import OPTIONS, PARAMETERS, RowFormat, UserFile, label_pool
from cotkit.benchmarks._sampling import (
    LAST_DRAWN,
    check_disjoint,
    draw,
    draw_exemplars,
    draw_order,
    make_exemplar,
)
from cotkit.benchmarks._similar import TfIdf
from cotkit.benchmarks.hub import named_sets, open_set
from cotkit.errors import UnknownNameError, UsageError
from cotkit.protocols import Benchmark, CodeBenchmark
from cotkit.registry import DATA_ENDINGS, Spec, construct, entries, is_data_file
from cotkit.types import Notify

__all__ = [
    "LAST_DRAWN",
    "RowFormat",
    "TfIdf",
    "UserFile",
    "allow_code",
    "check_disjoint",
    "draw",
    "draw_exemplars",
    "draw_order",
    "label_pool",
    "load_benchmark",
    "make_exemplar",
]


def load_benchmark(spec: Spec, notify: Notify = lambda _: None) -> Benchmark:
    """Return the benchmark of a name or a path; no problem is read and nothing is downloaded yet.

    ``notify`` is called with messages about a large download, once one begins.

    Raises:
        UnknownNameError: no such benchmark or parameter.
        UsageError: a parameter's value does not fit.
    """
    if spec.name.endswith((".yaml", ".yml")):
        raise UsageError(
            f"{spec.name} is no benchmark by itself",
            hint="a task of lm-evaluation-harness is written lm-eval:PATH.yaml",
        )
    if is_data_file(spec.name):
        return cast("Benchmark", cast("object", _open_user_file(spec)))
    if "/" in spec.name and not spec.name.endswith(".py"):
        raise UsageError(
            f"cannot read {spec.name} as problems",
            hint=f"a file of problems ends in {', '.join(DATA_ENDINGS)}, or in .gz after that",
        )
    sets = named_sets()
    if spec.name == "hub" or spec.name in sets:
        return open_set(spec)
    if spec.name == "gym":
        from cotkit.benchmarks.gym import open_gym

        return open_gym(spec)
    if spec.name == "inspect":
        from cotkit.benchmarks.inspect import open_task

        return open_task(spec)
    try:
        benchmark = construct("benchmark", spec, notify=notify)
    except UnknownNameError as unknown:
        if unknown.message != f"unknown benchmark {spec.name!r}":
            raise
        names = [entry.name for entry in entries("benchmark")]
        raise UnknownNameError("benchmark", spec.name, [*names, *sets]) from None
    _check_shape(spec, benchmark)
    return cast("Benchmark", benchmark)


def allow_code(bench: Benchmark, *, allowed: bool) -> Benchmark:
    """Return the benchmark, free to run Python code of its own where the user allows that."""
    return bench.allow_code() if allowed and isinstance(bench, CodeBenchmark) else bench


def _open_user_file(spec: Spec) -> UserFile:
    parameters = {"exemplars", *OPTIONS, *PARAMETERS}
    if unknown := spec.params.keys() - parameters:
        raise UnknownNameError(f"parameter of {spec.name}", min(unknown), parameters)
    exemplars = spec.params.get("exemplars")
    return UserFile(
        path=Path(spec.name),
        exemplars=Path(exemplars) if exemplars else None,
        format=RowFormat.parse(spec.params),
    )


def _check_shape(spec: Spec, benchmark: object) -> None:
    """Refuse an object of a user's class that lacks what every benchmark has."""
    attributes = {
        *dir(type(benchmark)),
        *(f.name for f in dataclasses.fields(cast("Any", benchmark))),
    }
    required = ("name", "version", "answer_kind", "problems", "exemplar_pool")
    if missing := [name for name in required if name not in attributes]:
        raise UsageError(
            f"benchmark {spec.name} has no {missing[0]}",
            hint="cotkit new benchmark NAME writes one that has everything",
        )
