"""P(True): does a model know whether an answer of its own is right? (Kadavath et al. 2022)."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from cotkit.errors import UnknownNameError, UsageError
from cotkit.identity import content_hash
from cotkit.prompting import format_question
from cotkit.registry import parse_spec
from cotkit.store import Store, existing_place
from cotkit.types import AnswerKind, Problem, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class PTrue:
    """``p-true:run=ID,arm=cot``: the answers of a stored run, each with "True or False?".

    Source: arXiv:2207.05221, section 3. Ask the model that gave the answers; with ``--likelihood``
    the options are weighed, too, which is P(True) itself. The card is ``benchmarks/p-true``.
    """

    run: str
    """Id of the run, or how it begins."""
    arm: str | None = None
    """Whose answers; None: those of the run's last arm."""
    log_dir: str = "./logs"
    """The store that holds it."""
    name: str = field(default="p-true", init=False)
    answer_kind: AnswerKind = field(default="choice", init=False)

    @property
    def version(self) -> str:
        """Hash of the questions and whether each answer was right."""
        return f"1-{content_hash('p-true', self.problems())[:12]}"

    def problems(self) -> Sequence[Problem]:
        """Return a question for each attempt that gave an answer, in the run's order.

        Raises:
            UnknownNameError: no such run or arm.
            UsageError: none of its attempts gave an answer.
        """
        return _read_problems(self.run, self.arm, self.log_dir)

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return nothing: a run is one split."""
        return ()


@functools.lru_cache(maxsize=4)
def _read_problems(run_id: str, arm: str | None, log_dir: str) -> tuple[Problem, ...]:
    from cotkit.benchmarks import load_benchmark

    with Store(existing_place(log_dir)) as store:
        runs = {run.id: run for run in store.runs()}
        matches = [key for key in runs if key.startswith(run_id)]
        if len(matches) != 1:
            raise UnknownNameError("run", run_id, runs)
        rows = store.attempts(matches[0])
    spec = json.loads(runs[matches[0]].spec)
    arms = list(dict.fromkeys(row.arm for row in rows))
    chosen = arm or (arms[-1] if arms else "")
    if chosen not in arms:
        raise UnknownNameError(f"arm of {matches[0]}", chosen, arms)
    questions = {x.question.id: x for x in load_benchmark(parse_spec(spec["bench"])).problems()}
    reader = spec.get("reader", "flexible")
    problems: list[Problem] = []
    for row in rows:
        reading = row.readings.get(reader)
        problem = questions.get(row.problem_id)
        if row.arm != chosen or reading is None or reading.value is None or problem is None:
            continue
        text = (
            f"Question: {format_question(problem.question)}\n"
            f"Proposed answer: {reading.value}\n"
            "Is the proposed answer true or false?"
        )
        problems.append(
            Problem(
                question=Question(
                    id=f"p-true/{matches[0]}/{row.problem_id}/{row.sample}",
                    text=text,
                    choices=("True", "False"),
                    answer_kind="choice",
                ),
                gold="True" if row.outcome == "correct" else "False",
                cluster=problem.cluster or row.problem_id,
            )
        )
    if not problems:
        raise UsageError(f"{chosen} of run {matches[0]} gave no answer that was read")
    return tuple(problems)
