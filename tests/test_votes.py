"""Votes and rounds: who wins, what never votes, what is shared, and what each round did."""

from __future__ import annotations

import csv
import io
import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import cotkit
from cotkit.analysis.comparison import RunFacts
from cotkit.analysis.comparison import compare as compare_rows
from cotkit.analysis.samples import count_transitions, vote_curve
from cotkit.analysis.values import Comparison, Criteria, Transition, VoteCurve
from cotkit.errors import UsageError
from cotkit.report import FORMATS, RESULT_FORMATS, render
from cotkit.run import Plan, RunSpec, make_plan
from cotkit.scoring import score_attempt
from cotkit.scoring.readers import panel_of
from cotkit.store import AttemptRow, DraftRow
from cotkit.strategies.cot import Cot
from cotkit.strategies.self_consistency import SelfConsistency
from cotkit.types import (
    Attempt,
    BackendInfo,
    Completion,
    Exemplar,
    Outcome,
    Problem,
    Question,
    Reading,
    Request,
    StopReason,
)
from tests.conftest import Sums

EXEMPLARS = (Exemplar(question="1 plus 1?", rationale="1 + 1 = 2.", answer="2"),)
QUESTION = Question(id="q", text="How many?")
PROBLEM = Problem(question=QUESTION, gold="7")
SEVEN, EIGHT, NINE = (f"So. The answer is {n}." for n in (7, 8, 9))
NOTHING = "I cannot say."


def voted(*texts: str, end: StopReason = "stop") -> Attempt:
    drafts = tuple(Attempt(text=text, stop_reason=end) for text in texts)
    return Attempt(text=texts[0], stop_reason=end, drafts=drafts, is_vote=True)


# --- the vote -----------------------------------------------------------------------------------

VOTES: list[tuple[tuple[str, ...], str | None, str, Outcome, str]] = [
    ((SEVEN, SEVEN, EIGHT), "7", "vote 2/3", "correct", "a majority"),
    ((EIGHT, SEVEN, SEVEN), "7", "vote 2/3", "correct", "the first is not the commonest"),
    ((EIGHT, NINE, SEVEN, SEVEN), "7", "vote 2/4", "correct", "a plurality"),
    ((SEVEN, EIGHT), "7", "vote 1/2", "correct", "a tie: the first read"),
    ((EIGHT, SEVEN), "8", "vote 1/2", "wrong", "a tie: the first read, though wrong"),
    ((EIGHT, SEVEN, SEVEN, EIGHT), "8", "vote 2/4", "wrong", "a tie: not the first to have two"),
    ((NOTHING, NOTHING, SEVEN), "7", "vote 1/3", "correct", "what is unparsed has no vote"),
    ((NOTHING, EIGHT, SEVEN), "8", "vote 1/3", "wrong", "a tie: the first read, not the first"),
    (("The answer is 7.0.", EIGHT, "The answer is $7."), "7", "vote 2/3", "correct", "one value"),
    ((NOTHING, NOTHING), None, "none", "unparsed", "nothing to count"),
    ((SEVEN,), "7", "vote 1/1", "correct", "one sample"),
]


@pytest.mark.parametrize(("texts", "value", "rule", "outcome", "why"), VOTES)
def test_who_wins(
    texts: tuple[str, ...], value: str | None, rule: str, outcome: Outcome, why: str
) -> None:
    score = score_attempt(voted(*texts), PROBLEM)
    assert score.readings["flexible"] == Reading(value=value, rule=rule), why
    assert score.outcome == outcome
    assert score.correct_by["flexible"] == (outcome == "correct")


def test_every_reader_counts_its_own_readings() -> None:
    """Strict reads one sample only, and lm-eval's ``[invalid]`` is no candidate."""
    score = score_attempt(voted(NOTHING, "It is 8", "Perhaps 8", SEVEN, NOTHING), PROBLEM)
    assert score.readings["strict"] == Reading(value="7", rule="vote 1/5")
    assert score.readings["flexible"] == Reading(value="8", rule="vote 2/5")
    assert score.readings["lm-eval-strict"] == Reading(value="7", rule="vote 1/5")
    assert score.readings["lm-eval-flexible"] == Reading(value="8", rule="vote 2/5")
    assert score.correct_by["strict"]
    assert not score.correct_by["flexible"]
    assert set(score.readings) == set(panel_of("number", "flexible"))


def test_peers_count_the_strings_that_they_compare() -> None:
    """lm-eval takes 7.0 and 7 for two answers, ours for one."""
    score = score_attempt(voted("#### 8", "#### 7.0", "#### 7"), PROBLEM)
    assert score.readings["lm-eval-strict"] == Reading(value="8", rule="vote 1/3")
    assert score.readings["strict"] == Reading(value="7", rule="vote 2/3")


ENDS: list[tuple[tuple[tuple[str, StopReason], ...], Outcome]] = [
    (((NOTHING, "length"), (NOTHING, "length")), "truncated"),
    (((NOTHING, "length"), (NOTHING, "stop")), "unparsed"),
    ((("", "refusal"), ("", "refusal")), "refused"),
    ((("", "refusal"), (NOTHING, "length")), "unparsed"),
    ((("", "refusal"), (SEVEN, "stop")), "correct"),
    (((f"{SEVEN}\n", "length"), (NOTHING, "length")), "correct"),
]


@pytest.mark.parametrize(("samples", "outcome"), ENDS)
def test_a_vote_on_nothing_ended_as_all_its_samples_did(
    samples: tuple[tuple[str, StopReason], ...], outcome: Outcome
) -> None:
    drafts = tuple(Attempt(text=text, stop_reason=end) for text, end in samples)
    attempt = Attempt(text="", stop_reason=samples[0][1], drafts=drafts, is_vote=True)
    assert score_attempt(attempt, PROBLEM).outcome == outcome


def test_drafts_that_are_rounds_have_no_vote() -> None:
    attempt = replace(voted(SEVEN, SEVEN), text=EIGHT, is_vote=False)
    assert score_attempt(attempt, PROBLEM).readings["flexible"].value == "8"


def test_a_vote_without_samples_is_refused() -> None:
    with pytest.raises(UsageError, match="without samples"):
        score_attempt(Attempt(text="", stop_reason="stop", is_vote=True), PROBLEM)


# --- the strategy -------------------------------------------------------------------------------


def test_it_asks_what_cot_asks_k_times() -> None:
    settings = {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 3}
    flow = SelfConsistency(exemplars=EXEMPLARS, k=3, **settings).solve(QUESTION)  # pyright: ignore[reportArgumentType] - a table of keyword arguments has one value type
    asked = next(flow)
    single = next(Cot(exemplars=EXEMPLARS, **settings).solve(QUESTION))  # pyright: ignore[reportArgumentType] - as above
    assert isinstance(single, Request)
    assert asked == replace(single, samples=(0, 1, 2))
    texts = (EIGHT, SEVEN, SEVEN)
    with pytest.raises(StopIteration) as ended:
        flow.send(tuple(Completion(text=text, stop_reason="stop") for text in texts))
    assert ended.value.value == voted(*texts)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("self-consistency:k=0", "k is 0, must be 1 to 100"),
        ("self-consistency:k=101", "k is 101, must be 1 to 100"),
        ("self-consistency:k=five", "not of type int"),
        ("self-consistency:kk=5", "did you mean k"),
        ("self-consistency:temperature=0", "temperature is 0, must be above 0"),
        ("self-consistency:max_tokens=0", "max_tokens is 0"),
    ],
)
def test_bad_parameters_get_one_helpful_line(spec: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_plan(RunSpec(model="m", strategies=(spec,)), Sums())
    assert says in str(caught.value)


class Counting:
    """A backend that counts the samples it is asked for, and answers each in its own words."""

    info = BackendInfo(backend="counting", model="m", fingerprint="f")

    def __init__(self) -> None:
        self.samples: list[int] = []

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        self.samples += request.samples
        return tuple(
            Completion(text=f" The answer is {i}.", stop_reason="stop", n_generated_tokens=1)
            for i in request.samples
        )

    async def count_tokens(self, request: Request) -> int | None:
        return None

    async def close(self) -> None:
        pass


def test_the_sampled_cot_is_its_sample_0_and_smaller_votes_are_free() -> None:
    backend, n = Counting(), 6
    found = cotkit.compare(
        backend,
        ["self-consistency:k=5", "self-consistency:k=3"],
        Sums(n=n),
        baseline="cot:temperature=0.7",
        limit="all",
    )
    assert sorted(backend.samples) == sorted([0, 1, 2, 3, 4] * n)
    tokens = {cell.arm: cell.generated_tokens for cell in found.cells}
    assert tokens["self-consistency:k=5"] == 5  # shared ones are paid for by each arm


# --- maj@k --------------------------------------------------------------------------------------


def row(marks: str, *, is_vote: bool = True, last: str = "", i: int = 0) -> AttemptRow:
    """A row whose drafts read a letter each: A is right, a dot is unreadable."""
    drafts = tuple(_draft(mark) for mark in marks)
    final = _draft(last or "A")
    return AttemptRow(
        arm="arm",
        problem_id=f"p{i}",
        outcome=final.outcome,
        gold="A",
        readings=final.readings,
        correct_by=final.correct_by,
        drafts=drafts,
        is_vote=is_vote,
    )


def _draft(mark: str) -> DraftRow:
    value = None if mark == "." else mark
    outcome: Outcome = {"A": "correct", ".": "unparsed"}.get(mark, "wrong")  # pyright: ignore[reportAssignmentType] - a table
    return DraftRow(
        text=mark,
        outcome=outcome,
        readings={"flexible": Reading(value=value, rule="r")},
        correct_by={"flexible": mark == "A"},
    )


def winner(marks: Sequence[str]) -> str | None:
    """By the definition, of marks in the order of their samples."""
    candidates = [mark for mark in marks if mark != "."]
    return max(candidates, key=lambda m: (candidates.count(m), -candidates.index(m)), default=None)


def brute_force(sets: Sequence[str]) -> list[float]:
    k = len(sets[0])
    rates: list[float] = []
    for j in range(1, k + 1):
        windows = [
            [marks[i] for i in sorted((start + step) % k for step in range(j))]
            for marks in sets
            for start in range(k)
        ]
        rates.append(sum(winner(window) == "A" for window in windows) / len(windows))
    return rates


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 8, 13])
def test_maj_at_k_is_its_definition(k: int) -> None:
    rng = random.Random(k)
    sets = ["".join(rng.choices("AABC.", k=k)) for _ in range(60)]
    curve = vote_curve([row(marks, i=i) for i, marks in enumerate(sets)], "flexible")
    assert curve is not None
    assert curve.n == 60
    assert curve.rates == pytest.approx(brute_force(sets))


def test_maj_at_k_by_hand() -> None:
    """ABA: one right in 2/3 of the samples; pairs AB, BA, AA: the first read wins: A, B, A."""
    assert vote_curve([row("ABA")], "flexible") == VoteCurve(
        arm="arm", rates=(2 / 3, 2 / 3, 1.0), n=1
    )
    assert vote_curve([row("..A")], "flexible") == VoteCurve(
        arm="arm", rates=(1 / 3, 2 / 3, 1.0), n=1
    )


def test_failed_rows_and_rounds_have_no_curve() -> None:
    failed = AttemptRow(arm="arm", problem_id="p", outcome="failed")
    assert vote_curve([failed, row("AB", is_vote=False)], "flexible") is None
    curve = vote_curve([failed, row("AB", i=1)], "flexible")
    assert curve is not None
    assert curve.n == 1


# --- what voting is worth, on a model whose truth is known ---------------------------------------


def majority_of_five(p: float) -> float:
    return sum(math.comb(5, i) * p**i * (1 - p) ** (5 - i) for i in (3, 4, 5))


@pytest.mark.parametrize(("p", "is_better"), [(0.7, True), (0.3, False)])
def test_voting_sharpens_what_the_samples_mostly_say(p: float, is_better: bool) -> None:
    """Every wrong answer of the simulated model is the same one: a vote of two candidates."""
    found = cotkit.compare(
        "simulated/7b",
        "self-consistency",
        Sums(n=250),
        limit="all",
        model_args={"reasoning": str(p)},
    )
    (verdict,) = found.verdicts
    assert (verdict.gain.arm, verdict.gain.control) == ("self-consistency", "cot")
    interval = verdict.gain.interval
    assert interval.low > 0 if is_better else interval.high < 0
    (curve,) = found.votes
    vote = next(cell for cell in found.cells if cell.arm == "self-consistency")
    assert curve.rates[-1] == pytest.approx(vote.solve_rate)
    assert curve.rates[0] == pytest.approx(p, abs=0.05)
    assert vote.solve_rate == pytest.approx(majority_of_five(p), abs=0.08)  # three standard errors


# --- rounds -------------------------------------------------------------------------------------


def test_transitions_by_hand() -> None:
    """Drafts, then the final answer: two problems stop after one round, one was never revised."""
    rows = [
        row("A", last="A", is_vote=False, i=0),
        row("A", last="B", is_vote=False, i=1),
        row("BA", last="A", is_vote=False, i=2),
        row("A.", last="A", is_vote=False, i=3),
        row("BB", last="C", is_vote=False, i=4),
        row("", last="A", is_vote=False, i=5),
        AttemptRow(arm="arm", problem_id="p6", outcome="failed"),
    ]
    assert count_transitions(rows) == (
        Transition(
            arm="arm", step="draft to round 1", n=5, fixed=1, broken=2, kept_right=1, kept_wrong=1
        ),
        Transition(
            arm="arm", step="round 1 to round 2", n=3, fixed=1, broken=0, kept_right=1, kept_wrong=1
        ),
    )


def test_samples_of_a_vote_are_no_rounds() -> None:
    assert count_transitions([row("AB")]) == ()


# --- the same-cost control ----------------------------------------------------------------------

REVISING = '''
"""Ask, then ask again."""
from dataclasses import dataclass, replace
from typing import ClassVar
from cotkit.strategies._base import DecodingStrategy, one_turn
from cotkit.strategies.cot import Cot
from cotkit.types import Attempt, Exemplar, Flow, Message, Question


@dataclass(frozen=True, kw_only=True)
class Revising(DecodingStrategy):
    control: ClassVar[str] = "cot"
    reasons: ClassVar[bool] = True
    exemplars: tuple[Exemplar, ...]
    max_tokens: int = 256
    rounds: int = 1

    def same_cost(self) -> str | None:
        return f"self-consistency:k={1 + self.rounds}" if self.rounds else None

    def solve(self, question: Question) -> Flow:
        request = next(Cot(exemplars=self.exemplars).solve(question))
        answers = [(yield request)[0]]
        for _ in range(self.rounds):
            said = Message(role="assistant", content=answers[-1].text)
            again = Message(role="user", content="Again.")
            request = replace(request, messages=(*request.messages, said, again))
            answers.append((yield request)[0])
        *drafts, last = [Attempt(text=a.text, stop_reason=a.stop_reason) for a in answers]
        return replace(last, drafts=tuple(drafts))
'''


@pytest.fixture
def revising(tmp_path: Path) -> str:
    (tmp_path / "revising.py").write_text(REVISING)
    return "revising.py"


def plan(*strategies: str, **changed: object) -> Plan:
    return make_plan(replace(RunSpec(model="m", strategies=strategies), **changed), Sums())


def test_the_same_cost_control_is_a_second_pair(revising: str) -> None:
    two = f"{revising}:rounds=2"
    found = plan(revising, two, "cot")
    assert found.pairs == (
        (revising, "cot"),
        (revising, "self-consistency:k=2"),
        (two, "cot"),
        (two, "self-consistency:k=3"),
        ("cot", "few-shot"),
    )
    names = [arm.name for arm in found.arms]
    assert names == [
        "cot",
        "few-shot",
        revising,
        two,
        "self-consistency:k=2",
        "self-consistency:k=3",
    ]


def test_a_same_cost_control_that_was_asked_for_is_one_arm(revising: str) -> None:
    found = plan(revising, "self-consistency:k=2")
    assert [arm.name for arm in found.arms].count("self-consistency:k=2") == 1
    assert found.pairs[-1] == ("self-consistency:k=2", "cot")


@pytest.mark.parametrize(
    ("spec", "changed"),
    [("revising.py:rounds=0", {}), ("revising.py", {"baseline": "few-shot"})],
    ids=["none named", "baseline given"],
)
def test_no_same_cost_control(revising: str, spec: str, changed: dict[str, object]) -> None:
    assert len(plan(spec, **changed).pairs) == 1


def test_a_greedy_run_still_samples_its_same_cost_control(revising: str) -> None:
    arms = {arm.name: arm for arm in plan(revising, generation={"temperature": "0"}).arms}
    assert getattr(arms["self-consistency:k=2"].strategy, "temperature", None) == 0.7
    arms = {arm.name: arm for arm in plan(revising, generation={"temperature": "0.3"}).arms}
    assert getattr(arms["self-consistency:k=2"].strategy, "temperature", None) == 0.3


def test_both_gains_are_one_family_and_told_apart(revising: str) -> None:
    found = cotkit.compare("simulated/70b", revising, "gsm-mini", limit=20)
    assert cotkit.compare("simulated/70b", revising, "gsm-mini", limit=20) == found  # as stored
    gains = [verdict.gain for verdict in found.verdicts]
    assert [(g.arm, g.control) for g in gains] == [
        (revising, "cot"),
        (revising, "self-consistency:k=2"),
    ]
    assert {round(g.interval.level, 6) for g in gains} == {round(0.95**0.5, 6)}
    assert all(g.control in v.sentence for g, v in zip(gains, found.verdicts, strict=True))
    page = json.loads(render(found, "json"))
    told = {(record["arm"], record["control"], record["variant"]) for record in page["variants"]}
    assert len(told) == len(page["variants"])
    assert [*page["gains"][0]][:2] == ["arm", "control"]
    terminal = render(found, "table", width=60).partition("Gain over the control")[2]
    assert "self-consistency:k=2" in terminal.partition("better")[0], "beside the arm"


# --- reports ------------------------------------------------------------------------------------


def both() -> Comparison:
    rows = [row("AAB", i=0), row("ABB", last="B", i=1)]
    rounds = [replace(row("B", is_vote=False, i=i), arm="review") for i in (0, 1)]
    facts = RunFacts(
        run_id="0123456789ab",
        model="toy",
        n_params=None,
        bench="toy",
        bench_version="1",
        n_problems=2,
        n_total=2,
    )
    return compare_rows(
        [*rows, *rounds], [("review", "arm")], facts, (), Criteria(reader="flexible", margin=0.02)
    )


def test_the_tables_hold_every_number() -> None:
    page = json.loads(render(both(), "json"))
    assert page["transitions"] == [
        {
            "arm": "review",
            "step": "draft to round 1",
            "n": 2,
            "fixed": 2,
            "broken": 0,
            "kept_right": 0,
            "kept_wrong": 0,
        }
    ]
    assert [record["n_samples"] for record in page["votes"]] == [1, 2, 3]
    assert [record["solve_rate"] for record in page["votes"]] == pytest.approx(
        [1 / 2, 5 / 6, 1 / 2]
    )
    records = list(csv.DictReader(io.StringIO(render(both(), "csv"))))
    assert [r["n_samples"] for r in records if r["section"] == "votes"] == ["1", "2", "3"]


@pytest.mark.parametrize("form", sorted({*FORMATS} - {*RESULT_FORMATS}))  # it has no such tables
def test_a_table_without_rows_is_not_there(form: str) -> None:
    titles = {"What correction did", "What more samples bring", '"votes"', "transitions"}
    page = render(both(), form)
    assert any(title in page for title in titles)
    bare = render(replace(both(), transitions=(), votes=()), form)
    assert not any(title in bare for title in titles)
