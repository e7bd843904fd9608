"""Prompts of your own without Python: a Jinja file, a system message, any trigger sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cotkit
from cotkit.cli import app
from cotkit.cli.options import read_system
from cotkit.errors import BadInputError, UnknownNameError, UsageError
from cotkit.prompting import read_trigger
from cotkit.run import RunSpec, make_plan
from cotkit.run.driver import start_flow
from cotkit.types import BackendInfo, Completion, Question, Request
from tests.conftest import Sums

INFO = BackendInfo(backend="x", model="m", fingerprint="f")
ONE = '{# control = "standard" #}\nAdd up.\nQ: {{ question }}\nA:\n'
TWO = (
    '{# control = "few-shot"\nmax_tokens = 9\nanswer_tokens = 7 #}\n'
    "{% for x in exemplars %}Q: {{ x.question }}\nA: {{ x.answer }}\n{% endfor %}"
    "Q: {{ question }}\n{{ answer_instruction }}\nA:\n"
    "{# second turn #}\nYou said{{ reply }}\nThe answer is\n"
)


def write(text: str, name: str = "mine.jinja") -> str:
    Path(name).write_text(text)
    return f"./{name}"


def plan_of(strategy: str, **options: str | None):  # noqa: ANN201 - a plan
    options = {"baseline": None} | options
    spec = RunSpec(model="m", strategies=(strategy,), **options)  # pyright: ignore[reportArgumentType] - a table of keyword arguments
    return make_plan(spec, Sums(n=3))


def requests_of(strategy: str, **options: str | None) -> list[Any]:  # requests, then the attempt
    arm = next(a for a in plan_of(strategy, **options).arms if a.name == strategy)
    flow = start_flow(arm.strategy, Question(id="q", text="2 plus 3?"), lambda _: False, arm.system)
    requests: list[Any] = []
    step = next(flow)
    try:
        while True:
            assert isinstance(step, Request)
            requests.append(step)
            step = flow.send((Completion(text=" five", stop_reason="stop"),))
    except StopIteration as ended:
        requests.append(ended.value)
    return requests


def test_a_file_of_one_turn_is_sent_as_it_stands() -> None:
    request, attempt = requests_of(write(ONE))
    assert [m.content for m in request.messages] == ["Add up.\nQ: 2 plus 3?\nA:"]
    assert (request.decoding.max_tokens, request.decoding.stop) == (256, ("\nQ:",))
    assert attempt.text == " five"


def test_two_turns_exemplars_and_the_header() -> None:
    first, second, attempt = requests_of(write(TWO))
    words = first.messages[0].content
    assert words.count("Q: ") == 9, "eight exemplars and the question"
    assert words.endswith("End with one line of the form: The answer is <number>.\nA:")
    assert [m.role for m in second.messages] == ["user", "assistant", "user"]
    assert second.messages[2].content == "You said five\nThe answer is"
    assert (first.decoding.max_tokens, second.decoding.max_tokens) == (9, 7)
    assert attempt.text == "The answer is five"


def test_the_text_is_part_of_the_identity_and_the_place_is_not() -> None:
    ids = [
        plan_of(write(text, name)).run_id(INFO)
        for text, name in [(ONE, "a.jinja"), (ONE.replace("Add", "Sum"), "b.jinja")]
    ]
    assert ids[0] != ids[1]
    contents = [plan_of(write(ONE, name)).content(INFO) for name in ("c.jinja", "d.jinja")]
    fields = [[str(arm) for arm in content["arms"].values()][-1] for content in contents]  # pyright: ignore[reportAttributeAccessIssue] - JSON
    assert fields[0].replace("c.jinja", "") == fields[1].replace("d.jinja", "")


def test_a_file_without_a_control_needs_a_baseline() -> None:
    bare = write("{{ question }} =")
    with pytest.raises(UsageError, match=r"names no control .--baseline few-shot"):
        plan_of(bare)
    assert plan_of(bare, baseline="standard").pairs == ((bare, "standard"),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "Q: {{ question }}\n{{ exemplar }}",
            r":2: unknown variable 'exemplar' .did you mean",
        ),
        ("Q: {{ question }}\n\n{% for %}", r":3: "),
        ("Q: ?", "shows no question"),
        ("Q: {{ question }} {{ reply }}", r":1: unknown variable 'reply'"),
        ('{# contrl = "cot" #}{{ question }}', r":1:contrl: .*did you mean control"),
        ("{# max_tokens = true #}{{ question }}", r":1:max_tokens: True is not a number"),
        ("{# reasons = 1 #}{{ question }}", r":1:reasons: 1 is not true or false"),
        ("{# control = #}{{ question }}", r":1: header is not TOML"),
        ("{{ question }}\n{# second turn #}\n{{ nothing }}", r":3: unknown variable 'nothing'"),
        ("{{ question }}{{ exemplars[99].answer }}", "cannot be rendered"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, says: str) -> None:
    path = write(text)
    with pytest.raises(BadInputError, match=f"mine.jinja{says}" if says[0] == ":" else says):
        requests_of(path, baseline="standard")


def test_a_comment_is_no_header_and_a_missing_file_is_named() -> None:
    assert requests_of(write("{# mine #}{{ question }}"), baseline="standard")
    with pytest.raises(BadInputError, match=r"no\.jinja: No such file"):
        plan_of("./no.jinja", baseline="standard")


def test_a_system_message_begins_every_request_of_every_arm() -> None:
    with_system = requests_of("zero-shot-cot", system="Be brief.")
    assert [m.role for m in with_system[0].messages] == ["system", "user"]
    assert [m.role for m in with_system[1].messages] == ["system", "user", "assistant", "user"]
    assert with_system[0].messages[0].content == "Be brief.\n\n"
    plans = [plan_of("cot", system=system) for system in (None, "Be brief.", "Be long.")]
    assert len({plan.run_id(INFO) for plan in plans}) == 3
    assert all("system" not in str(arm) for arm in plans[0].content(INFO)["arms"].values())  # pyright: ignore[reportAttributeAccessIssue] - JSON
    with pytest.raises(UsageError, match="is empty"):
        plan_of("cot", system=" ")


def test_system_is_a_text_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("From a file.\n")
    assert read_system(str(tmp_path / "s.txt")) == "From a file."
    assert read_system("Be brief.") == "Be brief."
    with pytest.raises(BadInputError, match=r"t\.txt: no such file"):
        read_system("t.txt")


def test_any_sentence_is_a_trigger_and_a_misspelt_name_is_none() -> None:
    first, *_ = requests_of("zero-shot-cot:trigger='Slowly, please.'")
    assert first.messages[0].content.endswith("Slowly, please.")
    assert read_trigger(" Go on slowly. ") == "Go on slowly."
    with pytest.raises(UnknownNameError, match="step-by-step"):
        read_trigger("step-by-stp")


def test_the_commands_take_all_of_it() -> None:
    shown = CliRunner().invoke(
        app, ["show", "prompt", "--strategy", write("{{ question }} ="), "--system", "Be brief."]
    )
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith("Be brief.\n\n")
    found = cotkit.compare(
        lambda prompt: " The answer is 1.", [write(ONE)], Sums(n=2), system="Be brief."
    )
    assert [cell.arm for cell in found.cells] == ["standard", "./mine.jinja"]
