"""Every strategy on a simulated model: what it asks, what it costs, and its very words."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

import cotkit
from cotkit.backends.simulated import Simulated
from cotkit.benchmarks import load_benchmark
from cotkit.errors import UsageError
from cotkit.prompting import read_exemplars
from cotkit.registry import construct, entries, parse_spec
from cotkit.run.plan import SameCost
from cotkit.store import AttemptRow, Store
from cotkit.strategies._samples import answer_words, read_number
from cotkit.strategies.adaptive_self_consistency import AdaptiveSelfConsistency, lead_probability
from cotkit.strategies.contrastive_cot import ContrastiveCot
from cotkit.strategies.scratchpad import work_out
from cotkit.types import Attempt, Completion, Exemplar, Flow
from tests.test_prompts import AWKWARD, EXEMPLARS, asked, flow

GOLDEN = Path(__file__).parent / "cases" / "strategies.golden.txt"
LABELS = ("flipped-labels", "unrelated-labels")
CALLS: Mapping[str, int] = {
    "adaptive-self-consistency:k=10": 4,  # four alike decide it
    "analogical": 2,
    "answer-first": 1,
    "best-of-n": 10,
    "best-of-n:n=2": 4,
    "chain-of-verification": 6,
    "contrastive-cot": 1,
    "cot": 1,
    "cot-shuffled": 1,
    "debate": 9,
    "debate:agents=2,rounds=1": 4,
    "draft": 1,
    "english-cot": 2,
    "equation-only": 1,
    "few-shot": 1,
    "filler": 1,
    "least-to-most": 4,
    "native-cot": 2,
    "native-cot:language=sw": 2,
    "oracle-review": 1,
    "plan-and-solve": 2,
    "program-aided": 1,
    "q-if": 1,
    "q-if-cot": 2,
    "reflexion": 2,  # its verdict is correct at once
    "scratchpad": 1,
    "self-ask": 1,
    "self-consistency": 5,
    "self-correct": 1,
    "self-refine": 2,
    "self-review": 3,
    "skeleton-of-thought": 6,
    "skeleton-of-thought:points=3": 5,
    "standard": 1,
    "step-back": 2,
    "think-budget": 1,
    "think-more": 1,
    "tree-of-thoughts": 19,
    "tree-of-thoughts:breadth=1,depth=3,proposals=2": 13,
    "universal-self-consistency": 6,
    "zero-shot-cot": 2,
    "zero-shot-self-consistency": 10,
}
"""Arm -> completions of one problem, on a simulated model that solves everything."""

ENDS_EARLY = {"adaptive-self-consistency", "reflexion", "self-refine"}
"""Strategies whose own verdict can save calls that their same-cost control pays for."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[AttemptRow]]:
    """Attempts of every strategy and control, of one run; those of labels have their own tests."""
    place = tmp_path_factory.mktemp("logs")
    comparison = cotkit.compare(
        "simulated/70b",
        list(CALLS),
        bench="gsm-mini",
        limit=1,
        log_dir=place,
        model_args={"reasoning": "1", "direct": "1"},
        run_unsafe_code=True,
    )
    by_arm: dict[str, list[AttemptRow]] = {}
    with Store(place / "cotkit.db") as store:
        for row in store.attempts(comparison.run_id):
            by_arm.setdefault(row.arm, []).append(row)
    return by_arm


def test_every_strategy_is_counted() -> None:
    names = {parse_spec(arm).name for arm in CALLS}
    assert names | set(LABELS) == {entry.name for entry in entries("strategy")}


@pytest.mark.parametrize("arm", CALLS)
def test_a_strategy_asks_as_often_as_it_should(arm: str, rows: dict[str, list[AttemptRow]]) -> None:
    name = str(parse_spec(arm))
    own = rows[name]
    assert [(row.outcome, row.n_calls) for row in own] == [("correct", CALLS[arm])]
    strategy = construct("strategy", parse_spec(arm), exemplars=read_exemplars(8))
    if not isinstance(strategy, SameCost) or (control := strategy.same_cost()) is None:
        return
    spent = rows[control.removesuffix(":k=5")]  # of two spellings the first is the arm
    if parse_spec(arm).name == "tree-of-thoughts":
        assert _most_tokens(strategy) <= _most_tokens(
            construct("strategy", parse_spec(control), exemplars=read_exemplars(8))
        )
    elif parse_spec(arm).name in ENDS_EARLY:
        assert spent[0].n_calls > CALLS[arm]
    else:
        assert CALLS[arm] <= spent[0].n_calls <= CALLS[arm] + 1


def _most_tokens(strategy: object) -> int:
    """Return the sum of the limits of all completions of one problem."""
    problem = load_benchmark(parse_spec("gsm-mini")).problems()[0]
    model = Simulated(problems=[problem], model="70b")
    running: Flow = strategy.solve(problem.question)  # pyright: ignore[reportAttributeAccessIssue]
    total, step = 0, next(running)
    try:
        while True:
            request = asked(step)
            total += request.decoding.max_tokens * len(request.samples)
            step = running.send(asyncio.run(model.generate(request)))
    except StopIteration:
        return total


# Word by word: what each strategy says, with replies that fit every turn.

REPLY = " 1. First part?\n2. Second part?\nThe answer is 7.\nScore: 6\nChoice: 2\nVERDICT: wrong\n"
NEW = (
    *("scratchpad", "self-ask", "step-back", "analogical", "contrastive-cot"),
    *("chain-of-verification", "universal-self-consistency:k=2", "debate:agents=2,rounds=1"),
    "best-of-n:n=2",
    *("skeleton-of-thought:points=2", "reflexion:rounds=1", "english-cot"),
    *("native-cot:language=de", "tree-of-thoughts:breadth=1,depth=1,proposals=2"),
)


def conversation(spec: str) -> str:
    """Write every message of a flow; what was sent before is not written again."""
    running, lines, sent = flow(spec), [f"######## {spec}"], ""
    step = asked(next(running))
    try:
        while True:
            text = "".join(f"<{m.role}>{m.content}" for m in step.messages)
            lines.append(f"---- {step.decoding.max_tokens} tokens, samples {step.samples}")
            lines.append(text.removeprefix(sent))
            sent = text
            replies = tuple(Completion(text=REPLY, stop_reason="stop") for _ in step.samples)
            step = asked(running.send(replies))
    except StopIteration:
        return "\n".join(lines) + "\n"


def test_the_words_of_new_strategies() -> None:
    text = "\n".join(map(conversation, NEW))
    if os.environ.get("COTKIT_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["english-cot", "native-cot"])
def test_a_language_pair_differs_in_its_own_words_only(name: str) -> None:
    german = replace(AWKWARD, language="de")
    first = asked(next(flow(name, german))).messages[0].content
    assert ("Denken wir" in first) is (name == "native-cot")
    assert ("in English" in first) is (name == "english-cot")


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(UsageError, match="language"):
        flow("native-cot:language=xx")


# Pieces that decide something.


@pytest.mark.parametrize(
    ("equation", "lines"),
    [
        ("29 + 57 = 86", ["29 + 57", "9 + 7 + 0 = 16, write 6, carry 1: 6"]),
        ("999 + 1 = 1000", ["999 + 1", "9 + 1 + 0 = 10, write 0, carry 1: 0"]),
        ("1,500 + 20 = 1,520", ["1500 + 20", "0 + 0 + 0 = 0, write 0, carry 0: 0"]),
        ("6 * 4 = 24", ["6 * 4 = 24"]),
        ("2 + 3 + 4 = 9", ["2 + 3 + 4 = 9"]),
        ("1.5 + 2 = 3.5", ["1.5 + 2 = 3.5"]),
    ],
)
def test_a_scratchpad_writes_the_columns_of_sums(equation: str, lines: list[str]) -> None:
    pad = work_out(equation).splitlines()
    assert pad[: len(lines)] == lines
    if len(pad) > 1:
        total = equation.rpartition("= ")[2].replace(",", "")
        assert pad[-1] == f"sum: {total}"


def test_a_wrong_chain_is_never_right() -> None:
    choices = tuple(
        Exemplar(question=f"Q{x}", rationale="It fits.", answer=x) for x in ("(A)", "(A)", "(B)")
    )
    for exemplars in (EXEMPLARS, choices):
        for contrast in ContrastiveCot(exemplars=exemplars)._contrasts():
            assert contrast.wrong.answer != contrast.sound.answer
            assert contrast.wrong.question == contrast.sound.question
    with pytest.raises(ValueError, match="no wrong chain"):
        ContrastiveCot(exemplars=choices[:2])


def test_the_lead_of_an_answer_is_a_beta_tail() -> None:
    assert lead_probability(0, 0) == 0.5
    assert lead_probability(4, 0) == float(1 - Fraction(1, 32))
    assert lead_probability(3, 3) == 0.5
    assert lead_probability(5, 1) == pytest.approx(0.9375)  # scipy: beta.sf(0.5, 6, 2)


@pytest.mark.parametrize(
    ("replies", "n_drawn"),
    [
        ([" The answer is 7."] * 10, 4),
        ([" The answer is 1,000.", " The answer is $1000.", "The answer is **1000**."] * 3, 4),
        ([" The answer is 7.", " The answer is 8."] * 5, 10),
        ([" I do not know."] * 10, 10),
    ],
)
def test_adaptive_sampling_stops_when_its_leader_will_stay(
    replies: list[str], n_drawn: int
) -> None:
    running = AdaptiveSelfConsistency(exemplars=EXEMPLARS).solve(AWKWARD)
    step, drawn = next(running), list[int]()
    attempt: Attempt | None = None
    while attempt is None:
        request = asked(step)
        drawn += request.samples
        try:
            text = replies[request.samples[0]]
            step = running.send((Completion(text=text, stop_reason="stop"),))
        except StopIteration as ended:
            attempt = ended.value
    assert drawn == list(range(n_drawn))
    assert attempt.is_vote
    assert [draft.text for draft in attempt.drafts] == replies[:n_drawn]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (" 3", 3),
        ("\nThey agree on 4.\nChoice: 2.", 2),
        ("**2**", 2),
        (" Answer 2", None),
        (" 3\nChoice: 1", 3),
        (" 9", None),
        (" 12", None),
        ("", None),
    ],
)
def test_a_choice_is_read_from_its_line(text: str, number: int | None) -> None:
    reply = Completion(text=text, stop_reason="stop")
    assert read_number("Choice", reply, 4) == number
    is_cut_within = text.endswith(("3", "2"))
    cut_number = None if is_cut_within else number
    assert read_number("Choice", replace(reply, stop_reason="length"), 4) == cut_number


def test_words_of_an_answer() -> None:
    same = [" The answer is 1,000.", "so the answer is: $1000.0", "The answer is (1000)."]
    words = {answer_words(Completion(text=text, stop_reason="stop")) for text in same}
    assert words == {"1000"}


def test_the_model_chooses_among_its_answers() -> None:
    running = flow("universal-self-consistency:k=3")
    request = asked(next(running))
    assert request.samples == (0, 1, 2)
    texts = [f" The answer is {n}." for n in range(3)]
    choice = asked(running.send(tuple(Completion(text=t, stop_reason="stop") for t in texts)))
    assert all(text.strip() in choice.messages[0].content for text in texts)
    with pytest.raises(StopIteration) as ended:
        running.send((Completion(text=" 3", stop_reason="stop"),))
    attempt: Attempt = ended.value.value
    assert (attempt.text, [draft.text for draft in attempt.drafts]) == (texts[2], texts[:1])


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("debate:agents=1", "agents is 1, must be 2 to 10"),
        ("debate:temperature=0", "greedy samples are all the same"),
        ("tree-of-thoughts:value_tokens=0", "value_tokens is 0, must be at least 1"),
        ("reflexion:rounds=6", "rounds is 6, must be 1 to 5"),
        ("adaptive-self-consistency:threshold=1", "threshold is 1.0, must be above 0.5"),
        ("universal-self-consistency:k=1", "k is 1, must be 2 to 100"),
    ],
)
def test_values_out_of_range_are_named(spec: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        construct("strategy", parse_spec(spec), exemplars=EXEMPLARS)
