"""Metrics of one attempt, their means and gains, and the tables that show where they disagree."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from statistics import fmean, stdev

import pytest

from cotkit.analysis.metrics import add_normalised, measure_metrics
from cotkit.analysis.values import MetricGain, MetricResult
from cotkit.benchmarks.arithmetic import Arithmetic
from cotkit.errors import UsageError
from cotkit.report.comparison_tables import metric_tables
from cotkit.report.document import Words
from cotkit.scoring.measure import measure_attempt, options_of, scores_of
from cotkit.scoring.metrics import METRICS, calibration_error, find_metric, normalise_score
from cotkit.store import AttemptRow
from cotkit.types import AnswerKind, Attempt, Problem, Question, Reading

CHAIN = "First 12 + 7 = 19. Then 19 - 4 = 15."
FILM = ("jaws", "finding nemo", "se7en", "the shining", "it")


def problem(
    gold: str = "1204", kind: AnswerKind = "number", rationale: str | None = None, **more: object
) -> Problem:
    question = Question(id="p", text="?", answer_kind=kind)
    return Problem(question=question, gold=gold, rationale=rationale, **more)  # pyright: ignore[reportArgumentType] - a table of fields


def of(
    value: str | None,
    asked: Problem,
    logprobs: tuple[float, ...] = (),
    *,
    text: str = "",
    chain: str | None = None,
    n_tokens: tuple[int | None, ...] = (),
) -> dict[str, float]:
    attempt = Attempt(text=text, stop_reason="stop")
    reading = Reading(value=value, rule="answer-line")
    return measure_attempt(attempt, asked, reading, logprobs, chain=chain, n_tokens=n_tokens)


# --- one attempt: what is written


@pytest.mark.parametrize(
    ("value", "gold", "expected", "why"),
    [
        ("1204", "1204", (1, 1, 0, 1, 1), "right"),
        ("1214", "1204", (0, 0, 1, 0.75, 0.75), "one digit of four"),
        ("204", "1204", (0, 0, 1, 0.75, 0.75), "a digit lost: right-aligned, three agree"),
        ("120", "1204", (0, 0, 1, 0.75, 0), "an edit away, yet no column agrees"),
        (None, "1204", (0, 0, 4, 0, 0), "an unread answer is an empty one, not a missing one"),
        ("-7", "7", (0, 0, 1, 0.5, 0.5), "the sign is a column"),
        ("1/2", "0.5", (0, 1, 3, 0, None), "the same number, another string; no integer gold"),
    ],
)
def test_number_answers(
    value: str | None, gold: str, expected: tuple[float | None, ...], why: str
) -> None:
    names = ("exact_match", "numeric_match", "edit_distance", "edit_similarity", "digit_accuracy")
    wanted = {n: v for n, v in zip(names, expected, strict=True) if v is not None}
    assert of(value, problem(gold)) == pytest.approx(wanted), why


def test_the_nearest_gold_counts() -> None:
    found = of("-8", problem("7", also=("-7",)))
    assert (found["edit_distance"], found["digit_accuracy"]) == (1, 0.5)


@pytest.mark.parametrize(
    ("value", "gold", "expected", "why"),
    [
        ("the lion king", "The Lion King!", (1, 0, 1), "case and outer punctuation say nothing"),
        ("lion king", "the lion king", (0, 1, 2 / 3), "a word is missing"),
        (None, "the lion king", (0, 3, 0), "nothing read: every word is missing"),
    ],
)
def test_text_answers(value: str | None, gold: str, expected: tuple[float, ...], why: str) -> None:
    names = ("exact_match", "edit_distance", "edit_similarity")
    wanted = dict(zip(names, expected, strict=True))
    assert of(value, problem(gold, "text")) == pytest.approx(wanted), why


def test_a_choice_is_right_or_wrong_and_has_no_edits() -> None:
    question = Question(id="p", text="?", choices=("3", "-3"), answer_kind="choice")
    assert of("B", Problem(question=question, gold="-3")) == {"exact_match": 1.0}
    assert of("A", Problem(question=question, gold="-3")) == {"exact_match": 0.0}


# --- one attempt: its chain


@pytest.mark.parametrize(
    ("chain", "right", "steps", "why"),
    [
        ("12 + 7 = 19, so 19 - 4 = 15. The answer is 15.", 1, 1, "all there"),
        ("12 + 7 = 19, so 19 - 4 = 16. The answer is 16.", 0, 0.5, "the second is wrong"),
        ("12 + 7 = 18, so 18 - 4 = 15. The answer is 15.", 0, 0, "right by luck: no step is"),
        ("12 + 7 = 19. The answer is 19.", 0, 0.5, "it stops early"),
        ("I think it is 15.", 0, 0, "no step at all is none right, not a missing value"),
    ],
)
def test_chains(chain: str, right: float, steps: float, why: str) -> None:
    found = of("15", problem("15", rationale=CHAIN), chain=chain)
    assert (found["chain_right"], found["steps_right"]) == (right, steps), why


@pytest.mark.parametrize(
    ("rationale", "chain"),
    [
        (CHAIN, None),
        (None, "12 + 7 = 19"),
        ("She has 12 + 7 = <<12+7=19>>19 apples. Then 19 - 4 = <<19-4=15>>15.", "12 + 7 = 19"),
    ],
    ids=["an arm without reasoning", "no gold chain", "a worked solution in words"],
)
def test_where_there_is_no_chain_to_judge(rationale: str | None, chain: str | None) -> None:
    found = of("15", problem("15", rationale=rationale), chain=chain)
    assert not {"chain_right", "steps_right"} & found.keys()


@pytest.mark.parametrize("shape", ["chain", "nested"])
def test_every_generated_rationale_is_a_gold_chain(shape: str) -> None:
    bench = Arithmetic(steps=4, digits=2, operators="+-x/", shape=shape, n=40)  # pyright: ignore[reportArgumentType] - one of the shapes
    for one in bench.problems():
        found = of(one.gold, one, chain=one.rationale)
        assert (found["chain_right"], found["steps_right"]) == (1, 1)


# --- one attempt: what is weighed


def film(scores: tuple[float, ...] = (0, 1, 0, 0, 0)) -> Problem:
    return problem("finding nemo", "text", options=FILM, option_scores=scores)


UNIFORM = (math.log(0.2),) * 5


@pytest.mark.parametrize(
    ("logprobs", "expected", "why"),
    [
        (
            UNIFORM,
            {"brier_per_option": 0.16, "brier": 0.8, "confidence": 0.2, "choice_right": 0},
            "golden value: a uniform guess on 5 options; of equals the first is chosen",
        ),
        (
            (-9000.0, -1.0, -9000.0, -9000.0, -9000.0),
            {"brier_per_option": 0, "brier": 0, "confidence": 1, "choice_right": 1},
            "golden value: perfect",
        ),
        (
            (-1.0, -1 - math.log(3), -9000.0, -9000.0, -9000.0),
            {"brier_per_option": 2 * 0.75**2 / 5, "brier": 2 * 0.75**2, "confidence": 0.75},
            "3 to 1 for a wrong one, by hand",
        ),
    ],
)
def test_weighed_options(
    logprobs: tuple[float, ...], expected: Mapping[str, float], why: str
) -> None:
    found = of("jaws", film(), logprobs, n_tokens=(1, 4, 2, 2, 1))
    assert {name: found[name] for name in expected} == pytest.approx(expected), why
    assert found["gold_log_prob"] == logprobs[1]
    assert found["gold_log_prob_per_token"] == pytest.approx(logprobs[1] / 4)
    assert found["multiple_choice_grade"] == found["choice_right"]


def test_uniform_over_two_is_a_quarter() -> None:
    asked = problem("yes", "text", options=("yes", "no"))
    assert of(None, asked, (-1.0, -1.0))["brier_per_option"] == pytest.approx(0.25)


def test_graded_options_grade_what_is_chosen() -> None:
    found = of(None, film((0.5, 1, 0, 0, 0)), (-1.0, -2.0, -3.0, -3.0, -3.0))
    assert (found["multiple_choice_grade"], found["choice_right"]) == (0.5, 0)


def test_a_gold_answer_alone() -> None:
    found = of("5", problem("5"), (-3.0,), n_tokens=(2,))
    assert found["gold_log_prob"] == -3
    assert found["gold_log_prob_per_token"] == -1.5
    assert "brier" not in found
    assert "gold_log_prob_per_token" not in of("5", problem("5"), (-3.0,), n_tokens=(None,))


def test_which_options_are_right_without_scores() -> None:
    question = Question(id="p", text="?", choices=("-3", "3", "x"), answer_kind="choice")
    asked = Problem(question=question, gold="-3", also=("C",))
    assert scores_of(asked) == (1, 0, 1), "by text, or by letter"
    assert scores_of(problem("Yes.", "text", options=("no", "yes"))) == (0, 1)
    assert options_of(problem("a", "text", options=("a",))) == (), "nothing to choose from"
    with pytest.raises(UsageError, match="none of its options is the gold answer"):
        scores_of(problem("maybe", "text", options=("no", "yes")))


@pytest.mark.parametrize("logprobs", [(math.nan, -1.0, -1.0, -1.0, -1.0), (-1.0, -1.0)])
def test_numbers_that_are_none_are_refused(logprobs: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="log-probabilit"):
        of(None, film(), logprobs)


def test_pass_at_k_of_a_vote() -> None:
    attempt = Attempt(text="", stop_reason="stop", is_vote=True)
    right = [True, False, False, False, False]
    found = measure_attempt(
        attempt, problem(), Reading(value="1", rule="vote 1/5"), samples_right=right
    )
    shown = {name: value for name, value in found.items() if name.startswith("pass_at_")}
    assert shown == pytest.approx({f"pass_at_{k}": k / 5 for k in (1, 2, 4, 5)})


# --- every name is described


def test_every_name_has_range_unit_and_direction() -> None:
    vote = Attempt(text="", stop_reason="stop", is_vote=True)
    names = set(of("15", problem("15", rationale=CHAIN), (-1.0,), n_tokens=(1,), chain="")) | set(
        of("it", film(), UNIFORM)
    )
    names |= set(
        measure_attempt(vote, film(), Reading(value=None, rule="none"), samples_right=[True] * 3)
    )
    for name in names:
        kind = find_metric(name)
        assert kind.low < kind.high
        assert kind.unit
    assert {"brier", "chain_right", "digit_accuracy", "pass_at_3"} <= names
    assert METRICS["confidence"].higher_is_better is None


# --- means and gains of a run


def rows(**metrics: tuple[list[float], list[float]]) -> list[AttemptRow]:
    """(values of the arm, values of the control) of each metric."""
    n = len(next(iter(metrics.values()))[0])
    return [
        AttemptRow(
            arm=arm,
            problem_id=f"p{i}",
            outcome="wrong",
            metrics={name: values[at][i] for name, values in metrics.items()},
        )
        for i in range(n)
        for at, arm in enumerate(("cot", "few-shot"))
    ]


def analysed(found: list[AttemptRow], level: float = 0.95) -> dict[str, MetricResult]:
    both = measure_metrics(
        found,
        ["few-shot", "cot"],
        [("cot", "few-shot")],
        kind_of=find_metric,
        calibration=calibration_error,
        level=level,
    )
    return {one.metric: one for one in both}


def gain(found: list[AttemptRow], metric: str) -> MetricGain:
    (one,) = analysed(found)[metric].gains
    return one


def test_plain_exact_match_alone_shows_nothing() -> None:
    assert analysed(rows(exact_match=([1.0, 0.0], [0.0, 0.0]))) == {}


def test_exact_match_and_a_companion_that_disagree() -> None:
    n = 30
    found = rows(
        exact_match=([0.0] * 25 + [1.0] * 5, [0.0] * n),
        edit_distance=([4.0 + i % 3 for i in range(n)], [2.0 + i % 2 for i in range(n)]),
        edit_similarity=([0.5 + i / 100 for i in range(n)], [0.2] * n),
    )
    far = gain(found, "edit_distance")
    assert (far.direction, far.beside_exact) == ("worse", "opposite"), "lower is better"
    near = gain(found, "edit_similarity")
    assert (near.direction, near.beside_exact) == ("better", "agrees")
    means, gains = metric_tables(tuple(analysed(found).values()), is_sequential=False)
    said = [
        cell.text
        for row in gains.rows
        for cell in row
        if isinstance(cell, Words) and "OPP" in cell.text
    ]
    assert said == ["OPPOSITE"]
    assert [cell.text for cell in means.rows[2] if isinstance(cell, Words)] == [
        "edit_distance",
        "few-shot",
        "lower",
        "0..inf",
        "tokens",
    ]


def test_a_decided_gain_is_not_opposite_to_one_that_may_be_noise() -> None:
    found = rows(
        exact_match=([0.0] * 29 + [1.0], [1.0, 1.0] + [0.0] * 28),
        edit_similarity=([0.5 + i / 100 for i in range(30)], [0.2] * 30),
    )
    assert gain(found, "exact_match").gain < 0
    assert gain(found, "edit_similarity").beside_exact == "only_this"


def test_a_companion_that_sees_what_exact_match_cannot() -> None:
    found = rows(
        exact_match=([0.0] * 30, [0.0] * 30),
        digit_accuracy=([0.5 + i / 100 for i in range(30)], [0.25] * 30),
    )
    assert gain(found, "digit_accuracy").beside_exact == "only_this"
    assert gain(found, "exact_match").direction == "undecided"
    assert gain(found, "exact_match").interval.low == pytest.approx(-3.8415 / 33.8415, abs=1e-4)


def test_failed_attempts_and_missing_metrics_stay_out_of_pairs() -> None:
    found = rows(exact_match=([1.0] * 3, [0.0] * 3), edit_distance=([1.0, 2.0, 3.0], [2.0] * 3))
    failed = AttemptRow(arm="cot", problem_id="p9", outcome="failed")
    (first, *others) = found
    bare = AttemptRow(arm=first.arm, problem_id=first.problem_id, outcome="wrong")
    assert gain([bare, *others, failed], "edit_distance").n == 2


def test_the_calibration_error_is_of_all_items_and_has_no_interval() -> None:
    sure, right = [0.9] * 10, [1.0] * 5 + [0.0] * 5
    found = rows(exact_match=(right, right), confidence=(sure, sure), choice_right=(right, right))
    error = analysed(found)["expected_calibration_error"]
    assert error.means[0].mean == pytest.approx(0.4)
    assert math.isnan(error.means[0].interval.low)
    assert error.gains[0].gain == 0
    assert analysed(found)["confidence"].gains == (), "neither way is better"


def test_a_normalised_metric_is_the_same_on_another_scale() -> None:
    grades = [0.0] * 25 + [1.0] * 5, [0.0] * 30
    found = list(analysed(rows(multiple_choice_grade=grades, exact_match=grades)).values())
    scale = partial(normalise_score, low=0.2, high=1)
    *same, added = add_normalised(found, "multiple_choice_grade", scale, METRICS["normalised"])
    assert same == found
    assert (added.metric, added.low) == ("normalised_multiple_choice_grade", pytest.approx(-25))
    assert added.high == pytest.approx(100)
    (before,) = [one for one in found if one.metric == "multiple_choice_grade"]
    assert [mean.mean for mean in added.means] == pytest.approx([-25, 100 * (1 / 6 - 0.2) / 0.8])
    ours, theirs = added.gains[0], before.gains[0]
    assert ours.gain == pytest.approx(theirs.gain / 0.008), "no chance to take off a difference"
    assert ours.interval.high == pytest.approx(theirs.interval.high / 0.008)
    assert (ours.direction, ours.beside_exact) == (theirs.direction, theirs.beside_exact)
    assert add_normalised(found, "brier", scale, METRICS["normalised"]) == tuple(found)


def test_an_unknown_interval_stays_unknown_on_another_scale() -> None:
    found = list(analysed(rows(exact_match=([1.0], [0.0]), brier=([0.1], [0.2]))).values())
    (added,) = add_normalised(found, "brier", lambda x: 2 * x, METRICS["normalised"])[len(found) :]
    assert math.isnan(added.means[0].interval.low)


def test_intervals_do_not_depend_on_the_order_of_rows_and_repeat() -> None:
    values = [float(i * i % 7) for i in range(40)]
    found = rows(edit_distance=(values, [*values[1:], 9.0]))
    assert analysed(found) == analysed(found[::-1])
    means = analysed(rows(edit_distance=([2.0] * 9, values[:9])))["edit_distance"].means
    assert [math.isnan(mean.interval.low) for mean in means] == [False, True], "no spread"


def test_intervals_of_many_problems_are_the_normal_ones() -> None:
    values, zeros = [float(i * i % 11) for i in range(400)], [0.0] * 400
    interval = gain(rows(edit_distance=(values, zeros)), "edit_distance").interval
    error = stdev(values) / math.sqrt(400)
    assert interval.low == pytest.approx(fmean(values) - 1.96 * error, abs=0.1 * error)
    assert interval.high == pytest.approx(fmean(values) + 1.96 * error, abs=0.1 * error)


def test_fewer_problems_than_sign_flips_need_have_no_interval() -> None:
    for n, is_known in ((5, False), (6, True)):
        values = [0.5 + i / 100 for i in range(n)]
        interval = gain(rows(edit_similarity=(values, [0.2] * n)), "edit_similarity").interval
        assert math.isfinite(interval.low) == is_known


def test_intervals_cover_the_truth_at_about_their_rate() -> None:
    source = random.Random(1)
    n_held = 0
    for _ in range(200):
        values = [min(1.0, source.expovariate(4)) for _ in range(60)]
        found = rows(edit_similarity=(values, [0.0] * 60))
        interval = analysed(found, 0.9)["edit_similarity"].means[1].interval
        n_held += interval.low <= (1 - math.exp(-4)) / 4 <= interval.high
    assert 0.84 <= n_held / 200 <= 0.97


def test_problems_of_one_cluster_are_not_independent_evidence() -> None:
    values = [0.5 + (i // 10) / 20 for i in range(60)]  # all ten of a cluster alike
    found = rows(edit_similarity=(values, [0.2] * 60))
    clustered = [replace(row, cluster=f"c{int(row.problem_id[1:]) // 10}") for row in found]
    narrow, wide = (gain(of, "edit_similarity").interval for of in (found, clustered))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
