"""Inspect runs what is ours, and we run what is Inspect's: on a loopback server, item by item."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pytest

from cotkit import compare
from cotkit.benchmarks import load_benchmark
from cotkit.interop.inspect_.export import write_inspect
from cotkit.interop.stored import StoredRun
from cotkit.registry import entries, parse_spec
from cotkit.scoring import score_attempt
from cotkit.scoring.readers import panel_of
from cotkit.store import AttemptRow, Store
from cotkit.types import Attempt
from tests.fake_api import FakeApi, Seen
from tests.fake_solver import FORMS, solves
from tests.interop_tools import INSPECT, call, python_of, run_in

pytestmark = pytest.mark.interop

BENCH = f"arithmetic:n={2 * len(FORMS)},steps=2"
DB = Path("logs/cotkit.db")

READ = """
from inspect_ai.log import read_eval_log
log = read_eval_log(sys.argv[1])
result({
    "status": log.status, "task": log.eval.task, "solver": log.eval.solver,
    "totals": {one.name: one.metrics["accuracy"].value for one in log.results.scores},
    "samples": {
        one.id: {name: [score.value, score.answer] for name, score in (one.scores or {}).items()}
        for one in log.samples
    },
})
"""


def env(api: FakeApi) -> dict[str, str]:
    return {
        "LOCAL_API_KEY": "x",
        "LOCAL_BASE_URL": f"{api.url}/v1",
        "INSPECT_DISPLAY": "none",
        "INSPECT_LOG_DIR": "logs-inspect",
    }


def ours(
    api: FakeApi,
    strategy: str,
    bench: str = BENCH,
    *,
    limit: int | Literal["all"] = "all",
    run_unsafe_code: bool = False,
) -> list[AttemptRow]:
    """The same question asked by cotkit itself."""
    model_args = {"base_url": f"{api.url}/v1", "continues": "true"}
    compare(
        "openai-api/local/m",
        strategy,
        bench,
        limit=limit,
        model_args=model_args,
        run_unsafe_code=run_unsafe_code,
    )
    with Store(DB) as store:
        rows = store.attempts(store.runs()[0].id)
    return [row for row in rows if row.arm == strategy]


def scores(rows: Iterable[AttemptRow]) -> dict[str, dict[str, list[str | None]]]:
    """As a log of Inspect has them."""
    return {
        row.problem_id: {
            name: ["C" if is_correct else "I", row.readings[name].value]
            for name, is_correct in row.correct_by.items()
        }
        for row in rows
    }


def prompts(seen: Iterable[Seen]) -> set[str]:
    return {json.dumps(one.body["messages"]) for one in seen}


def test_inspect_eval_runs_a_task_of_ours_with_a_solver_of_ours() -> None:
    python = python_of(INSPECT)
    with FakeApi(script=solves(load_benchmark(parse_spec(BENCH)).problems())) as api:
        command = [python, "-m", "inspect_ai", "eval", "cotkit/arithmetic"]
        options = ["--solver", "cotkit/cot", "-T", "steps=2", "-T", f"n={2 * len(FORMS)}"]
        call([*command, *options, "--model", "openai-api/local/m"], env=env(api))
        by_inspect = prompts(api.seen)
        api.seen.clear()
        expected = scores(ours(api, "cot"))
        assert by_inspect <= prompts(api.seen), "the same prompts, to the last byte"
    (path,) = Path("logs-inspect").glob("*.eval")
    log = run_in(python, READ, path)
    assert (log["status"], log["task"], log["solver"]) == (
        "success",
        "cotkit/arithmetic",
        "cotkit/cot",
    )
    assert log["samples"] == expected
    assert set(log["totals"]) == set(panel_of("number", "flexible"))
    assert len({round(of, 3) for of in log["totals"].values()}) > 2, "the readers disagree"
    assert log["totals"]["flexible"] == pytest.approx(
        sum(of["flexible"][0] == "C" for of in expected.values()) / len(expected)
    )


EVERY = """
from inspect_ai import eval
from inspect_ai.solver._solver import solver_create
found = {}
for name, task, args, params in json.loads(sys.argv[1]):
    (log,) = eval(task, solver=solver_create(f"cotkit/{name}", **params), task_args=args,
                  model="openai-api/local/m", display="none")
    found[name] = [log.status, str(log.error), {
        one.id: {of: [s.value, s.answer] for of, s in (one.scores or {}).items()}
        for one in log.samples
    }]
result(found)
"""

PARAMS: dict[str, dict[str, object]] = {"program-aided": {"run_unsafe_code": True}}
BENCHES = {
    "flipped-labels": "sentiment-mini",
    "unrelated-labels": "sentiment-mini",
    "program-aided": "gsm-mini",  # its exemplars are programs, which only the built-in ones have
}


def test_every_strategy_asks_in_inspect_what_it_asks_here() -> None:
    python = python_of(INSPECT)
    # a budget of tokens is of models that run here: a server of this kind takes efforts
    names = [one.name for one in entries("strategy") if not one.name.startswith("think-")]
    assert len(names) >= 20
    jobs = [
        (name, f"cotkit/{BENCHES.get(name, 'arithmetic')}", {"limit": 3}, PARAMS.get(name, {}))
        for name in names
    ]
    problems = load_benchmark(parse_spec("arithmetic")).problems()
    with FakeApi(script=solves(problems)) as api:
        found = run_in(python, EVERY, json.dumps(jobs), env=env(api), timeout_s=300)
        by_inspect = prompts(api.seen)
        api.seen.clear()
        for name in names:
            status, error, samples = found[name]
            assert status == "success", (name, error)
            unsafe = name == "program-aided"
            rows = ours(api, name, BENCHES.get(name, "arithmetic"), limit=3, run_unsafe_code=unsafe)
            assert len(rows) == len(samples) == 3
            if name != "self-consistency":  # its draws have other seeds
                assert samples == scores(rows), name
        assert by_inspect <= prompts(api.seen), "nothing is asked that cotkit would not ask"


BACKEND = """
import cotkit
from inspect_ai.model import get_model
model = get_model("openai-api/local/m")
found = cotkit.compare(model, "cot", sys.argv[1], limit="all")
again = cotkit.compare(model, "cot", sys.argv[1], limit="all", model_id="m, version 1")
result([found.model, [c.arm for c in found.cells], [c.outcomes["correct"] for c in found.cells],
        [c.outcomes["correct"] for c in again.cells]])
"""


def test_a_model_of_inspect_is_a_backend() -> None:
    python = python_of(INSPECT)
    with FakeApi(script=solves(load_benchmark(parse_spec(BENCH)).problems())) as api:
        model, arms, right, again = run_in(python, BACKEND, BENCH, env=env(api))
        n_asked = len(api.seen)
        assert run_in(python, BACKEND, BENCH, env=env(api))[2] == right
        assert len(api.seen) == n_asked + n_asked // 2, "under its model_id nothing is asked again"
        expected = ours(api, "cot")
    assert model == "openai-api/local/m"
    n_right = sum(row.outcome == "correct" for row in expected)
    assert dict(zip(arms, right, strict=True))["cot"] == n_right > 0
    assert again == right


def test_inspect_opens_a_log_of_ours(tmp_path: Path) -> None:
    python = python_of(INSPECT)
    compare("simulated/7b", "cot", bench="gsm-mini", limit=12)
    with Store(DB) as store:
        run = store.runs()[0].id
        rows = store.attempts(run)
        files = write_inspect(StoredRun.load(store, run), tmp_path / "out")
    found = {log["task"]: log for log in (run_in(python, READ, file) for file in files)}
    assert set(found) == {"gsm-mini · cot", "gsm-mini · few-shot"}
    for arm in ("cot", "few-shot"):
        log = found[f"gsm-mini · {arm}"]
        assert log["status"] == "success"
        assert log["samples"] == scores(row for row in rows if row.arm == arm)


TASK = """
import json
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import match

@task
def theirs():
    rows = json.load(open("rows.json"))
    samples = [Sample(id=i, input=text, target=gold) for i, (text, gold) in enumerate(rows)]
    return Task(dataset=MemoryDataset(samples), scorer=match(numeric=True))
"""


def test_a_task_of_somebody_else_runs_with_a_solver_of_ours() -> None:
    python = python_of(INSPECT)
    problems = load_benchmark(parse_spec(BENCH)).problems()
    rows = [[one.question.text, one.gold] for one in problems]
    Path("rows.json").write_text(json.dumps(rows), encoding="utf-8")
    Path("theirs.py").write_text(TASK, encoding="utf-8")
    with FakeApi(script=solves(problems)) as api:
        command = [python, "-m", "inspect_ai", "eval", "theirs.py", "--solver", "cotkit/cot"]
        call([*command, "-S", "exemplars=builtin:3", "--model", "openai-api/local/m"], env=env(api))
        assert {one.body["messages"][0]["content"].count("Q: ") for one in api.seen} == {4}
    (path,) = Path("logs-inspect").glob("*.eval")
    log = run_in(python, READ, path)
    assert log["status"] == "success"
    assert len(log["samples"]) == len(problems)
    for at, problem in enumerate(problems):
        gold = problem.gold
        text = FORMS[at % len(FORMS)].format(right=gold, wrong=int(gold) + 1)
        text = text.partition(" No:")[0]  # the strategy ends with the answer line
        score = score_attempt(Attempt(text=text, stop_reason="stop"), problem)
        ((value, _),) = log["samples"][str(at)].values()
        assert (value == "C") == score.correct_by["inspect-match"], text


TASKS = """
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser

@task
def sums():
    print("noise")
    rows = [Sample(input=f"What is {i} plus 1?", target=str(i + 1)) for i in range(3)]
    return Task(dataset=MemoryDataset(rows))

@task
def picks():
    asked = [ChatMessageUser(content="Which is red?")]
    row = Sample(input=asked, choices=["sky", "rose"], target="B", id="x")
    return Task(dataset=MemoryDataset([row]))
"""
SAMPLES = """
from cotkit.benchmarks import load_benchmark
from cotkit.registry import parse_spec
bench = load_benchmark(parse_spec(sys.argv[1])).allow_code()
try:
    result([[p.question.id, p.question.text, p.question.choices, p.gold] for p in bench.problems()])
except Exception as fault:
    result(str(fault))
"""


def test_the_data_set_of_a_task_is_a_benchmark() -> None:
    python = python_of(INSPECT)
    Path("tasks.py").write_text(TASKS)
    assert run_in(python, SAMPLES, "inspect:./tasks.py/sums") == [
        [f"./tasks.py/sums/{i + 1}", f"What is {i} plus 1?", [], str(i + 1)] for i in range(3)
    ]
    assert run_in(python, SAMPLES, "inspect:./tasks.py/picks") == [
        ["./tasks.py/picks/x", "Which is red?", ["sky", "rose"], "rose"]
    ]
    said = run_in(python, SAMPLES, "inspect:./tasks.py/sum")
    assert "did you mean sums?" in said, "Inspect's decorator names the tasks of a file"
