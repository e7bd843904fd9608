"""Trends over a setting: which arms they are over, what they say, and how often they are right."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

import cotkit
from cotkit.analysis.trends import choose_scale, find_settings, measure_trends, trend_sentence
from cotkit.analysis.values import Trend
from cotkit.stats.hypotheses import slope_weights
from tests.conftest import Cotkit, Sums


@pytest.mark.parametrize(
    ("settings", "over", "is_log"),
    [
        ((0, 1, 2, 4, 8), (1, 2, 4, 8), True),
        ((1, 2, 4), (1, 2, 4), True),
        ((1, 2, 3, 4), (1, 2, 3, 4), False),
        ((0, 0.25, 0.5, 0.75, 1), (0, 0.25, 0.5, 0.75, 1), False),
        ((1, 5, 10), (1, 5, 10), False),
        ((0, 1, 8), (0, 1, 8), False),
        ((64, 256, 1024), (64, 256, 1024), True),
    ],
)
def test_even_settings_are_taken_as_they_are_and_others_by_doublings(
    settings: tuple[float, ...], over: tuple[float, ...], is_log: bool
) -> None:
    assert choose_scale(settings) == (over, is_log)


def test_weights_are_those_of_least_squares() -> None:
    weights = slope_weights([0, 1, 2, 5])
    assert sum(weights) == pytest.approx(0)
    assert sum(w * (3 + 0.25 * x) for w, x in zip(weights, [0, 1, 2, 5], strict=True)) == (
        pytest.approx(0.25)
    )
    with pytest.raises(ValueError, match="two different"):
        slope_weights([2, 2])


def test_a_trend_is_over_three_numbers_in_which_arms_differ_alone() -> None:
    arms = ["cot:n_shot=8", "cot:n_shot=1", "cot:n_shot=2", "cot", "cot:seed=1", "cot:seed=2"]
    arms += ["cot:seed=3", "u:set=a", "u:set=b", "u:set=c", "v:k=1", "v:k=2", "v:thinking=off"]
    assert find_settings(arms) == {
        ("cot", "n_shot"): {1.0: "cot:n_shot=1", 2.0: "cot:n_shot=2", 8.0: "cot:n_shot=8"}
    }


def trend(scores: Mapping[float, list[float]], clusters: int = 0, level: float = 0.95) -> Trend:
    """The trend of ``s:x``; problem i is in cluster i modulo ``clusters``, or stands alone."""
    by_arm = {f"s:x={x}": {f"{i:03}": y for i, y in enumerate(of_x)} for x, of_x in scores.items()}
    n = len(next(iter(scores.values())))
    groups = {f"{i:03}": str(i % clusters) if clusters else None for i in range(n)}
    (found,) = measure_trends(by_arm, groups, level=level)
    return found


def test_a_straight_line_is_found_and_said() -> None:
    n = 400
    rates = {1: 0.2, 2: 0.3, 4: 0.4, 8: 0.5}
    rising = trend({x: [float(i < rate * n) for i in range(n)] for x, rate in rates.items()})
    assert rising.slope == pytest.approx(0.1)
    assert (rising.first, rising.is_log, rising.n) == (1, True, n)
    assert trend_sentence(rising).startswith(
        "s rises with x from 1 on: +10 points a doubling (95 %"
    )
    falling = trend({9 - x: [float(i < y * n) for i in range(n)] for x, y in rates.items()})
    assert "s falls with x" in trend_sentence(falling)
    flat = trend({x: [0.0, 1.0] * 20 for x in (1, 2, 3)})
    assert flat.slope == 0
    assert flat.p_value == 1
    assert trend_sentence(flat).startswith("whether s rises or falls with x is undetermined: +0")


def test_a_problem_that_one_setting_lacks_is_left_out() -> None:
    scores = {"s:x=1": {"a": 0.0, "b": 0.0}, "s:x=2": {"a": 1.0}, "s:x=3": {"a": 1.0, "b": 0.0}}
    (found,) = measure_trends(scores, {}, level=0.95)
    assert (found.n, found.slope) == (1, pytest.approx(0.5))
    assert found.interval.low < 0, "one problem shows nothing"


@pytest.mark.parametrize(
    ("n", "clusters", "slope"), [(20, 0, 0.0), (60, 0, 0.0), (60, 0, 0.1), (120, 20, 0.0)]
)
def test_intervals_cover_the_slope_as_often_as_they_say(
    n: int, clusters: int, slope: float
) -> None:
    """150 worlds of three settings; a cluster's problems move together."""
    rng, n_covered = random.Random(n + clusters), 0
    for _ in range(150):
        base = [rng.uniform(0.2, 0.5) for _ in range(n)]
        tilts = [rng.choice((-0.1, 0.1)) if clusters else 0.0 for _ in range(clusters or n)]
        found = trend(
            {
                x: [
                    float(rng.random() < base[i] + (slope + tilts[i % len(tilts)]) * (x - 1))
                    for i in range(n)
                ]
                for x in (1, 2, 3)
            },
            clusters,
        )
        n_covered += found.interval.low <= slope <= found.interval.high
    assert n_covered >= 135, "95 % of 150 are 142.5, less three standard errors"


def test_compare_and_scale_say_it(command: Cotkit) -> None:
    comparison = cotkit.compare("simulated/10b", "standard:thinking=16+64+256+1024", Sums(n=80))
    (found,) = comparison.trends
    assert (found.strategy, found.parameter) == ("standard", "thinking")
    assert any(
        note.startswith("standard rises with thinking from 16 on") for note in comparison.notes
    )
    ladder = ("--models", "simulated/1b,simulated/10b", "--strategy", "cot:n_shot=1+2+4")
    scaled = command("scale", *ladder, "--limit", "12", "--display", "none")
    assert "simulated-10b: whether cot rises or falls with n_shot" in " ".join(scaled.out.split())
