"""Estimators of the scale analysis against golden values, other libraries and planted truths."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression, minimize
from scipy.stats import chi2, chi2_contingency, false_discovery_control, permutation_test

from cotkit.analysis.scale.onset import chi_square_tail
from cotkit.stats.bootstrap import (
    Floats,
    bootstrap_t,
    crossed_bootstrap,
    resampled_sums,
    robust_error,
    sign_flip,
    sums_by_unit,
    unit_codes,
)
from cotkit.stats.curves import (
    breakthroughness,
    curve_direction,
    excess_share,
    fit_logistic,
    isotonic,
    linearity,
)
from cotkit.stats.hypotheses import benjamini_hochberg, two_rates
from cotkit.stats.intervals import tango


def floats(*values: float) -> Floats:
    return np.asarray(values, dtype=np.float64)


# ---- curves ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "expected", "why"),
    [
        ([0.4, 1.9, 1.6, 8.2, 14.3], 3.13, "GSM8K CoT, LaMDA: below a straight line's 4"),
        ([0.5, 0.5, 2.4, 46.9], 24.4, "GSM8K CoT, InstructGPT"),
        ([4.1, 29.9, 56.9], 2.00, "GSM8K CoT, PaLM"),
        ([0, 1, 2, 3], 3.0, "a straight line has N - 1"),
        ([3, 2, 1, 0], -3.0, "falling: the sign turns"),
        ([0, 0, 0, 5], math.inf, "most gaps are 0"),
        ([5, 0, 0, 0], -math.inf, "the same, falling"),
        ([1, 1, 1], 0.0, "constant, by convention"),
        ([0, 1, 4], 4 / math.sqrt(5), "two gaps: the mean of the middle squares 1 and 9"),
    ],
)
def test_emergence_score_has_its_golden_values(y: list[float], expected: float, why: str) -> None:
    found = float(breakthroughness(floats(*y)))
    assert found == expected or round(found, 2 if expected < 10 else 1) == round(expected, 2), why


CURVES = st.lists(st.integers(0, 50), min_size=3, max_size=9).map(lambda ys: floats(*ys))


@given(y=CURVES, factor=st.sampled_from([0.5, 2.0, 4.0]))
def test_scores_are_scale_free_and_turn_with_the_curve(y: Floats, factor: float) -> None:
    for score in (breakthroughness, linearity):
        assert float(score(factor * y)) == pytest.approx(float(score(y)), rel=1e-12)
    if len(np.unique(y)) == len(y):  # else the best or worst size is not one
        assert float(breakthroughness(y[::-1])) == pytest.approx(-float(breakthroughness(y)))


@given(y=CURVES)
def test_linearity_never_exceeds_that_of_a_straight_line(y: Floats) -> None:
    assert abs(float(linearity(y))) <= len(y) - 1 + 1e-9
    assert float(linearity(np.arange(len(y), dtype=float))) == pytest.approx(len(y) - 1)


def test_a_smooth_law_has_any_emergence_score_by_length_and_test_size_alone() -> None:
    token = np.exp(-2.2 * 10 ** (-0.9 * np.linspace(0, 1, 8)))
    scores = [round(float(breakthroughness(token**length)), 1) for length in (1, 4, 8, 16)]
    assert scores == [6.7, 8.1, 28.2, 580.8]
    drawn = np.random.default_rng(0).binomial(200, token**16, size=(1000, 8)) / 200
    assert np.isinf(breakthroughness(drawn)).mean() > 0.9


def test_sharpness_is_0_for_a_line_and_nearly_1_for_a_step() -> None:
    x = floats(8, 8.5, 10, 11)
    line, jump, flat = 0.2 * x - 1, floats(0.1, 0.1, 0.7, 0.7), floats(0.3, 0.3, 0.3, 0.3)
    assert excess_share(x, line, 1) == pytest.approx(np.zeros(3), abs=1e-12)
    assert excess_share(x, jump, 1).max() == pytest.approx(1 - 1.5 / 3)
    assert excess_share(x, -jump, float(curve_direction(-jump))).max() == pytest.approx(0.5)
    assert np.isnan(excess_share(x, flat, 1)).all()


@settings(max_examples=50)
@given(
    y=st.lists(st.floats(0, 1), min_size=2, max_size=9),
    weight=st.lists(st.integers(1, 9), min_size=9),
)
def test_isotonic_agrees_with_scipy(y: list[float], weight: list[int]) -> None:
    weights = floats(*weight[: len(y)])
    expected = isotonic_regression(y, weights=weights).x
    assert isotonic(floats(*y), weights) == pytest.approx(expected, abs=1e-9)


def test_logistic_fit_maximises_the_likelihood_even_of_zeros_and_ones() -> None:
    x, n = floats(8, 8.7, 9.2, 10, 11), floats(50, 50, 80, 50, 50)
    rates = np.stack([floats(0, 0.1, 0.3, 0.7, 0.9), floats(0, 0, 0, 1, 1), floats(1, 1, 0, 0, 0)])
    a, b = fit_logistic(x, rates, n)
    for i in range(3):
        hits, total = rates[i] * n + 0.5, n + 1

        def loss(ab: Floats, hits: Floats = hits, total: Floats = total) -> float:
            logit = ab[0] + ab[1] * (x - 9)
            return float((total * np.logaddexp(0, logit) - hits * logit).sum())

        best = minimize(loss, [0.0, 0.0], method="BFGS", options={"gtol": 1e-9})
        assert (a[i] + 9 * b[i], b[i]) == pytest.approx(best.x, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("df", [1, 3, 10])
def test_chi_square_tail_agrees_with_scipy(df: int) -> None:
    for value in (0.5, 3.0, 8.0, 20.0):
        assert chi_square_tail(value, df) == pytest.approx(chi2.sf(value, df), abs=0.012)


# ---- tests of hypotheses ---------------------------------------------------------------------


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_benjamini_hochberg_agrees_with_scipy(p: list[float]) -> None:
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p))


@pytest.mark.parametrize(("k1", "n1", "k2", "n2"), [(56, 70, 48, 80), (5, 1319, 20, 1319)])
def test_two_rates_is_the_chi_square_without_correction(k1: int, n1: int, k2: int, n2: int) -> None:
    table = [[k1, n1 - k1], [k2, n2 - k2]]
    found: Any = chi2_contingency(table, correction=False)
    assert two_rates(k1 / n1, n1, k2 / n2, n2) == pytest.approx(found.pvalue)
    assert two_rates(0, n1, 0, n2) == 1.0


# ---- resampling ------------------------------------------------------------------------------


def test_resamples_have_the_moments_of_drawing_with_replacement() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((40, 2))
    drawn = resampled_sums(np.hstack([values, values[:, :1]]), 20_000, rng)
    assert (drawn[:, 0] == drawn[:, 2]).all()  # columns of one row are of the same units
    assert drawn[:, :2].mean(0) == pytest.approx(values.sum(0), rel=0.01)
    expected = 40 * np.cov(values.T, bias=True)
    assert np.cov(drawn[:, :2].T) == pytest.approx(expected, rel=0.05, abs=0.05)


def test_sums_by_unit_adds_up_whatever_the_order() -> None:
    codes = unit_codes(("b", "a", "b", "c", "a"))
    sums = sums_by_unit(np.asarray([[1.0], [2.0], [4.0], [8.0], [16.0]]), codes)
    assert sums.ravel().tolist() == [18.0, 5.0, 8.0]
    assert sums_by_unit(sums, None) is sums


@pytest.mark.parametrize(("axes", "sd"), [((150, 6, 3), 0.0), ((150, 10, 1), 0.05)])
def test_crossed_bootstrap_covers_the_mean_over_items_draws_and_seeds(
    axes: tuple[int, int, int], sd: float
) -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(100):
        items, draws = rng.standard_normal((axes[0], 1, 1)), rng.standard_normal((1, axes[1], 1))
        values = 0.3 * items + sd * draws + 0.3 * rng.standard_normal(axes)
        found = crossed_bootstrap(values, 0.95, 200, rng)
        held += found.low <= 0 <= found.high
    assert held >= 88


# ---- clusters --------------------------------------------------------------------------------


def test_robust_error_is_the_textbook_one_and_is_not_fooled_by_copies() -> None:
    values = np.random.default_rng(0).random((50, 1))
    ones = np.ones((50, 1))
    textbook = float(values.std(ddof=1)) / math.sqrt(50)
    assert robust_error(values, ones)[0] == pytest.approx(textbook)
    assert robust_error(3 * values, 3 * ones)[0] == pytest.approx(textbook)


def test_sign_flip_is_its_definition() -> None:
    totals, sizes = floats(3, 1, -1, 4, 2, 0, 5), floats(5, 4, 3, 6, 2, 4, 5)
    found, p = sign_flip(totals, sizes, 0.9, 100, np.random.default_rng(0))

    def share(mean: float) -> float:
        left = totals - mean * sizes
        sums = [abs((np.asarray(s) * left).sum()) for s in itertools.product((1, -1), repeat=7)]
        return float(np.mean(np.asarray(sums) >= abs(left.sum()) - 1e-12))

    assert p == share(0)
    for end, outward in ((found.low, -1), (found.high, 1)):
        assert share(end - outward * 1e-6) >= 0.1
        assert share(end + outward * 1e-6) < 0.1


def test_sign_flip_agrees_with_scipy_when_flips_are_drawn() -> None:
    rng = np.random.default_rng(0)
    totals = rng.normal(0.25, 0.5, 20)

    def mean(x: Floats, axis: int = -1) -> Floats:
        return x.mean(axis)

    ours = sign_flip(totals, np.ones(20), 0.95, 10_000, rng)[1]
    theirs = permutation_test(
        (totals,), mean, permutation_type="samples", n_resamples=10_000, rng=rng
    )
    assert ours == pytest.approx(float(theirs.pvalue), abs=0.015)


def test_few_clusters_leave_everything_possible() -> None:
    found, p = sign_flip(floats(4, 5, 5), floats(5, 5, 5), 0.95, 100, np.random.default_rng(0))
    assert (found.low, found.high, p) == (-1.0, 1.0, 0.25)


@pytest.mark.parametrize("n_clusters", [12, 40])
def test_without_any_difference_the_interval_is_tangos(n_clusters: int) -> None:
    nothing, sizes = np.zeros(n_clusters), np.full(n_clusters, 10.0)
    expected = tango(0, 0, n_clusters, 0.95)
    rng = np.random.default_rng(0)
    flipped, p = sign_flip(nothing, sizes, 0.95, 500, rng)
    [(drawn, p_drawn)] = bootstrap_t(nothing[:, None], sizes[:, None], 0.95, 500, rng)
    assert (flipped.low, flipped.high) == pytest.approx((expected.low, expected.high))
    assert (drawn.low, drawn.high) == pytest.approx((expected.low, expected.high))
    assert p == p_drawn == 1.0


def test_bootstrap_t_covers_clustered_gains_and_agrees_with_its_p_value() -> None:
    rng = np.random.default_rng(1)
    runs, n_clusters = 300, 60
    sizes = rng.integers(2, 9, n_clusters).astype(float)[:, None] + np.zeros((1, runs))
    shift = rng.normal(0.1, 0.2, (n_clusters, runs))  # members of a cluster go together
    totals = shift * sizes + rng.normal(0, 0.3, (n_clusters, runs)) * np.sqrt(sizes)
    found = bootstrap_t(totals, sizes, 0.95, 1000, rng)
    held = sum(interval.low <= 0.1 <= interval.high for interval, _ in found)
    naive = 1.96 * np.sqrt((0.2**2 + 0.3**2) / sizes.sum(0))  # problems taken as independent
    means = totals.sum(0) / sizes.sum(0)
    assert 0.91 * runs <= held <= 0.985 * runs
    assert (np.abs(means - 0.1) <= naive).mean() < 0.9
    for interval, p in found:
        outside = not interval.low <= 0 <= interval.high
        assert outside == (p < 0.05) or abs(p - 0.05) < 0.01


def test_a_quantile_beyond_the_resamples_is_stretched_not_cut() -> None:
    rng = np.random.default_rng(2)
    totals, sizes = rng.normal(0.1, 0.3, (200, 1)), np.ones((200, 1))
    widths = [
        (found := bootstrap_t(totals, sizes, level, 2000, rng)[0][0]).high - found.low
        for level in (0.95, 0.9995, 0.999995)
    ]
    unit = float(robust_error(totals, sizes)[0])
    assert widths == pytest.approx([2 * z * unit for z in (1.96, 3.48, 4.56)], rel=0.12)
