"""Two models, or two ladders, on the same problems: the difference of their gains, paired."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cotkit.analysis.scale.contrasts import (
    Contrast,
    ContrastQuestion,
    ModelContrasts,
    ModelPair,
    contrast_models,
    label_difference,
    match_sizes,
)
from cotkit.analysis.scale.grid import ArmOutcomes, ArmTotals, Cell, ResultGrid, Rung
from cotkit.cli import app
from cotkit.errors import CotkitError, UsageError
from cotkit.stats.intervals import Interval

A, B = (Rung(model=name, family=name, n_params=10**9) for name in ("a", "b"))
PAIRS = (("cot", "few-shot"),)
QUICK = ["--strategy", "cot", "--limit", "40", "--display", "none", "--format", "json"]


def answer_of(*arguments: str) -> str:
    """Return what a command prints."""
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def outcomes(*scores: float) -> ArmOutcomes:
    return ArmOutcomes(correct=np.array(scores, dtype=np.float64))


def contrast(cells: dict[tuple[str, str], Cell], clusters: Sequence[str] = ()) -> ModelContrasts:
    n = max((len(c.correct) for c in cells.values() if isinstance(c, ArmOutcomes)), default=0)
    grid = ResultGrid(
        bench="b",
        rungs=(A, B),
        cells=cells,
        problem_ids=tuple(map(str, range(n))),
        clusters=tuple(clusters) or None,
    )
    pair = ModelPair(model=A, reference=B, x=None)
    return contrast_models(
        grid, [pair], ContrastQuestion(names=("a", "b"), pairs=PAIRS, margin=0.02)
    )


def gain_of(answer: ModelContrasts) -> Contrast:
    (gain,) = answer.of_gains()
    return gain


def random_cells(n: int, rates: Sequence[float], seed: int = 0) -> dict[tuple[str, str], Cell]:
    rng = np.random.default_rng(seed)
    hard = rng.random(n)  # shared by both models: what pairing takes out
    names = [("a", "cot"), ("a", "few-shot"), ("b", "cot"), ("b", "few-shot")]
    return {
        name: ArmOutcomes(correct=(0.7 * hard + 0.3 * rng.random(n) < rate).astype(float))
        for name, rate in zip(names, rates, strict=True)
    }


def test_the_difference_of_gains_is_the_mean_over_the_problems_that_all_four_completed() -> None:
    answer = contrast(
        {
            ("a", "cot"): outcomes(1, 1, 1, 0, math.nan),
            ("a", "few-shot"): outcomes(0, 0, 1, 0, 0),
            ("b", "cot"): outcomes(1, 0, 0, 0, 1),
            ("b", "few-shot"): outcomes(0, 0, 1, 0, 0),
        }
    )
    gain = gain_of(answer)
    assert (gain.n, gain.value, gain.reference, gain.difference) == (4, 0.5, 0.0, 0.5)
    rates = {c.arm: (c.n, c.difference) for c in answer.contrasts if c.control is None}
    assert rates == {"few-shot": (5, 0.0), "cot": (4, 0.5)}
    assert gain.interval.level == pytest.approx(0.95 ** (1 / 3))
    assert all(c.interval.low <= c.difference <= c.interval.high for c in answer.contrasts)


def test_pairing_shows_what_totals_of_the_same_outcomes_do_not() -> None:
    cells = random_cells(400, (0.6, 0.4, 0.5, 0.4))
    paired = contrast(cells)
    totals: dict[tuple[str, str], Cell] = {
        key: ArmTotals(rate=float(cell.correct.mean()), n=400)
        for key, cell in cells.items()
        if isinstance(cell, ArmOutcomes)
    }
    unpaired = contrast(totals)
    for ours, other in zip(paired.contrasts, unpaired.contrasts, strict=True):
        assert ours.difference == pytest.approx(other.difference)
        width, wide = (c.interval.high - c.interval.low for c in (ours, other))
        assert width < wide
    assert "nothing is paired" in " ".join(unpaired.notes)


def test_two_settings_that_hardly_differ_are_alike_and_never_exactly_equal() -> None:
    cells = random_cells(1000, (0.6, 0.4, 0.6, 0.4))
    for arm in ("cot", "few-shot"):
        cells["b", arm] = cells["a", arm]
    gain = gain_of(contrast(cells))
    assert (gain.difference, gain.label, gain.p_value) == (0.0, "alike", pytest.approx(1.0))
    assert -0.02 < gain.interval.low < 0 < gain.interval.high < 0.02


def test_the_interval_of_a_difference_of_gains_covers_at_few_and_at_many_differences() -> None:
    for n, rates in ((100, (0.12, 0.05, 0.1, 0.05)), (200, (0.7, 0.3, 0.5, 0.3))):
        many = random_cells(100_000, rates, 10_000)
        truth = sum(
            sign * float(cell.correct.mean())
            for sign, cell in zip((1, -1, -1, 1), many.values(), strict=True)
            if isinstance(cell, ArmOutcomes)
        )
        gains = [gain_of(contrast(random_cells(n, rates, seed))) for seed in range(40)]
        n_missed = sum(not gain.interval.low <= truth <= gain.interval.high for gain in gains)
        assert n_missed <= 4  # of 40 at 98.3 %: 0.7 are expected


def test_clusters_widen_the_interval() -> None:
    cells = random_cells(200, (0.7, 0.3, 0.5, 0.3))
    repeated: dict[tuple[str, str], Cell] = {
        key: ArmOutcomes(correct=np.repeat(cell.correct[:50], 4))
        for key, cell in cells.items()
        if isinstance(cell, ArmOutcomes)
    }
    alone = gain_of(contrast(repeated))
    together = gain_of(contrast(repeated, [f"c{i // 4}" for i in range(200)]))
    width, wide = (c.interval.high - c.interval.low for c in (alone, together))
    assert wide > 1.5 * width


@pytest.mark.parametrize(
    ("low", "high", "label"),
    [
        (0.01, 0.3, "higher"),
        (-0.3, -0.01, "lower"),
        (-0.01, 0.01, "alike"),
        (-0.03, 0.01, "undetermined"),
    ],
)
def test_a_label_says_what_the_interval_shows(low: float, high: float, label: str) -> None:
    assert label_difference(Interval(low=low, high=high, level=0.95), 0.02) == label


def rung(model: str, n_params: float) -> tuple[Rung, float]:
    return Rung(model=model, family=None, n_params=int(n_params)), n_params


def test_sizes_within_a_tenth_are_common_and_each_model_is_compared_once() -> None:
    ladder = [rung("a7", 7e9), rung("a1", 1e9), rung("a13", 13e9)]
    other = [rung("b6.7", 6.7e9), rung("b7.2", 7.2e9), rung("b1", 1e9), rung("b70", 70e9)]
    pairs = match_sizes(ladder, other, "params")
    assert [(p.model.model, p.reference.model) for p in pairs] == [("a1", "b1"), ("a7", "b7.2")]
    with pytest.raises(UsageError, match="no size in common") as refusal:
        match_sizes([rung("a7", 7e9)], [rung("b8", 8e9)], "params")
    assert "\n" not in str(refusal.value)
    with pytest.raises(UsageError, match="no size in common"):
        match_sizes([rung("a", 2.0)], [rung("b", 2.1)], "loss")


def test_compare_takes_two_models_and_two_settings_of_one(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    models = "simulated/10b:reasoning=0.9,simulated/10b:reasoning=0.3"
    printed = answer_of("compare", "--models", models, *QUICK, "--html", str(page))
    answer = json.loads(printed)
    assert (answer["schema"], answer["n_problems"]) == ("cotkit.contrasts/1", 40)
    assert answer["first"] == "simulated-10b:reasoning=0.9"
    (gain,) = answer["gain_differences"]
    assert gain["label"] == "higher"
    assert gain["difference"] == pytest.approx(gain["first"] - gain["second"])
    assert {row["label"] for row in answer["rate_differences"]} == {"higher", "undetermined"}
    assert "lower" not in answer["answer"][0]
    assert len(answer["runs"]) == 2
    assert page.read_text(encoding="utf-8").count("<figure") == 1
    assert answer_of("compare", "--models", models, *QUICK) == printed


def test_a_ladder_over_another_is_compared_at_every_common_size(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    over = "simulated/1b:reasoning=0.9,simulated/30b:reasoning=0.9,simulated/7t:reasoning=0.9"
    ladders = ["--models", "simulated/1b,simulated/10b,simulated/30b", "--over", over]
    answer = json.loads(answer_of("scale", *ladders, *QUICK, "--html", str(page)))
    assert [row["size"] for row in answer["gain_differences"]] == [1e9, 30e9]
    assert answer["gain_differences"][0]["label"] == "lower"
    assert answer["second"] == "simulated:reasoning=0.9"
    assert any("simulated-10b, simulated-7t" in note for note in answer["notes"])
    assert page.read_text(encoding="utf-8").count("<figure") == 3
    ids = [row["run_id"] for row in answer["runs"]]
    stored = answer_of(
        *("scale", "--runs", ",".join(ids[:3]), "--over", ",".join(ids[3:])),
        *("--display", "none", "--format", "json"),
    )
    assert json.loads(stored)["gain_differences"] == answer["gain_differences"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["compare", "--models", "simulated/1b"], "--models compares two, not 1"),
        (["compare", "--models", "simulated/1b,simulated/1b"], "simulated-1b is given twice"),
        (["compare", "--models", "simulated/1b,simulated/2b", "--gate"], "--gate has no effect"),
        (["compare", "--models", "simulated/1b:nonsense=1,simulated/2b"], "nonsense"),
        (["scale", "--models", "simulated/1b", "--over", "simulated/2b"], "no size in common"),
        (["scale", "--family", "simulated", "--over", "x"], "unknown model 'x'"),
        (
            ["scale", "--published", "wei2022", "--family", "UL2", "--over", "LaMDA"],
            "no size in common",
        ),
        (["scale", "--published", "wei2022", "--over", "LaMDA"], "which family is compared"),
        (
            ["scale", "--published", "wei2022", "--family", "PaLM", "--over", "PaLm"],
            "cannot be compared with itself",
        ),
        (
            ["scale", "--family", "simulated", "--over", "simulated/1b", "--by-steps"],
            "--by-steps has no effect with --over",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line(options: list[str], says: str) -> None:
    result = CliRunner().invoke(app, options)
    assert isinstance(result.exception, CotkitError)
    assert says in str(result.exception)
    assert (result.stdout, "\n" in str(result.exception)) == ("", False)


def test_families_of_a_published_table_are_compared_and_never_pooled() -> None:
    printed = answer_of(
        *("scale", "--published", "wei2022", "--bench", "GSM8K"),
        *("--family", "lamda", "--over", "PaLM", "--format", "json"),
    )
    answer = json.loads(printed)
    assert [row["model"] for row in answer["gain_differences"]] == ["LaMDA 8B", "LaMDA 68B"]
    large = answer["gain_differences"][1]
    assert large["difference"] == pytest.approx((8.2 - 5.7 - (29.9 - 9.6)) / 100)
    assert (large["label"], large["p_value"]) == ("lower", None)
