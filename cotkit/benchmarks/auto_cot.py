"""The questions whose chains become exemplars by themselves: Auto-CoT (Zhang et al. 2022)."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cotkit.benchmarks._sampling import LAST_DRAWN, draw_order
from cotkit.benchmarks._similar import cluster
from cotkit.registry import parse_spec
from cotkit.types import AnswerKind, Problem

_MAX_POOL = 400
_MAX_WORDS = 60
"""A longer question is no exemplar, as in the paper."""
_CANDIDATES = 3
"""Questions a cluster: the next one where a chain cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoCot:
    """``--exemplars auto:K`` runs ``zero-shot-cot`` on it; nothing else needs it.

    Source: arXiv:2210.03493. The questions of the benchmark's training split (else those that are
    kept back for exemplars) in K clusters by their words, the most central ones of each.
    """

    bench: str
    """The benchmark, as users write it."""
    k: int = 8
    """Clusters, 1 or more."""
    seed: int = 0
    """Of the draw of questions."""
    name: str = field(default="auto-cot", init=False)
    _is_allowed: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: names the field and its range.
        """
        if self.k < 1:
            raise ValueError(f"k is {self.k}, must be 1 or more")

    @property
    def version(self) -> str:
        """Version of the choice, the benchmark's, and the parameters."""
        return f"1-{self._source().version}-k{self.k}-seed{self.seed}"

    @property
    def answer_kind(self) -> AnswerKind:
        """The benchmark's."""
        return self._source().answer_kind

    def problems(self) -> Sequence[Problem]:
        """Return up to three questions of each cluster, each with the number of its cluster."""
        bench = self._source()
        pool = draw_order(bench.exemplar_pool(), self.seed)[:_MAX_POOL]
        pool = pool or draw_order(bench.problems(), self.seed)[-LAST_DRAWN * self.k :]
        short = [p for p in pool if len(p.question.text.split()) <= _MAX_WORDS] or pool
        return [
            replace(short[i], tags={"cluster": str(number)})
            for number, group in enumerate(cluster([p.question.text for p in short], self.k))
            for i in group[:_CANDIDATES]
        ]

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return nothing: the strategy that is run on it shows no exemplars."""
        return ()

    @property
    def runs_code(self) -> bool:
        """Whether the benchmark runs Python code of its own."""
        return bool(getattr(_load(self.bench), "runs_code", False))

    def allow_code(self) -> AutoCot:
        """Return the same, free to run it."""
        allowed = copy.copy(self)
        object.__setattr__(allowed, "_is_allowed", True)
        return allowed

    def _source(self):  # noqa: ANN202 - a Benchmark
        return _load(self.bench, allowed=self._is_allowed)


@functools.lru_cache(maxsize=4)
def _load(bench: str, *, allowed: bool = False):  # noqa: ANN202 - a Benchmark
    from cotkit.benchmarks import allow_code, load_benchmark

    return allow_code(load_benchmark(parse_spec(bench)), allowed=allowed)
