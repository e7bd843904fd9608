"""The confidence sequence: its definition, its promise at every moment, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cotkit.stats.intervals import Interval, critical_value, tango
from cotkit.stats.sequential import (
    ConfidenceSequence,
    is_decided,
    shared_level,
)

Counts = NDArray[np.int64]
PASS = 2 / 0.05
STAKES = np.arange(1, 64, 2) / 64
N_PATHS = 2000


def differences(p_better: float, p_worse: float, shape: tuple[int, int], seed: int) -> Counts:
    drawn = np.random.default_rng(seed).random(shape)
    return (drawn < p_better).astype(int) - (drawn > 1 - p_worse).astype(int)


def won_against(mean: float, paths: Counts) -> NDArray[np.float64]:
    """Capital of "more than the mean" after every difference, by the definition."""
    stakes = STAKES[None, :] / (1 + mean)
    factors = 1 + stakes * (np.array([[-1], [0], [1]]) - mean)
    capital, won = np.ones((len(paths), len(STAKES))), list[NDArray[np.float64]]()
    for step in paths.T:
        capital *= factors[step + 1]
        won.append(capital.mean(axis=1))
    return np.column_stack(won)


def missed(mean: float, paths: Counts) -> float:
    """Share of the paths that give up this mean at any moment, on either side."""
    passed = np.maximum(won_against(mean, paths).max(1), won_against(-mean, -paths).max(1)) >= PASS
    return float(passed.mean())


def interval_after(differences: Sequence[int], level: float) -> Interval:
    running = ConfidenceSequence(level)
    for difference in differences:
        running.update(difference)
    return running.interval


# ---- its definition --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p_better", "p_worse"), [(0.3, 0.1), (0.05, 0.05), (0.9, 0.02), (0.0, 0.1)]
)
def test_ends_are_where_the_capital_passes(p_better: float, p_worse: float) -> None:
    path = differences(p_better, p_worse, (1, 150), seed=7)
    found = interval_after([int(d) for d in path[0]], 0.95)
    assert -1 <= found.low < found.high <= 1
    for end, sign in ((found.low, 1), (-found.high, -1)):
        outside, inside = max(end - 1e-4, -1 + 1e-9), end + 1e-4
        assert end == -1 or won_against(outside, sign * path).max() >= PASS
        assert won_against(inside, sign * path).max() < PASS


def test_a_hand_made_case() -> None:
    # Only wins: after n of them a stake s has won (1 + s (1 - m) / (1 + m))^n against the mean m.
    found = interval_after([1] * 8, 0.95)
    m = found.low
    won = sum((1 + s * (1 - m) / (1 + m)) ** 8 for s in STAKES) / len(STAKES)
    assert won == pytest.approx(40, rel=1e-4)
    assert found.high == 1


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=40), st.floats(0.5, 0.99))
@settings(deadline=None, max_examples=25)  # a shared machine stalls; nothing here can loop
def test_it_only_narrows_and_mirrors(path: list[int], level: float) -> None:
    running, mirrored = ConfidenceSequence(level), ConfidenceSequence(level)
    before, p_before = running.interval, running.p_value
    assert (before.low, before.high, p_before) == (-1, 1, 1)
    for difference in path:
        running.update(difference)
        mirrored.update(-difference)
        now = running.interval
        assert before.low <= now.low <= now.high <= before.high
        assert (now.low, now.high) == (-mirrored.interval.high, -mirrored.interval.low)
        assert running.p_value == mirrored.p_value <= p_before
        before, p_before = now, running.p_value
    assert running.n == len(path)
    assert interval_after(path, level) == before


@pytest.mark.parametrize("seed", range(6))
def test_p_value_and_interval_agree(seed: int) -> None:
    path = [int(d) for d in differences(0.25, 0.1, (1, 200), seed)[0]]
    running = ConfidenceSequence(0.95)
    for difference in path:
        running.update(difference)
        excludes = running.interval.low > 1e-4 or running.interval.high < -1e-4
        contains = running.interval.low < -1e-4 and running.interval.high > 1e-4
        assert not (excludes and running.p_value > 0.05)
        assert not (contains and running.p_value < 0.05)


# ---- its promise -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p_better", "p_worse", "why"),
    [
        (0.1, 0.1, "nothing helps"),
        (0.02, 0.02, "nothing helps, and hardly a pair differs"),
        (0.4, 0.4, "nothing helps, and most pairs differ"),
        (0.3, 0.1, "a large gain"),
        (0.05, 0.03, "a gain of the size of the margin"),
        (0.02, 0.0, "never worse"),
        (0.05, 0.6, "harm"),
    ],
)
def test_it_holds_at_all_moments_at_once(p_better: float, p_worse: float, why: str) -> None:
    paths = differences(p_better, p_worse, (N_PATHS, 300), seed=11)
    assert missed(p_better - p_worse, paths) <= 0.05, why


def test_it_holds_for_a_finite_benchmark_too() -> None:
    """All problems of a benchmark in random order: no draw is independent of those before."""
    benchmark = np.repeat([1, -1, 0], [60, 30, 210])
    paths = np.random.default_rng(3).permuted(np.tile(benchmark, (N_PATHS, 1)), axis=1)
    assert missed(30 / 300, paths) <= 0.05


def test_an_ordinary_interval_would_not_do() -> None:
    """Tango's, looked at after every problem from the 20th on, sees a gain where there is none."""
    paths = differences(0.1, 0.1, (N_PATHS, 400), seed=5)
    better, worse = (paths > 0).cumsum(1), (paths < 0).cumsum(1)
    lies = (better - worse) ** 2 > critical_value(0.95) ** 2 * (better + worse)
    assert lies[:, 20:].any(1).mean() > 0.2


def test_helps_is_rare_when_the_gain_is_just_the_margin() -> None:
    """Stopped at the first moment at which the interval lies above the margin of 5 points."""
    paths = differences(0.15, 0.1, (N_PATHS, 600), seed=2)
    assert (won_against(0.05, paths).max(1) >= PASS).mean() <= 0.025


def test_a_plain_gain_is_found_early() -> None:
    """A gain of 20 points against a margin of 2: half of the runs know it after 150 problems."""
    paths = differences(0.3, 0.1, (400, 500), seed=9)
    known = won_against(0.02, paths) >= PASS
    assert known.any(1).mean() > 0.99
    assert np.median(known.argmax(1)) < 150


# ---- what it costs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "p_better", "p_worse"),
    [(24, 0.4, 0.05), (100, 0.15, 0.1), (200, 0.3, 0.1), (500, 0.1, 0.08), (1319, 0.15, 0.1)],
)
def test_it_is_less_than_twice_as_wide_as_tango(n: int, p_better: float, p_worse: float) -> None:
    path = [int(d) for d in differences(p_better, p_worse, (1, n), seed=1)[0]]
    fixed = tango(path.count(1), path.count(-1), n, 0.95)
    found = interval_after(path, 0.95)
    assert 1 < (found.high - found.low) / (fixed.high - fixed.low) < 1.9


# ---- deciding --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected", "why"),
    [
        (0.03, 0.2, True, "helps"),
        (-0.2, -0.01, True, "harms"),
        (-0.01, 0.019, True, "no material help"),
        (0.001, 0.019, True, "some help, and it can get no better"),
        (0.001, 0.2, False, "some help, which may yet be material"),
        (0.02, 0.2, False, "touching the margin is not above it"),
        (-0.1, 0.02, False, "touching the margin is not below it"),
        (-1.0, 1.0, False, "knows nothing"),
    ],
)
def test_decided(low: float, high: float, expected: object, why: str) -> None:
    assert is_decided(Interval(low=low, high=high, level=0.95), 0.02) is expected, why


def test_several_pairs_share_the_level() -> None:
    assert shared_level(0.95, 1) == 0.95
    assert shared_level(0.95, 5) == pytest.approx(0.99)


@pytest.mark.parametrize(
    "call",
    [
        lambda: interval_after([0, 2], 0.95),
        lambda: interval_after([], 1.0),
        lambda: ConfidenceSequence(0.0),
        lambda: shared_level(0.95, 0),
    ],
)
def test_impossible_arguments_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        call()
