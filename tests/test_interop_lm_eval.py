"""lm-eval runs our tasks and scores them as our readers of its name do; its models are backends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from cotkit import compare
from cotkit.benchmarks import load_benchmark
from cotkit.cli import app
from cotkit.interop.ladders import read_sources
from cotkit.interop.recorded import compare_recorded
from cotkit.registry import parse_spec
from cotkit.run import Plan, RunSpec, make_plan
from cotkit.run.driver import trim
from cotkit.scoring import score_attempt
from cotkit.store import Store
from cotkit.types import Completion, Request
from tests.fake_api import FakeApi
from tests.fake_solver import FORMS, solves
from tests.interop_tools import INSPECT, LM_EVAL, call, python_of, run_in
from tests.tiny_model import build_tiny_model

pytestmark = pytest.mark.interop

BENCH = f"arithmetic:n={2 * len(FORMS)},steps=2"
STRATEGIES = ("cot", "answer-first")
ARMS = {"cot", "answer-first", "few-shot"}
FILTERS = {"strict-match": "lm-eval-strict", "flexible-extract": "lm-eval-flexible"}


def exported(bench: str, limit: int | None = None) -> list[str]:
    """Writes tasks to ./tasks; their names."""
    command = ["export", "--to", "lm-eval-tasks:tasks", "--bench", bench, "--max-tokens", "48"]
    command += ["--strategy", ",".join(STRATEGIES), "--limit", str(limit or "all")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return [path.stem for path in map(Path, done.stdout.split()) if path.suffix == ".yaml"]


def evaluated(python: Path, names: list[str], model: str, args: str) -> None:
    """lm-eval's results and samples in ./out."""
    command = [python, "-m", "lm_eval", "--include_path", "tasks", "--tasks", ",".join(names)]
    options = ["--model", model, "--model_args", args, "--output_path", "out", "--log_samples"]
    call([*command, *options], env={"OPENAI_API_KEY": "x"}, timeout_s=300)


def check(bench: str, names: list[str], limit: int | None = None) -> dict[str, int]:
    """Every line of lm-eval's samples against our readers; (filter -> how many it calls right)."""
    spec = RunSpec(
        model="m",
        bench=bench,
        strategies=STRATEGIES,
        limit=limit or "all",
        generation={"max_tokens": "48"},
    )
    plan = make_plan(spec, load_benchmark(parse_spec(bench)))
    right, seen = dict.fromkeys(FILTERS, 0), set[str]()
    for name in names:
        (file,) = Path("out").rglob(f"samples_{name}_*.jsonl")
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        assert len(lines) == len(FILTERS) * len(plan.problems)
        for line in lines:
            reader = FILTERS[line["filter"]]
            prompt, value, is_correct = _ours(plan, name, line, reader)
            assert line["arguments"]["gen_args_0"]["arg_0"] == prompt
            assert line["filtered_resps"] == ["[invalid]" if value is None else value]
            assert line["exact_match"] == float(is_correct), (name, line["doc"]["id"], reader)
            right[line["filter"]] += is_correct
            seen.add(name)
    assert seen == set(names)
    return right


def _ours(
    plan: Plan, name: str, line: Mapping[str, Any], reader: str
) -> tuple[str, str | None, bool]:
    """(prompt, what the reader reads, whether it is right) of the text that lm-eval got."""
    problem = next(one for one in plan.problems if one.question.id == line["doc"]["id"])
    arm = next(one for one in plan.arms if name.endswith(f"-{one.name}"))
    flow = cast("Any", arm.strategy).solve(problem.question)
    request: Request = next(flow)
    completion = trim(Completion(text=line["resps"][0][0], stop_reason="stop"), request)
    with pytest.raises(StopIteration) as ended:
        flow.send((completion,))
    score = score_attempt(ended.value.value, problem)
    reading = score.readings[reader].value
    # lm-eval normalises when it compares, and we when we read
    shown = line["filtered_resps"][0]
    if reading is not None and shown.replace(",", "").replace("$", "").removesuffix(".") == reading:
        reading = shown
    return request.messages[0].content, reading, score.correct_by[reader]


def test_lm_eval_scores_our_tasks_as_our_readers_do() -> None:
    """A server whose answers hold every trap."""
    python, names = python_of(LM_EVAL), exported(BENCH)
    assert len(names) == len(ARMS)
    with FakeApi(script=solves(load_benchmark(parse_spec(BENCH)).problems())) as api:
        args = f"model=m,base_url={api.url}/v1/completions,tokenizer_backend=none,num_concurrent=4"
        evaluated(python, names, "local-completions", f"{args},tokenized_requests=False")
        asked = {str(one.body["prompt"]) for one in api.seen}
    assert len(asked) == len(ARMS) * 2 * len(FORMS)
    right = check(BENCH, names)
    assert right["strict-match"] != right["flexible-extract"], "or nothing was tested"
    (ladder,) = read_sources(["lm-eval:out"])
    assert set(ladder.arms) == ARMS, "the tasks say which strategy they are"
    assert len(ladder.grid.problem_ids) == 2 * len(FORMS), "documents are paired over tasks"


def test_lm_eval_runs_our_tasks_on_a_real_model() -> None:
    python, names = python_of(LM_EVAL), exported(BENCH, 4)
    model = build_tiny_model(Path("tiny").absolute(), context_tokens=4096, has_pad=True)
    args = f"pretrained={model},dtype=float32"
    evaluated(python, names, "hf", args)
    check(BENCH, names, 4)
    compare(
        f"hf/{model}",
        list(STRATEGIES),
        BENCH,
        limit=4,
        model_args={"dtype": "float32", "device": "cpu"},
        generation={"max_tokens": "48"},
    )
    with Store(Path("logs/cotkit.db")) as store:
        rows = {(row.arm, row.problem_id): row for row in store.attempts(store.runs()[0].id)}
    for name in names:
        (file,) = Path("out").rglob(f"samples_{name}_*.jsonl")
        for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            row = rows[name.removeprefix("cotkit-arithmetic-"), line["doc"]["id"]]
            assert line["resps"][0][0] == row.text, "greedy texts of the two engines"


BACKEND = """
import cotkit, pathlib
from cotkit.store import Store
from lm_eval.models.huggingface import HFLM
lm = HFLM(pretrained=sys.argv[1], dtype="float32", device="cpu", batch_size=4)
found = cotkit.compare(lm, "cot", sys.argv[2], limit=4, generation={"max_tokens": "32"},
                       likelihood=True, log_dir="theirs")
with Store(pathlib.Path("theirs/cotkit.db")) as store:
    rows = store.attempts(store.runs()[0].id)
result([found.model, found.n_params,
        [[r.arm, r.problem_id, r.text, r.n_prompt_tokens, r.metrics.get("gold_log_prob")]
         for r in rows]])
"""


def test_a_model_of_lm_eval_is_a_backend() -> None:
    python = python_of(LM_EVAL)
    model = build_tiny_model(Path("tiny").absolute(), context_tokens=4096, has_pad=True)
    name, n_params, theirs = run_in(python, BACKEND, model, BENCH)
    assert name == str(model)
    found = compare(
        f"hf/{model}",
        "cot",
        BENCH,
        limit=4,
        likelihood=True,
        model_args={"dtype": "float32", "device": "cpu"},
        generation={"max_tokens": "32"},
    )
    assert found.n_params == n_params
    with Store(Path("logs/cotkit.db")) as store:
        rows = store.attempts(store.runs()[0].id)
    assert len(theirs) == len(rows) == 8
    for (arm, problem, text, n_prompt, logprob), row in zip(theirs, rows, strict=True):
        assert (arm, problem, text, n_prompt) == (
            row.arm,
            row.problem_id,
            row.text,
            row.n_prompt_tokens,
        )
        assert logprob == pytest.approx(row.metrics.get("gold_log_prob"), rel=1e-4)


def test_what_both_tools_ran_is_compared_item_by_item() -> None:
    """The same model and prompts in both: what differs is how its answers are read."""
    python, inspect = python_of(LM_EVAL), python_of(INSPECT)
    names = [one for one in exported(BENCH) if one.endswith("-cot")]
    with FakeApi(script=solves(load_benchmark(parse_spec(BENCH)).problems())) as api:
        args = f"model=m,base_url={api.url}/v1/completions,tokenizer_backend=none,num_concurrent=4"
        evaluated(python, names, "local-completions", f"{args},tokenized_requests=False")
        where = {"LOCAL_API_KEY": "x", "LOCAL_BASE_URL": f"{api.url}/v1", "INSPECT_DISPLAY": "none"}
        command = [inspect, "-m", "inspect_ai", "eval", "cotkit/arithmetic", "-T", "steps=2"]
        options = ["-T", f"n={2 * len(FORMS)}", "--solver", "cotkit/cot", "-S", "max_tokens=48"]
        call([*command, *options, "--model", "openai-api/local/m", "--log-dir", "logs"], env=where)
    (theirs,), (log,) = Path("out").rglob("samples_*-cot_*.jsonl"), Path("logs").glob("*.eval")
    found = compare_recorded(
        [f"inspect={log},scorer=flexible", f"lm-eval={theirs},filter=strict-match"]
    )
    assert found.n_problems == 2 * len(FORMS)
    assert found.verdicts[0].gain.gain == 0, "read by one reader, the texts are the same"
    by = {one.name: one.gain.gain for one in found.verdicts[0].variants}
    assert by["reader as-scored"] < 0, "read by their own, they are not"
    assert {one.cause for one in found.disagreements} == {"reading"}
    assert len(found.disagreements) == -round(by["reader as-scored"] * found.n_problems)


CODE_TASK = """
import cotkit.benchmarks.lm_eval as ours, pathlib
bench = ours.LmEval(path=pathlib.Path("task.yaml"), answer_kind=sys.argv[1])
found = bench.allow_code()
result({
    "problems": [[p.question.text, p.question.choices, p.gold, p.also] for p in found.problems()],
    "pool": [[p.question.text, p.gold, p.rationale] for p in found.exemplar_pool()],
    "notes": found.notes(), "version": found.version,
})
"""
UTILS = """
def double(rows):
    print("noise")
    return rows.map(lambda row: {"q": row["q"] + "?", "n": 2 * row["n"]})
def target(row):
    return [row["n"], row["n"] + 1]
def samples():
    return [{"q": "Four?", "n": 4}]
def choices(row):
    return ["none", str(row["n"])]
"""
CODE_HEAD = """\
task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl, train: rows.jsonl}}
test_split: test
process_docs: !function utils.double
doc_to_text: "Ask: {{q}}"
"""


@pytest.mark.parametrize(
    ("task", "kind", "problems", "pool"),
    [
        (
            "doc_to_target: !function utils.target\ntraining_split: train\n",
            "number",
            [["Ask: Two?", [], "4", ["5"]], ["Ask: Five?", [], "10", ["11"]]],
            [["Ask: Two?", "4", None], ["Ask: Five?", "10", None]],
        ),
        (
            (
                "output_type: multiple_choice\ndoc_to_choice: !function utils.choices\n"
                "doc_to_target: 1\nfewshot_config: {samples: !function utils.samples}\n"
            ),
            "choice",
            [["Ask: Two?", ["none", "4"], "4", []], ["Ask: Five?", ["none", "10"], "10", []]],
            [["Ask: Four?", "4", None]],
        ),
    ],
)
def test_lm_eval_runs_the_code_of_a_task(
    task: str, kind: str, problems: object, pool: object
) -> None:
    Path("utils.py").write_text(UTILS)
    Path("task.yaml").write_text(CODE_HEAD + task)
    Path("rows.jsonl").write_text('{"q": "Two", "n": 2}\n{"q": "Five", "n": 5}\n')
    found = run_in(python_of(LM_EVAL), CODE_TASK, "number" if kind == "number" else "text")
    assert found["problems"] == problems
    assert found["pool"] == pool
    assert any("made by lm-eval 0." in note for note in found["notes"])


def test_a_task_of_its_own_with_code_says_which_data_it_lacks() -> None:
    """Its rows are the hub's, and nothing is fetched here."""
    code = (
        "import cotkit.benchmarks.lm_eval as ours, pathlib\n"
        "bench = ours.LmEval(path=pathlib.Path('hellaswag')).allow_code()\n"
        "try: bench.problems()\n"
        "except Exception as fault: result([type(fault).__name__, str(fault), bench.runs_code])"
    )
    kind, said, runs_code = run_in(python_of(LM_EVAL), code)
    assert (kind, runs_code) == ("MissingDataError", True), said
    assert "hellaswag" in said
    assert "\n" not in said
