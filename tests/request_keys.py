"""Request keys and seeds of every strategy of 0.1, for comparison with those of 0.1.

``python -m tests.request_keys`` prints them as JSON. ``tests/cases/request_keys-0.1.json`` is what
it printed with the code of 0.1 on the path; it is never written again.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cotkit.identity import request_key, sample_seed
from cotkit.protocols import Benchmark
from cotkit.run import Arm, RunSpec, make_plan
from cotkit.run.driver import make_oracle, start_flow
from cotkit.run.likelihood import make_likelihood_request, select_options
from cotkit.types import AnswerKind, Attempt, Completion, Problem, Question, Request

N_KEYS = 200
RECORDED = Path(__file__).parent / "cases" / "request_keys-0.1.json"

REPLY = Completion(text=" 1. How many?\n3 + 4 = 7. The answer is 7.", stop_reason="stop")
GENERATIONS = ({}, {"temperature": "0.7", "top_p": "0.9"})
LABEL_STRATEGIES = ("flipped-labels", "unrelated-labels")
VARIANTS = {
    "cot": ("cot:calculator=true", "cot:max_tokens=64"),
    "self-consistency": ("self-consistency:k=3",),
    "self-correct": ("self-correct:condition=q", "self-correct:condition=q-if-cot"),
    "zero-shot-cot": ("zero-shot-cot:answer_tokens=8",),
    "flipped-labels": ("flipped-labels:fraction=0.5,k=2",),
    "unrelated-labels": ("unrelated-labels:k=2,set=letters",),
}


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """Problems of one kind that no benchmark's new version can change."""

    answer_kind: AnswerKind
    name: str = "fixed"
    version: str = "1"

    def problems(self) -> Sequence[Problem]:
        """Return two problems."""
        return [self._problem(number) for number in (1, 2)]

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return problems that are not evaluated."""
        return [self._problem(number) for number in range(3, 51)]

    def _problem(self, number: int) -> Problem:
        choices = ("bad", "good") if self.answer_kind == "choice" else ()
        gold = {"number": str(number), "choice": "", "text": f"word{number}"}[self.answer_kind]
        question = Question(
            id=f"fixed/{number}",
            text=f"Which is the {number}th é?",
            answer_kind=self.answer_kind,
            choices=choices,
        )
        return Problem(question=question, gold=choices[number % 2] if choices else gold)


def select_keys() -> list[dict[str, object]]:
    """Return 200 entries, as many of each strategy as there are; nothing is asked."""
    cases = sorted(all_keys(), key=lambda entry: str(entry["key"]))
    names = sorted({str(entry["strategy"]) for entry in cases})
    groups = [[entry for entry in cases if entry["strategy"] == name] for name in names]
    rounds = itertools.zip_longest(*groups)
    return [entry for entries_ in rounds for entry in entries_ if entry is not None][:N_KEYS]


def all_keys() -> Iterator[dict[str, object]]:
    """Yield every case: strategies, kinds of answers, greedy and sampled, options."""
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    names = sorted({entry["strategy"] for entry in recorded})  # those of 0.1
    kinds: tuple[AnswerKind, ...] = ("number", "choice", "text")
    for kind, generation, name in itertools.product(kinds, GENERATIONS, names):
        needs_choice = name in LABEL_STRATEGIES
        needs_number = name in {"program-aided", "cot", "cot-shuffled", "equation-only", "filler"}
        if (needs_choice and kind != "choice") or (needs_number and kind != "number"):
            continue
        if kind != "number" and name.startswith(("self-c", "self-r", "oracle", "answer-first")):
            continue  # they show rationales, which these problems have none of
        for text in (name, *VARIANTS.get(name, ())):
            yield from _keys_of(text, Fixed(answer_kind=kind), generation)


def _keys_of(
    strategy: str, bench: Benchmark, generation: dict[str, str]
) -> Iterator[dict[str, object]]:
    spec = RunSpec(
        model="none",
        strategies=(strategy,),
        generation=generation,
        seed=3,
        exemplars="builtin:4",
        run_unsafe_code=True,
    )
    plan = make_plan(spec, bench)
    decoding = "sampled" if generation else "greedy"
    arm = next(arm for arm in plan.arms if arm.name.startswith(strategy.partition(":")[0]))
    for problem in plan.problems:
        requests, attempt = follow(arm, problem, spec.reader)
        options = select_options(problem, likelihood=True)
        likelihood = make_likelihood_request(
            attempt, requests[-1], REPLY, options, reasons=arm.strategy.reasons
        )
        if likelihood is not None:
            requests.append(likelihood)
        case = f"{arm.name} {decoding} {bench.answer_kind} {problem.question.id}"
        for turn, request in enumerate(requests):
            key = request_key(request)
            for sample in request.samples:
                yield {
                    "strategy": arm.name.partition(":")[0],
                    "case": f"{case} {turn}",
                    "has_options": bool(request.options),
                    "is_sampled": request.decoding.temperature > 0,
                    "sample": sample,
                    "key": key,
                    "seed": sample_seed(request.decoding, key, sample),
                }


def follow(arm: Arm, problem: Problem, reader: str) -> tuple[list[Request], Attempt]:
    """Drive an arm's flow on a problem with one reply to everything; return what it asks."""
    flow = start_flow(arm.strategy, problem.question, make_oracle(problem, reader))
    requests: list[Request] = []
    step = next(flow)
    while True:
        n_samples = 1
        if isinstance(step, Request):
            requests.append(step)
            n_samples = len(step.samples)
        try:
            step = flow.send((REPLY,) * n_samples)
        except StopIteration as end:
            return requests, end.value


if __name__ == "__main__":
    sys.stdout.write(json.dumps(select_keys(), indent=1) + "\n")
