"""Likelihood requests: which request follows an attempt, and what a run makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

import cotkit
from cotkit.errors import BackendError, PromptTooLongError, TransientError, UsageError
from cotkit.events import RunEnded
from cotkit.protocols import Strategy
from cotkit.run import RunSpec, make_plan
from cotkit.run.likelihood import chain_text, make_likelihood_request
from cotkit.store import Store
from cotkit.strategies.cot import Cot
from cotkit.strategies.few_shot import FewShot
from cotkit.strategies.self_consistency import SelfConsistency
from cotkit.strategies.standard import Standard
from cotkit.strategies.zero_shot_cot import ZeroShotCot
from cotkit.types import (
    AnswerKind,
    Attempt,
    BackendInfo,
    Completion,
    Decoding,
    Exemplar,
    Message,
    Problem,
    Question,
    Request,
)
from cotkit.workflows.compare import run_spec
from cotkit.workflows.plan import plan_spec
from tests.conftest import Sums

SHOWN = (Exemplar(question="Which is red?", rationale="It grows in fields.", answer="poppy"),)
QUESTION = Question(id="q", text="Which fruit is yellow?", answer_kind="text")
FRUIT = ("banana", "plum", "cherry pie")
SAMPLED = Decoding(max_tokens=9)


def solved(strategy: Strategy, *texts: str) -> tuple[Attempt, Request, Completion]:
    """A flow answered with these texts, the last one as often as asked: its end, its last turn."""
    flow, said = strategy.solve(QUESTION), list(texts)
    turns: list[tuple[Request, Completion]] = []
    try:
        step = next(flow)
        while True:
            assert isinstance(step, Request)
            answer = Completion(text=said.pop(0) if len(said) > 1 else said[0], stop_reason="stop")
            turns.append((step, answer))
            step = flow.send((answer,) * len(step.samples))
    except StopIteration as ended:
        return ended.value, *turns[-1]


def asked_after(strategy: Strategy, *texts: str) -> str | None:
    """The whole raw text that the options follow."""
    attempt, last, said = solved(strategy, *texts)
    found = make_likelihood_request(attempt, last, said, FRUIT, reasons=strategy.reasons)
    return found and "".join(message.content for message in found.messages)


FEW = cast("Strategy", FewShot(exemplars=SHOWN))
COT = cast("Strategy", Cot(exemplars=SHOWN))
VOTE = cast("Strategy", SelfConsistency(exemplars=SHOWN, k=2))
TWO_TURNS = cast("Strategy", ZeroShotCot())


@pytest.mark.parametrize(
    ("strategy", "texts", "ends", "why"),
    [
        (FEW, [" The answer is plum."], "\nA: The answer is", "as the exemplars end"),
        (FEW, [" plum"], "\nA: The answer is", "no cue was spoken: it is put there"),
        (FEW, ["It is a plum. The answer is plum."], "\nA: The answer is", "an answer-only arm"),
        (COT, [" It bends. The answer is plum."], "\nA: It bends. The answer is", "its reasoning"),
        (COT, [" So the answer is plum."], "\nA: So the answer is", "the cue as it spoke it"),
        (COT, [" It bends and"], "\nA: It bends and The answer is", "cut off before its cue"),
        (COT, [" The answer is a. The answer is b."], "a. The answer is", "the last cue counts"),
        (FEW, [" ...... The answer is plum."], "\nA: ...... The answer is", "filler is no word"),
        (Standard(), [" plum."], "\nA: The answer is", "the prompt itself ends in the cue"),
        (
            TWO_TURNS,
            [" It bends.", " plum."],
            " It bends.\nTherefore, the answer is",
            "the extraction turn ends in the cue",
        ),
    ],
)
def test_the_options_follow_the_cue(
    strategy: Strategy, texts: list[str], ends: str, why: str
) -> None:
    asked = asked_after(strategy, *texts)
    assert asked is not None
    assert asked.endswith(ends), why
    assert asked.startswith("Answer the question."), "the attempt's own prompt"


def test_what_is_asked() -> None:
    attempt, last, said = solved(FEW, " The answer is plum.")
    found = make_likelihood_request(attempt, last, said, FRUIT, reasons=False)
    assert found is not None
    assert found.options == (" banana", " plum", " cherry pie")
    assert found.samples == (0, 1, 2)
    assert found.messages == (*last.messages, Message(role="assistant", content=" The answer is"))
    assert found.decoding == Decoding(max_tokens=1), "two arms that differ in decoding share it"


def test_what_the_assistant_has_begun_is_continued() -> None:
    turns = (Message(role="user", content="Q"), Message(role="assistant", content="Let me see:"))
    asked = Request(messages=turns, decoding=SAMPLED)
    said = Completion(text=" it bends. The answer is plum", stop_reason="stop")
    attempt = Attempt(text=said.text, stop_reason="stop")
    found = make_likelihood_request(attempt, asked, said, FRUIT, reasons=True)
    assert found is not None
    assert found.messages == (
        turns[0],
        Message(role="assistant", content="Let me see: it bends. The answer is"),
    )


@pytest.mark.parametrize(
    ("attempt", "said", "options", "why"),
    [
        ({}, {}, (), "nothing to score"),
        ({"is_vote": True}, {}, FRUIT, "a vote is no one text"),
        ({}, {"stop_reason": "refusal"}, FRUIT, "a refusal"),
        ({}, {"reasoning": "hm"}, FRUIT, "reasoning kept apart cannot be said again"),
        ({"text": "The answer is 7."}, {"text": "print(7)"}, FRUIT, "a program's output"),
        ({"text": "another round"}, {}, FRUIT, "not the words of the last completion"),
        ({"text": "So: The answer is x."}, {"text": "x."}, FRUIT, "words of nobody"),
    ],
)
def test_where_no_answer_began(
    attempt: dict[str, object], said: dict[str, object], options: tuple[str, ...], why: str
) -> None:
    asked = Request(messages=(Message(role="user", content="Q"),), decoding=SAMPLED)
    one = Completion(text=" The answer is x.", stop_reason="stop")
    tried = Attempt(text=one.text, stop_reason="stop")
    changed = replace(tried, **attempt), replace(one, **said)  # pyright: ignore[reportArgumentType] - a table of fields
    assert make_likelihood_request(changed[0], asked, changed[1], options, reasons=True) is None, (
        why
    )
    assert make_likelihood_request(tried, asked, one, FRUIT, reasons=True) is not None


def test_a_vote_and_a_strategy_that_scores_options_get_no_likelihood_request() -> None:
    assert asked_after(VOTE, " The answer is plum.") is None
    attempt, last, said = solved(FEW, " The answer is plum.")
    assert (
        make_likelihood_request(attempt, replace(last, options=FRUIT), said, FRUIT, reasons=False)
        is None
    )


def test_the_text_that_holds_the_reasoning() -> None:
    attempt, last, _ = solved(TWO_TURNS, " 1 + 1 = 2.", " 2.")
    assert chain_text(attempt, last) == " 1 + 1 = 2.\nThe answer is 2."
    attempt, last, _ = solved(COT, " 1 + 1 = 2. The answer is 2.")
    assert chain_text(attempt, last) == attempt.text


# --- runs


@dataclass(frozen=True, kw_only=True)
class Fruit:
    """Six items with options beside what is written."""

    name: str = "fruit"
    version: str = "1"
    answer_kind: AnswerKind = "text"

    def problems(self) -> Sequence[Problem]:
        return [
            Problem(
                question=replace(QUESTION, id=f"fruit/{i}", text=f"Which fruit is number {i}?"),
                gold="banana",
                options=FRUIT,
            )
            for i in range(6)
        ]

    def exemplar_pool(self) -> Sequence[Problem]:
        return ()


@dataclass
class ScoringBackend:
    """Writes ``plum``; scores an option by its length, or raises what is in ``fails``."""

    can: bool = True
    fails: list[Exception] = field(default_factory=list[Exception])
    logprob: float | None = None
    written: list[Request] = field(default_factory=list[Request])
    scored: list[Request] = field(default_factory=list[Request])

    @property
    def info(self) -> BackendInfo:
        extra = {"loglikelihood"} if self.can else set[str]()
        return BackendInfo(
            backend="scoring",
            model="m",
            fingerprint="f",
            capabilities=frozenset({"generate", *extra}),  # pyright: ignore[reportArgumentType] - a set of literals
        )

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        self.written.append(request)
        done = Completion(
            text=" plum.", stop_reason="stop", n_prompt_tokens=10, n_generated_tokens=2
        )
        return (done,) * len(request.samples)

    async def loglikelihood(self, request: Request) -> tuple[Completion, ...]:
        self.scored.append(request)
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails.pop()
        return tuple(
            Completion(
                text=option,
                stop_reason="stop",
                n_prompt_tokens=10,
                n_generated_tokens=len(option.split()),
                logprob=-float(len(option)) if self.logprob is None else self.logprob,
            )
            for option in request.options
        )

    async def count_tokens(self, request: Request) -> int | None:
        return None

    async def close(self) -> None:
        pass


SPEC = RunSpec(model="m", strategies=("standard",), limit="all")


def run(backend: ScoringBackend, tmp_path: Path, spec: RunSpec = SPEC) -> cotkit.Comparison:
    bench = Sums(n=6) if spec.likelihood else Fruit()
    return run_spec(spec, bench, log_dir=tmp_path, backend=backend)


def test_one_run_shows_what_is_written_and_what_is_scored(tmp_path: Path) -> None:
    backend = ScoringBackend()
    found = run(backend, tmp_path)
    means = {one.metric: one.means[0].mean for one in found.metrics}
    assert means["exact_match"] == 0
    assert means["multiple_choice_grade"] == 0, "plum is shorter than banana"
    assert means["gold_log_prob"] == -7
    assert means["gold_log_prob_per_token"] == -7
    assert {"brier", "brier_per_option", "confidence", "expected_calibration_error"} <= set(means)
    assert not any("options were not scored" in note for note in found.notes)
    assert len(backend.written) == len(backend.scored) == 6


def test_likelihood_requests_cost_the_arm_nothing_and_are_no_turns(tmp_path: Path) -> None:
    found = run(ScoringBackend(), tmp_path)
    assert (found.cells[0].prompt_tokens, found.cells[0].generated_tokens) == (10, 2)
    with Store(tmp_path / "cotkit.db") as store:
        (row, *_) = store.attempts(found.run_id)
        assert row.n_calls == 1
        (turn,) = store.turns(found.run_id, row.arm, row.problem_id)
    again = make_likelihood_request(
        Attempt(text=row.text, stop_reason="stop"),
        turn.request,
        turn.completions[0],
        FRUIT,
        reasons=False,
    )
    backend = ScoringBackend()
    run(backend, tmp_path)
    assert again is not None
    assert again.options == (" banana", " plum", " cherry pie"), "found again from what is stored"


def test_a_finished_run_scores_nothing_again(tmp_path: Path) -> None:
    first = run(ScoringBackend(), tmp_path)
    again = ScoringBackend()
    assert run(again, tmp_path) == first
    assert run(again, tmp_path, replace(SPEC, margin=0.1)).metrics == first.metrics
    assert again.scored == again.written == []


def test_a_likelihood_request_that_fails_is_made_again_on_resume(tmp_path: Path) -> None:
    backend = ScoringBackend(fails=[TransientError("busy")])
    assert run(backend, tmp_path).cells[0].outcomes["failed"] == 1
    again = ScoringBackend()
    assert run(again, tmp_path).cells[0].outcomes["failed"] == 0
    assert (len(again.written), len(again.scored)) == (0, 1)


def test_options_stored_in_part_are_completed(tmp_path: Path) -> None:
    run(ScoringBackend(), tmp_path)
    import sqlite3

    with sqlite3.connect(tmp_path / "cotkit.db") as db:
        db.execute("DELETE FROM completion WHERE sample = 1")
        db.execute("DELETE FROM attempt")
        db.execute("DELETE FROM run")
    again = ScoringBackend()
    found = run(again, tmp_path)
    assert {request.samples for request in again.scored} == {(1,)}
    assert next(one for one in found.metrics if one.metric == "gold_log_prob").means[0].mean == -7


def test_an_attempt_counts_if_its_likelihood_request_does_not_fit(tmp_path: Path) -> None:
    found = run(ScoringBackend(fails=[PromptTooLongError("too long")]), tmp_path)
    n = {one.metric: one.means[0].n for one in found.metrics}
    assert (n["exact_match"], n["brier"]) == (6, 5)


@pytest.mark.parametrize("logprob", [float("nan"), 0.5, float("-inf")])
def test_a_log_probability_that_is_none_ends_the_run_in_one_line(
    tmp_path: Path, logprob: float
) -> None:
    with pytest.raises(BackendError, match="m gave ' banana' the log-probability"):
        run(ScoringBackend(logprob=logprob), tmp_path)


def test_a_model_that_cannot_score_options_is_noted_once(tmp_path: Path) -> None:
    backend = ScoringBackend(can=False)
    found = run(backend, tmp_path)
    assert backend.scored == []
    (note,) = (note for note in found.notes if "options were not scored" in note)
    assert note == (
        "the options were not scored: m does not give the log-probability of given answers"
    )


def test_numbers_are_scored_only_with_likelihood(tmp_path: Path) -> None:
    backend = ScoringBackend()
    cotkit.compare(backend, "standard", Sums(n=6), limit="all", log_dir=tmp_path)
    assert backend.scored == []
    spec = replace(SPEC, likelihood=True)
    found = run(backend, tmp_path, spec)
    assert {request.options for request in backend.scored} == {(f" {i + i * i}",) for i in range(6)}
    assert "gold_log_prob" in {one.metric for one in found.metrics}
    with pytest.raises(UsageError, match="cannot score given answers"):
        run(ScoringBackend(can=False), tmp_path, spec)


def test_a_plan_says_what_comes_on_top(tmp_path: Path) -> None:
    for backend, n in ((ScoringBackend(), 18), (ScoringBackend(can=False), 0)):
        assert plan_spec(SPEC, Fruit(), log_dir=tmp_path, backend=backend).n_weighed == n
        assert backend.scored == backend.written == []
    assert make_plan(SPEC, Fruit()).run_id(ScoringBackend().info) != make_plan(
        replace(SPEC, likelihood=True), Fruit()
    ).run_id(ScoringBackend().info)


def test_the_store_holds_more_than_the_attempts_completions(tmp_path: Path) -> None:
    seen: list[object] = []
    run_spec(SPEC, Fruit(), log_dir=tmp_path, backend=ScoringBackend(), emit=seen.append)
    (ended,) = (event for event in seen if isinstance(event, RunEnded))
    assert ended.n_generated == 6 + 18
