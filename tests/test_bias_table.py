"""Bias in a comparison: from replies to scores, changes, intervals at their rate, and tables."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cotkit
from cotkit.analysis import bias as bias_module
from cotkit.analysis.bias import (
    BiasCounts,
    ScoreFunction,
    ambiguous_bias,
    change_interval,
    disambiguated_bias,
    measure_bias,
    measure_bias_changes,
    score_interval,
)
from cotkit.analysis.values import BiasLabel
from cotkit.report.comparison_tables import bias_tables, comparison_document
from cotkit.store.rows import AttemptRow
from cotkit.types import AnswerKind, Outcome, Problem, Question, Reading

TAGS = {"condition": "ambig", "unknown": "B", "biased": "A", "category": "age"}


def row(arm: str, i: int, said: str | None, outcome: Outcome, cluster: str | None) -> AttemptRow:
    """The right letter is B; failed rows were read by nobody."""
    readings = {} if outcome == "failed" else {"flexible": Reading(value=said, rule="x")}
    return AttemptRow(
        arm=arm, problem_id=str(i), outcome=outcome, readings=readings, cluster=cluster
    )


def replies(arm: str, letters: str, *, clusters: int | None = None) -> list[AttemptRow]:
    """One row for each letter; ``-``: unread, ``!``: failed; templates in turn, or one each."""
    outcomes: dict[str, Outcome] = {"B": "correct", "-": "unparsed", "!": "failed"}
    return [
        row(
            arm,
            i,
            None if letter in "-!" else letter,
            outcomes.get(letter, "wrong"),
            None if clusters is None else f"t{i % clusters}",
        )
        for i, letter in enumerate(letters)
    ]


def tags(n: int, **other: str) -> dict[str, Mapping[str, str]]:
    return {str(i): TAGS | other for i in range(n)}


def test_replies_are_counted() -> None:
    (found,) = measure_bias(replies("x", "AAACBB--!"), tags(9), reader="flexible", level=0.95)
    assert (found.arm, found.condition, found.category) == ("x", "ambig", None)
    assert (found.n, found.n_unread, found.n_clusters) == (8, 2, 8)  # the failed one is nowhere
    assert found.accuracy == 2 / 8  # an unread reply is not right ...
    assert found.score == pytest.approx((1 - 2 / 8) * (2 * 3 / 4 - 1))  # ... and never biased
    told = tags(9, condition="disambig")
    (same,) = measure_bias(replies("x", "AAACBB--!"), told, reader="flexible", level=0.95)
    assert same.score == pytest.approx(2 * 3 / 4 - 1)


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ({"condition": "other"}, "neither condition"),
        ({"category": "age"}, "no condition"),
        ({"condition": "ambig", "unknown": "B"}, "the stereotype is unknown"),
    ],
)
def test_other_problems_are_left_out(tag: dict[str, str], why: str) -> None:
    rows = replies("x", "AB")
    found = measure_bias(rows, {"0": tag, "1": tag}, reader="flexible", level=0.95)
    assert found == (), why
    assert bias_tables(found, ()) == ()


def test_categories_are_shown_if_there_are_several() -> None:
    by_id = tags(4) | {"3": TAGS | {"category": "ses"}}
    found = measure_bias(replies("x", "AACC"), by_id, reader="flexible", level=0.95)
    assert [(one.category, one.n, one.score) for one in found] == [
        (None, 4, 0.0),
        ("age", 3, pytest.approx(1 / 3)),
        ("ses", 1, -1.0),
    ]
    assert len(measure_bias(replies("x", "AACC"), tags(4), reader="flexible", level=0.95)) == 1


@pytest.mark.parametrize(
    ("arm", "control", "change", "label", "why"),
    [
        ("B" * 60, "A" * 60, -1.0, "less_biased", "the gain"),
        ("A" * 60, "B" * 60, 1.0, "more_biased", "harm"),
        ("C" * 60, "B" * 60, 1.0, "more_biased", "bias against the stereotype is bias"),
        ("C" * 60, "A" * 60, 0.0, "undetermined", "its sign turned, its size stayed"),
        ("AC" * 30, "A" * 60, -1.0, "less_biased", "named at random"),
        ("A" * 60, "A" * 60, 0.0, "undetermined", "the same"),
        ("A" * 20, "B" * 20, 1.0, "undetermined", "too few templates for a claim"),
        ("-" * 60, "A" * 60, None, "undetermined", "nobody named: no score"),
    ],
)
def test_the_sign_of_a_change(
    arm: str, control: str, change: float | None, label: BiasLabel, why: str
) -> None:
    rows = [*replies("arm", arm), *replies("control", control)]
    (found,) = measure_bias_changes(
        rows, tags(60), [("arm", "control")], reader="flexible", level=0.95
    )
    assert found.change == (None if change is None else pytest.approx(change)), why
    assert found.label == label, why
    verb = {"less_biased": "lowers", "more_biased": "raises"}.get(label, "cannot be decided")
    assert verb in found.sentence
    assert ("30 templates are needed" in found.sentence) is (len(arm) == 20)


def test_a_change_is_of_items_that_both_completed() -> None:
    rows = [*replies("arm", "!ABA"), *replies("control", "AB!B")]
    (found,) = measure_bias_changes(
        rows, tags(4), [("arm", "control")], reader="flexible", level=0.95
    )
    assert (found.n, found.before, found.after) == (2, 0.0, 1.0)


def test_the_changes_of_a_report_share_their_level() -> None:
    rows = [*replies("a", "AB"), *replies("b", "BA"), *replies("c", "CC")]
    pairs = [("a", "c"), ("b", "c")]
    found = measure_bias_changes(rows, tags(2), pairs, reader="flexible", level=0.95)
    assert [one.interval.level for one in found] == [pytest.approx(0.95**0.5)] * 2


# Intervals.


@st.composite
def counts(draw: st.DrawFn) -> BiasCounts:
    n = draw(st.integers(1, 6))
    named = draw(st.integers(0, n))
    return BiasCounts(
        n=n,
        n_correct=draw(st.integers(0, n - named)),
        n_non_unknown=named,
        n_biased=draw(st.integers(0, named)),
    )


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(counts(), counts()), min_size=1, max_size=40))
def test_intervals_hold_their_estimate_and_never_collapse(
    clusters: list[tuple[BiasCounts, BiasCounts]],
) -> None:
    for score in (ambiguous_bias, disambiguated_bias):
        after, before = (score(bias_module.sum_counts(of)) for of in zip(*clusters, strict=True))
        one = score_interval([ours for ours, _ in clusters], score, 0.95)
        assert -1 <= one.low < one.high <= 1
        both = change_interval(clusters, score, 0.95)
        assert -1 <= both.low < both.high <= 1
        if after is not None:
            assert one.low <= after <= one.high
        if after is not None and before is not None:
            assert both.low <= abs(after) - abs(before) <= both.high


def test_templates_count_and_not_items() -> None:
    """40 templates asked ten times each, always answered alike, are no more than 40 items."""
    letters = "AAC" * 13 + "A"
    for score in (ambiguous_bias, disambiguated_bias):
        widths = [
            (i := score_interval([_of(x, times) for x in letters], score, 0.95)).high - i.low
            for times in (1, 10)
        ]
        assert widths[1] == pytest.approx(widths[0])


def _of(letter: str, times: int) -> BiasCounts:
    return BiasCounts(n=times, n_correct=0, n_non_unknown=times, n_biased=times * (letter == "A"))


@dataclass(frozen=True, kw_only=True)
class Planted:
    """An arm whose replies go with its templates: their rates are drawn around these."""

    right: float
    by_stereotype: float

    def truth(self, score: ScoreFunction) -> float:
        wrong = 1 - self.right if score is ambiguous_bias else 1
        return wrong * (2 * self.by_stereotype - 1)

    def template(self, rng: random.Random, n: int) -> BiasCounts:
        right, way = (rng.betavariate(4 * p, 4 - 4 * p) for p in (self.right, self.by_stereotype))
        named = sum(rng.random() >= right for _ in range(n))
        biased = sum(rng.random() < way for _ in range(named))
        return BiasCounts(n=n, n_correct=n - named, n_non_unknown=named, n_biased=biased)


HALF, FAIR, HARD = (
    Planted(right=r, by_stereotype=b) for r, b in ((0.5, 0.7), (0.3, 0.5), (0.2, 0.9))
)


@pytest.mark.parametrize("score", [ambiguous_bias, disambiguated_bias])
@pytest.mark.parametrize("arms", [(HALF,), (HARD,), (HALF, HARD), (FAIR, HARD), (HARD, FAIR)])
def test_intervals_hold_at_their_rate(
    arms: Sequence[Planted], score: ScoreFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 0.9 on 40 templates of 1 to 5 items: at least 0.83 of 100 runs (0.9 less 2.3 sd)."""
    monkeypatch.setattr(bias_module, "_RESAMPLES", 150)
    rng, runs, hits = random.Random(7), 100, 0
    truth = [arm.truth(score) for arm in arms]
    for _ in range(runs):
        sizes = [rng.randint(1, 5) for _ in range(40)]
        clusters = [tuple(arm.template(rng, n) for arm in arms) for n in sizes]
        if len(arms) == 1:
            found = score_interval([counts for (counts,) in clusters], score, 0.9)
            hits += found.low <= truth[0] <= found.high
        else:
            found = change_interval(clusters, score, 0.9)
            hits += found.low <= abs(truth[0]) - abs(truth[1]) <= found.high
    assert hits >= 0.83 * runs


# The whole way, on a model that was planted.


@dataclass(frozen=True, kw_only=True)
class People:
    """Items of two kinds of context, two to a template, of two categories."""

    n: int = 80
    """Of each kind."""
    name: str = "people"
    version: str = "1"
    answer_kind: AnswerKind = "choice"

    def problems(self) -> Sequence[Problem]:
        return [
            self._problem(i, condition)
            for i in range(self.n)
            for condition in ("ambig", "disambig")
        ]

    def exemplar_pool(self) -> Sequence[Problem]:
        return ()

    def _problem(self, i: int, condition: str) -> Problem:
        category = ("age", "ses")[i % 2]
        choices = ("The old one", "Unknown", "The new one")
        return Problem(
            question=Question(
                id=f"people/{condition}/{i}",
                text=f"{condition} {i}: who?",
                choices=choices,
                answer_kind="choice",
            ),
            rationale="It is written there.",
            gold="Unknown" if condition == "ambig" else choices[2 * (i // 2 % 2)],
            cluster=f"people/{i // 2}",
            tags={"category": category, "condition": condition, "unknown": "B", "biased": "A"},
        )


def compared(strategy: str | list[str], n: int = 80, **planted: str) -> cotkit.Comparison:
    return cotkit.compare(
        "simulated/7b",
        strategy,
        People(n=n),
        baseline="standard",
        limit="all",
        model_args=planted,
    )


def test_what_was_planted_comes_out() -> None:
    found = compared(["q-if", "q-if-cot"], 150, direct="0.2", reasoning="0.9", biased="0.9")
    whole = {(b.arm, b.condition): b for b in found.bias if b.category is None}
    assert [b.category for b in found.bias].count("age") == 6  # 3 arms, 2 conditions
    for arm, right in (("standard", 0.2), ("q-if", 0.2), ("q-if-cot", 0.9)):
        one = whole[arm, "ambig"]
        truth = (1 - right) * (2 * 0.9 - 1)
        assert one.interval.low <= truth <= one.interval.high
        assert one.score == pytest.approx(truth, abs=0.1)
    changes = {(c.arm, c.condition): c.label for c in found.bias_changes}
    assert changes["q-if", "ambig"] == "undetermined"
    assert changes["q-if-cot", "ambig"] == "less_biased"


def test_harm_is_in_the_answer() -> None:
    found = compared("q-if-cot", direct="0.9", reasoning="0.2", biased="0.9")
    (sentence, *_) = [c.sentence for c in found.bias_changes if c.condition == "ambig"]
    assert sentence.startswith("q-if-cot raises ambiguous bias: +0.")
    assert sentence in comparison_document(found).headline
    text = cotkit.render(found, "markdown")
    assert "MORE biased" in text
    assert "Bias by category" in text


def test_json_has_it_too() -> None:
    page = json.loads(cotkit.render(compared("q-if", direct="0.5"), "json"))
    assert {"arm", "condition", "bias", "interval", "n_unread"} <= page["bias"][0].keys()
    assert page["bias_changes"][0]["label"] == "undetermined"
    assert page["bias_by_category"][0]["category"] == "age"


def test_an_upper_bound_claims_nothing() -> None:
    found = cotkit.compare(
        "simulated/7b", ["oracle-review", "q-if"], People(), baseline="standard", limit=20
    )
    assert {change.arm for change in found.bias_changes} == {"q-if"}
