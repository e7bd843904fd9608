"""Metrics: golden values, brute-force definitions, and what is refused."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotkit.scoring import metrics
from cotkit.scoring.metrics import (
    METRICS,
    OptionWeights,
    brier,
    brier_per_option,
    calibration_error,
    edit_distance,
    edit_similarity,
    gold_log_prob_per_token,
    multiple_choice_grade,
    normalise_score,
    numeric_match,
    pass_at_k,
)

NAN, INF = math.nan, math.inf


def ballot(probabilities: Sequence[float], scores: Sequence[float]) -> OptionWeights:
    logs = tuple(math.log(p) if p else -INF for p in probabilities)
    return OptionWeights(log_probs=logs, scores=tuple(scores))


def uniform(k: int) -> OptionWeights:
    return ballot([1 / k] * k, [1.0] + [0.0] * (k - 1))


@st.composite
def ballots(draw: st.DrawFn) -> list[OptionWeights]:
    found: list[OptionWeights] = []
    for _ in range(draw(st.integers(1, 6))):
        k = draw(st.integers(2, 5))
        logs = draw(st.lists(st.floats(-30, 0), min_size=k, max_size=k))
        scores = draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=k, max_size=k))
        scores[draw(st.integers(0, k - 1))] = 1.0
        found.append(OptionWeights(log_probs=tuple(logs), scores=tuple(scores)))
    return found


# --- multiple choice


@pytest.mark.parametrize(
    ("k", "per_option", "per_item"),
    [(2, 0.25, 0.5), (4, 0.1875, 0.75), (5, 0.16, 0.8)],
)
def test_brier_of_a_uniform_guess(k: int, per_option: float, per_item: float) -> None:
    assert brier_per_option([uniform(k)] * 7) == pytest.approx(per_option)
    assert brier([uniform(k)] * 7) == pytest.approx(per_item)


@pytest.mark.parametrize(
    ("probabilities", "per_option", "per_item"),
    [([1, 0], 0, 0), ([0, 1], 1, 2), ([0.8, 0.2], 0.04, 0.08)],
)
def test_brier_ends(probabilities: list[float], per_option: float, per_item: float) -> None:
    one = [ballot(probabilities, [1, 0])]
    assert brier_per_option(one) == pytest.approx(per_option)
    assert brier(one) == pytest.approx(per_item)


def test_brier_per_option_weighs_items_by_their_options() -> None:
    mixed = [uniform(2), uniform(5)]
    assert brier_per_option(mixed) == pytest.approx((2 * 0.25 + 5 * 0.16) / 7)
    assert brier(mixed) == pytest.approx((0.5 + 0.8) / 2)


@given(ballots())
def test_brier_is_its_definition(items: list[OptionWeights]) -> None:
    losses: list[list[float]] = []
    for item in items:
        weights = [math.exp(value) for value in item.log_probs]
        shares = [score / sum(item.scores) for score in item.scores]
        ps = [weight / sum(weights) for weight in weights]
        losses.append([t * (1 - p) ** 2 + (1 - t) * p**2 for t, p in zip(shares, ps, strict=True)])
    everything = [loss for item in losses for loss in item]
    assert brier_per_option(items) == pytest.approx(fmean(everything), abs=1e-9)
    assert brier(items) == pytest.approx(fmean(map(sum, losses)), abs=1e-9)


@given(ballots())
def test_the_grade_is_its_definition(items: list[OptionWeights]) -> None:
    points: list[float] = []
    for item in items:
        best = max(item.log_probs)
        points.append(
            next(s for s, v in zip(item.scores, item.log_probs, strict=True) if v == best)
        )
    assert multiple_choice_grade(items) == pytest.approx(sum(points) / len(items))
    assert 0 <= multiple_choice_grade(items) <= 1


def test_grades() -> None:
    graded = ballot([0.2, 0.5, 0.3], [1, 0.5, 0])
    assert multiple_choice_grade([graded]) == 0.5, "graded scores count"
    assert multiple_choice_grade([uniform(4)]) == 1.0, "of equals the first"


def of_items(items: list[OptionWeights]) -> float:
    return calibration_error(
        [item.probabilities[item.chosen] for item in items],
        [item.scores[item.chosen] == max(item.scores) for item in items],
    )


@given(ballots())
def test_calibration_is_its_definition(items: list[OptionWeights]) -> None:
    total = 0.0
    for j in range(15):
        inside = [
            item
            for item in items
            if (j / 15 <= max(item.probabilities) or j == 0)
            and (max(item.probabilities) < (j + 1) / 15 or j == 14)
        ]
        if inside:
            sure = fmean(max(item.probabilities) for item in inside)
            right = fmean(item.scores[item.chosen] == max(item.scores) for item in inside)
            total += len(inside) / len(items) * abs(right - sure)
    assert of_items(items) == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize(
    ("items", "expected", "why"),
    [
        ([ballot([1, 0], [1, 0])] * 4, 0.0, "sure and right"),
        ([ballot([1, 0], [0, 1])] * 4, 1.0, "sure and wrong"),
        ([ballot([0.75, 0.25], [1, 0])] * 3 + [ballot([0.75, 0.25], [0, 1])], 0.0, "as often"),
        ([uniform(2)] * 4, 0.5, "always right, half sure"),
    ],
)
def test_calibration(items: list[OptionWeights], expected: float, why: str) -> None:
    assert of_items(items) == pytest.approx(expected), why


# --- texts and numbers


@pytest.mark.parametrize(
    ("answer", "gold", "is_match", "why"),
    [
        ("18", "18.0", True, "one number"),
        ("$1,234.50", "1234.5", True, "currency and comma"),
        ("25%", "25", True, "the figure"),
        ("10.", "10", True, "a full stop"),
        ("-5", "5", False, "a sign counts"),
        ("-4", "-5", False, "BIG-bench's relative match passes every negative target"),
        ("123457", "123456", False, "Inspect compares five digits"),
        ("", "0", False, "nothing is not zero"),
        ("many", "many", False, "no number at all"),
    ],
)
def test_numeric_match(answer: str, gold: str, is_match: bool, why: str) -> None:
    assert numeric_match(answer, gold) is is_match, why


SHORT = st.text("ab1", max_size=6)


def brute_distance(left: str, right: str) -> int:
    @functools.cache
    def far(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(
            far(i - 1, j) + 1, far(i, j - 1) + 1, far(i - 1, j - 1) + (left[i - 1] != right[j - 1])
        )

    return far(len(left), len(right))


@given(SHORT, SHORT, SHORT)
def test_edit_distance_is_a_metric(a: str, b: str, c: str) -> None:
    assert edit_distance(a, b) == brute_distance(a, b)
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert 0 <= edit_similarity(a, b) <= 1


@pytest.mark.parametrize(
    ("target", "output", "distance", "similarity"),
    [
        ("kitten", "sitting", 3, 1 - 3 / 7),
        ("1234", "1234", 0, 1.0),
        ("1234", "", 4, 0.0),
        ("", "", 0, 1.0),
        (["the", "cat"], ["the", "dog", "."], 2, 1 / 3),
    ],
)
def test_edit_distance(
    target: Sequence[str], output: Sequence[str], distance: int, similarity: float
) -> None:
    assert edit_distance(target, output) == distance
    assert edit_similarity(target, output) == pytest.approx(similarity)


# --- samples, likelihood, normalisation


@given(st.integers(1, 8), st.data())
def test_pass_at_k_counts_the_subsets(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(itertools.combinations([1] * c + [0] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(float(Fraction(sum(map(any, draws)), len(draws))))


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [(10, 3, 1, 0.3), (5, 0, 5, 0), (5, 1, 5, 1), (4, 2, 2, 5 / 6), (200, 1, 100, 0.5)],
)
def test_pass_at_k(n: int, c: int, k: int, expected: float) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("raw", "low", "high", "expected"),
    [(0.2, 0.2, 1, 0), (1, 0.2, 1, 100), (0.6, 0.2, 1, 50), (0, 0.2, 1, -25), (0.16, 0.16, 0, 0)],
)
def test_normalised(raw: float, low: float, high: float, expected: float) -> None:
    assert normalise_score(raw, low, high) == pytest.approx(expected)


def test_gold_log_prob_per_token() -> None:
    assert gold_log_prob_per_token(-6, 3) == -2
    assert gold_log_prob_per_token(-INF, 3) == -INF, "impossible, and says so"


# --- what is refused


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: OptionWeights(log_probs=(-1.0, NAN), scores=(1, 0)),
            "log-probability of option 1 is nan",
        ),
        (lambda: OptionWeights(log_probs=(0.1, -1), scores=(1, 0)), "option 0 is 0.1"),
        (lambda: OptionWeights(log_probs=(-INF, -INF), scores=(1, 0)), "every option has"),
        (lambda: OptionWeights(log_probs=(-1, -2), scores=(0, NAN)), "score of option 1 is nan"),
        (lambda: OptionWeights(log_probs=(-1, -2), scores=(1, -1)), "score of option 1 is -1"),
        (lambda: OptionWeights(log_probs=(-1, -2), scores=(0, 0)), "every option scores 0"),
        (
            lambda: OptionWeights(log_probs=(-1, -2), scores=(1,)),
            "2 log-probabilities and 1 scores",
        ),
        (lambda: OptionWeights(log_probs=(-1,), scores=(1,)), "1 log-probabilities"),
        (lambda: multiple_choice_grade([]), "no items"),
        (lambda: brier([]), "no items"),
        (lambda: brier_per_option([]), "no items"),
        (lambda: calibration_error([], []), "no items"),
        (lambda: calibration_error([0.5], [1], 0), "0 bins"),
        (lambda: gold_log_prob_per_token(NAN, 1), "log-probability is nan"),
        (lambda: gold_log_prob_per_token(0.5, 1), "log-probability is 0.5"),
        (lambda: gold_log_prob_per_token(-1, 0), "0 tokens"),
        (lambda: pass_at_k(5, 6, 1), "c 6"),
        (lambda: pass_at_k(5, 1, 0), "k 0"),
        (lambda: pass_at_k(5, 1, 6), "k 6"),
        (lambda: normalise_score(NAN, 0, 1), "raw nan"),
        (lambda: normalise_score(1, 0, INF), "high inf"),
        (lambda: normalise_score(1, 1, 1), "both 1"),
    ],
)
def test_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        make()


def test_every_metric_is_described() -> None:
    for name, metric in METRICS.items():
        if hasattr(metrics, name):
            doc = inspect.getdoc(getattr(metrics, name)) or ""
            assert ("higher" in doc) or ("lower is better" in doc), name
        assert metric.low < metric.high
