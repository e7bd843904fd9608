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
from scipy.stats import chi2, chi2_contingency, permutation_test

from cotkit.analysis.scale.onset import chi_square_tail
from cotkit.stats.bootstrap import (
    Floats,
    bootstrap_t,
    clustered_means,
    fewest_clusters,
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
from cotkit.stats.intervals import Interval, newcombe, newcombe_p_value, tango
from perf import coverage


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


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0.5, 0.999),
)
@settings(deadline=None)
def test_newcombes_p_value_is_below_alpha_where_its_interval_excludes_0(
    n1: int, n2: int, p1: float, p2: float, level: float
) -> None:
    k1, k2 = round(p1 * n1), round(p2 * n2)
    interval, p = newcombe(k1, n1, k2, n2, level), newcombe_p_value(k1, n1, k2, n2)
    if abs(p - (1 - level)) > 1e-9:
        assert (interval.low > 0 or interval.high < 0) == (p < 1 - level)


def test_newcombes_p_value_is_near_the_chi_square_of_large_samples() -> None:
    table = [[700, 2300], [600, 2400]]
    expected: Any = chi2_contingency(table, correction=False)
    assert newcombe_p_value(700, 3000, 600, 3000) == pytest.approx(expected.pvalue, rel=0.05)
    assert newcombe_p_value(0, 50, 0, 70) == 1.0
    assert newcombe_p_value(0, 0, 3, 7) == 1.0


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


# ---- clusters --------------------------------------------------------------------------------


def test_robust_error_is_the_textbook_one_and_is_not_fooled_by_copies() -> None:
    values = np.random.default_rng(0).random((50, 1))
    ones = np.ones((50, 1))
    textbook = float(values.std(ddof=1)) / math.sqrt(50)
    assert robust_error(values, ones)[0] == pytest.approx(textbook)
    assert robust_error(3 * values, 3 * ones)[0] == pytest.approx(textbook)


def column(*values: float) -> Floats:
    return floats(*values)[:, None]


def test_sign_flip_is_its_definition() -> None:
    totals, sizes = column(3, 1, -1, 4, 2, 0, 5), column(5, 4, 3, 6, 2, 4, 5)
    estimates = sign_flip(totals, sizes, 0.9, 100, np.random.default_rng(0))

    def share(mean: float) -> float:
        rest = (totals - mean * sizes)[:, 0]
        sums = [abs((np.asarray(s) * rest).sum()) for s in itertools.product((1, -1), repeat=7)]
        return float(np.mean(np.asarray(sums) >= abs(rest.sum()) - 1e-12))

    assert estimates.p_value[0] == share(0)
    for end, outward in ((estimates.low[0], -1), (estimates.high[0], 1)):
        assert share(end - outward * 1e-6) >= 0.1
        assert share(end + outward * 1e-6) < 0.1


def test_sign_flip_agrees_with_scipy_when_flips_are_drawn() -> None:
    rng = np.random.default_rng(0)
    totals = rng.normal(0.25, 0.5, 20)

    def mean(x: Floats, axis: int = -1) -> Floats:
        return x.mean(axis)

    estimates = sign_flip(totals[:, None], np.ones((20, 1)), 0.95, 10_000, rng)
    expected = permutation_test(
        (totals,), mean, permutation_type="samples", n_resamples=10_000, rng=rng
    )
    assert estimates.p_value[0] == pytest.approx(float(expected.pvalue), abs=0.015)


def test_few_clusters_leave_everything_possible() -> None:
    estimates = clustered_means(
        column(4, 5, 5), column(5, 5, 5), 0.95, 100, np.random.default_rng(0)
    )
    assert estimates.interval(0) == Interval(low=-1.0, high=1.0, level=0.95)
    assert estimates.p_value[0] == 0.25


def test_one_cluster_unlike_the_others_leaves_an_interval_and_moves_no_other() -> None:
    sizes = np.full((40, 2), 5.0)
    totals = np.zeros((40, 2))
    totals[0, 0] = 1
    sizes[8:, 1] = 0
    totals[:8, 1] = [3, 1, 2, 0, 4, 1, 1, 2]
    both = clustered_means(totals, sizes, 0.95, 500, np.random.default_rng(0))
    assert (both.low[0], both.high[0]) == pytest.approx((1 / 200 - least(40), 1 / 200 + least(40)))
    assert both.p_value[0] > 0.3
    alone = clustered_means(
        totals[:, 1:], sizes[:, 1:], 0.95, 500, np.random.default_rng(0)
    )  # fmt: skip
    assert (both.low[1], both.high[1]) == (alone.low[0], alone.high[0])


def least(n_clusters: int) -> float:
    return tango(0, 0, n_clusters, 0.95).high


@pytest.mark.parametrize(("level", "needed"), [(0.95, 6), (0.95 ** (1 / 6), 8), (0.9, 5), (0.5, 3)])
def test_fewest_clusters_are_the_fewest_of_which_flips_can_exclude_0(
    level: float, needed: int
) -> None:
    assert fewest_clusters(level) == needed
    for n_clusters, decides in ((needed - 1, False), (needed, True)):
        ones = np.ones((n_clusters, 1))
        estimates = clustered_means(5 * ones, 5 * ones, level, 100, np.random.default_rng(0))
        assert (estimates.low[0] > 0) == decides


@pytest.mark.parametrize("n_clusters", [12, 40])
def test_without_any_difference_the_interval_is_tangos(n_clusters: int) -> None:
    sizes = np.full((n_clusters, 1), 10.0)
    estimates = clustered_means(0 * sizes, sizes, 0.95, 500, np.random.default_rng(0))
    expected = tango(0, 0, n_clusters, 0.95)
    assert (estimates.low[0], estimates.high[0]) == pytest.approx((expected.low, expected.high))
    assert estimates.p_value[0] == 1.0


@st.composite
def clusters(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Totals and sizes of a few or of many clusters, of whole or of fractional differences."""
    n_clusters = draw(st.sampled_from([2, 5, 6, 10, 13, 29, 30, 50]))
    seed, shift = draw(st.integers(0, 10_000)), draw(st.sampled_from([0.0, 0.1, 0.3, 0.9]))
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 1 + draw(st.sampled_from([1, 4, 40])), (n_clusters, 1)).astype(float)
    shares = np.clip(rng.normal(shift, draw(st.sampled_from([0.0, 0.1, 0.6])), sizes.shape), -1, 1)
    totals = shares * sizes
    return (np.round(totals) if draw(st.booleans()) else totals), sizes


@given(clusters(), st.sampled_from([0.5, 0.8, 0.95, 0.99149, 0.999, 0.99999]))
@settings(deadline=None, max_examples=150)
def test_p_is_below_alpha_exactly_where_the_interval_excludes_0(
    sums: tuple[Floats, Floats], level: float
) -> None:
    for procedure in (bootstrap_t, sign_flip):
        estimates = procedure(*sums, level, 500, np.random.default_rng(1))
        low, high, p = estimates.low[0], estimates.high[0], estimates.p_value[0]
        mean = sums[0].sum() / sums[1].sum()
        assert -1 <= low <= mean + 1e-9
        assert mean - 1e-9 <= high <= 1
        assert 0 <= p <= 1
        if abs(p - (1 - level)) > 1e-9 and min(abs(low), abs(high)) > 1e-9:
            assert (low > 0 or high < 0) == (p < 1 - level), procedure.__name__


def test_bootstrap_t_covers_clustered_gains() -> None:
    rng = np.random.default_rng(1)
    runs, n_clusters = 300, 60
    sizes = rng.integers(2, 9, n_clusters).astype(float)[:, None] + np.zeros((1, runs))
    shift = rng.normal(0.1, 0.2, (n_clusters, runs))  # members of a cluster go together
    totals = shift * sizes + rng.normal(0, 0.3, (n_clusters, runs)) * np.sqrt(sizes)
    estimates = bootstrap_t(totals, sizes, 0.95, 1000, rng)
    n_held = ((estimates.low <= 0.1) & (estimates.high >= 0.1)).sum()
    naive = 1.96 * np.sqrt((0.2**2 + 0.3**2) / sizes.sum(0))  # problems taken as independent
    means = totals.sum(0) / sizes.sum(0)
    assert 0.91 * runs <= n_held <= 0.985 * runs
    assert (np.abs(means - 0.1) <= naive).mean() < 0.9


def test_a_quantile_beyond_the_resamples_is_stretched_not_cut() -> None:
    rng = np.random.default_rng(2)
    totals, sizes = rng.normal(0.1, 0.3, (200, 1)), np.ones((200, 1))
    widths = [
        (ends := bootstrap_t(totals, sizes, level, 2000, rng).interval(0)).high - ends.low
        for level in (0.95, 0.9995, 0.999995)
    ]
    unit = float(robust_error(totals, sizes)[0])
    assert widths == pytest.approx([2 * z * unit for z in (1.96, 3.48, 4.56)], rel=0.12)


# ---- coverage --------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", coverage.QUICK, ids=str)
def test_clustered_intervals_cover_what_they_claim(cell: coverage.Cell) -> None:
    """The full table is made by ``perf/coverage.py``."""
    simulated = coverage.simulate(cell, 1000)
    assert not coverage.fails(cell, simulated), simulated
