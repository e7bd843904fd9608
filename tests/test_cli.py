"""The command line as a user meets it: an answer on standard output, or one clear line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cotkit.errors import AccessError, BackendError
from cotkit.run import RunSpec
from cotkit.types import BackendInfo, Completion, Request
from cotkit.workflows.compare import run_spec
from tests.conftest import REPOSITORY, Sums

QUICK = ["compare", "--model", "simulated/70b", "--limit", "5"]


def cotkit(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "cotkit", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | (env or {}),
        timeout=120,
    )


def test_a_comparison_answers_on_standard_output_and_reports_progress_elsewhere() -> None:
    done = cotkit(*QUICK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cot ")
    assert "attempts" in done.stderr
    assert "smallest gain that 5 problems can show" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_repeat_makes_nothing_and_prints_the_same_bytes() -> None:
    first, second = cotkit(*QUICK), cotkit(*QUICK, "--display", "plain")
    assert second.stdout == first.stdout
    assert "10 done, all from the store" in second.stderr


@pytest.mark.parametrize("form", ["table", "markdown", "json", "csv", "latex"])
def test_every_format(form: str) -> None:
    done = cotkit(*QUICK, "--format", form)
    assert done.returncode == 0, done.stderr
    assert "cot" in done.stdout
    if form == "json":
        assert json.loads(done.stdout)["margin"] == 0.02


def test_display_none_is_silent() -> None:
    assert cotkit(*QUICK, "--display", "none").stderr == ""


def test_words_of_lm_eval_and_underscores_are_understood() -> None:
    done = cotkit(
        "compare",
        "--model",
        "simulated/7b",
        "--tasks",
        "gsm-mini",
        "--num_fewshot",
        "2",
        "--limit",
        "3",
        "--model_args",
        "direct=0.5",
        "--gen_kwargs",
        "max_tokens=64",
        "--log_dir",
        "here",
    )  # fmt: skip - one option a line would hide the sentence
    assert done.returncode == 0, done.stderr
    assert Path("here/cotkit.db").exists()


def test_failed_attempts_never_exit_zero() -> None:
    done = cotkit(*QUICK, "--model-args", "failing=0.5")
    assert done.returncode == 75
    assert "attempts failed" in done.stderr
    assert "cotkit resume" in done.stderr
    assert "warnings: failed: " in done.stdout


def test_show_prompt_and_attempt() -> None:
    shown = cotkit("show", "prompt", "--strategy", "zero-shot-cot", "--raw")
    assert "Let's think step by step.<completion 1>\nTherefore, the answer is\n" in shown.stdout
    assert "turn 2" in shown.stderr
    ran = cotkit(*QUICK, "--format", "json")
    run_id = json.loads(ran.stdout)["run_id"]
    problem = shown.stderr.split(" · ")[1]
    seen = cotkit("show", "attempt", run_id[:6], "cot", problem)
    assert seen.returncode in {0, 2}
    if seen.returncode == 0:
        assert "flexible" in seen.stdout


def test_lists() -> None:
    for what, holds in [
        ("strategies", "zero-shot-cot "),
        ("benches", "gsm8k"),
        ("backends", "simulated"),
        ("models", "smollm2-135m"),
        ("readers", "lm-eval-strict"),
    ]:
        done = cotkit("list", what)
        assert done.returncode == 0, done.stderr
        assert holds in done.stdout
    cotkit(*QUICK)
    assert "simulated/70b · gsm-mini · cot" in cotkit("list", "runs").stdout


def test_exemplar_seeds_report_what_the_draws_do() -> None:
    done = cotkit(*QUICK, "--exemplar-seeds", "0,1,2")
    assert done.returncode == 0, done.stderr
    assert "over 3 exemplar draws of 5 problems" in done.stdout
    assert json.loads(cotkit(*QUICK, "--exemplar-seeds", "0,1,2", "--format", "json").stdout)[
        "seeds"
    ] == [0, 1, 2]


def test_several_benchmarks_are_one_report() -> None:
    many = [*QUICK, "--bench", "gsm-mini", "--bench", "arithmetic:steps=1+2"]
    done = cotkit(*many, "--strategy", "cot", "--strategy", "answer-first", "--gate")
    assert done.returncode in {0, 3, 4, 5}, done.stderr
    assert "cot over few-shot, mean of 3 benchmarks" in done.stdout
    for bench in ("gsm-mini", "arithmetic"):
        assert bench in done.stdout
    assert done.stdout.count("answer-first") > 3
    assert len(json.loads(cotkit(*many, "--format", "json").stdout)["parts"]) == 3
    assert "a budget is of one run" in cotkit(*many, "--budget-tokens", "9").stderr
    planned = cotkit("plan", *many[1:])
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.count("\nrun ") == 2


def test_resume_completes_the_latest_unfinished_run_and_no_other() -> None:
    failed = cotkit(*QUICK, "--model-args", "failing=0.5", "--format", "json")
    run_id = json.loads(failed.stdout)["run_id"]
    whole = cotkit(*QUICK)
    assert f"run {run_id}" in cotkit("resume").stderr
    named = json.loads(cotkit(*QUICK, "--format", "json").stdout)["run_id"]
    assert cotkit("resume", named).stdout == whole.stdout


def test_a_run_without_any_answer_is_marked_and_passed_by() -> None:
    from typer.testing import CliRunner

    from cotkit.cli import app
    from cotkit.store import Store

    def command(*arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments])
        return f"{done.exception}{done.stderr}"

    part = [*QUICK, "--limit", "3", "--model-args"]
    command(*part, "failing=0.5")
    command(*part, "failing=1")
    refused = RunSpec(model="none", limit=2)
    with pytest.raises(BackendError):
        run_spec(refused, Sums(n=5), log_dir="logs", backend=Refusing())
    with Store(Path("logs/cotkit.db")) as store:
        assert [row.status for row in store.runs()] == ["refused", "failed", "incomplete"]
        unfinished = store.runs()[2].id
        assert store.run("last").status == "refused"
    assert f"run {unfinished}" in command("resume")
    with Store(Path("logs/cotkit.db")) as store:
        store.end_run(unfinished, "complete")
    assert re.search(r"no unfinished run \(\w+ was refused: cotkit resume", command("resume"))


class Refusing:
    """A server that takes no key."""

    info = BackendInfo(backend="refusing", model="m", fingerprint="f")

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        raise AccessError(f"no key for {len(request.messages)} messages")

    async def count_tokens(self, request: Request) -> None:
        return None

    async def close(self) -> None:
        pass


def test_a_run_whose_benchmark_changed_is_not_resumed_as_another() -> None:
    name = jsonl("mine.jsonl", GOOD)
    ran = cotkit("compare", "--bench", name, "--model", "simulated/70b", "--format", "json")
    run_id = json.loads(ran.stdout)["run_id"]
    jsonl("mine.jsonl", GOOD, json.dumps({"question": "What is 2 plus 2?", "answer": "4"}))
    done = cotkit("resume", run_id)
    assert done.returncode == 2
    assert "cannot be resumed" in done.stderr


def jsonl(name: str, *lines: str) -> str:
    Path(name).write_text("".join(f"{line}\n" for line in lines))
    return name


GOOD = json.dumps({"question": "What is 1 plus 1?", "answer": "2"})

BAD: list[tuple[list[str], int, str]] = [
    (["compare", "--strategy", "cott"], 2, "unknown strategy 'cott' (did you mean cot"),
    (["compare", "--bench", "gsm8"], 2, "did you mean gsm8k"),
    (["compare", "--model", "smolm2-135m"], 2, "did you mean smollm2-135m"),
    (["compare", "--model", "gpt-4"], 2, "did you mean openai/gpt-4 "),
    (["compare", "--model", "simulated/huge"], 2, "'huge' is not a size such as 350m or 7b"),
    (["compare", "--reader", "flexibel"], 2, "did you mean flexible"),
    (["compare", "--limit", "0"], 2, "limit 0 is below 1"),
    (["compare", "--limit", "-5"], 2, "limit -5 is below 1"),
    (["compare", "--limit", "151"], 2, "150 problems"),
    (["compare", "--limit", "few"], 2, "a number, or all"),
    (["compare", "--margin", "0"], 2, "margin"),
    (["compare", "--strategy", "cot:max_token=5"], 2, "did you mean max_tokens"),
    (["compare", "--gen-kwargs", "temperature=hot"], 2, "is not of type float"),
    (["compare", "--gen-kwargs", "tempratur=1"], 2, "did you mean temperature"),
    (["compare", "--model", "simulated/7b", "--model-args", "x"], 2, "write key=value"),
    (["compare", "--model", "simulated/7b", "--model-args", "dirct=1"], 2, "did you mean direct"),
    (["compare", "--exemplars", "train:8"], 2, "8 exemplars asked"),
    (["compare", "--format", "pdf"], 2, "pdf"),
    (["compare", "--exemplar-seeds", "0,x"], 2, "is not a list of numbers"),
    (["compare", "--exemplar-seeds", "3"], 2, "seed"),
    (["compare", "--strategy", "program-aided"], 2, "--confirm-run-unsafe-code"),
    (["compare", "--strategy", "self-consistency:k=0"], 2, "k is 0"),
    (["compare", "--strategy", "self-consistency:kk=5"], 2, "did you mean k"),
    (
        ["compare", "--strategy", "flipped-labels:fraction=2", "--bench", "sentiment-mini"],
        2,
        "0 to 1",
    ),
    (["compare", "--strategy", "cot:model=x"], 2, "unknown parameter of cot 'model'"),
    (["compare", "--strategy", "zero-shot-cot:answer_tokens=0"], 2, "must be at least 1"),
    (["compare", "--exemplars", "builtin:\u00b2"], 2, "builtin:8, train:8"),
    (["compare", "--trigger", "step-by-stp", "--strategy", "zero-shot-cot"], 2, "step-by-step"),
    (["compare", "--temperature", "nan"], 2, "is not of type float"),
    (["compare", "--model", "simulated/0b"], 2, "is not a size"),
    (["compare", "--model", "simulated/7b", "--model-args", "slope=500"], 2, "must be in 0..50"),
    (["compare", "--model", "simulated/7b", "--model-args", "max_concurrency=0"], 2, "at least 1"),
    (["compare", "--model", "simulated/7b", "--model-args", "problems=3"], 2, "unknown parameter"),
    (["compare", "--strategy", "cot:exemplars=foo"], 2, "unknown parameter of cot 'exemplars'"),
    (["compare", "--model", "scripted"], 2, "no replies given"),
    (["compare", "--model", "replay"], 2, "needs the id of a run"),
    (["compare", "--model", "hf"], 2, "needs model"),
    (["resume"], 2, "no store at"),
    (["list", "things"], 2, "things"),
    (["show", "bench", "nothing"], 2, "unknown benchmark"),
    (["models", "pull", "smollm3"], 2, "unknown model"),
    (["compare", "--model", "./missing-folder"], 66, "./missing-folder: no such folder"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), BAD, ids=lambda v: str(v)[:60])
def test_bad_input_gets_one_line(arguments: list[str], code: int, says: str) -> None:
    if arguments[0] == "compare" and "--model" not in arguments:
        arguments = [*arguments, "--model", "simulated/7b"]
    done = cotkit(*arguments)
    assert says in done.stderr.replace("\n│ ", " "), done.stderr
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([GOOD, "{not json"], "mine.jsonl:2"),
        ([GOOD, '{"question": "?", "answer": "no number"}'], "mine.jsonl:2:answer"),
        ([GOOD, '{"answer": "2"}'], "mine.jsonl:2:question"),
        ([], "mine.jsonl"),
    ],
)
def test_a_bad_line_of_a_users_file_is_named(lines: list[str], says: str) -> None:
    name = jsonl("mine.jsonl", *lines)
    done = cotkit("compare", "--bench", f"./{name}", "--model", "simulated/7b")
    assert done.returncode == 65, done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_users_file_is_a_benchmark() -> None:
    rows = [json.dumps({"question": f"What is {i} plus 1?", "answer": i + 1}) for i in range(6)]
    name = jsonl("mine.jsonl", *rows)
    done = cotkit("compare", "--bench", f"./{name}", "--model", "simulated/70b")
    assert done.returncode == 0, done.stderr
    assert "6 of 6 problems" in done.stdout


def test_an_exemplar_that_is_evaluated_is_refused() -> None:
    exemplar = json.loads(
        (REPOSITORY / "prompts/exemplars.math.v1.jsonl").read_text().split("\n")[2]
    )
    name = jsonl("mine.jsonl", GOOD, json.dumps({"question": exemplar["question"], "answer": "1"}))
    done = cotkit("compare", "--bench", f"./{name}", "--model", "simulated/7b")
    assert done.returncode == 2
    assert "an exemplar is also an evaluated problem" in done.stderr


def test_gsm8k_that_cannot_be_had_names_the_way_out(tmp_path: Path) -> None:
    env = {
        "COTKIT_DATA_DIR": "",
        "COTKIT_CACHE_DIR": str(tmp_path / "cache"),
        "https_proxy": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    done = cotkit("compare", "--bench", "gsm8k", "--model", "simulated/7b", env=env)
    assert done.returncode == 66, done.stderr
    assert "gsm-mini" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_file_in_the_data_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_text(GOOD)
    done = cotkit(
        "compare",
        "--bench",
        "gsm8k",
        "--model",
        "simulated/7b",
        env={"COTKIT_DATA_DIR": str(tmp_path)},
    )
    assert done.returncode in {65, 66}
    assert "3730d312f6e3" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_log_dir_that_cannot_be_written_is_named() -> None:
    Path("file").write_text("")
    done = cotkit(*QUICK, "--log-dir", "file")
    assert done.returncode == 74
    assert "choose another --log-dir" in done.stderr


def test_torch_missing_names_the_pip_line(tmp_path: Path) -> None:
    """A None in sys.modules is how Python itself spells 'cannot be imported'."""
    (tmp_path / "config.json").write_text("{}")
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "sys.argv = ['cotkit', *sys.argv[1:]]\n"
        "from cotkit.cli import main; main()"
    )
    from tests.tiny_model import build_tiny_model

    model = build_tiny_model(tmp_path / "tiny")
    done = subprocess.run(
        [sys.executable, "-c", code, "compare", "--model", str(model), "--limit", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 69, done.stderr
    assert "pip install 'cotkit[hf]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pipe_that_closes_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m cotkit list models | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
