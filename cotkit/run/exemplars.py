"""Which exemplars a run shows: released ones, a benchmark's own, a file's, or some a question.

``builtin:8``, ``SET:8`` (``exemplar_sets``), ``train:8``, ``rest:8``, ``FILE.jsonl:8``,
``lm-eval:TASK:3``; ``similar:8`` and ``complex:8`` choose among those of ``train`` or ``rest``. Of
``auto:8`` a run of its own makes a file first (``workflows/auto_exemplars.py``).
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from cotkit.benchmarks import (
    LAST_DRAWN,
    RowFormat,
    TfIdf,
    UserFile,
    allow_code,
    check_disjoint,
    draw_exemplars,
    draw_order,
    load_benchmark,
    make_exemplar,
)
from cotkit.errors import UnknownNameError, UsageError
from cotkit.identity import content_hash
from cotkit.prompting import (
    exemplar_sets,
    format_question,
    read_exemplars,
    read_multilingual,
)
from cotkit.protocols import Benchmark
from cotkit.registry import Spec, is_data_file, load_class
from cotkit.run.spec import RunSpec
from cotkit.types import AnswerKind, Exemplar, Problem, Question

_BARE_STRATEGIES = frozenset({"few-shot"})
"""Strategies that show no rationale, so that their exemplars need none."""
_SOURCES = "builtin, train, rest, similar, complex, auto, FILE.jsonl, lm-eval:TASK"


@runtime_checkable
class OwnExemplars(Protocol):
    """A benchmark that the built-in word problems do not fit: its own pool takes their place."""

    @property
    def has_own_exemplars(self) -> bool:
        """Whether ``builtin:K`` means ``train:K``, spread over the numbers of steps."""
        ...


@runtime_checkable
class FittingExemplars(Protocol):
    """A benchmark whose own problems have no rationales, and that a released set may fit."""

    @property
    def exemplar_set(self) -> str | None:
        """Name of the set that ``builtin:K`` means where rationales are shown; None: none fits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarExemplars:
    """For each question the exemplars whose words are most like its own, the nearest last.

    Cosine of TF-IDF vectors (Liu et al. 2022, arXiv:2101.06804, with words for embeddings). What
    it chooses depends on the question alone, so an arm and its control show the same.
    """

    k: int
    """How many."""
    pool: tuple[Exemplar, ...]
    """What it chooses from."""
    version: int = 1
    """Raised whenever it could choose others."""

    def choose(self, question: Question) -> tuple[Exemplar, ...]:
        """Choose the exemplars of a question; of equals the first in the pool."""
        index = _index(tuple(exemplar.question for exemplar in self.pool))
        nearest = index.rank(format_question(question))[: self.k]
        return tuple(self.pool[i] for i in reversed(nearest))


_index = functools.lru_cache(maxsize=4)(TfIdf.of)


def fields_of(strategy: Spec) -> set[str]:
    """Return the names of a strategy's fields."""
    cls = load_class("strategy", strategy.name)
    return {f.name for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()


def exemplars_for(
    strategies: Sequence[Spec], spec: RunSpec, bench: Benchmark, problems: Sequence[Problem]
) -> tuple[tuple[Exemplar, ...], SimilarExemplars | None]:
    """Draw exemplars if a strategy shows any; never a problem that is evaluated.

    With a selector they are those of the first question, for what has to show some.
    """
    showing = [strategy for strategy in strategies if "exemplars" in fields_of(strategy)]
    if not showing:
        return (), None
    bare = _are_bare(showing)
    source, k = _resolve_exemplars(spec, bench, bare=bare)
    evaluated = [_show_choices(problem) for problem in problems]
    selector = None
    if source == "similar":
        pool = _usable(_pool(bench, problems, k, spec.seed), evaluated, bare=bare)
        _check_enough(k, len(pool))
        selector = SimilarExemplars(k=k, pool=pool)
        exemplars = selector.choose(problems[0].question)
    else:
        exemplars = _draw_exemplars(source, k, spec, bench, problems, bare=bare)
    check_disjoint(exemplars if selector is None else selector.pool, evaluated)
    return exemplars, selector


def auto_run(exemplars: str) -> str | None:
    """Return the id of the run that made the exemplars of ``auto-ID.jsonl:K``; None: no run did."""
    match = re.search(r"auto-([0-9a-f]{12})\.jsonl:[0-9]+\Z", exemplars)
    return match[1] if match else None


def _are_bare(showing: Sequence[Spec]) -> bool:
    """Return whether none of the strategies shows the rationales of its exemplars."""
    return all(strategy.name in _BARE_STRATEGIES for strategy in showing)


def _resolve_exemplars(spec: RunSpec, bench: Benchmark, *, bare: bool) -> tuple[str, int]:
    """Return where the exemplars come from, and how many there are; ``bare``: without rationales.

    Raises:
        UsageError: it cannot be read.
    """
    source, _, count = spec.exemplars.rpartition(":")
    if not source or not (count.isascii() and count.isdecimal()) or int(count) < 1:
        raise UsageError(
            f"cannot read exemplars {spec.exemplars!r}",
            hint="builtin:8, train:8, rest:8 or FILE.jsonl:8",
        )
    return _choose_builtin(bench, bare=bare) if source == "builtin" else source, int(count)


def _choose_builtin(bench: Benchmark, *, bare: bool) -> str:
    """Return the source that ``builtin`` means for a benchmark."""
    if isinstance(bench, OwnExemplars) and bench.has_own_exemplars:
        return "train"
    if not bare and isinstance(bench, FittingExemplars) and bench.exemplar_set is not None:
        return bench.exemplar_set
    if bench.answer_kind == "number":
        return "builtin"  # our word problems
    return "train" if bench.exemplar_pool() else "rest"


def _draw_exemplars(
    source: str,
    k: int,
    spec: RunSpec,
    bench: Benchmark,
    problems: Sequence[Problem],
    *,
    bare: bool,
) -> tuple[Exemplar, ...]:
    if source == "builtin":
        return _order_exemplars(read_exemplars(k), spec.exemplar_seed)
    if source == "multilingual" and (language := problems[0].question.language) is not None:
        return _order_exemplars(read_multilingual(k, language), spec.exemplar_seed)
    if source in exemplar_sets():
        return _order_exemplars(read_exemplars(k, domain=source), spec.exemplar_seed)
    if source == "complex":
        pool = [_show_choices(x) for x in _pool(bench, problems, k, spec.seed)]
        return _choose_complex(pool, k, problems, spec.exemplar_seed)
    if source == "train":
        pool = bench.exemplar_pool()
    elif source == "rest":
        pool = _unused_problems(bench, problems, k, spec.seed)
    elif source.startswith("lm-eval:"):
        kind: AnswerKind = "text" if bench.answer_kind == "choice" else bench.answer_kind
        task = Spec(name="lm-eval", params={"path": source[8:], "answer_kind": kind})
        task_bench = allow_code(load_benchmark(task), allowed=spec.run_unsafe_code)
        pool = [_without_frame(problem) for problem in task_bench.exemplar_pool()]
    elif is_data_file(source):
        rows = RowFormat(answer_kind=bench.answer_kind)
        pool = UserFile(path=Path(source), format=rows).problems()
    elif source == "auto":
        raise UsageError(
            "auto exemplars are the model's own chains: a run has to make them first",
            hint="cotkit compare --exemplars auto:8 does, of one model and benchmark",
        )
    else:
        raise UnknownNameError("exemplars", source, [*exemplar_sets(), *_SOURCES.split(", ")])
    has_own = isinstance(bench, OwnExemplars) and bench.has_own_exemplars
    return draw_exemplars(
        [_show_choices(p) for p in pool],
        k,
        spec.exemplar_seed,
        exclude=problems if source.startswith("lm-eval:") else (),
        spread=has_own and source == "train",
        bare=bare,
    )


def _without_frame(problem: Problem) -> Problem:
    """Return an example of a task without the ``Q:`` and ``A:`` that prompts write themselves."""
    text = re.sub(r"\A\s*(?:Q|Question)\s*:\s*", "", problem.question.text)
    text = re.sub(r"\s*\b(?:A|Answer)\s*:[^\n]{0,40}\Z", "", text)
    return replace(problem, question=replace(problem.question, text=text))


def _pool(bench: Benchmark, problems: Sequence[Problem], k: int, seed: int) -> Sequence[Problem]:
    """Return the problems to choose exemplars from: the training split, else what is kept back."""
    return bench.exemplar_pool() or _unused_problems(bench, problems, k, seed)


def _usable(
    pool: Sequence[Problem], evaluated: Sequence[Problem], *, bare: bool
) -> tuple[Exemplar, ...]:
    questions = {problem.question.text for problem in evaluated}
    exemplars = (make_exemplar(_show_choices(problem)) for problem in pool)
    return tuple(x for x in exemplars if (x.rationale or bare) and x.question not in questions)


def _choose_complex(
    pool: Sequence[Problem], k: int, problems: Sequence[Problem], seed: int
) -> tuple[Exemplar, ...]:
    """Choose the exemplars of the most steps (Fu et al. 2022, arXiv:2210.00720).

    Steps are those that the benchmark counts, else the sentences and lines of the rationale.
    """
    order = {problem.question.text: i for i, problem in enumerate(draw_order(pool, seed))}
    steps = {problem.question.text: problem.n_steps for problem in pool}
    evaluated = [_show_choices(problem) for problem in problems]
    exemplars = _usable(pool, evaluated, bare=False)
    _check_enough(k, len(exemplars))

    def rank(exemplar: Exemplar) -> tuple[int, int]:
        n = len(re.findall(r"(?:[.!?](?=\s|$)|\n)+", f"{exemplar.rationale}\n"))
        return -(steps.get(exemplar.question) or n), order.get(exemplar.question, 0)

    return tuple(sorted(exemplars, key=rank)[:k])


def _check_enough(k: int, n: int) -> None:
    if k > n:
        raise UsageError(
            f"{k} exemplars asked, {n} can be drawn (each needs a rationale)",
            hint="--exemplars FILE.jsonl:8, a set of cotkit list exemplars, or zero-shot-cot",
        )


_WINDOW = LAST_DRAWN  # times K: so many of the last problems to be drawn may become exemplars


def count_kept_back(
    strategies: Sequence[Spec], spec: RunSpec, bench: Benchmark, everything: Sequence[Problem]
) -> int:
    """Return how many problems of a benchmark of one split are not evaluated for any limit.

    They are the last to be drawn, as many as hold K exemplars; 0: exemplars come from elsewhere, or
    there are too few problems, which is an error where they are drawn.
    """
    showing = [strategy for strategy in strategies if "exemplars" in fields_of(strategy)]
    bare = _are_bare(showing)
    source, k = _resolve_exemplars(spec, bench, bare=bare) if showing else ("", 0)
    is_auto = auto_run(spec.exemplars) is not None
    if source != "rest" and not is_auto and source not in {"similar", "complex"}:
        return 0
    if source != "rest" and bench.exemplar_pool():
        return 0
    if is_auto:
        return min(_WINDOW * k, len(everything) - 1)
    last = draw_order(everything, spec.seed)[: -_WINDOW * k - 1 : -1]
    usable = [number for number, x in enumerate(last, start=1) if bare or x.rationale]
    n_kept = usable[k - 1] if len(usable) >= k else k
    return n_kept if n_kept < len(everything) else 0


def _unused_problems(
    bench: Benchmark, problems: Sequence[Problem], k: int, seed: int
) -> Sequence[Problem]:
    """Return problems of a benchmark of one split that are not evaluated: the last to be drawn.

    So a larger ``--limit`` shows the same exemplars until it takes them for itself.
    """
    evaluated = {problem.question.id for problem in problems}
    last = draw_order(bench.problems(), seed)[-_WINDOW * k :]
    unused = [problem for problem in last if problem.question.id not in evaluated]
    if len(unused) < k:
        raise UsageError(
            f"{bench.name} has one split and {len(bench.problems())} problems: {k} cannot be kept "
            "for exemplars",
            hint=f"--exemplars FILE.jsonl:{k}, a set of cotkit list exemplars, or zero-shot-cot",
        )
    return unused


def _show_choices(problem: Problem) -> Problem:
    """Return the problem with the choices in its question's text, as prompts show them."""
    question = problem.question
    return replace(problem, question=replace(question, text=format_question(question)))


def _order_exemplars(exemplars: tuple[Exemplar, ...], seed: int) -> tuple[Exemplar, ...]:
    """Return the same exemplars in the order of a seed; 0 is the released order."""
    if seed == 0:
        return exemplars
    rank = {x: content_hash("order-exemplars", [seed, x.question]) for x in exemplars}
    return tuple(sorted(exemplars, key=rank.__getitem__))
