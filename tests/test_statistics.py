"""Every estimator against stored values, its definition by brute force, and planted truths."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, multinomial

from cotkit.analysis.gains import label_direction, label_gain
from cotkit.stats.hypotheses import (
    holm,
    mcnemar_midp,
    minimum_detectable_effect,
    problems_needed,
    sidak_level,
)
from cotkit.stats.intervals import (
    Interval,
    critical_value,
    newcombe,
    tango,
    wilson,
    zero_hits_upper,
)

CASES = json.loads((Path(__file__).parent / "cases" / "statistics.json").read_text("utf-8"))
MDE = CASES["minimum_detectable_effect"]

cached_tango = lru_cache(maxsize=None)(tango)


def _ids(case: object) -> str:
    return json.dumps(case)[:50]


# ---- stored reference values -----------------------------------------------------------------


@pytest.mark.parametrize("case", CASES["tango"], ids=_ids)
def test_tango_gives_the_reference_values(case: dict[str, Any]) -> None:
    found = tango(case["b"], case["c"], case["n"], case["level"])
    assert round(found.low, case["digits"]) == case["low"]
    assert round(found.high, case["digits"]) == case["high"]


@pytest.mark.parametrize("case", CASES["newcombe"], ids=_ids)
def test_newcombe_gives_the_reference_values(case: dict[str, Any]) -> None:
    found = newcombe(case["k1"], case["n1"], case["k2"], case["n2"], case["level"])
    assert round(found.low, case["digits"]) == case["low"]
    assert round(found.high, case["digits"]) == case["high"]


@pytest.mark.parametrize("case", CASES["mcnemar_midp_one_sided"], ids=_ids)
def test_mcnemar_gives_the_reference_values(case: dict[str, Any]) -> None:
    p = mcnemar_midp(case["b"], case["c"], one_sided=True)
    assert round(p, case["digits"]) == case["p"]


@pytest.mark.parametrize("case", CASES["zero_hits_upper"], ids=_ids)
def test_zero_hits_give_the_reference_values(case: dict[str, Any]) -> None:
    assert round(zero_hits_upper(case["n"], case["level"]), case["digits"]) == case["upper"]


@pytest.mark.parametrize("case", CASES["holm"], ids=_ids)
def test_holm_gives_the_reference_values(case: dict[str, Any]) -> None:
    assert holm(case["p"]) == pytest.approx(case["adjusted"], abs=1e-12)


@pytest.mark.parametrize("case", CASES["problems_needed"], ids=_ids)
def test_problems_needed_gives_the_planning_numbers(case: dict[str, Any]) -> None:
    level = 1 - 0.05 / case["tests"]
    assert problems_needed(case["effect"], case["baseline"], level) == case["n"]


@pytest.mark.parametrize("column", ["single", "of_six"])
@pytest.mark.parametrize("row", MDE["table"], ids=lambda row: f"baseline {row['baseline']}")
def test_mde_gives_the_planning_table(row: dict[str, Any], column: str) -> None:
    level = 0.95 if column == "single" else 1 - 0.05 / 6
    rounded_apart = {
        (case["baseline"], case["n"], case["column"]): case["ours"]
        for case in MDE["off_by_rounding"]
    }
    for n, printed in zip(MDE["n"], row[column], strict=True):
        points = 100 * minimum_detectable_effect(n, row["baseline"], level)
        ours = rounded_apart.get((row["baseline"], n, column))
        if ours is None:
            assert round(points, 1) == printed
        else:  # the table's own last digit was rounded up
            assert round(points, 3) == ours
            assert abs(points - printed) < 0.056


# ---- definitions, by brute force -------------------------------------------------------------


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
@pytest.mark.parametrize("n", [1, 7, 50, 1319])
def test_wilson_agrees_with_scipy(n: int, level: float) -> None:
    for k in sorted({0, 1, n // 3, n - 1, n}):
        expected = binomtest(k, n).proportion_ci(level, "wilson")
        found = wilson(k, n, level)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def _score_statistic(b: int, c: int, n: int, delta: float) -> float:
    """Tango's T, its nuisance parameter found by maximising the likelihood, not by formula."""
    slack = 1e-13

    def minus_log_likelihood(q: float) -> float:
        cells = ((b, q + delta), (c, q), (n - b - c, 1 - 2 * q - delta))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in cells if count)

    bounds = (max(0.0, -delta) + slack, (1 - delta) / 2 - slack)
    best: Any = minimize_scalar(
        minus_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}
    )
    q = float(best.x)
    return (b - c - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta)))


@pytest.mark.parametrize(
    ("b", "c", "n", "why"),
    [
        (12, 2, 50, "ordinary"),
        (2, 12, 50, "mirrored"),
        (9, 1, 24, "small"),
        (5, 0, 100, "one side empty"),
        (0, 0, 20, "no discordant pair"),
        (20, 20, 40, "all discordant, even"),
        (29, 1, 30, "nearly all one way"),
        (30, 0, 30, "all one way: the estimate sits on the bound"),
        (1, 1, 2, "two problems"),
        (2, 0, 3, "three problems"),
        (2, 1, 24, "hardly any discordant pair"),
        (310, 205, 1319, "a full benchmark"),
    ],
)
def test_tango_holds_exactly_the_differences_the_score_test_accepts(
    b: int, c: int, n: int, why: str
) -> None:
    z = critical_value(0.95)
    found = tango(b, c, n, 0.95)
    for end, expected in ((found.low, z), (found.high, -z)):
        if abs(end) < 1:
            assert _score_statistic(b, c, n, end) == pytest.approx(expected, abs=2e-4), why
    for delta in np.linspace(-0.995, 0.995, 41).tolist():
        accepted = abs(_score_statistic(b, c, n, delta)) <= z
        assert accepted == (found.low <= delta <= found.high), (why, delta)


@pytest.mark.parametrize("n", [*range(31), 60])
def test_tango_never_fails_and_agrees_with_mcnemar(n: int) -> None:
    chi2 = critical_value(0.95) ** 2
    for b in range(n + 1):
        for c in range(min(b, n - b) + 1):  # b < c is the mirror, to the bit
            found = tango(b, c, n, 0.95)
            estimate = (b - c) / n if n else 0.0
            assert -1 <= found.low <= estimate <= found.high <= 1
            assert found.low < found.high
            assert (found.low > 0) == ((b - c) ** 2 > chi2 * (b + c))


@pytest.mark.parametrize("n", [1, 24, 1319])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.9999])
def test_tango_closed_forms_at_the_corners(n: int, level: float) -> None:
    z2 = critical_value(level) ** 2
    none, better, worse = tango(0, 0, n, level), tango(n, 0, n, level), tango(0, n, n, level)
    assert (none.low, none.high) == pytest.approx((-z2 / (n + z2), z2 / (n + z2)), abs=1e-12)
    assert (better.low, better.high) == pytest.approx(((n - z2) / (n + z2), 1.0), abs=1e-12)
    assert (worse.low, worse.high) == pytest.approx((-1.0, (z2 - n) / (n + z2)), abs=1e-12)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (0, 3), (3, 3), (7, 2), (4, 9), (10, 1)])
def test_mcnemar_midp_is_the_enumeration_of_all_coin_tosses(b: int, c: int) -> None:
    heads = [sum(toss) for toss in itertools.product((0, 1), repeat=b + c)]
    upper = (sum(h > b for h in heads) + sum(h == b for h in heads) / 2) / len(heads)
    lower = (sum(h < b for h in heads) + sum(h == b for h in heads) / 2) / len(heads)
    assert mcnemar_midp(b, c, one_sided=True) == pytest.approx(upper, abs=1e-15)
    assert mcnemar_midp(b, c) == pytest.approx(min(1.0, 2 * min(upper, lower)), abs=1e-15)


def test_mcnemar_midp_stays_exact_far_out() -> None:
    assert mcnemar_midp(900, 0) == 2.0**-900
    assert mcnemar_midp(2000, 0) == 0.0  # below the smallest float, and no error
    assert mcnemar_midp(4000, 4000) == 1.0


@given(st.lists(st.floats(0, 1), max_size=7))
def test_holm_is_its_definition(p_values: list[float]) -> None:
    m = len(p_values)
    order = sorted(p_values)
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        rank = max(i for i in range(m) if order[i] == p)
        expected = max(min(1.0, (m - i) * order[i]) for i in range(rank + 1))
        assert adjusted == pytest.approx(expected)


def test_sidak_levels_multiply_back() -> None:
    assert sidak_level(0.95, 1) == 0.95
    assert sidak_level(0.95, 6) ** 6 == pytest.approx(0.95)


# ---- properties ------------------------------------------------------------------------------


@st.composite
def _counts(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 3000))
    b = draw(st.integers(0, n))
    return b, draw(st.integers(0, n - b)), n


@given(_counts(), st.floats(0.5, 0.99), st.floats(0.001, 0.009))
@settings(deadline=None)  # a shared machine stalls; nothing here can loop
def test_tango_is_antisymmetric_holds_the_estimate_and_widens(
    counts: tuple[int, int, int], level: float, more: float
) -> None:
    b, c, n = counts
    found, mirrored, wider = (
        tango(b, c, n, level),
        tango(c, b, n, level),
        tango(b, c, n, level + more),
    )
    assert (found.low, found.high) == (-mirrored.high, -mirrored.low)
    assert -1 <= wider.low <= found.low <= (b - c) / n <= found.high <= wider.high <= 1
    assert wider.high - wider.low > found.high - found.low


@given(st.integers(1, 5000), st.floats(0, 0.99), st.floats(-0.5, 0.9))
@settings(deadline=None)
def test_mde_inverts_problems_needed(n: int, baseline: float, correlation: float) -> None:
    effect = minimum_detectable_effect(n, baseline, correlation=correlation)
    if math.isnan(effect):
        assert problems_needed(1 - baseline, baseline, correlation=correlation) > n
    else:
        assert 0 < effect <= 1 - baseline
        above = min(effect * (1 + 1e-9), 1 - baseline)
        assert problems_needed(above, baseline, correlation=correlation) <= n
        below = effect * (1 - 1e-6)
        assert problems_needed(below, baseline, correlation=correlation) > n


@pytest.mark.parametrize("baseline", [0.0, 0.001, 0.05, 0.5, 0.9, 0.99])
def test_problems_needed_falls_as_the_effect_grows(baseline: float) -> None:
    effects = np.linspace(0.001, 1 - baseline, 200).tolist()
    needed = [problems_needed(effect, baseline) for effect in effects if effect <= 1 - baseline]
    assert needed == sorted(needed, reverse=True)


@pytest.mark.parametrize(
    ("n", "baseline", "why"),
    [(100, 1.0, "no room"), (20, 0.99, "one point of room"), (0, 0.2, "no problems")],
)
def test_mde_is_nan_where_no_gain_could_be_found(n: int, baseline: float, why: str) -> None:
    assert math.isnan(minimum_detectable_effect(n, baseline)), why


@pytest.mark.parametrize(
    "call",
    [
        lambda: wilson(5, 4, 0.95),
        lambda: wilson(1, 4, 1.0),
        lambda: tango(3, 2, 4, 0.95),
        lambda: tango(-1, 2, 4, 0.95),
        lambda: newcombe(1, 2, 5, 4, 0.95),
        lambda: zero_hits_upper(-1, 0.95),
        lambda: mcnemar_midp(-1, 2),
        lambda: sidak_level(0.95, 0),
        lambda: problems_needed(0.6, 0.5),
        lambda: problems_needed(0.1, 0.5, power=1.0),
        lambda: minimum_detectable_effect(-1, 0.5),
    ],
)
def test_impossible_arguments_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        call()


def test_empty_samples_give_the_whole_range() -> None:
    assert wilson(0, 0, 0.95) == Interval(low=0.0, high=1.0, level=0.95)
    assert tango(0, 0, 0, 0.95) == Interval(low=-1.0, high=1.0, level=0.95)
    assert newcombe(0, 0, 1, 2, 0.95) == Interval(low=-1.0, high=1.0, level=0.95)
    assert zero_hits_upper(0, 0.95) == 1.0


# ---- planted truths --------------------------------------------------------------------------


def _chances(p_better: float, p_worse: float, n: int) -> list[tuple[int, int, float]]:
    """Every (b, c) that is not all but impossible, with its probability."""
    grid = np.array([(b, c) for b in range(n + 1) for c in range(n + 1 - b)])
    cells = np.column_stack([grid, n - grid.sum(axis=1)])
    chance = multinomial.pmf(cells, n, [p_better, p_worse, 1 - p_better - p_worse])
    kept = chance > 1e-6
    return [
        (int(b), int(c), float(p))
        for (b, c), p in zip(grid[kept].tolist(), chance[kept].tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("p_better", "p_worse", "n"),
    [
        (0.15, 0.15, 50),
        (0.30, 0.10, 50),
        (0.10, 0.02, 100),
        (0.05, 0.05, 100),
        (0.40, 0.05, 100),
        (0.06, 0.02, 200),
    ],
)
def test_tango_covers_the_truth_at_the_rate_it_claims(
    p_better: float, p_worse: float, n: int
) -> None:
    truth = p_better - p_worse
    covered = 0.0
    for b, c, chance in _chances(p_better, p_worse, n):
        found = cached_tango(b, c, n, 0.95)
        covered += chance * (found.low <= truth <= found.high)
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize(("n", "baseline"), [(24, 0.05), (24, 0.5), (100, 0.2), (250, 0.05)])
def test_the_planned_effect_is_found_as_often_as_promised(n: int, baseline: float) -> None:
    """Exact power of the interval at its own minimum detectable effect."""
    effect = minimum_detectable_effect(n, baseline)
    arm = baseline + effect
    both = baseline * arm + 0.17 * math.sqrt(baseline * (1 - baseline) * arm * (1 - arm))
    z2 = critical_value(0.95) ** 2
    found = sum(
        chance
        for b, c, chance in _chances(arm - both, baseline - both, n)
        if b > c and (b - c) ** 2 > z2 * (b + c)  # when Tango's interval lies above 0
    )
    assert 0.79 <= found <= (0.9 if n < 100 else 0.83)  # pessimistic where problems are few


def _simulated_labels(n_arms: int, gain: float, runs: int = 1500) -> list[list[str]]:
    """Labels of arms that share one control of rate 0.3 on 100 problems of unequal difficulty."""
    rng = np.random.default_rng(20240607 + n_arms)
    level = sidak_level(0.95, n_arms)
    ease = np.where(rng.random((runs, 1, 100)) < 0.5, 0.1, 0.5)  # gives phi of about 0.19
    control = rng.random((runs, 1, 100)) < ease
    arms = rng.random((runs, n_arms, 100)) < ease + gain
    better = (arms & ~control).sum(axis=2).tolist()
    worse = (control & ~arms).sum(axis=2).tolist()
    return [
        [label_gain(cached_tango(b, c, 100, level), 0.05) for b, c in zip(bs, cs, strict=True)]
        for bs, cs in zip(better, worse, strict=True)
    ]


@pytest.mark.parametrize("n_arms", [1, 3])
def test_any_false_direction_is_rare_when_nothing_helps(n_arms: int) -> None:
    runs = _simulated_labels(n_arms, gain=0.0)
    wrong = sum(any(found in ("helps", "some_help", "harms") for found in run) for run in runs)
    assert wrong / len(runs) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(runs))


@pytest.mark.parametrize("n_arms", [1, 3])
def test_helps_is_rare_when_the_gain_is_just_the_margin(n_arms: int) -> None:
    runs = _simulated_labels(n_arms, gain=0.05)
    wrong = sum("helps" in run for run in runs)
    assert wrong / len(runs) <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / len(runs))


# ---- labels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected", "why"),
    [
        (0.03, 0.2, "helps", "all above the margin"),
        (0.02, 0.2, "some_help", "touching the margin is not above it"),
        (0.001, 0.01, "some_help", "above 0 wins over below the margin"),
        (0.0, 0.2, "undetermined", "touching 0 is not above it"),
        (-0.2, -0.001, "harms", "all below 0"),
        (-0.2, 0.0, "no_material_help", "touching 0 is not below it"),
        (-0.01, 0.019, "no_material_help", "below the margin"),
        (-0.01, 0.02, "undetermined", "touching the margin is not below it"),
        (-1.0, 1.0, "undetermined", "knows nothing"),
    ],
)
def test_labels(low: float, high: float, expected: str, why: str) -> None:
    assert label_gain(Interval(low=low, high=high, level=0.95), 0.02) == expected, why


def test_directions() -> None:
    found = [
        label_direction(one)
        for one in ("helps", "some_help", "harms", "no_material_help", "undetermined")
    ]
    assert found == [1, 1, -1, 0, 0]


def test_analysis_loads_neither_numpy_nor_scipy() -> None:
    """A report should not wait a second for a library it does not need."""
    code = (
        "import sys, cotkit.analysis.comparison, cotkit.analysis.values;"
        "sys.exit(bool({'numpy', 'scipy'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
