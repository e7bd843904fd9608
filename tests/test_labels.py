"""In-context label experiments: facts of the data, exact flips, labels mapped back, the curve."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import pytest

import cotkit
from cotkit.analysis.following import measure_following
from cotkit.analysis.scale.analysis import analyse
from cotkit.analysis.scale.grid import ArmOutcomes, Cell, ResultGrid, Rung, ScaleQuestion
from cotkit.benchmarks import load_benchmark
from cotkit.benchmarks.linear_classification import LinearClassification
from cotkit.benchmarks.sentiment_mini import SentimentMini
from cotkit.errors import CotkitError, UsageError
from cotkit.protocols import Benchmark
from cotkit.registry import parse_spec, split_specs
from cotkit.report import render
from cotkit.run import Plan, RunSpec, make_plan
from cotkit.scoring import score_attempt
from cotkit.store import AttemptRow
from cotkit.strategies.flipped_labels import FlippedLabels
from cotkit.strategies.unrelated_labels import SETS, UnrelatedLabels
from cotkit.types import (
    Attempt,
    Completion,
    Exemplar,
    Flow,
    Outcome,
    Problem,
    Question,
    Request,
    StopReason,
)
from tests.conftest import Sums

SENTIMENT = SentimentMini()
GOLD = {p.question.text: p.gold for p in (*SENTIMENT.problems(), *SENTIMENT.exemplar_pool())}
POOL = tuple(
    Exemplar(question=p.question.text, rationale="", answer=p.gold)
    for p in SENTIMENT.exemplar_pool()
)
TINY = (
    Exemplar(question="Cost: $5 {{ x }} 10% <b>", rationale="", answer="negative"),
    Exemplar(question="Lovely.", rationale="", answer="positive"),
)
ASKED = Question(id="x", text="Awful {x}.", choices=("negative", "positive"), answer_kind="choice")


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def asked(flow: Flow) -> Request:
    step = next(flow)
    assert isinstance(step, Request)
    return step


def answered(flow: Flow, text: str, stop_reason: StopReason = "stop") -> Attempt:
    asked(flow)
    with pytest.raises(StopIteration) as ended:
        flow.send((Completion(text=text, stop_reason=stop_reason),))
    return cast("Attempt", ended.value.value)


def plan(*strategies: str, bench: str = "sentiment-mini") -> Plan:
    spec = RunSpec(model="none", bench=bench, strategies=split_specs(",".join(strategies)))
    return make_plan(spec, load_benchmark(parse_spec(bench)))


# --- data -----------------------------------------------------------------------------------


def test_sentiment_mini_is_balanced_and_its_exemplars_are_others() -> None:
    problems, pool = SENTIMENT.problems(), SENTIMENT.exemplar_pool()
    assert Counter(p.gold for p in problems) == {"positive": 100, "negative": 100}
    assert Counter(p.gold for p in pool) == {"positive": 24, "negative": 24}
    assert [p.question.id for p in problems] == [f"sentiment-mini/{i:03}" for i in range(1, 201)]
    assert len(GOLD) == 248, "no review twice, none in both files"


def test_reviews_are_of_the_promised_length_and_never_say_a_label() -> None:
    for text in GOLD:
        assert 10 <= len(text.split()) <= 35, text
        assert not {"positive", "negative"} & set(words(text)), text


def test_no_two_reviews_share_a_run_of_six_words() -> None:
    runs = Counter(
        run
        for text in GOLD
        for said in [words(text)]
        for run in {" ".join(said[i : i + 6]) for i in range(len(said) - 5)}
    )
    assert [run for run, n in runs.items() if n > 1] == []


@pytest.mark.parametrize("bench", [LinearClassification(), LinearClassification(dims=2, n=600)])
def test_linear_classification_is_balanced_disjoint_and_truly_linear(
    bench: LinearClassification,
) -> None:
    problems, pool = bench.problems(), bench.exemplar_pool()
    assert Counter(p.gold for p in problems) == {"Foo": bench.n // 2, "Bar": bench.n // 2}
    assert Counter(p.gold for p in pool) == {"Foo": 32, "Bar": 32}
    texts = [p.question.text for p in (*problems, *pool)]
    assert len(set(texts)) == len(texts)
    vectors = [[int(entry) for entry in text.split(", ")] for text in texts]
    assert {len(vector) for vector in vectors} == {bench.dims}
    assert 1 <= min(map(min, vectors)) <= 20
    assert 981 <= max(map(max, vectors)) <= 1000
    assert separable(vectors, [p.gold == "Foo" for p in (*problems, *pool)])


def separable(vectors: Sequence[Sequence[int]], above: Sequence[bool]) -> bool:
    """Whether a plane of positive weights parts the labels: a linear programme has a solution."""
    import numpy as np
    from scipy.optimize import linprog

    x = np.hstack([np.array(vectors) / 1000, np.ones((len(vectors), 1))])
    signed = x * np.where(above, -1.0, 1.0)[:, None]
    weights = [(0, None)] * (x.shape[1] - 1)
    margin = -np.ones(len(x))
    found = linprog(np.zeros(x.shape[1]), A_ub=signed, b_ub=margin, bounds=[*weights, (None, None)])
    return bool(found.success)


def test_linear_classification_is_nested_in_n_and_changes_with_the_seed() -> None:
    small, large = LinearClassification(n=20), LinearClassification(n=200)
    assert {p.question.text for p in small.problems()} <= {
        p.question.text for p in large.problems()
    }
    assert [p.question.text for p in small.exemplar_pool()] == [
        p.question.text for p in large.exemplar_pool()
    ]
    other = LinearClassification(n=20, seed=1)
    assert other.version != small.version
    assert not {p.question.text for p in other.problems()} & {
        p.question.text for p in small.problems()
    }


def test_linear_classification_is_the_same_on_every_machine() -> None:
    content = "\n".join(f"{p.question.text} {p.gold}" for p in LinearClassification().problems())
    assert hashlib.sha256(content.encode()).hexdigest()[:16] == "f3955654145908af"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("linear-classification:dims=1", "dims is 1, must be 2 to 64"),
        ("linear-classification:n=5", "an even number from 2 to 2000"),
        ("linear-classification:dim=4", "did you mean dims"),
    ],
)
def test_linear_classification_refuses(spec: str, says: str) -> None:
    with pytest.raises(CotkitError, match=says):
        load_benchmark(parse_spec(spec))


# --- prompts --------------------------------------------------------------------------------


def test_the_prompt_to_the_byte() -> None:
    plain = FlippedLabels(pool=TINY, k=1, fraction=0)
    assert asked(plain.solve(ASKED)).messages[0].content == (
        "Input: Cost: $5 {{ x }} 10% <b>\nOutput: negative\n\n"
        "Input: Lovely.\nOutput: positive\n\n"
        "Input: Awful {x}.\nOutput:"
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("foo-bar", ["Foo", "Bar"]),
        ("letters", ["A", "B"]),
        ("digits", ["0", "1"]),
        ("fruit", ["Apple", "Orange"]),
        ("reversed", ["positive", "negative"]),
    ],
)
def test_symbols_stand_in_for_negative_and_positive(name: str, shown: list[str]) -> None:
    prompt = asked(UnrelatedLabels(pool=TINY, k=1, set=name).solve(ASKED)).messages[0].content
    assert re.findall("Output: (.*)", prompt) == shown


def test_every_set_is_tested() -> None:
    assert set(SETS) == {"foo-bar", "letters", "digits", "fruit", "reversed"}


def test_reversed_labels_ask_what_all_flipped_labels_ask() -> None:
    flipped, unrelated = FlippedLabels(pool=POOL), UnrelatedLabels(pool=POOL, set="reversed")
    assert asked(flipped.solve(ASKED)) == asked(unrelated.solve(ASKED))


def test_generation_stops_after_the_answers_line() -> None:
    decoding = asked(FlippedLabels(pool=POOL).solve(ASKED)).decoding
    assert cut_at(" positive\n\nInput: More", decoding.stop, decoding.stop_after) == " positive"


def cut_at(text: str, stop: tuple[str, ...], stop_after: str | None) -> str | None:
    from cotkit.stops import cut
    from cotkit.types import Decoding

    return cut(text, Decoding(max_tokens=9, stop=stop, stop_after=stop_after))


# --- flips ----------------------------------------------------------------------------------

SHARES = [0.0, 0.03, 0.1, 0.25, 0.33, 0.5, 0.75, 0.9, 1.0]


@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize("k", [1, 8, 16])
def test_flips_are_exact_nested_and_even(k: int, seed: int) -> None:
    truth = {x.question: x.answer for x in POOL}
    before: set[str] = set()
    for fraction in SHARES:
        shown = FlippedLabels(pool=POOL, k=k, seed=seed, fraction=fraction).exemplars
        assert Counter(truth[x.question] for x in shown) == {"positive": k, "negative": k}
        flipped = {x.question for x in shown if x.answer != truth[x.question]}
        assert len(flipped) == round(fraction * 2 * k)
        assert before <= flipped
        by_label = Counter(truth[text] for text in flipped)
        assert abs(by_label["positive"] - by_label["negative"]) <= 1
        before = flipped


def test_fractions_differ_in_labels_only_and_seeds_in_exemplars() -> None:
    texts = [
        [x.question for x in FlippedLabels(pool=POOL, seed=seed, fraction=share).exemplars]
        for seed, share in [(0, 0.0), (0, 1.0), (1, 1.0)]
    ]
    assert texts[0] == texts[1]
    assert set(texts[0]) != set(texts[2])


def test_a_larger_k_shows_the_exemplars_of_a_smaller_one() -> None:
    few, many = (FlippedLabels(pool=POOL, k=k).drawn() for k in (4, 16))
    assert set(few) < set(many)


def test_what_is_asked_is_scored_by_its_true_label() -> None:
    made = plan("flipped-labels:fraction=0,1,unrelated-labels")
    assert {p.question.text: p.gold for p in made.problems}.items() <= GOLD.items()
    problem = next(p for p in made.problems if p.gold == "positive")
    for arm in made.arms[:2]:
        assert isinstance(arm.strategy, FlippedLabels)
        attempt = answered(arm.strategy.solve(problem.question), " positive")
        assert score_attempt(attempt, problem).outcome == "correct", arm.name


# --- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reply", "outcome", "why"),
    [
        ("foo-bar", " Bar", "correct", "the symbol of positive"),
        ("foo-bar", " Foo\n", "wrong", "the symbol of negative"),
        ("foo-bar", "foo.", "wrong", "alone, in any case"),
        ("foo-bar", "The output is Bar.", "correct", "chat models say more"),
        ("foo-bar", "Foo or Bar", "unparsed", "two symbols are none"),
        ("foo-bar", " positive", "unparsed", "the natural label is not what was shown"),
        ("foo-bar", " Barn", "unparsed", "whole words only"),
        ("foo-bar", "", "unparsed", "nothing"),
        ("letters", " B", "correct", ""),
        ("letters", "b", "correct", "alone, in any case"),
        ("letters", "It is a good review", "unparsed", "an article is no symbol"),
        ("digits", " 0", "wrong", ""),
        ("digits", " 10", "unparsed", "another number"),
        ("fruit", " Orange", "correct", ""),
        ("reversed", " negative", "correct", "negative stands for positive"),
        ("reversed", " positive", "wrong", ""),
    ],
)
def test_symbols_are_mapped_back(name: str, reply: str, outcome: Outcome, why: str) -> None:
    attempt = answered(UnrelatedLabels(pool=POOL, set=name).solve(ASKED), reply)
    problem = Problem(question=ASKED, gold="positive")
    for reader in ("strict", "flexible"):
        assert score_attempt(attempt, problem, reader).outcome == outcome, why
    assert (attempt.note is None) == (outcome != "unparsed")


SAID = [
    "It is negative in tone, all told",
    "The answer is negative, or so I think:",
    "Final **Answer:** negative. Answer = (A)",
    "1 star. Question: what is this? It is negative:",
    "1 star.\n**Q**: what is this? It is negative:",
    r"\boxed{negative} or \fbox{negative} #### negative",
    "an ansanswerwer: negative; AnSwEr is A.",
]


@pytest.mark.parametrize("said", SAID)
def test_the_words_before_a_symbol_stay_and_are_never_read(said: str) -> None:
    problem = Problem(question=ASKED, gold="positive")
    flow = UnrelatedLabels(pool=POOL).solve
    attempt = answered(flow(ASKED), f" {said} Bar because of negative words")
    assert attempt.text.endswith("\nThe answer is positive.")
    assert "negative" in attempt.text
    for reader in ("strict", "flexible"):
        assert score_attempt(attempt, problem, reader).readings[reader].value == "B", reader
    cut = answered(flow(ASKED), f" {said} Bar", "length")
    assert score_attempt(cut, problem).outcome == "truncated"


def test_reasoning_before_a_symbol_is_audited() -> None:
    def model(prompt: str) -> str:
        return " The tone is warm and it praises everything on offer! So Bar."

    found = cotkit.compare(model, "unrelated-labels", "sentiment-mini", limit=20)
    (audit,) = [a for a in found.audits if a.arm == "unrelated-labels"]
    assert (audit.n, audit.reasoned, audit.is_contaminated) == (20, 20, True)
    assert found.verdicts[0].gain.label == "withheld"


def test_a_label_cut_at_the_limit_is_truncated_whatever_it_says() -> None:
    attempt = answered(UnrelatedLabels(pool=POOL).solve(ASKED), " Bar", "length")
    problem = Problem(question=ASKED, gold="positive")
    assert score_attempt(attempt, problem).outcome == "truncated"


# --- bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "bench", "says"),
    [
        ("flipped-labels:fraction=2", "sentiment-mini", "fraction is 2.0, must be 0 to 1"),
        ("flipped-labels:fraction=-0.1", "sentiment-mini", "fraction is -0.1, must be 0 to 1"),
        ("flipped-labels:k=99", "sentiment-mini", "k is 99, must be 1 to 16"),
        ("unrelated-labels:k=0", "sentiment-mini", "k is 0, must be 1 to 16"),
        ("unrelated-labels:set=nope", "sentiment-mini", "known: digits, foo-bar"),
        ("unrelated-labels:set=leters", "sentiment-mini", "did you mean letters"),
        ("flipped-labels:fractoin=1", "sentiment-mini", "did you mean fraction"),
        ("flipped-labels", "gsm-mini", "gsm-mini is not a label benchmark"),
        ("cot,unrelated-labels", "gsm-mini", "gsm-mini is not a label benchmark"),
    ],
)
def test_a_slip_gets_one_sentence(spec: str, bench: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan(spec, bench=bench)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_three_labels_can_be_renamed_but_not_flipped() -> None:
    three = (*TINY, Exemplar(question="Meh.", rationale="", answer="neutral"))
    assert FlippedLabels(pool=three, k=1, fraction=0).exemplars
    assert UnrelatedLabels(pool=three, k=1).symbols()["positive"] == "Iff"
    with pytest.raises(ValueError, match="only where there are two; here are 3"):
        FlippedLabels(pool=three, k=1, fraction=0.5)
    with pytest.raises(ValueError, match="there are only 1 exemplars of negative"):
        FlippedLabels(pool=TINY, k=2)


def test_an_exemplar_that_is_evaluated_is_refused() -> None:
    class Leaky:
        name, version, answer_kind = "leaky", "1", SENTIMENT.answer_kind

        def problems(self) -> Sequence[Problem]:
            return SENTIMENT.problems()

        def exemplar_pool(self) -> Sequence[Problem]:
            return SENTIMENT.problems()[:40]

    spec = RunSpec(model="none", strategies=("flipped-labels",))
    with pytest.raises(UsageError, match="an exemplar is also an evaluated problem"):
        make_plan(spec, cast("Benchmark", Leaky()))


def test_multiple_choice_is_not_labels() -> None:
    class Quiz(Sums):
        def exemplar_pool(self) -> Sequence[Problem]:
            return [
                replace(p, question=replace(p.question, choices=(p.gold, "0")))
                for p in self.problems()
            ]

    with pytest.raises(UsageError, match="sums is not a label benchmark"):
        make_plan(RunSpec(model="none", strategies=("flipped-labels",)), Quiz())


# --- plan and sweep -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("f:a=0,0.5,1", ("f:a=0", "f:a=0.5", "f:a=1")),
        ("c,f:a=0,1,k=4,8,d", ("c", "f:a=0,k=4", "f:a=0,k=8", "f:a=1,k=4", "f:a=1,k=8", "d")),
        ("f:k=4,a=0,1", ("f:k=4,a=0", "f:k=4,a=1")),
        ("f:a=1,-1,2e-1", ("f:a=1", "f:a=-1", "f:a=2e-1")),
        ("f,5", ("f", "5")),
        ("f:5,6", ("f:5", "6")),
        ("f:a=1,nan", ("f:a=1", "nan")),
        ("f:a=1,g,2", ("f:a=1", "g", "2")),
        ("f:s=x,y", ("f:s=x", "y")),
    ],
)
def test_a_list_of_numbers_is_a_sweep(text: str, specs: tuple[str, ...]) -> None:
    assert split_specs(text) == specs


def test_the_control_has_the_arms_other_parameters() -> None:
    made = plan("flipped-labels:fraction=0,1,k=4", "unrelated-labels:set=digits,k=4")
    assert made.pairs == (
        ("flipped-labels:fraction=1,k=4", "flipped-labels:fraction=0,k=4"),
        ("unrelated-labels:k=4,set=digits", "flipped-labels:fraction=0,k=4"),
    )
    assert len(made.arms) == 3
    assert made.notes() == ()


# --- the curve ------------------------------------------------------------------------------


def follower(q: float) -> Callable[[str], str]:
    """A model that, for a share q of the texts, says what most exemplars of its kind show."""

    def model(prompt: str) -> str:
        *shown, (text,) = [
            [line.partition(": ")[2] for line in block.split("\n") if ": " in line]
            for block in prompt.split("\n\n")
        ]
        votes = Counter(label for seen, label in shown if GOLD[seen] == GOLD[text])
        luck = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 16**8
        return f" {votes.most_common(1)[0][0] if luck < q else GOLD[text]}\n"

    return model


def curve(q: float, strategy: str = "flipped-labels:fraction=0,0.25,0.75,1") -> cotkit.Comparison:
    return cotkit.compare(follower(q), strategy, "sentiment-mini", limit=60)


def test_a_follower_falls_to_zero() -> None:
    points = curve(1.0).following
    assert [(p.fraction, p.solve_rate, p.follows) for p in points] == [
        (0, 1, 0),
        (0.25, 1, 0),
        (0.75, 0, 1),
        (1, 0, 1),
    ]
    assert [p.label for p in points] == [None, None, None, "follows"]


def test_a_model_that_keeps_its_prior_stays_flat() -> None:
    points = curve(0.0).following
    assert {p.solve_rate for p in points} == {1}
    assert points[-1].label == "keeps_prior"


def test_one_in_between_is_undetermined_and_falls_by_its_share() -> None:
    points = curve(0.5).following
    assert 0.35 < points[-1].solve_rate < 0.65
    assert points[-1].label == "undetermined"


def test_learned_symbols_are_right_and_ignored_ones_unreadable() -> None:
    (learned,) = [c for c in curve(1.0, "unrelated-labels").cells if c.arm == "unrelated-labels"]
    (ignored,) = [c for c in curve(0.0, "unrelated-labels").cells if c.arm == "unrelated-labels"]
    assert learned.outcomes["correct"] == 60
    assert ignored.outcomes["unparsed"] == 60


def rows(arm: str, **outcomes: int) -> list[AttemptRow]:
    return [
        AttemptRow(arm=arm, problem_id=f"{outcome}/{i}", outcome=cast("Outcome", outcome))
        for outcome, n in outcomes.items()
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("outcomes", "label", "why"),
    [
        ({"wrong": 40, "correct": 10}, "follows", ""),
        ({"wrong": 10, "correct": 40}, "keeps_prior", ""),
        ({"wrong": 27, "correct": 23}, "undetermined", ""),
        ({"unparsed": 50}, "undetermined", "nonsense follows nothing"),
        ({"unparsed": 40, "wrong": 10}, "undetermined", "mostly nonsense, too"),
        ({"failed": 50}, "undetermined", "nothing to go by"),
        ({"wrong": 40, "correct": 10, "failed": 500}, "follows", "failed ones are left out"),
    ],
)
def test_the_label(outcomes: dict[str, int], label: str, why: str) -> None:
    (point,) = measure_following(rows("f", **outcomes), {"f": 1.0}, 0.95)
    assert point.label == label, why


def test_no_flips_no_curve() -> None:
    assert measure_following(rows("f", correct=3), {"f": 0.0}, 0.95) == ()
    comparison = curve(1.0, "unrelated-labels")
    assert comparison.following == ()
    assert "follow the exemplars" not in render(comparison, "table")


def test_the_report_shows_the_curve() -> None:
    page = render(curve(1.0), "markdown")
    section = page.partition("Does it follow the exemplars?")[2]
    assert "follows the exemplars" in section
    assert [f for f in ("25.0", "75.0", "100.0") if f in section] == ["25.0", "75.0", "100.0"]


# --- the words ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "labels", "words"),
    [
        (1.0, ["falls", "falls"], "0.0 % solved, below chance (50 %)"),
        (0.0, ["undetermined", "undetermined"], "cannot be decided"),
        (0.3, ["falls", "falls"], "still above chance"),
    ],
)
def test_wrong_labels_never_help(q: float, labels: list[str], words: str) -> None:
    comparison = curve(q, "flipped-labels:fraction=0,0.75,1,unrelated-labels:set=foo-bar+letters")
    gains = [verdict.gain for verdict in comparison.verdicts]
    assert [gain.label for gain in gains[:2]] == labels
    assert words in comparison.verdicts[1].sentence
    assert {gain.label for gain in gains[2:]} <= {"better", "worse", "no_better", "undetermined"}
    for form in ("table", "markdown", "csv", "latex"):
        page = render(comparison, form)
        assert not re.search(r"\bhelps?\b|\bharms?\b", page.replace("no material help", "")), form
    variants = [variant.gain.label for v in comparison.verdicts for variant in v.variants]
    assert not {"helps", "some_help", "harms", "no_material_help"} & set(variants)


def test_a_fall_that_is_surely_small_keeps_the_prior() -> None:
    comparison = cotkit.compare(
        follower(0.0), "flipped-labels", "sentiment-mini", limit=60, margin=0.2
    )
    (verdict,) = comparison.verdicts
    assert verdict.gain.label == "keeps_prior"
    assert "keeps its prior (falls by less than 20 points)" in verdict.sentence
    (_, point) = comparison.following
    assert point.fall == 0
    assert point.fall_interval is not None
    assert point.fall_interval.high < 0.2


def test_the_fall_is_paired_and_the_number_of_exemplars_is_swept() -> None:
    comparison = curve(1.0, "flipped-labels:fraction=0,1,k=2,8")
    assert [(p.k, p.fraction, p.fall) for p in comparison.following] == [
        (2, 0, None),
        (2, 1, 1.0),
        (8, 0, None),
        (8, 1, 1.0),
    ]
    table = render(comparison, "markdown").partition("Does it follow the exemplars?")[2]
    assert "| k |" in table.partition("\n\n")[2].replace("  ", " ")


def test_several_sets_of_symbols_have_a_mean() -> None:
    comparison = curve(1.0, "unrelated-labels:set=foo-bar+letters+fruit+reversed")
    (mean,) = comparison.symbol_means
    assert [parse_spec(arm).params["set"] for arm in mean.arms] == ["foo-bar", "letters", "fruit"]
    assert (mean.n, mean.solve_rate, mean.gain) == (60, 1.0, 0.0)
    assert mean.interval.low < 0 < mean.interval.high
    assert "the mean over their sets" in render(comparison, "markdown")
    assert curve(1.0, "unrelated-labels").symbol_means == ()


def test_simulated_models_follow_flipped_labels_from_some_size_on() -> None:
    spec = ["flipped-labels:fraction=0+1", "unrelated-labels"]
    small, large = (
        cotkit.compare(f"simulated/{size}", spec, "sentiment-mini", limit=100)
        for size in ("100m", "300b")
    )
    assert [point.label for point in small.following] == [None, "keeps_prior"]
    assert [point.label for point in large.following] == [None, "follows"]
    assert small.cells[-1].solve_rate < 0.2
    assert large.cells[-1].solve_rate > 0.7


@pytest.mark.parametrize(
    ("arm", "labels", "words"),
    [
        (
            "flipped-labels",
            ["keeps_prior", "falls"],
            "follows its wrong labels at 100 B (-90.0 points",
        ),
        ("unrelated-labels", ["no_better", "worse"], "is solved worse than the labels themselves"),
    ],
)
def test_a_ladder_of_labels_says_who_follows(arm: str, labels: list[str], words: str) -> None:
    import numpy as np

    right, wrong = np.ones(400), np.repeat([0.0, 1.0], [360, 40])
    rungs = tuple(
        Rung(model=name, family="f", n_params=n) for name, n in (("s", 10**9), ("l", 10**11))
    )
    cells: dict[tuple[str, str], Cell] = {
        (rung.model, name): ArmOutcomes(
            correct=wrong if rung.model == "l" and name == arm else right
        )
        for rung in rungs
        for name in (arm, "flipped-labels:fraction=0")
    }
    grid = ResultGrid(bench="b", rungs=rungs, cells=cells, problem_ids=("",) * 400)
    question = ScaleQuestion(pairs=((arm, "flipped-labels:fraction=0"),), margin=0.05)
    (answer,) = analyse(grid, question, np.random.default_rng(0)).answers
    assert [point.label for point in answer.points] == labels
    assert words in answer.sentence
    assert not re.search(r"\bhelps?\b|\bharms?\b", answer.sentence)
