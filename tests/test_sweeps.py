"""Curves over a setting: which arms are one, what is enough, and where more of it harms."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import pytest

import cotkit
from cotkit.analysis.sweeps import find_sweeps, measure_sweeps, order_settings
from cotkit.analysis.values import Cell, PageRun, Sweep
from cotkit.report import render
from cotkit.report.html import page
from cotkit.stats.intervals import wilson
from cotkit.types import OUTCOMES
from tests.conftest import Sums


@pytest.mark.parametrize(
    ("settings", "ordered"),
    [
        (("high", "off", "minimal", "low"), ("off", "minimal", "low", "high")),
        (("max", "xhigh", "medium"), ("medium", "xhigh", "max")),
        (("2048", "512", "1024"), ("512", "1024", "2048")),
        (("512", "off", "64"), ("off", "64", "512")),
        (("1", "0.7", "1e-1"), ("1e-1", "0.7", "1")),
        (("low", "512", "high"), None),
        (("on", "off", "low"), None),
        (("foo-bar", "digits", "2"), None),
    ],
)
def test_settings_have_an_order_or_none(
    settings: tuple[str, ...], ordered: tuple[str, ...] | None
) -> None:
    for shuffled in permutations(settings):
        order = order_settings(shuffled)
        assert (order if order is None else tuple(order)) == ordered


def test_arms_that_differ_in_one_parameter_alone_are_a_curve() -> None:
    grid = [f"self-consistency:k={k},thinking={t}" for t in ("off", "low") for k in (1, 2, 10)]
    sweeps = find_sweeps([*grid, "cot", "cot:seed=1", "cot:seed=2", "cot:seed=3"])
    assert {key: list(arms) for key, arms in sweeps.items()} == {
        ("self-consistency:thinking=off", "k"): ["1", "2", "10"],
        ("self-consistency:thinking=low", "k"): ["1", "2", "10"],
    }
    by_thinking = find_sweeps(grid, n_least=2)
    assert ("self-consistency:k=10", "thinking") in by_thinking


def curve(*solved: range, n: int = 300, margin: float = 0.05) -> Sweep:
    """A sweep of thinking=1, 2, ...: which of n problems each setting solves."""
    scores = {
        f"s:tokens={i}": {f"{p:03}": float(p in right) for p in range(n)}
        for i, right in enumerate(solved)
    }
    cells = {
        arm: Cell(
            arm=arm,
            n=n,
            outcomes=dict.fromkeys(OUTCOMES, 0),
            n_correct=round(sum(of_arm.values())),
            solve_rate=sum(of_arm.values()) / n,
            interval=wilson(round(sum(of_arm.values())), n, 0.95),
            prompt_tokens=None,
            shared_tokens=0,
            generated_tokens=None,
            generated_per_correct=None,
            usd=None,
            usd_per_correct=None,
            seconds=0,
            seconds_per_correct=None,
        )
        for arm, of_arm in scores.items()
    }
    (sweep,) = measure_sweeps(scores, {}, cells, margin=margin, level=0.95)
    return sweep


def test_enough_is_where_every_later_setting_is_shown_to_be_as_good_as_the_best() -> None:
    rising = curve(range(60), range(200), range(290), range(294), range(296))
    assert rising.enough == "2"
    assert [point.is_shown for point in rising.points] == [False, False, True, True, True]
    assert "20.0 % at 0, 98.7 % at 4; from 2 on, every setting is shown" in rising.sentence
    assert curve(range(60), range(200), range(290)).sentence.endswith("so more may help still.")
    flat = curve(range(200), range(200), range(200))
    assert flat.enough == "0"
    few = curve(range(6), range(20), range(29), range(29), n=30)
    assert few.enough is None
    assert "is undetermined" in few.sentence
    dip = curve(range(60), range(294), range(250), range(296))
    assert dip.enough == "3", "a later setting that is not shown undoes the earlier ones"


def test_more_that_harms_is_said_with_its_interval() -> None:
    assert curve(range(60), range(200), range(290)).harm is None
    falling = curve(range(100), range(290), range(220))
    assert falling.harm is not None
    assert (falling.harm.setting, falling.harm.later) == ("1", "2")
    assert falling.harm.loss == pytest.approx(70 / 300)
    assert 0 < falling.harm.interval.low < 70 / 300 < falling.harm.interval.high
    assert falling.enough is None, "the last setting is worse than the best"
    assert "96.7 % at 1, 73.3 % at 2" in falling.sentence
    assert "more harms: 2 solves 23.3 points less than 1" in falling.sentence


def test_a_sweep_is_a_table_and_a_figure_in_every_format() -> None:
    comparison = cotkit.compare(
        "simulated/30b", "standard:thinking=16+64+off+1024", Sums(n=60), limit="all"
    )
    (sweep,) = comparison.sweeps
    assert [point.setting for point in sweep.points] == ["off", "16", "64", "1024"]
    assert comparison.decision is not None
    rows = json.loads(render(comparison, "json"))["sweeps"]
    assert [row["setting"] for row in rows] == ["off", "16", "64", "1024"]
    assert [row["thinking_tokens"] for row in rows] == [None, 16, 64, 1024]
    screen = render(comparison, "table", full=False)
    assert "● standard   (solve rate in %)" in screen
    assert sweep.sentence.split(":")[0] in screen
    html = page([PageRun(comparison=comparison, samples=())])
    assert "Solve rate by thinking" in html
    without = replace(comparison, sweeps=())
    assert "Curves" not in render(without, "markdown")
