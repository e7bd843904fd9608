"""The exemplars of a label benchmark: one whose questions all have the same choices, its labels."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.bench._draw import check_disjoint
from cotkit.errors import UsageError
from cotkit.protocols import Benchmark
from cotkit.types import Exemplar, Problem


def label_pool(bench: Benchmark, problems: Sequence[Problem]) -> tuple[Exemplar, ...]:
    """Everything that the benchmark offers as exemplars: text, no rationale, the gold label.

    Raises:
        UsageError: the questions do not all have the same choices, a gold answer is not the text of
            one, there are no exemplars, or one of them is among ``problems``.
    """
    pool = bench.exemplar_pool()
    everything = (*problems, *pool)
    labels = {problem.question.choices for problem in everything}
    if len(labels) != 1 or any(p.gold not in p.question.choices for p in everything) or not pool:
        raise UsageError(
            f"{bench.name} is not a label benchmark: it needs one set of labels for all questions"
            " and exemplars that show them",
            hint="--bench sentiment-mini or linear-classification",
        )
    found = tuple(
        Exemplar(question=problem.question.text, rationale="", answer=problem.gold)
        for problem in pool
    )
    check_disjoint(found, problems)
    return found
