"""Names: a folder is a registry, specs are read strictly, and a slip gets a helpful word."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotkit.errors import BadInputError, CotkitError, UnknownNameError, UsageError
from cotkit.registry import construct, entries, load_class, parse_spec, split_specs
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
    ],
)
def test_lists_of_specs(text: str, specs: tuple[str, ...]) -> None:
    assert split_specs(text) == specs


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("cott", UnknownNameError, "did you mean cot"),
        ("nothing-like-it", UnknownNameError, "zero-shot-cot"),
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
