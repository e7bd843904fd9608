"""Solve rate by what is spent while a model answers: measured tokens, samples or thoughts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cotkit.analysis.scale.spending import Spending, analyse_spending
from cotkit.benchmarks import load_benchmark
from cotkit.errors import UsageError
from cotkit.registry import parse_spec
from cotkit.report import render
from cotkit.report.html import spending_page
from cotkit.run import RunSpec
from cotkit.run.spec import list_specs
from cotkit.workflows.spending import (
    SpendingQuestion,
    SpendingResult,
    measure_spending,
    measure_stored_spending,
)

BENCH = "arithmetic"
QUESTION = SpendingQuestion(unit="thinking-tokens", margin=0.05)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[SpendingResult, Path]:
    """Two models over four budgets and three numbers of samples."""
    folder = tmp_path_factory.mktemp("spending")
    strategies = "standard:thinking=off+64+256+1024,self-consistency:k=1+4+8,thinking=16"
    spec = RunSpec(model="", strategies=list_specs(strategies), limit=60, margin=0.05)
    bench = (BENCH, load_benchmark(parse_spec(BENCH)))
    models = ["simulated/10b", "simulated/30b"]
    return measure_spending(spec, models, bench, QUESTION, log_dir=folder), folder


def test_the_axis_is_what_was_measured(measured: tuple[SpendingResult, Path]) -> None:
    spending = measured[0].spending
    tokens = {(p.rung.model, p.arm): p.tokens for p in spending.points}
    assert tokens["simulated-30b", "standard:thinking=off"] == 0
    assert tokens["simulated-30b", "standard:thinking=64"] == 64
    assert tokens["simulated-30b", "self-consistency:k=4,thinking=16"] == 64, "of all samples"
    rates = sorted((p.tokens or 0, p.rate, "tokens" in p.on_frontier) for p in spending.points)
    for spent, rate, is_cheapest in rates:
        beaten = any(t <= spent and r >= rate and (t, r) != (spent, rate) for t, r, _ in rates)
        assert is_cheapest is not beaten
    swept = [(c.model, c.sweep.strategy, c.sweep.parameter) for c in spending.curves]
    assert ("simulated-10b", "standard", "thinking") in swept
    assert ("simulated-30b", "self-consistency:thinking=16", "k") in swept
    assert spending.sentences[0].startswith("simulated-10b, standard by thinking: ")


def test_samples_stand_against_thoughts_at_equal_tokens(
    measured: tuple[SpendingResult, Path],
) -> None:
    """By hand: the two budgets on either side, mixed so that both take as many tokens."""
    result = measured[0]
    matches = [m for m in result.spending.matches if m.model == "simulated-30b"]
    assert {m.arm for m in matches} == {f"self-consistency:k={k},thinking=16" for k in (1, 4, 8)}
    cells = {cell.arm: cell for cell in result.parts[1].comparison.cells}
    for match in matches:
        low, high = (cells[arm] for arm in match.between)
        assert low.generated_tokens is not None
        assert high.generated_tokens is not None
        assert low.generated_tokens <= match.tokens <= high.generated_tokens
        share = (match.tokens - low.generated_tokens) / (
            high.generated_tokens - low.generated_tokens
        )
        expected = (1 - share) * low.solve_rate + share * high.solve_rate
        assert match.serial_rate == pytest.approx(expected)
        assert match.rate == pytest.approx(cells[match.arm].solve_rate)
        assert match.interval.low <= match.rate - match.serial_rate <= match.interval.high
        assert match.interval.level > 0.95, "all hold together"


def test_all_tokens_of_one_model_and_stored_runs_and_a_rate_to_reach(
    measured: tuple[SpendingResult, Path],
) -> None:
    result, folder = measured
    run = result.spending.runs["simulated-30b"]
    stored = measure_stored_spending(
        [run], SpendingQuestion(unit="tokens", margin=0.05, reach=0.5), log_dir=folder
    )
    cells = {cell.arm: cell for cell in stored.parts[0].comparison.cells}
    assert all(p.tokens == cells[p.arm].generated_tokens for p in stored.spending.points)
    reaching = [p for p in stored.spending.points if p.rate >= 0.5]
    cheapest = min(reaching, key=lambda p: (p.tokens or 0, -p.rate))
    assert stored.spending.sentences[-1].startswith(
        f"Cheapest at 50 % or more: simulated-30b, {cheapest.arm}, "
    )
    with pytest.raises(UsageError, match="of one model"):
        measure_stored_spending([run, run], QUESTION, log_dir=folder)


def test_every_format_has_the_points_and_the_page_its_figure(
    measured: tuple[SpendingResult, Path],
) -> None:
    result = measured[0]
    document = json.loads(render(result.spending, "json"))
    assert document["schema"] == "cotkit.spending/1"
    assert document["axis"] == "thinking-tokens"
    assert len(document["spending"]) == len(result.spending.points)
    assert {"serial_parallel", "sweeps", "runs"} <= document.keys()
    assert "tokens,solve_rate" in render(result.spending, "csv")
    screen = render(result.spending, "table", full=False)
    assert "thinking tokens per problem, logarithmic" in screen
    page = spending_page(result.spending, result.parts)
    assert "Solve rate by thinking tokens" in page
    with pytest.raises(UsageError, match="axis of tokens"):
        render(result.spending, "lm-eval")


def test_what_has_no_curve_or_no_count_is_refused(
    measured: tuple[SpendingResult, Path], tmp_path: Path
) -> None:
    result = measured[0]
    bench = (BENCH, load_benchmark(parse_spec(BENCH)))
    for strategy, words in (("cot", "no curve"), ("self-consistency:k=1+2", "were counted")):
        spec = RunSpec(model="", strategies=list_specs(strategy), limit=5)
        with pytest.raises(UsageError, match=words):
            measure_spending(spec, ["simulated/10b"], bench, QUESTION, log_dir=tmp_path)
    one = dict(zip(result.spending.runs, result.parts, strict=True))
    answer: Callable[..., Spending] = analyse_spending
    assert answer(one, "tokens", margin=0.05).matches == result.spending.matches


def test_the_command_line_sends_an_axis_where_it_belongs(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from cotkit.cli import app

    def run(*arguments: str) -> str:
        command = ["scale", *arguments, "--log-dir", str(tmp_path), "--display", "none"]
        result = CliRunner().invoke(app, command)
        return result.output if result.exception is None else str(result.exception)

    budgets = ("--strategy", "standard:thinking=16+64", "--limit", "5")
    for axis in ("thinking-tokens", "tokens"):
        output = run("--x", axis, "--models", "simulated/30b", *budgets, "--format", "json")
        assert json.loads(output)["axis"] == axis
    assert "--by-steps has no effect" in run(
        "--x", "thinking-tokens", "--models", "simulated/30b", *budgets, "--by-steps"
    )
    assert "has no effect" in run("--x", "thinking-tokens", "--published", "wei2022")
