"""Self-correction: every turn to the byte, stop rules, drafts, planted truth, fenced oracles."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest

import cotkit
from cotkit.analysis.gains import label_gain
from cotkit.analysis.values import Comparison, Label, Verdict
from cotkit.backends.simulated import Simulated, read_turn
from cotkit.errors import UsageError
from cotkit.protocols import OracleStrategy
from cotkit.registry import construct, entries, parse_spec
from cotkit.report.comparison_tables import comparison_document
from cotkit.report.document import Words
from cotkit.stats.intervals import tango
from cotkit.stops import cut
from cotkit.strategies.oracle_review import OracleReview
from cotkit.strategies.self_refine import SelfRefine, says_correct
from cotkit.strategies.self_review import SelfReview
from cotkit.types import Attempt, Completion, Flow, Message, Problem, Request, StopReason
from tests.conftest import Sums
from tests.test_prompts import ASKED, AWKWARD, EXEMPLARS, GOLDEN, HEAD, flow

CONTRACT = "End with one line of the form: The answer is <number>."
REVIEW = (
    "\n\nGo over the answer above once more and look for problems in it: facts of the question that"
    " it missed, steps that do not follow, numbers that are wrong. If there are none, say so."
    "\nProblems:"
)
IMPROVE = (
    "\n\nNow answer the question again: mend the problems you found, if any, and keep what was"
    f" right. {CONTRACT}\nA:"
)
FEEDBACK = (
    "\n\nCheck the answer above line by line: say of each step whether it holds and what should"
    ' change. End with one line that is either "VERDICT: correct" or "VERDICT: wrong".\nFeedback:'
)
REFINE = f"\n\nRewrite the answer so that it follows this feedback. {CONTRACT}\nA:"
CAREFUL = (
    " Take care to use every fact of the question and to check each step before you settle on an"
    " answer."
)
UNBIASED = (
    " Judge by what the question says alone, and let no common belief about a group of people"
    " decide."
)
BEGINS = {
    "careful": " Let's consider how to answer this question carefully, so that no fact is missed"
    " and no step is wrong.",
    "unbiased": " Let's consider what the question really says, and what would only be a prejudice"
    " about the people in it.",
    "none": " Let's consider how to answer this question.",
}
EXTRACT = "\n\nNow give the one answer that follows from these thoughts. The answer is"
RIGHT, WRONG = " 3 + 4 = 7. The answer is 7.", " 3 + 4 = 8. The answer is 8."


def begun(running: Flow) -> Request:
    step = next(running)
    assert isinstance(step, Request)
    return step


def told(running: Flow, text: str, stop_reason: StopReason = "stop") -> Request:
    step = running.send((Completion(text=text, stop_reason=stop_reason),))
    assert isinstance(step, Request)
    return step


def ended(running: Flow, text: str, stop_reason: StopReason = "stop") -> Attempt:
    with pytest.raises(StopIteration) as end:
        running.send((Completion(text=text, stop_reason=stop_reason),))
    return end.value.value


def said(request: Request) -> list[str]:
    return [message.content for message in request.messages]


def oracle(spec: str) -> Flow:
    strategy = construct("strategy", parse_spec(spec), exemplars=EXEMPLARS)
    assert isinstance(strategy, OracleStrategy)
    return strategy.solve_with_oracle(AWKWARD, lambda text: "answer is 7" in text)


@pytest.mark.parametrize("name", ["self-review", "self-refine", "oracle-review"])
@pytest.mark.parametrize("params", ["", "max_tokens=99", "temperature=0.7,seed=3,top_k=5"])
def test_the_draft_is_the_cot_answer(name: str, params: str) -> None:
    spec = f"{name}:{params}" if params else name
    running = oracle(spec) if name == "oracle-review" else flow(spec)
    assert next(running) == next(flow(f"cot:{params}" if params else "cot"))


def test_self_review_to_the_byte() -> None:
    running = flow("self-review")
    first = begun(running)
    review = told(running, WRONG)
    assert said(review) == [GOLDEN["cot"], WRONG, REVIEW]
    assert (review.decoding.max_tokens, review.decoding.stop) == (192, ("\nQ:", "\nA:"))
    assert review.decoding.stop_after is None
    improve = told(running, " 3 + 4 is 7.")
    assert said(improve) == [GOLDEN["cot"], WRONG, REVIEW, " 3 + 4 is 7.", IMPROVE]
    assert [m.role for m in improve.messages] == ["user", "assistant"] * 2 + ["user"]
    assert improve.decoding == first.decoding
    draft = Attempt(text=WRONG, stop_reason="stop")
    assert ended(running, RIGHT) == Attempt(text=RIGHT, stop_reason="stop", drafts=(draft,))


def test_rounds_follow_each_other_and_the_drafts_are_in_order() -> None:
    running = flow("self-review:rounds=3")
    next(running)
    asked: list[Request] = []
    for i in range(3):
        told(running, f" The answer is {i}.", "length" if i == 1 else "stop")
        asked.append(told(running, f" Problem {i}."))
    assert said(asked[-1])[1::2] == [
        " The answer is 0.",
        " Problem 0.",
        " The answer is 1.",
        " Problem 1.",
        " The answer is 2.",
        " Problem 2.",
    ]
    attempt = ended(running, " The answer is 3.")
    assert attempt.text == " The answer is 3."
    assert [draft.text for draft in attempt.drafts] == [f" The answer is {i}." for i in range(3)]
    assert [draft.stop_reason for draft in attempt.drafts] == ["stop", "length", "stop"]
    assert not attempt.is_vote


@pytest.mark.parametrize("name", ["self-review:rounds=2", "self-refine"])
def test_as_raw_text_each_prompt_goes_on_where_the_completion_ended(name: str) -> None:
    running = flow(name)
    request = begun(running)
    for text in (WRONG, " Bad.\n", RIGHT, ""):
        before = "".join(said(request)) + text
        request = told(running, text)
        assert "".join(said(request)).startswith(before + "\n\n")
        assert [m.role for m in request.messages[::2]] == ["user"] * len(request.messages[::2])


def test_self_refine_to_the_byte() -> None:
    running = flow("self-refine")
    first = begun(running)
    feedback = told(running, WRONG)
    assert said(feedback) == [GOLDEN["cot"], WRONG, FEEDBACK]
    assert feedback.decoding.max_tokens == 192
    refine = told(running, " No.\nVERDICT: wrong")
    assert said(refine) == [GOLDEN["cot"], WRONG, FEEDBACK, " No.\nVERDICT: wrong", REFINE]
    assert refine.decoding == first.decoding
    assert said(told(running, RIGHT))[-1] == FEEDBACK
    draft = Attempt(text=WRONG, stop_reason="stop")
    attempt = ended(running, " All holds.\nVERDICT: correct")
    assert attempt == Attempt(text=RIGHT, stop_reason="stop", drafts=(draft,))


def test_self_refine_stops_after_its_last_round_without_a_verdict() -> None:
    running = flow("self-refine:rounds=2")
    next(running)
    for _ in range(2):
        told(running, RIGHT)
        told(running, " This is correct, VERDICT: correct in my eyes.")
    assert len(ended(running, WRONG).drafts) == 2


def test_a_first_answer_found_correct_has_no_drafts() -> None:
    running = flow("self-refine")
    next(running)
    told(running, RIGHT)
    assert ended(running, "VERDICT: correct") == Attempt(text=RIGHT, stop_reason="stop")


@pytest.mark.parametrize(
    ("text", "stop_reason", "stops", "why"),
    [
        ("Fine.\nVERDICT: correct", "stop", True, "the contract"),
        ("Fine.\n**Verdict: Correct.** \n", "stop", True, "bold, and another case"),
        (" VERDICT: correct", "stop", True, "nothing but the verdict, after raw text"),
        ("Fine.\nVERDICT: correct", "length", False, "the line may have gone on"),
        ("The answer is correct.", "stop", False, "praise is no verdict"),
        ("Correct!", "stop", False, "nor is a single word"),
        ("VERDICT: wrong", "stop", False, "the other verdict"),
        ("VERDICT: correct or wrong?", "stop", False, "an echo of the prompt"),
        ('either "VERDICT: correct" or "VERDICT: wrong"', "stop", False, "the prompt itself"),
        ("Not so: VERDICT: correct", "stop", False, "not a line of its own"),
        ("VERDICT: incorrect", "stop", False, "another word"),
        ("", "refusal", False, "nothing said"),
    ],
)
def test_only_the_completed_verdict_line_stops(
    text: str, stop_reason: StopReason, stops: bool, why: str
) -> None:
    assert says_correct(Attempt(text=text, stop_reason=stop_reason)) is stops, why


def test_feedback_ends_at_its_first_verdict_line() -> None:
    running = flow("self-refine")
    next(running)
    decoding = told(running, WRONG).decoding
    text = 'It says "VERDICT: correct".\nVERDICT: wrong\nVERDICT: correct\n'
    assert cut(text, decoding) == 'It says "VERDICT: correct".\nVERDICT: wrong'
    assert cut("Good.\nVERDICT: correct", decoding) is None


def test_oracle_review_stops_when_the_gold_says_so() -> None:
    running = oracle("oracle-review:rounds=3")
    next(running)
    assert ended(running, RIGHT) == Attempt(text=RIGHT, stop_reason="stop")
    running = oracle("oracle-review:rounds=3")
    next(running)
    assert said(told(running, WRONG)) == [GOLDEN["cot"], WRONG, REVIEW]
    assert said(told(running, " Bad."))[-1] == IMPROVE
    assert [draft.text for draft in ended(running, RIGHT).drafts] == [WRONG]


def test_an_answer_cut_short_is_not_right_yet() -> None:
    running = oracle("oracle-review")
    next(running)
    assert said(told(running, RIGHT, "length"))[-1] == REVIEW


def test_oracle_review_gives_up_after_its_rounds() -> None:
    running = oracle("oracle-review:rounds=2")
    next(running)
    for _ in range(2):
        told(running, WRONG)
        told(running, " Bad.")
    assert len(ended(running, WRONG).drafts) == 2


def test_the_oracle_is_fenced_off_by_type() -> None:
    assert not hasattr(OracleReview, "solve")
    assert OracleReview.is_upper_bound
    summaries = {entry.name: entry.summary for entry in entries("strategy")}
    assert summaries["oracle-review"].startswith("Upper bound, sees the gold")


@pytest.mark.parametrize("instruction", BEGINS)
def test_self_correct_adds_its_instruction_to_standard_and_nothing_else(instruction: str) -> None:
    words = {"careful": CAREFUL, "unbiased": UNBIASED, "none": ""}[instruction]
    asked, standard = (
        begun(flow(f"self-correct:instruction={instruction}")),
        begun(flow("standard")),
    )
    assert said(asked) == [HEAD.removesuffix("\n\n") + words + "\n\n" + ASKED + " The answer is"]
    assert asked.decoding == standard.decoding
    assert (asked == standard) is (instruction == "none")


def test_condition_q_asks_what_standard_asks() -> None:
    for params in ("", ",max_tokens=40,temperature=0.5,seed=9"):
        asked = next(flow("self-correct:condition=q" + params))
        assert asked == next(flow("standard" + params.replace(",", ":", 1)))
    running = flow("self-correct")
    next(running)
    assert ended(running, "7.") == Attempt(text="The answer is 7.", stop_reason="stop")


@pytest.mark.parametrize("instruction", BEGINS)
def test_self_correct_reasons_first_in_words_that_it_begins(instruction: str) -> None:
    words = {"careful": CAREFUL, "unbiased": UNBIASED, "none": ""}[instruction]
    prompt = HEAD.removesuffix("\n\n") + words + "\n\n" + ASKED
    running = flow(f"self-correct:condition=q-if-cot,instruction={instruction}")
    think = begun(running)
    assert [(m.role, m.content) for m in think.messages] == [
        ("user", prompt),
        ("assistant", BEGINS[instruction]),
    ]
    answer = told(running, " It is seven.", "length")
    assert [m.role for m in answer.messages] == ["user", "assistant", "user"]
    assert said(answer) == [prompt, BEGINS[instruction] + " It is seven.", EXTRACT]
    assert answer.decoding.max_tokens == 32
    assert ended(running, " 7.") == Attempt(text="The answer is 7.", stop_reason="stop")


@pytest.mark.parametrize("condition", ["q", "q-if", "q-if-cot"])
def test_whether_self_correct_reasons_depends_on_its_condition(condition: str) -> None:
    strategy = construct("strategy", parse_spec(f"self-correct:condition={condition}"))
    assert getattr(strategy, "reasons", None) is (condition == "q-if-cot")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("self-review:rounds=0", "rounds is 0, must be 1 to 5"),
        ("self-refine:rounds=6", "rounds is 6, must be 1 to 5"),
        ("oracle-review:rounds=0", "rounds is 0"),
        ("self-review:review_tokens=0", "review_tokens is 0"),
        ("self-review:max_tokens=0", "max_tokens is 0"),
        ("self-review:round=2", "did you mean rounds"),
        ("self-correct:condition=q-cot", "must be q, q-if or q-if-cot"),
        ("self-correct:instruction=kind", "must be careful, unbiased or none"),
        ("self-correct:reasoning_tokens=0", "reasoning_tokens is 0"),
    ],
)
def test_parameters_out_of_range_are_named(spec: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        construct("strategy", parse_spec(spec), exemplars=EXEMPLARS)


def test_the_same_cost_is_counted_in_calls() -> None:
    assert SelfReview(exemplars=EXEMPLARS).same_cost() == "self-consistency:k=3"
    assert SelfReview(exemplars=EXEMPLARS, rounds=2).same_cost() == "self-consistency:k=5"
    assert SelfRefine(exemplars=EXEMPLARS).same_cost() == "self-consistency:k=7"


# The simulated family: what was planted comes out.


def simulated(size: str = "7b", *, fix: float = 0.0, break_: float = 0.0) -> Simulated:
    problems = Sums(n=100).problems()
    return Simulated(problems=problems, model=size, reasoning=0.5, fix=fix, break_=break_)


def walk(model: Simulated, running: Flow) -> tuple[Attempt, list[Request]]:
    """Drive a flow by hand: its attempt and its requests."""
    asked = [begun(running)]
    while True:
        replies = asyncio.run(model.generate(asked[-1]))
        try:
            step = running.send(replies)
        except StopIteration as end:
            return end.value, asked
        assert isinstance(step, Request)
        asked.append(step)


@pytest.mark.parametrize("name", ["self-review:rounds=3", "self-refine:rounds=3"])
def test_the_simulator_knows_every_turn_of_the_released_prompts(name: str) -> None:
    model = simulated(fix=1.0, break_=1.0)  # never satisfied: all rounds are asked
    question = Sums().problems()[3].question
    _, asked = walk(model, flow(name, question))
    turns = [read_turn(request.messages) for request in asked]
    assert [(turn.kind, turn.round) for turn in turns] == [
        ("answer", 0),
        *((kind, i) for i in (1, 2, 3) for kind in ("review", "improve")),
    ]
    assert all(turn.question == question.text and turn.reasons for turn in turns)
    assert [turn.before is None for turn in turns] == [True] + [False] * 6
    assert {turn.wants_verdict for turn in turns if turn.kind == "review"} == {"refine" in name}


def test_the_simulator_takes_other_conversations_for_what_they_are() -> None:
    def turns(*words: str) -> Sequence[Message]:
        return [
            Message(role="assistant" if i % 2 else "user", content=text)
            for i, text in enumerate(words)
        ]

    draft = ("Q: a\nA:", " The answer is 7.")
    assert read_turn(turns("Q: a\nA: Let's think.")).kind == "answer"
    assert read_turn(turns("Q: a\nA:", " Let's think")).reasons
    assert read_turn(turns(*draft, "\n\nQ: b\nA:")).kind == "extract"
    assert read_turn(turns(*draft, "\nSo?", " Yes.", "\n\nQ: c\nA:")).kind == "extract"
    system = Message(role="system", content="Q: a\nA:")
    assert read_turn([system, *turns(*draft, REVIEW)]).kind == "review", "it is no turn"
    assert read_turn(turns(*draft, REVIEW)).before == "7"
    assert read_turn(turns("Q: a\nA:", " I cannot say.", REVIEW)).before is None


def test_planted_rates_are_shares() -> None:
    with pytest.raises(ValueError, match=r"fix is 1.5, must be in 0..1"):
        simulated(fix=1.5)
    with pytest.raises(ValueError, match=r"break_ is -0.1, must be in 0..1"):
        simulated(break_=-0.1)


def compared(strategy: str, **planted: float) -> tuple[Comparison, Verdict]:
    settings = {"reasoning": "0.6", **{key: str(value) for key, value in planted.items()}}
    found = cotkit.compare(
        "simulated/7b", strategy, "gsm-mini", baseline="cot", limit=150, model_args=settings
    )
    return found, found.verdicts[0]


@pytest.mark.parametrize(
    ("fix", "break_", "labels"),
    [
        (0.5, 0.0, {"helps"}),
        (0.0, 0.5, {"harms"}),
        (0.0, 0.0, {"undetermined", "no_material_help"}),
    ],
)
def test_what_correction_was_planted_to_do_comes_out_in_the_verdict(
    fix: float, break_: float, labels: set[Label]
) -> None:
    found, verdict = compared("self-review", fix=fix, break_=break_)
    assert verdict.gain.label in labels, verdict.sentence
    (round_1,) = found.transitions
    assert round_1.step == "draft to round 1"
    assert round_1.n == 150
    assert (round_1.fixed, round_1.broken) == (verdict.gain.n_better, verdict.gain.n_worse)
    for changed, kept, rate in (
        (round_1.fixed, round_1.kept_wrong, fix),
        (round_1.broken, round_1.kept_right, break_),
    ):
        n = changed + kept
        assert abs(changed - n * rate) <= 3 * math.sqrt(n * rate * (1 - rate))


def label_of(model: Simulated, problems: Sequence[Problem]) -> Label:
    """What the last answers of self-review are against its drafts."""
    better = worse = 0
    for problem in problems:
        attempt, _ = walk(model, flow("self-review", problem.question))
        first, last = (f"is {problem.gold}." in a.text for a in (*attempt.drafts[:1], attempt))
        better, worse = better + (last and not first), worse + (first and not last)
    return label_gain(tango(better, worse, len(problems), 0.95), 0.02)


def test_a_correction_that_does_as_much_good_as_harm_is_seldom_called_either() -> None:
    problems = Sums(n=100).problems()[:60]
    families = [simulated(f"{size}b", fix=0.3, break_=0.3) for size in range(1, 25)]
    labels = [label_of(family, problems) for family in families]
    claims = sum(one in {"helps", "some_help", "harms"} for one in labels)
    assert claims <= 4  # 24 runs at 5 %: more than 4 has probability 0.007


def test_an_upper_bound_is_called_so_everywhere() -> None:
    found, verdict = compared("oracle-review", fix=0.5)
    assert verdict.gain.label == "upper_bound"
    assert {variant.gain.label for variant in verdict.variants} == {"upper_bound"}
    assert verdict.depends_on == ()
    assert verdict.sentence.startswith("upper bound (sees the gold answers): oracle-review: +")
    assert "help" not in verdict.sentence
    assert any(note.startswith("oracle-review sees the gold answers") for note in found.notes)
    document = comparison_document(found)
    for table in (each for each in document.tables if each.rows and each.key != "settings"):
        where = [column.key for column in table.columns].index("arm")
        names = {cell.raw for row in table.rows if isinstance(cell := row[where], Words)}
        assert "oracle-review" not in names, table.key
        assert "oracle-review (upper bound)" in names, table.key
        words = [cell.text for row in table.rows for cell in row if isinstance(cell, Words)]
        assert "helps" not in words, table.key


def test_nothing_is_measured_against_an_upper_bound() -> None:
    with pytest.raises(UsageError, match="oracle-review sees the gold answers: nothing can be"):
        cotkit.compare("simulated/7b", "cot", "gsm-mini", baseline="oracle-review", limit=5)
