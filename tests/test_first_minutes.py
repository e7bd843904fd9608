"""What a new user meets first: help, lists and plans at 80 columns, completion, chains."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cotkit.backends.simulated import tell_steps, wrong_answer
from cotkit.benchmarks import load_benchmark
from cotkit.cli.completion import COMPLETIONS
from cotkit.registry import entries, parse_spec
from cotkit.types import Problem, Question
from tests.conftest import Cotkit

QUIET = ("--display", "none")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_bare_help_fits_and_starts_with_what_needs_nothing(narrow: None, command: Cotkit) -> None:
    said = command()
    text = said.out + said.err
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("...") == 2, "a summary was cut"  # [ARGS]... and runs, ...
    assert text.index("cotkit demo") < text.index("simulated/70b") < text.index("smollm2-135m")


@pytest.mark.parametrize(
    "what", ["strategies", "benches", "backends", "models", "readers", "published", "thresholds"]
)
def test_lists_fit_and_cut_no_name(narrow: None, command: Cotkit, what: str) -> None:
    narrow_lines = command("list", what).out.splitlines()
    assert max(map(len, narrow_lines)) <= 80
    words = "\n".join(narrow_lines).split()
    for kind, listed in (("strategy", "strategies"), ("benchmark", "benches")):
        if what == listed:
            assert {entry.name for entry in entries(kind)} <= set(words)


def test_a_list_in_a_pipe_is_a_line_for_each(
    command: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = command("list", "strategies").out.splitlines()
    of_strategies = [line for line in lines if line and not line.endswith(":")]  # no headings
    assert len(of_strategies) == len(entries("strategy"))


def test_a_plan_fits_in_parts_that_name_their_arm(narrow: None, command: Cotkit) -> None:
    options = ("--model", "simulated/70b", "--strategy", "cot,self-consistency:k=5", "--limit", "5")
    lines = command("plan", *options).out.splitlines()
    table = lines[1 : lines.index(next(line for line in lines if "problems in" in line))]
    assert max(map(len, table)) <= 80
    assert sum(line.startswith("self-consistency:k=5 ") for line in table) == sum(
        line.startswith("arm ") for line in table
    )


@pytest.mark.parametrize(
    ("parameter", "begun", "offered"),
    [
        ("strategy", "cot,zero", "cot,zero-shot-cot"),
        ("bench", "gsm", "gsm-mini"),
        ("model", "smol", "smollm2-135m"),
        ("models", "simulated/1b,", "simulated/1b,simulated/3b"),
    ],
)
def test_names_are_completed_behind_those_of_a_list(
    parameter: str, begun: str, offered: str
) -> None:
    assert offered in COMPLETIONS[parameter](begun)


def test_runs_are_completed_with_what_they_are_of(command: Cotkit) -> None:
    class Context:
        params: dict[str, Any] = {}  # noqa: RUF012 - as typer's

    assert COMPLETIONS["run"](Context(), "") == []
    assert command("compare", "--model", "simulated/1b", "--limit", "2", *QUIET).code == 0
    runs = COMPLETIONS["run"](Context(), "")
    assert [what for _, what in runs] == ["simulated/1b gsm-mini", ""]
    assert COMPLETIONS["runs"](Context(), f"{runs[0][0]},")[0][0] == f"{runs[0][0]},{runs[0][0]}"


def test_an_unknown_baseline_is_answered_with_chance_among_them(command: Cotkit) -> None:
    options = ("compare", "--model", "simulated/1b", "--limit", "2", "--baseline")
    assert "chance, contrastive-cot," in command(*options, "nonsense").err
    assert "did you mean chance?" in command(*options, "chanse").err


def test_simulated_chains_are_the_problems_own_with_one_result_mistaken() -> None:
    problems = load_benchmark(parse_spec("gsm-mini")).problems()
    for problem in problems:
        wrong = wrong_answer(problem)
        right_steps, wrong_steps = (tell_steps(problem, x) for x in (problem.gold, wrong))
        assert right_steps == problem.rationale
        before, _, last = wrong_steps.rpartition("=")
        assert right_steps.startswith(before)
        assert wrong != problem.gold
        assert re.sub(r"[,$]", "", last).strip().startswith(wrong.rstrip("0").rstrip("."))


@pytest.mark.parametrize(
    ("gold", "wrong"),
    [("126", "561"), ("-10", "-50"), ("7.5", "2.9"), ("1/2", "5/6"), ("0", "-987654321")],
)
def test_a_wrong_answer_is_never_the_right_one(gold: str, wrong: str) -> None:
    assert wrong_answer(Problem(question=Question(id="q", text="?"), gold=gold)) == wrong


def test_a_problem_that_tells_no_steps_gets_a_sentence_that_reasons() -> None:
    problem = Problem(question=Question(id="q", text="?", choices=("a", "b")), gold="a")
    assert "step by step" in tell_steps(problem, "(A)")
