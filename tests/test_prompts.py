"""Prompts: golden bytes of every released file, the lock, and errors that name the line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import meta

from cotkit import prompting
from cotkit.errors import BadInputError, UsageError
from cotkit.prompting import read_exemplars
from cotkit.protocols import Strategy
from cotkit.registry import construct, parse_spec
from cotkit.stops import answer_line_end
from cotkit.types import AnswerKind, Attempt, Completion, Execute, Exemplar, Flow, Question, Request
from tests.conftest import REPOSITORY

EXEMPLARS = (
    Exemplar(question="Two and three?", rationale="2 + 3 = 5.", answer="5"),
    Exemplar(question="Half of 9?", rationale="9 / 2 = 4.5.", answer="4.5"),
)
AWKWARD = Question(id="x", text="Cost: $5 {{ not_a_variable }} 10% {x} \\n <b>&amp;</b> é?")
HEAD = "Answer the question. End with one line of the form: The answer is <number>.\n\n"
ASKED = f"Q: {AWKWARD.text}\nA:"

GOLDEN = {
    "standard": HEAD + ASKED + " The answer is",
    "few-shot": HEAD
    + "Q: Two and three?\nA: The answer is 5.\n\n"
    + "Q: Half of 9?\nA: The answer is 4.5.\n\n"
    + ASKED,
    "cot": HEAD
    + "Q: Two and three?\nA: 2 + 3 = 5. The answer is 5.\n\n"
    + "Q: Half of 9?\nA: 9 / 2 = 4.5. The answer is 4.5.\n\n"
    + ASKED,
    "zero-shot-cot": HEAD + ASKED + " Let's think step by step.",
    "draft": HEAD.replace(
        "question. ",
        "question. Work it out step by step, but write of each step only a draft of five words"
        " at most. ",
    )
    + ASKED,
}


def flow(name: str, question: Question = AWKWARD) -> Flow:
    strategy = construct("strategy", parse_spec(name), exemplars=EXEMPLARS)
    assert hasattr(strategy, "solve")
    solver: Strategy = strategy  # pyright: ignore[reportAssignmentType] - construct returns object
    return solver.solve(question)


def first(name: str, question: Question = AWKWARD) -> Request:
    return asked(next(flow(name, question)))


def asked(step: Request | Execute) -> Request:
    assert isinstance(step, Request)
    return step


def end(running: Flow, text: str) -> Attempt:
    with pytest.raises(StopIteration) as ended:
        running.send((Completion(text=text, stop_reason="stop"),))
    return ended.value.value


@pytest.mark.parametrize("name", GOLDEN)
def test_the_first_prompt_to_the_byte(name: str) -> None:
    request = first(name)
    assert [(m.role, m.content) for m in request.messages] == [("user", GOLDEN[name])]


TEMPLATES = sorted(path.name for path in (REPOSITORY / "prompts").glob("*.jinja"))


class Anything(str):
    """Stands for any variable of a template: a text, a list of itself, its own attribute."""

    __slots__ = ()

    def __iter__(self) -> Iterator[str]:
        return iter([self])

    def __getattr__(self, name: str) -> str:
        return self


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("words", [AWKWARD.text, "", "Q: a\nA: b", " ends in space ", "\ue000"])
def test_a_prompt_prints_the_question_and_does_nothing_else_with_it(name: str, words: str) -> None:
    """So a prompt may be rendered once for all questions of an arm."""
    source = prompting._jinja_environment().loader
    assert source is not None
    text, _, _ = source.get_source(prompting._jinja_environment(), name)
    names = meta.find_undeclared_variables(prompting._jinja_environment().parse(text)) - {
        "question"
    }
    others: dict[str, object] = dict.fromkeys(names, Anything("number"))
    prompt_id, _, version = name.removesuffix(".jinja").rpartition(".v")
    outright = prompting._render_template(name, {**others, "question": words})
    assert prompting.render(prompt_id, int(version), question=words, **others) == outright


@pytest.mark.parametrize(
    ("name", "reply", "text"),
    [
        ("standard", " 7.", "The answer is 7."),
        ("few-shot", " The answer is 7.", " The answer is 7."),
        ("cot", " 3 + 4 = 7. The answer is 7.", " 3 + 4 = 7. The answer is 7."),
    ],
)
def test_one_turn_strategies_return_what_the_readers_read(name: str, reply: str, text: str) -> None:
    running = flow(name)
    next(running)
    assert end(running, reply) == Attempt(text=text, stop_reason="stop")


def test_zero_shot_cot_asks_twice_and_shows_its_reasoning_again() -> None:
    running = flow("zero-shot-cot")
    start = asked(next(running))
    second = asked(running.send((Completion(text=" Three and four.", stop_reason="length"),)))
    contents = [message.content for message in second.messages]
    assert contents == [
        start.messages[0].content,
        " Three and four.",
        "\nTherefore, the answer is",
    ]
    assert [message.role for message in second.messages] == ["user", "assistant", "user"]
    assert second.decoding.max_tokens == 32
    assert end(running, " 7.").text == "The answer is 7."


def test_cot_and_its_control_differ_in_rationales_only() -> None:
    cot, control = first("cot"), first("few-shot")
    stripped = cot.messages[0].content
    for exemplar in EXEMPLARS:
        stripped = stripped.replace(f"{exemplar.rationale} ", "")
    assert stripped == control.messages[0].content
    assert cot.decoding.stop == control.decoding.stop
    assert cot.decoding.stop_after == control.decoding.stop_after


def test_the_answer_instruction_follows_the_kind() -> None:
    kinds: tuple[AnswerKind, ...] = ("choice", "text")
    for kind in kinds:
        question = Question(id="x", text="?", choices=("a", "b"), answer_kind=kind)
        request = first("standard", question)
        assert "<number>" not in request.messages[0].content
        assert request.decoding.stop_after == answer_line_end(kind, cue_spoken=True)


def test_greedy_requests_carry_no_seed_and_sampled_ones_do() -> None:
    assert first("cot:seed=5").decoding.seed is None
    assert first("cot:seed=5,temperature=0.7").decoding.seed == 5


def test_every_released_prompt_has_a_header_that_says_where_it_is_from() -> None:
    for path in sorted((REPOSITORY / "prompts").glob("*.jinja")):
        found = prompting.read_header(path.name, path.read_text(encoding="utf-8"))
        assert set(found) == {"id", "version", "source", "changes"}, path.name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Q:", "has no header"),
        ("{# id = #}", "header is not TOML"),
        ('{# id = "y"\nversion = 1\nsource = ""\nchanges = "" #}', "should be 'x'"),
        ('{# id = "x"\nversion = 2\nsource = ""\nchanges = "" #}', "should be 1"),
        ('{# id = "x"\nversion = 1\nsource = "" #}', "changes: should be 'there'"),
    ],
)
def test_a_new_prompt_without_a_proper_header_is_not_locked(
    tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "x.v1.jinja").write_text(text)
    with pytest.raises(BadInputError, match=says):
        prompting.add_new_files(tmp_path)
    assert not (tmp_path / "LOCK.toml").exists()


def test_choices_are_shown_with_their_letters() -> None:
    question = Question(id="x", text="Which?", choices=("red", "blue"), answer_kind="choice")
    for name in GOLDEN:
        assert "Q: Which?\n(A) red\n(B) blue\nA:" in first(name, question).messages[0].content


@pytest.mark.parametrize("reply", ["126.", " 126.", "The answer is 126.", "\n126"])
def test_a_cue_and_its_answer_never_run_together(reply: str) -> None:
    running = flow("standard")
    next(running)
    text = end(running, reply).text
    assert text.startswith("The answer is")
    assert text[len("The answer is")].isspace()


def test_nothing_released_was_edited_and_nothing_new_is_unlocked() -> None:
    assert prompting.add_new_files(REPOSITORY / "prompts") == []


def test_an_edited_prompt_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    shutil.copytree(REPOSITORY / "prompts", folder)
    (folder / "cot.v1.jinja").write_text("edited")
    with pytest.raises(BadInputError, match=r"cot\.v1\.jinja: a released prompt was edited"):
        prompting.add_new_files(folder)


def test_an_edited_prompt_is_refused_when_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(REPOSITORY / "prompts", tmp_path / "prompts")
    (tmp_path / "prompts" / "cot.v1.jinja").write_text("edited")

    def elsewhere(relative: str) -> Path:
        return tmp_path / relative

    monkeypatch.setattr(prompting, "resource", elsewhere)
    with pytest.raises(BadInputError, match="copy it to a new version"):
        prompting.read_locked("cot.v1.jinja")


def test_an_undefined_variable_names_file_and_line() -> None:
    with pytest.raises(BadInputError, match=r"cot\.v1\.jinja:\d+: 'kind' is undefined"):
        prompting.render("cot", 1, question="?")


@pytest.mark.parametrize("k", [0, -1, 9])
def test_there_are_eight_exemplars(k: int) -> None:
    assert len(read_exemplars(8)) == 8
    with pytest.raises(UsageError, match="1 to 8"):
        read_exemplars(k)


@pytest.mark.parametrize(
    ("old", "new"),
    [("released", "locked_files"), ("shown", "format_question"), ("trigger_text", "read_trigger")],
)
def test_names_of_0_1_lead_to_the_new_ones(old: str, new: str) -> None:
    with pytest.deprecated_call(match=f"cotkit.prompting.{new}"):
        assert getattr(prompting, old) is getattr(prompting, new)


def test_other_names_are_none() -> None:
    assert not hasattr(prompting, "nothing")
