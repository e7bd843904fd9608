"""Auto-CoT (Zhang et al. 2022, arXiv:2210.03493): exemplars out of the model's own chains.

A run of ``zero-shot-cot`` on the central questions of a benchmark is stored like any other; of each
cluster the first chain that is short and gives an answer becomes an exemplar, right or wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cotkit.benchmarks import load_benchmark, make_exemplar
from cotkit.errors import UsageError
from cotkit.paths import cache_dir
from cotkit.protocols import Benchmark
from cotkit.registry import Spec, parse_spec
from cotkit.run import RunSpec
from cotkit.store import AttemptRow, Store, place_of
from cotkit.types import Problem

if TYPE_CHECKING:
    from cotkit.workflows.compare import RunResult

_MAX_STEPS = 12
"""Sentences and lines of a chain; a longer one wanders."""


def preparatory_spec(spec: RunSpec) -> RunSpec:
    """Return the run that makes the chains.

    Raises:
        UsageError: ``auto:`` is not followed by a number from 1.
    """
    count = spec.exemplars.removeprefix("auto:")
    if not (count.isascii() and count.isdecimal()) or int(count) < 1:
        raise UsageError(f"cannot read exemplars {spec.exemplars!r}", hint="auto:8")
    params = {"bench": spec.bench, "k": count, "seed": str(spec.seed)}
    return replace(
        spec,
        bench=str(Spec(name="auto-cot", params=params)),
        strategies=("zero-shot-cot",),
        baseline="zero-shot-cot",
        exemplars="builtin:8",
        exemplar_seed=0,
        limit="all",
        likelihood=False,
        generation={},
    )


def write_exemplars(
    spec: RunSpec, run: RunResult, log_dir: Path | str
) -> tuple[RunSpec, tuple[str, ...]]:
    """Write the exemplars of a preparatory run; return the spec that shows them, and a note.

    Raises:
        UsageError: there are fewer than asked.
    """
    k = int(spec.exemplars.removeprefix("auto:"))
    run_id = run.plan.run_id(run.info)
    problems = {problem.question.id: problem for problem in run.plan.problems}
    by_cluster: dict[str, Mapping[str, object]] = {}
    with Store(place_of(log_dir)) as store:
        for row in run.execution.rows:
            problem = problems[row.problem_id]
            number = problem.tags["cluster"]
            if number not in by_cluster and (exemplar := _make(store, run_id, row, problem, spec)):
                by_cluster[number] = exemplar
    if len(by_cluster) < k:
        raise UsageError(
            f"{k} exemplars asked, {len(by_cluster)} chains of run {run_id} can be used: short "
            "ones with an answer",
            hint=f"--exemplars auto:{max(len(by_cluster), 1)}, or a model that writes answer lines",
        )
    path = cache_dir() / "exemplars" / f"auto-{run_id}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{json.dumps(row)}\n" for row in by_cluster.values())
    path.write_text(lines, encoding="utf-8")
    tokens = [row.n_generated_tokens or 0 for row in run.execution.rows]
    cost = f"{sum(tokens)} generated tokens"
    if run.price is not None:
        prompt = sum(row.n_prompt_tokens or 0 for row in run.execution.rows)
        usd = (prompt * run.price.input + sum(tokens) * run.price.output) / 1e6
        cost += f", about ${usd:.2g}"
    note = (
        f"exemplars are {k} chains of the model's own, of run {run_id} ({len(tokens)} questions, "
        f"{cost}, beside what is counted here)"
    )
    return replace(spec, exemplars=f"{path}:{k}"), (note,)


def _make(
    store: Store, run_id: str, row: AttemptRow, problem: Problem, spec: RunSpec
) -> Mapping[str, object] | None:
    """Return the exemplar that a chain makes; None: it cannot be one."""
    reading = row.readings.get(spec.reader) or row.readings.get("flexible")
    turns = store.turns(run_id, row.arm, row.problem_id, row.sample)
    if reading is None or reading.value is None or not turns or not turns[0].completions:
        return None
    chain = turns[0].completions[0].text
    exemplar = make_exemplar(replace(problem, rationale=chain, gold=reading.value))
    n_steps = len(re.findall(r"(?:[.!?](?=\s|$)|\n)+", f"{exemplar.rationale}\n"))
    if not exemplar.rationale or n_steps > _MAX_STEPS:
        return None
    fields: dict[str, object] = {
        "id": problem.question.id,
        "question": problem.question.text,
        "rationale": exemplar.rationale,
        "answer": reading.value,
    }
    return fields | ({"choices": problem.question.choices} if problem.question.choices else {})


def with_auto_exemplars(
    spec: RunSpec, perform: Callable[[RunSpec, Benchmark], RunResult], log_dir: Path | str
) -> tuple[RunSpec, tuple[str, ...]]:
    """Run what makes the exemplars; return the spec that shows them, and a note on their cost.

    A spec with other exemplars is returned as it is.
    """
    if not spec.exemplars.startswith("auto:"):
        return spec, ()
    preparatory = preparatory_spec(spec)
    run = perform(preparatory, load_benchmark(parse_spec(preparatory.bench)))
    return write_exemplars(spec, run, log_dir)
