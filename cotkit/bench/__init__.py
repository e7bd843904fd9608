"""Benchmarks: a file here is a name for ``--bench``; a path that ends in ``.jsonl`` is one, too."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from cotkit.bench._draw import check_disjoint, draw, draw_exemplars
from cotkit.bench._labels import label_pool
from cotkit.bench._user import UserFile
from cotkit.errors import UnknownNameError
from cotkit.protocols import Benchmark
from cotkit.registry import Spec, construct

__all__ = ["UserFile", "check_disjoint", "draw", "draw_exemplars", "label_pool", "load_benchmark"]


def load_benchmark(spec: Spec) -> Benchmark:
    """The benchmark behind a name or a path; no problem is read and nothing is downloaded yet.

    Raises:
        UnknownNameError: no such benchmark or parameter.
        UsageError: a parameter's value does not fit.
    """
    if not spec.name.endswith(".jsonl"):
        return cast("Benchmark", construct("benchmark", spec))
    if unknown := spec.params.keys() - {"answer_kind"}:
        raise UnknownNameError(f"parameter of {spec.name}", min(unknown), ["answer_kind"])
    user = UserFile(path=Path(spec.name), kind=spec.params.get("answer_kind"))
    return cast("Benchmark", cast("object", user))
