"""Names: a folder is a registry, specs are read strictly, and a slip gets a helpful word."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotkit.errors import BadInputError, CotkitError, UnknownNameError, UsageError
from cotkit.registry import KINDS, Spec, construct, entries, load_class, parse_spec, split_specs
from cotkit.types import Exemplar

EXEMPLARS = (Exemplar(question="q", rationale="r", answer="1"),)


@pytest.mark.parametrize(
    ("text", "name", "params"),
    [
        ("cot", "cot", {}),
        ("zero_shot_cot", "zero-shot-cot", {}),
        ("COT", "cot", {}),
        (" cot:max-tokens = 5 ", "cot", {"max_tokens": "5"}),
        ("cot:a=1,b=x=y", "cot", {"a": "1", "b": "x=y"}),
        ("./My_Idea.py", "./My_Idea.py", {}),
    ],
)
def test_specs(text: str, name: str, params: dict[str, str]) -> None:
    spec = parse_spec(text)
    assert (spec.name.strip(), dict(spec.params)) == (name, params)


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("cot", ("cot",)),
        ("cot,few-shot", ("cot", "few-shot")),
        ("a:k=1,t=2,b", ("a:k=1,t=2", "b")),
        ("a,b:k=1,c:d=2", ("a", "b:k=1", "c:d=2")),
        (" a , ", ("a",)),
        ("f:", ("f:",)),
        ("f:a=1,2,b=3,4", ("f:a=1,b=3", "f:a=1,b=4", "f:a=2,b=3", "f:a=2,b=4")),
        ("c:thinking=off+low+high", ("c:thinking=off", "c:thinking=low", "c:thinking=high")),
        ("c:n_shot=0+1,4,d", ("c:n_shot=0", "c:n_shot=1", "c:n_shot=4", "d")),
        ("c:a=1,2+3", ("c:a=1", "c:a=2", "c:a=3")),
        ("mmlu:anatomy+virology,n=3", ("mmlu:anatomy,n=3", "mmlu:virology,n=3")),
        ("c:s=x,y", ("c:s=x", "y")),
        ("a:x=1e+3", ("a:x=1e+3",)),
        ("a:x=1e+3+2.5e+4", ("a:x=1e+3", "a:x=2.5e+4")),
        ("a:x=-1+1", ("a:x=-1", "a:x=1")),
        ("a:x=c++,y=+1,z=+", ("a:x=c++,y=+1,z=+",)),
        ("a:file=./a+b.txt", ("a:file=./a+b.txt",)),
        ("./a+b.jsonl:exemplars=a+b.jsonl", ("./a+b.jsonl:exemplars=a+b.jsonl",)),
        ("a:t='x, y+z',u=1", ("a:t='x, y+z',u=1",)),
        ("a:t='x+y'+z,b", ("a:t='x+y'", "a:t=z", "b")),
        ("a:t=it's,b:u=she's", ("a:t=it's", "b:u=she's")),
        ("a:operators='+'+'+-'", ("a:operators='+'", "a:operators='+-'")),
    ],
)
def test_lists_of_specs(text: str, specs: tuple[str, ...]) -> None:
    assert split_specs(text) == specs


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("cott", UnknownNameError, "did you mean cot"),
        ("xyzzy", UnknownNameError, "known: adaptive-self-consistency"),
        ("cot:max_token=5", UnknownNameError, "did you mean max_tokens"),
        ("cot:max_tokens=many", UsageError, "is not of type int"),
        ("cot:max_tokens=0", UsageError, "must be at least 1"),
        ("cot:temperature=-1", UsageError, "must be 0 or more"),
        ("cot:top_p=0", UsageError, "must be in (0, 1]"),
        ("cot:max_tokens", UsageError, "write key=value"),
        ("./missing.py", BadInputError, "no such file"),
    ],
)
def test_a_slip_gets_one_helpful_line(spec: str, error: type[CotkitError], says: str) -> None:
    with pytest.raises(error) as caught:
        construct("strategy", parse_spec(spec), exemplars=EXEMPLARS)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_strategy_is_described_and_names_a_known_control() -> None:
    found = {entry.name: entry for entry in entries("strategy")}
    assert set(found) >= {"standard", "few-shot", "zero-shot-cot", "cot"}
    for entry in found.values():
        assert entry.summary.endswith("."), entry.name
        assert parse_spec(entry.control).name in found, entry.name


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_that_is_listed_can_be_loaded(kind: str) -> None:
    """A module beside the others that is no entry has a name that begins with an underscore."""
    for entry in entries(kind):
        assert isinstance(load_class(kind, entry.name), type)


def test_a_one_off_file_is_a_strategy(tmp_path: Path) -> None:
    path = tmp_path / "my_idea.py"
    path.write_text("class MyIdea:\n    control = 'standard'\n")
    assert load_class("strategy", str(path)).__name__ == "MyIdea"


@pytest.mark.parametrize(
    ("text", "says"),
    [("x = 1\n", "holds no class MyIdea"), ("def (:\n", "my_idea.py:1: does not parse")],
)
def test_a_broken_one_off_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "my_idea.py"
    path.write_text(text)
    with pytest.raises(BadInputError, match=says):
        load_class("strategy", str(path))


def test_a_parameter_that_comes_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="gives k twice"):
        parse_spec("self-consistency:k=5,k=6")


@pytest.mark.parametrize("operators", ["+", "-", "+-", "-+", "x+-", "+-x/", "*+/", "+/"])
def test_operators_are_one_value(operators: str) -> None:
    text = f"arithmetic:steps=1+2,operators={operators}"
    assert split_specs(text) == tuple(
        f"arithmetic:steps={steps},operators={operators}" for steps in (1, 2)
    )
    assert str(parse_spec(text)) == f"arithmetic:operators={operators},steps='1+2'"


def test_a_parameter_without_a_spec_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'k=1' belongs to no spec \(write cot:k=1\)"):
        split_specs("cot,k=1")
    with pytest.raises(UsageError, match="belongs to no spec"):
        split_specs("k=1")


def test_the_number_of_exemplars_has_two_names_and_one_identity() -> None:
    spec = parse_spec("flipped-labels:n_shot=4,fraction=1")
    assert str(spec) == "flipped-labels:fraction=1,k=4"
    assert parse_spec("self-consistency:n_shot=4").params == {"n_shot": "4"}
    with pytest.raises(UsageError, match="gives k twice"):
        parse_spec("unrelated-labels:k=4,n-shot=8")


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,3}(-[a-z]{1,3})?", fullmatch=True)
KEYS = st.from_regex(r"[a-z][a-z0-9]{0,3}(_[a-z]{1,3})?", fullmatch=True)
VALUES = st.text() | st.text("+-x*/',.=e12 a:\n") | st.floats().map(repr)
SPECS = st.builds(
    Spec, name=NAMES | NAMES.map("./{}.py".format), params=st.dictionaries(KEYS, VALUES, max_size=3)
)


@given(SPECS)
def test_a_printed_spec_is_read_as_it_was(spec: Spec) -> None:
    assert parse_spec(str(spec)) == spec


@given(st.lists(SPECS))
def test_printed_specs_are_one_spec_each(specs: list[Spec]) -> None:
    assert split_specs(",".join(map(str, specs))) == tuple(map(str, specs))
