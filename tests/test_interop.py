"""What needs neither Inspect nor lm-eval: samples as problems, tasks, models recognised."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cotkit
from cotkit.cli import app
from cotkit.errors import CotkitError, UsageError
from cotkit.interop.inspect_ import samples
from cotkit.interop.inspect_.samples import SampleView
from cotkit.strategies.cot import Cot
from cotkit.types import Attempt
from tests.conftest import REPOSITORY


def sample_view(
    *targets: str, choices: tuple[str, ...] = (), bench: str | None = None
) -> SampleView:
    return SampleView(id="7", text="What?", choices=choices, targets=targets, bench=bench)


@pytest.mark.parametrize(
    ("view", "kind", "gold", "also"),
    [
        (sample_view("1,234"), "number", "1234", ()),
        (sample_view("$5", "6"), "number", "5", ("6",)),
        (sample_view("Paris"), "text", "Paris", ()),
        (sample_view("B", choices=("red", "blue")), "choice", "blue", ()),
        (sample_view("blue", choices=("red", "blue")), "choice", "blue", ()),
    ],
)
def test_a_sample_says_what_it_asks_for(
    view: SampleView, kind: str, gold: str, also: tuple[str, ...]
) -> None:
    problem = samples.make_problem(view, None)
    assert (problem.question.answer_kind, problem.gold, problem.also) == (kind, gold, also)


@pytest.mark.parametrize(
    ("view", "kind", "message"),
    [
        (sample_view("Paris"), "number", "target 'Paris' is no number"),
        (sample_view("Paris"), "place", "unknown answer_kind"),
        (sample_view("Paris"), "choice", "has no choices"),
        (sample_view("1", bench="gsm-mini"), None, "has no problem 7"),
    ],
)
def test_a_sample_that_does_not_fit_is_one_line(
    view: SampleView, kind: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        samples.make_problem(view, kind)


def test_a_strategy_is_made_for_a_sample_with_its_parameters() -> None:
    settings = samples.read_settings("cot", {"max_tokens": 99, "exemplars": "builtin:3"})
    problem = samples.make_problem(sample_view("4"), None)
    strategy = samples.build_strategy(settings, sample_view("4"), problem)
    assert isinstance(strategy, Cot)
    assert (strategy.max_tokens, len(strategy.exemplars)) == (99, 3)
    with pytest.raises(UsageError, match="built-in ones are of numbers"):
        samples.build_strategy(
            settings, sample_view("x"), samples.make_problem(sample_view("x"), None)
        )
    wrong = samples.read_settings("cot", {"k": 5})
    with pytest.raises(CotkitError, match="unknown generation parameter 'k'"):
        samples.build_strategy(wrong, sample_view("4"), problem)


def test_an_attempt_is_kept_as_json_and_comes_back() -> None:
    draft = Attempt(text="a", stop_reason="length")
    vote = Attempt(text="a", stop_reason="length", drafts=(draft, draft), is_vote=True)
    assert (
        samples.load_attempt(json.loads(json.dumps(samples.dump_attempt(vote))), "", "stop") == vote
    )
    assert samples.load_attempt(None, "b", "max_tokens") == Attempt(text="b", stop_reason="length")


def test_the_entry_point_names_what_is_there() -> None:
    page = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    named = page["project"]["entry-points"]["inspect_ai"]
    assert named == {"cotkit": "cotkit.interop.inspect_.entry"}
    assert (REPOSITORY / "cotkit" / "interop" / "inspect_" / "entry.py").is_file()


def export_tasks(*arguments: str) -> list[Path]:
    done = CliRunner().invoke(app, ["export", "--to", "lm-eval-tasks:tasks", *arguments])
    assert done.exit_code == 0, done.output
    return [Path(line) for line in done.stdout.splitlines()]


def test_tasks_share_their_problems_and_differ_in_their_prompts() -> None:
    rows, code, *tasks = export_tasks("--strategy", "cot", "--bench", "gsm-mini", "--limit", "4")
    assert [one.stem for one in tasks] == ["cotkit-gsm-mini-few-shot", "cotkit-gsm-mini-cot"]
    lines = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    assert [set(line) for line in lines] == [{"id", "question", "answer", "prompts"}] * 4
    for line in lines:
        assert set(line["prompts"]) == {"cot", "few-shot"}
        ends = f"Q: {line['question']}\nA:"
        assert all(prompt.endswith(ends) for prompt in line["prompts"].values())
    page = tasks[1].read_text(encoding="utf-8")
    assert "doc_to_text: \"{{prompts['cot']}}\"" in page
    assert '"until": ["\\nQ:"], "max_gen_toks": 256' in page
    assert "filter_fn: !function cotkit_tasks.whole_cot" in page
    compile(code.read_text(encoding="utf-8"), str(code), "exec")


def test_what_is_cut_and_put_back_is_what_our_driver_does() -> None:
    """The code beside the tasks, run without the package of data sets, which this does not need."""
    _, code, *_ = export_tasks("--strategy", "cot", "--limit", "1")
    source = code.read_text(encoding="utf-8").replace("import datasets\n", "")
    scope: dict[str, Any] = {}
    exec(source, scope)
    function = scope["_whole"]
    stop = r"(?i:the answer is)[^\n]*?\d+\."
    assert function("So the answer is 12. Q: more 99", "", stop) == "So the answer is 12."
    assert function(" 12", "The answer is", None) == "The answer is 12"
    assert function("12", "The answer is", None) == "The answer is 12"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--strategy", "self-review"], "self-review asks more than once"),
        (["--strategy", "self-consistency"], "self-consistency takes several samples"),
        (["--strategy", "oracle-review"], "oracle-review sees the gold answers"),
        (["--strategy", "cot", "--calculator"], "changes what the model wrote"),
        (["--bench", "sentiment-mini"], "sentiment-mini asks for a"),
        (["3fa9"], "a run was asked already"),
        (["--to", "lm-eval:x"], "a run was asked already"),
        (["--strategy", "nonsense"], "unknown strategy 'nonsense'"),
    ],
)
def test_what_lm_eval_cannot_ask_is_refused_in_one_line(arguments: list[str], said: str) -> None:
    command = ["export", "--to", "lm-eval-tasks:tasks", *arguments]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, UsageError), done.output
    assert said in str(done.exception)
    assert not Path("tasks").exists()


@dataclass
class FakeLM:
    """As an LM of lm-eval behaves: asked in batches, answers in their order."""

    calls: list[int] = field(default_factory=list[int])

    def tok_encode(self, text: str) -> list[str]:
        return text.split()

    def generate_until(self, requests: Sequence[object]) -> list[str]:
        self.calls.append(len(requests))
        return [" The answer is 4." for _ in requests]

    def loglikelihood(self, requests: Sequence[object]) -> list[tuple[float, bool]]:
        raise RuntimeError("nobody asked")


def test_a_model_of_lm_eval_is_recognised_and_asked_in_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = types.ModuleType("lm_eval.api.model")
    instance = types.ModuleType("lm_eval.api.instance")
    monkeypatch.setattr(model, "LM", FakeLM, raising=False)
    monkeypatch.setattr(instance, "Instance", types.SimpleNamespace, raising=False)
    for name, module in (("model", model), ("instance", instance)):
        monkeypatch.setitem(sys.modules, f"lm_eval.api.{name}", module)
    for name in ("lm_eval", "lm_eval.api"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    lm = FakeLM()
    found = cotkit.compare(lm, "cot", limit=40)
    assert found.model == "FakeLM"
    assert sum(lm.calls) == 80
    assert len(lm.calls) <= 8, "requests that wait together go together"
    again = FakeLM()
    cotkit.compare(again, "cot", limit=40)
    assert sum(again.calls) == 80, "nobody vouched for it, so nothing is reused"


def test_nothing_of_the_other_tools_is_imported() -> None:
    theirs = "('inspect_ai', 'lm_eval')"
    code = f"import cotkit.api, sys; print([m for m in sys.modules if m.startswith({theirs})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
