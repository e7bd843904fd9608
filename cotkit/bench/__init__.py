"""Benchmarks: a file here is a name for ``--bench``; a path that ends in ``.jsonl`` is one, too."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from cotkit.bench._draw import check_disjoint, draw, draw_exemplars, draw_order
from cotkit.bench._labels import label_pool
from cotkit.bench._user import UserFile
from cotkit.errors import UnknownNameError
from cotkit.protocols import Benchmark
from cotkit.registry import Spec, construct
from cotkit.types import Notify

__all__ = [
    "UserFile",
    "check_disjoint",
    "draw",
    "draw_exemplars",
    "draw_order",
    "label_pool",
    "load_benchmark",
]


def load_benchmark(spec: Spec, notify: Notify = lambda _: None) -> Benchmark:
    """The benchmark behind a name or a path; no problem is read and nothing is downloaded yet.

    ``notify`` is told of a download, once there is one, where the benchmark may need a large one.

    Raises:
        UnknownNameError: no such benchmark or parameter.
        UsageError: a parameter's value does not fit.
    """
    if not spec.name.endswith(".jsonl"):
        return cast("Benchmark", construct("benchmark", spec, notify=notify))
    if unknown := spec.params.keys() - {"answer_kind"}:
        raise UnknownNameError(f"parameter of {spec.name}", min(unknown), ["answer_kind"])
    user = UserFile(path=Path(spec.name), kind=spec.params.get("answer_kind"))
    return cast("Benchmark", cast("object", user))
