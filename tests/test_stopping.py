"""What ends a run early leaves every arm with the same problems, and the same command goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from cotkit.analysis.gains import make_stop_rule
from cotkit.analysis.values import Comparison
from cotkit.api import compare
from cotkit.backends._function import Function
from cotkit.benchmarks import draw_order
from cotkit.cli import app
from cotkit.errors import CotkitError, IncompleteRunError, UsageError
from cotkit.events import RunEnded
from cotkit.identity import backend_key, completion_key, request_key
from cotkit.run import RunSpec, make_plan
from cotkit.run.budget import Budget, Meter, Resources
from cotkit.run.driver import start_flow
from cotkit.run.runner import JobQueue
from cotkit.store import STORE_NAME, AttemptRow, BatchLedger, Store
from cotkit.types import Completion, Outcome, Request
from cotkit.workflows.exemplar_draws import compare_draws
from tests.conftest import Sums

GOOD = {"direct": "0.1", "reasoning": "0.9"}


def run(sums: Sums, where: Path, **options: Any) -> Comparison:  # noqa: ANN401 - those of compare
    given: dict[str, Any] = {"model_args": GOOD, **options}
    return compare("simulated/7b", "cot", sums, log_dir=where, **given)


def problems_by_arm(where: Path, run_id: str) -> dict[str, set[str]]:
    with Store(where / STORE_NAME) as store:
        rows = store.attempts(run_id)
    return {arm: {r.problem_id for r in rows if r.arm == arm} for arm in {r.arm for r in rows}}


def test_a_budget_leaves_the_arms_balanced_and_the_next_call_goes_on(
    sums: Sums, tmp_path: Path
) -> None:
    whole = run(sums, tmp_path / "whole")
    spent = sum(
        cell.n * ((cell.prompt_tokens or 0) + (cell.generated_tokens or 0)) for cell in whole.cells
    )
    half = Resources(budget=Budget(tokens=round(spent / 2)))
    first = run(sums, tmp_path / "cut", resources=half)
    assert first.ended_by == "budget"
    few_shot, cot = problems_by_arm(tmp_path / "cut", first.run_id).values()
    assert few_shot == cot
    assert len(whole.cells) == 2
    assert 0.4 * whole.n_problems <= len(cot) < 0.6 * whole.n_problems
    ordered = [p.question.id for p in draw_order(sums.problems(), 0)]
    assert cot == set(ordered[: len(cot)]), "a random subset: the first ones drawn"
    assert any(note.startswith(f"ended after {len(cot)} of ") for note in first.notes)
    again = run(sums, tmp_path / "cut")
    assert again == whole, "what is done is kept, and the end is that of an uninterrupted run"


@pytest.mark.parametrize("max_concurrency", ["1", "8"])
def test_time_stops_a_run(sums: Sums, tmp_path: Path, max_concurrency: str) -> None:
    found = run(
        sums,
        tmp_path,
        resources=Resources(budget=Budget(seconds=0.6)),
        model_args={**GOOD, "latency_s": "0.12", "max_concurrency": max_concurrency},
    )
    assert found.ended_by == "budget"
    few_shot, cot = problems_by_arm(tmp_path, found.run_id).values()
    assert few_shot == cot
    assert len(cot) < found.n_problems


def test_a_run_stops_once_it_is_decided(sums: Sums, tmp_path: Path) -> None:
    found = run(sums, tmp_path, stop_when="decided")
    assert found.ended_by == "decided"
    assert found.verdicts[0].gain.label == "helps"
    few_shot, cot = problems_by_arm(tmp_path, found.run_id).values()
    assert few_shot == cot
    assert len(cot) < sums.n
    events: list[object] = []
    again = run(sums, tmp_path, stop_when="decided", on_event=events.append)
    assert again == found
    (ended,) = (event for event in events if isinstance(event, RunEnded))
    assert ended.n_generated == 0
    usual = run(sums, tmp_path / "usual")
    width = usual.verdicts[0].gain.interval
    assert found.run_id != usual.run_id, "its intervals are others, so it is another run"
    assert not usual.is_sequential
    assert found.verdicts[0].gain.interval.high - found.verdicts[0].gain.interval.low > (
        width.high - width.low
    ), "looking all along has its price"


def test_a_run_that_nothing_decides_uses_every_problem(sums: Sums, tmp_path: Path) -> None:
    same = {"direct": "0.5", "reasoning": "0.5"}
    found = run(sums, tmp_path, stop_when="decided", model_args=same)
    assert (found.ended_by, found.verdicts[0].gain.n) == (None, sums.n)
    assert found.verdicts[0].gain.label == "undetermined"


def rows(arm: str, outcomes: Sequence[str]) -> list[AttemptRow]:
    return [
        AttemptRow(arm=arm, problem_id=str(i), outcome=cast("Outcome", outcome))
        for i, outcome in enumerate(outcomes)
    ]


def test_failed_attempts_decide_nothing() -> None:
    tell = make_stop_rule([("cot", "few-shot")], margin=0.02, level=0.95)
    problem: Mapping[str, AttemptRow] = {
        "cot": rows("cot", ["correct"])[0],
        "few-shot": rows("few-shot", ["failed"])[0],
    }
    assert not any(tell(problem) for _ in range(500))


def test_every_gain_has_to_be_decided() -> None:
    tell = make_stop_rule([("a", "c"), ("b", "c")], margin=0.02, level=0.95)
    problem = {name: rows(name, ["correct"])[0] for name in "ab"} | {"c": rows("c", ["wrong"])[0]}
    n = next(i for i in range(1, 500) if tell(problem))
    alone = make_stop_rule([("a", "c")], margin=0.02, level=0.95)
    assert next(i for i in range(1, 500) if alone(problem)) < n, "two share the level"
    tell = make_stop_rule([("a", "c"), ("b", "c")], margin=0.02, level=0.95)
    half = problem | {"b": rows("b", ["wrong"])[0]}
    both = sum(not tell(half) for _ in range(60))
    assert both == 60, "b against c says nothing yet"


def test_nothing_to_decide_is_an_error() -> None:
    with pytest.raises(UsageError, match="no strategy here is measured against another"):
        make_stop_rule([("oracle", "cot")], margin=0.02, level=0.95, not_asked={"oracle"})


SIMULATED = ["compare", "--model", "simulated/7b", "--bench", "gsm-mini", "--limit", "30"]


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (["--budget-usd", "1"], 2, "the price of simulated-7b is unknown"),
        (["--budget-time", "1x"], 2, "is no length of time"),
        (["--budget-tokens", "0"], 2, "leaves nothing to spend"),
        (["--batch", "--budget-tokens", "5"], 2, "--batch sends everything at once"),
        (["--batch"], 2, "batch"),
        (["--batch", "--stop-when", "decided"], 2, "nothing to stop"),
        (["--stop-when", "decided", "--exemplar-seeds", "0,1"], 2, "no interval over draws holds"),
        (["--stop-when", "bored"], 2, "'bored' is not known"),
        (["--prices", "nowhere.toml"], 65, "nowhere.toml"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    options: list[str], code: int, why: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, [*SIMULATED, *options, "--log-dir", str(tmp_path)])
    assert isinstance(done.exception, CotkitError), done.exception
    assert done.exception.exit_code == code
    assert why in str(done.exception)


def test_a_spent_budget_never_exits_0(tmp_path: Path) -> None:
    command = [*SIMULATED, "--log-dir", str(tmp_path), "--budget-tokens", "20000"]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, IncompleteRunError)
    assert done.exception.exit_code == 75
    assert "cotkit resume" in str(done.exception)
    assert "budget used up: " in done.stdout, "what there is was printed"
    assert " done of 30 of 150 problems" in " ".join(done.stdout.split())


def test_own_prices_are_kept_to_and_printed(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(
        'as_of = "2026-11-01"\n[[price]]\nbackend = "simulated"\nmodels = ["simulated-*"]\n'
        'input = 1.0\noutput = 4.0\nsource = "a test"\nstatus = "yours"\n'
    )
    command = [*SIMULATED, "--log-dir", str(tmp_path), "--prices", str(prices)]
    done = CliRunner().invoke(app, [*command, "--budget-usd", "0.02", "--format", "json"])
    assert isinstance(done.exception, IncompleteRunError)
    page = json.loads(done.stdout)
    assert all(arm["usd"] > 0 for arm in page["arms"])
    assert any("list prices of 2026-11-01 (yours)" in note for note in page["notes"])
    with Store(tmp_path / STORE_NAME) as store:
        (row,) = store.runs()
        made = store.attempts(row.id)
    spent = sum((r.n_prompt_tokens or 0) + 4 * (r.n_generated_tokens or 0) for r in made) / 1e6
    assert 0.015 < spent <= 0.0205


def test_a_meter_counts_what_the_first_problem_takes_before_the_second_begins() -> None:
    meter = Meter(Budget(tokens=10), None, model="m")
    assert meter.explain_stop(0) is None
    assert meter.explain_stop(1) is not None


def test_what_was_left_open_is_closed_before_a_new_problem_begins(sums: Sums) -> None:
    """A decided run with a failed attempt needs that one attempt, and perhaps nothing else."""
    plan = make_plan(RunSpec(model="given", stop_when="decided", limit=30), sums)
    order = [problem.question.id for problem in draw_order(plan.problems, 0)]
    done = [
        AttemptRow(
            arm=arm.name, problem_id=name, outcome="correct" if arm.name == "cot" else "wrong"
        )
        for name in order[:20]
        for arm in plan.arms
    ]
    gap = done[1]
    begun = [row if row is not gap else replace(row, outcome="failed") for row in done]
    enough = make_stop_rule(plan.pairs, margin=0.02, level=0.95)

    async def jobs() -> list[str]:
        schedule = JobQueue(plan, begun, is_enough=enough, most_open=8)
        handed: list[str] = []
        async for _, arm, problem in schedule.jobs():
            handed.append(f"{arm.name} {problem.question.id}")
            asyncio.get_running_loop().call_soon(schedule.finish, gap)
        assert schedule.ended_by == "decided"
        return handed

    assert asyncio.run(jobs()) == [f"{gap.arm} {gap.problem_id}"]


def test_a_problem_that_failed_says_nothing_of_what_one_takes(sums: Sums) -> None:
    plan = make_plan(RunSpec(model="given", limit=4), sums)
    meter = Meter(Budget(tokens=1000), None, model="m")
    meter.add(Completion(text="", stop_reason="stop", n_prompt_tokens=90, n_generated_tokens=10))

    async def jobs() -> int:
        schedule = JobQueue(plan, [], meter=meter)
        n = 0
        async for _, arm, problem in schedule.jobs():
            n += 1
            row = AttemptRow(arm=arm.name, problem_id=problem.question.id, outcome="failed")
            asyncio.get_running_loop().call_soon(schedule.finish, row)
        return n

    assert asyncio.run(jobs()) == 8, "one after the other, as none says what a problem takes"


def test_a_budget_is_of_one_run(sums: Sums, tmp_path: Path) -> None:
    spec = RunSpec(model="simulated/7b", exemplar_seeds=(0, 1))
    with pytest.raises(UsageError, match="several seeds make several"):
        compare_draws(spec, sums, log_dir=tmp_path, resources=Resources(budget=Budget(tokens=5)))


def test_failed_attempts_say_why(tmp_path: Path) -> None:
    command = [*SIMULATED, "--model-args", "failing=0.3", "--log-dir", str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, IncompleteRunError)
    assert "most for this: " in str(done.exception)
    assert "the commonest reason of failed attempts: " in " ".join(done.stdout.split())


def test_a_batch_that_is_paid_for_is_not_paid_again(sums: Sums, tmp_path: Path) -> None:
    """A plain run of what lies in a batch would ask everything a second time."""
    asked: list[str] = []

    async def model(prompt: str) -> str:
        asked.append(prompt)
        return " The answer is 1."

    backend = Function(function=model, identity="one")
    plan = make_plan(RunSpec(model="given"), sums)
    request = next(start_flow(plan.arms[0].strategy, plan.problems[0].question, lambda _: False))
    assert isinstance(request, Request)
    key = backend_key(backend.info)
    with Store(tmp_path / STORE_NAME) as store:
        ledger = BatchLedger(place=store.place)
        promised = completion_key(key, request_key(request), 0)
        ledger.intend("batch", provider="p", backend=key, calls=[{0: promised}])
    with pytest.raises(UsageError, match="add --batch to collect them"):
        compare(backend, "cot", sums, log_dir=tmp_path)
    assert request.messages[0].content not in asked
