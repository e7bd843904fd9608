"""Tasks of Inspect as benchmarks: what is read of their samples, said, and refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cotkit.benchmarks import load_benchmark
from cotkit.benchmarks.inspect import InspectTask
from cotkit.cli import app
from cotkit.errors import CotkitError, MissingDependencyError, UsageError
from cotkit.protocols import CodeBenchmark
from cotkit.registry import parse_spec
from cotkit.types import Problem

COMPARE = ["compare", "--model", "simulated/7b", "--format", "json", "-s", "zero-shot-cot"]
ALLOW = "--confirm-run-unsafe-code"


def sample(**fields: object) -> SimpleNamespace:
    return SimpleNamespace(**({"input": "Q?", "target": "3", "choices": None, "id": None} | fields))


def message(role: str, text: str) -> SimpleNamespace:
    return SimpleNamespace(role=role, text=text)


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]  # autouse
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "inspect_ai", ModuleType("inspect_ai"))


_names = (f"fake_tasks_{i}" for i in range(10_000))


def bench_of(monkeypatch: pytest.MonkeyPatch, samples: Sequence[object] | Exception) -> str:
    """Puts a module with a task ``sums`` of such samples; the benchmark's spec."""

    def sums() -> SimpleNamespace:
        print("noise of a task")  # noqa: T201  what tasks do
        if isinstance(samples, Exception):
            raise samples
        return SimpleNamespace(dataset=samples)

    sums.__registry_info__ = None  # pyright: ignore[reportFunctionMemberAccess]  # as @task does
    module: Any = ModuleType(next(_names))
    module.sums = sums
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return f"inspect:{module.__name__}/sums"


def problems(monkeypatch: pytest.MonkeyPatch, *samples: object) -> Sequence[Problem]:
    bench = load_benchmark(parse_spec(bench_of(monkeypatch, samples)))
    assert isinstance(bench, CodeBenchmark)
    return bench.allow_code().problems()


def test_samples_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = problems(
        monkeypatch,
        sample(input=" What is 1,000 plus 2? ", target="1,002", id="a"),
        sample(input=[message("user", "Two?")], target=["2", "2.0"]),
    )
    assert (first.question.text, first.gold) == ("What is 1,000 plus 2?", "1002")
    assert first.question.id.endswith("/sums/a")
    assert second.question.id.endswith("/sums/2"), "as Inspect numbers them"
    assert (second.question.text, second.gold, second.also) == ("Two?", "2", ("2",))
    assert second.question.answer_kind == "number"


def test_words_are_texts_and_letters_are_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    (one, _) = problems(monkeypatch, sample(target=["Ada", "Lovelace"]), sample())
    assert (one.gold, one.also, one.question.answer_kind) == ("Ada", ("Lovelace",), "text")
    (one, two) = problems(
        monkeypatch,
        sample(choices=["no", "yes "], target="B"),
        sample(choices=["3", "4"], target="3"),
    )
    assert (one.gold, one.question.choices, one.question.answer_kind) == (
        *("yes", ("no", "yes")),
        "choice",
    )
    assert two.gold == "3", "the text of a choice"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (sample(target=""), "sample 1: has no target"),
        (sample(target=[]), "sample 1: has no target"),
        (sample(input=" "), "sample 1: has no question"),
        (
            sample(input=[message("system", "x"), message("user", "y")]),
            "conversation of 2 messages",
        ),
        (sample(input="\ud800"), "surrogate"),
        (sample(choices=["a", "b"], target="C"), "target 'C' is none of its choices"),
        (sample(choices=["a", "b"], target=["A", "B"]), "2 of its choices are right"),
        (sample(choices=["a", "a"], target="A"), "2 to 26 different texts"),
    ],
)
def test_a_sample_that_cannot_be_asked_is_one_line(
    monkeypatch: pytest.MonkeyPatch, broken: object, says: str
) -> None:
    with pytest.raises(CotkitError, match=says) as caught:
        problems(monkeypatch, broken)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 65


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (ConnectionError("no\nnetwork"), 66, "its data cannot be had: no"),
        (TypeError("sums() missing 1 argument"), 65, "fails: TypeError: sums"),
        ([], 65, "its data set is empty"),
    ],
)
def test_a_task_that_fails_is_one_line(
    monkeypatch: pytest.MonkeyPatch, fault: Exception | list[object], code: int, says: str
) -> None:
    done = CliRunner().invoke(app, [*COMPARE, "--bench", bench_of(monkeypatch, fault), ALLOW])
    assert isinstance(done.exception, CotkitError)
    assert done.exception.exit_code == code
    assert says in str(done.exception)


def test_nothing_is_run_until_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tasks.py").write_text("raise SystemExit('it was run')\n")
    for command in (COMPARE, ["show", "prompt", "-s", "standard"]):
        done = CliRunner().invoke(app, [*command, "--bench", "inspect:./tasks.py/sums"])
        assert isinstance(done.exception, UsageError), done.exception
        assert ALLOW in str(done.exception)
        assert done.exception.exit_code == 2
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    with pytest.raises(MissingDependencyError, match="inspect-ai"):
        InspectTask(task="./tasks.py/sums").allow_code().problems()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sums", "is no MODULE/TASK"),
        ("no_such_module/sums", "unknown module of Inspect tasks 'no_such_module'"),
        ("./none.py/sums", "no such file"),
        ("json/sums,split=test", "unknown parameter of inspect 'split'"),
        ("json/sums", "unknown task of json 'sums'"),
        ("./broken.py/sums", "broken.py:2: cannot be imported"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line(name: str, says: str) -> None:
    Path("broken.py").write_text("\n1 / 0\n")
    done = CliRunner().invoke(app, [*COMPARE, "--bench", f"inspect:{name}", ALLOW])
    assert isinstance(done.exception, CotkitError), done.exception
    assert says in str(done.exception)


@pytest.mark.parametrize(
    "command",
    [
        ["scale", "--models", "simulated/1b,simulated/70b"],
        ["compare", "--model", "simulated/70b", "--exemplars", "auto:2"],
        ["plan", "--model", "simulated/7b"],
        ["show", "prompt"],
    ],
    ids=" ".join,
)
def test_what_is_allowed_is_allowed_wherever_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    samples = [sample(input=f"What is {i} plus 1?", target=str(i + 1)) for i in range(60)]
    bench = ["--bench", bench_of(monkeypatch, samples)]
    denied = CliRunner().invoke(app, [*command, *bench])
    assert ALLOW in str(denied.exception)
    done = CliRunner().invoke(app, [*command, *bench, ALLOW])
    assert done.exit_code == 0, done.exception


def test_its_card_is_shown() -> None:
    card = CliRunner().invoke(app, ["show", "bench", "inspect:./tasks.py/sums"]).stdout
    assert card.startswith("# inspect: the data set of a task of Inspect")


def test_a_run_and_its_report(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [sample(input=f"What is {i} plus 1?", target=str(i + 1)) for i in range(20)]
    bench = bench_of(monkeypatch, samples)
    done = CliRunner().invoke(app, [*COMPARE, "--bench", bench, ALLOW])
    assert done.exit_code == 0, done.exception
    report = json.loads(done.stdout)  # what a task prints is no part of it
    assert any("solver and scorers" in note for note in report["notes"])
    again = CliRunner().invoke(app, ["report", report["run_id"]])
    assert "--trust-code" in str(again.exception), "a stored run may be a stranger's"
    again = CliRunner().invoke(app, ["report", report["run_id"], "--trust-code"])
    assert again.exit_code == 0, again.exception
