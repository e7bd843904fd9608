"""Controls of chain-of-thought and triggers: what they show, to the byte, and what they refuse."""

from __future__ import annotations

import pytest

from cotkit.errors import UnknownNameError, UsageError
from cotkit.prompting import read_exemplars, read_triggers, render
from cotkit.protocols import Strategy
from cotkit.registry import construct, parse_spec
from cotkit.scoring import READERS
from cotkit.stops import cut
from cotkit.strategies._equations import equation_sentences, equations
from cotkit.types import Exemplar, Question, Request
from tests.test_prompts import ASKED, AWKWARD, EXEMPLARS, HEAD, end, flow

CONTROLS = ("equation-only", "filler", "answer-first", "cot-shuffled")
BUILTIN = read_exemplars(8)

GOLDEN = {
    "equation-only": HEAD
    + "Q: Two and three?\nA: 2 + 3 = 5. The answer is 5.\n\n"
    + "Q: Half of 9?\nA: 9 / 2 = 4.5. The answer is 4.5.\n\n"
    + ASKED,
    "filler": HEAD
    + "Q: Two and three?\nA: .......... The answer is 5.\n\n"
    + "Q: Half of 9?\nA: ............ The answer is 4.5.\n\n"
    + ASKED,
    "answer-first": HEAD
    + "Q: Two and three?\nA: The answer is 5. 2 + 3 = 5.\n\n"
    + "Q: Half of 9?\nA: The answer is 4.5. 9 / 2 = 4.5.\n\n"
    + ASKED,
    "cot-shuffled": HEAD
    + "Q: Two and three?\nA: 9 / 2 = 4.5. The answer is 5.\n\n"
    + "Q: Half of 9?\nA: 2 + 3 = 5. The answer is 4.5.\n\n"
    + ASKED,
}


def first(name: str, exemplars: tuple[Exemplar, ...] = EXEMPLARS) -> Request:
    strategy = construct("strategy", parse_spec(name), exemplars=exemplars)
    solver: Strategy = strategy  # pyright: ignore[reportAssignmentType] - construct returns object
    request = next(solver.solve(AWKWARD))
    assert isinstance(request, Request)
    return request


@pytest.mark.parametrize("name", CONTROLS)
def test_the_prompt_to_the_byte(name: str) -> None:
    request = first(name)
    assert [(m.role, m.content) for m in request.messages] == [("user", GOLDEN[name])]


@pytest.mark.parametrize("name", CONTROLS)
def test_the_answer_contract_is_that_of_cot(name: str) -> None:
    ours, cot = first(name).decoding, first("cot").decoding
    assert (ours.stop, ours.stop_after, ours.temperature) == (
        cot.stop,
        cot.stop_after,
        cot.temperature,
    )


@pytest.mark.parametrize(
    ("rationale", "found", "why"),
    [
        ("She sold 64 - 27 = 37 bunches.", ("64 - 27 = 37",), "a full stop ends no number"),
        ("6 * 4 = 24 screws. 24 + 10 = 34.", ("6 * 4 = 24", "24 + 10 = 34"), "in order"),
        ("$0.80 / 2 = $0.40 and 1,000 x 3 = 3,000", ("$0.80 / 2 = $0.40", "1,000 x 3 = 3,000"), ""),
        ("7 stickers/page * 6 pages = 42 stickers", ("7 * 6 = 42",), "units are words"),
        ("1/4 of a total of 9 + 3 = 12 is 3", ("9 + 3 = 12",), "a total of is no operation"),
        ("50% of 4 + 6 = 5", (), "part of a longer expression"),
        ("x + 3 * 2 = 7, so 4x = 12", (), "an unknown is no equation of numbers"),
        ("(3 * 4 = 12) and (1 + 2) * 3 = 9", ("3 * 4 = 12", "(1 + 2) * 3 = 9"), "asides"),
        ("2 * 3 = 3 + 3 = 6", ("2 * 3 = 3 + 3 = 6",), "a chain is one equation"),
        ("Red = 2 * 3 = 6 cups\nBlue = 3 * 3 = 9", ("2 * 3 = 6", "3 * 3 = 9"), "named results"),
        ("It was 12 and stayed 12 = 12.", (), "nothing was worked out"),
        (".5 * 4 = 2", (".5 * 4 = 2",), "decimals without a zero"),
    ],
)
def test_equations_are_read_from_a_rationale(
    rationale: str, found: tuple[str, ...], why: str
) -> None:
    assert equations(rationale) == found, why


@pytest.mark.parametrize("text", ["(" * 3000, "1+" * 1000, "1 ab cd ef*" * 600, "1 = " * 1500])
def test_no_rationale_takes_long(text: str) -> None:
    assert equations(text) == ()


def test_dots_are_as_many_as_the_characters_of_the_equations() -> None:
    equation, dots = first("equation-only", BUILTIN), first("filler", BUILTIN)
    shown = dots.messages[0].content
    assert len(shown) == len(equation.messages[0].content)
    for sentence in equation_sentences(BUILTIN):
        assert f"A: {'.' * len(sentence)} The answer is" in shown


@pytest.mark.parametrize("name", ["equation-only", "filler"])
def test_an_exemplar_without_an_equation_is_named(name: str) -> None:
    wordy = Exemplar(question="Is it?", rationale="It is.", answer="1")
    with pytest.raises(UsageError, match=r"exemplar 3 \('Is it\?'\) works out no equation"):
        first(name, (*EXEMPLARS, wordy))


@pytest.mark.parametrize("shift", range(1, 8))
def test_shuffled_rationales_are_all_there_and_none_is_at_home(shift: int) -> None:
    text = first(f"cot-shuffled:shift={shift}", BUILTIN).messages[0].content
    for at, x in enumerate(BUILTIN):
        other = BUILTIN[(at + shift) % 8]
        line = f"Q: {x.question}\nA: {other.rationale} The answer is {x.answer}.\n\n"
        assert line in text
        assert f"Q: {x.question}\nA: {x.rationale}" not in text
    assert len(text) == len(first("cot", BUILTIN).messages[0].content)


@pytest.mark.parametrize(
    ("spec", "exemplars", "says"),
    [
        ("cot-shuffled:shift=0", BUILTIN, "shift is 0, must be in 1 to 7"),
        ("cot-shuffled:shift=8", BUILTIN, "shift is 8, must be in 1 to 7"),
        ("cot-shuffled", BUILTIN[:1], "2 or more"),
        ("cot-shuffled", (EXEMPLARS[0], EXEMPLARS[0]), "exemplar 1 gets its own rationale back"),
        ("filler:max_tokens=0", BUILTIN, "max_tokens is 0"),
        ("equation-only:top_p=2", BUILTIN, "top_p is 2"),
    ],
)
def test_what_no_control_can_mean_is_refused(
    spec: str, exemplars: tuple[Exemplar, ...], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        first(spec, exemplars)


def test_answer_first_ends_at_its_first_answer_line_and_reads_it() -> None:
    written = " The answer is 7. 3 + 5 = 8. The answer is 8."
    text = cut(written, first("answer-first").decoding)
    assert text == " The answer is 7."
    running = flow("answer-first")
    next(running)
    attempt = end(running, text)
    for name in ("strict", "flexible"):
        question = Question(id="x", text="?")
        assert READERS[name].read(attempt.text, question).value == "7"
        assert READERS[name].read(written, question).value == "7"


def test_the_default_trigger_asks_what_version_1_asked() -> None:
    for name in ("zero-shot-cot", "zero-shot-cot:trigger=step-by-step"):
        assert first(name).messages[0].content == render(
            "zero-shot-cot", 1, question=AWKWARD.text, kind="number"
        )


def test_triggers_are_many_and_all_different_and_shown() -> None:
    triggers = read_triggers()
    assert sum(not name.startswith("control-") for name in triggers) >= 13
    assert sum(name.startswith("control-") for name in triggers) == 2
    assert len(set(triggers.values())) == len(triggers)
    for name, text in triggers.items():
        shown = first(f"zero-shot-cot:trigger={name}").messages[0].content
        assert shown == f"{HEAD}{ASKED} {text}"


def test_an_unknown_trigger_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean step-by-step"):
        first("zero-shot-cot:trigger=step-by-stp")
