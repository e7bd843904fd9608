"""Options are declared once: RunOptions, TypedDict, signatures, help and command line agree."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cotkit
from cotkit import api
from cotkit.cli import app
from cotkit.cli.options import DEFAULT_MODEL, read_specs
from cotkit.errors import UnknownNameError, UsageError
from cotkit.run.budget import Budget, Resources
from cotkit.run.spec import DEFAULTS, RunKeywords, RunOptions, RunSpec, list_specs
from tests.conftest import Sums

OPTIONS = {field.name: field for field in dataclasses.fields(RunOptions)}
FRONT_DOORS: dict[Callable[..., object], set[str]] = {
    api.compare: set(),
    api.plan: set(),
    api.scale: {"stop_when"},
    api.compare_models: {"stop_when", "exemplar_seeds"},
    api.measure_spending: {"stop_when"},
}
"""Function -> the options that it does not have."""
STORED_BY_0_1 = (
    '{"baseline":null,"batch":false,"bench":"gsm-mini","exemplar_seed":0,"exemplar_seeds":[],'
    '"exemplars":"builtin:8","generation":{},"likelihood":false,"limit":null,"margin":0.02,'
    '"model":"m","model_args":{},"reader":"flexible","run_unsafe_code":false,"seed":0,'
    '"stop_when":null,"strategies":["cot"]}'
)


def test_the_keywords_for_type_checkers_are_the_options() -> None:
    assert typing.get_type_hints(RunKeywords) == typing.get_type_hints(RunOptions)
    assert list(RunKeywords.__annotations__) == list(OPTIONS)
    assert RunKeywords.__required_keys__ == frozenset()


@pytest.mark.parametrize("function", FRONT_DOORS)
def test_signature_and_help_list_every_option_with_its_default(
    function: Callable[..., object],
) -> None:
    parameters = inspect.signature(function).parameters
    expected = set(OPTIONS) - FRONT_DOORS[function]
    assert expected == set(OPTIONS) & parameters.keys()
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    text = inspect.getdoc(function)
    assert text is not None
    for name in expected:
        assert parameters[name].default == getattr(DEFAULTS, name)
        assert f"    {name}: " in text
    assert f"{DEFAULTS.margin}" in str(inspect.signature(function))
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("function", FRONT_DOORS)
def test_an_unknown_option_gets_a_helpful_line(function: Callable[..., object]) -> None:
    model = "simulated" if function is api.scale else "simulated/70b"
    with pytest.raises(UnknownNameError, match="did you mean margin"):
        function(model, "cot", bench=Sums(n=2), margins=0.1)
    with pytest.raises(UnknownNameError, match="did you mean log_dir"):
        function(model, "cot", bench=Sums(n=2), logdir="x")


def test_two_models_and_two_ladders_are_compared_in_python(tmp_path: Path) -> None:
    large, small = "simulated/70b", "simulated/1b"
    (two,) = cotkit.compare_models(large, small, "cot", Sums(n=30), log_dir=tmp_path)
    assert {large.replace("/", "-"), small.replace("/", "-")} == set(two.names)
    assert "simulated-70b against simulated-1b" in cotkit.render(two, "table")
    ladders = cotkit.compare_models(
        [small, large],
        [f"{small}:seed=1", f"{large}:seed=1"],
        "cot",
        [Sums(n=30), Sums(n=30, name="more")],
        log_dir=tmp_path,
    )
    assert [len(contrasts.of_gains()) for contrasts in ladders] == [2, 2]
    with pytest.raises(UsageError, match="given twice"):
        cotkit.compare_models(small, small, "cot", Sums(n=2), log_dir=tmp_path)


def test_what_thinking_buys_is_measured_in_python_as_by_command(tmp_path: Path) -> None:
    sweep = "standard:thinking=16+64+256"
    spent = cotkit.measure_spending(
        "simulated/30b", sweep, "gsm-mini", limit=30, reach=0.2, log_dir=tmp_path
    )
    (curve,) = spent.curves
    assert [point.setting for point in curve.sweep.points] == ["16", "64", "256"]
    assert cotkit.render(spent, "html").startswith("<!doctype html>")
    command = ["scale", "--x", "thinking-tokens", "--models", "simulated/30b", "--strategy", sweep]
    command += ["--bench", "gsm-mini", "--limit", "30", "--reach", "20", "--log-dir", str(tmp_path)]
    printed = CliRunner().invoke(app, [*command, "--format", "markdown", "--display", "none"])
    assert printed.exit_code == 0
    assert printed.stdout == cotkit.render(spent, "markdown")
    with pytest.raises(UsageError, match="not a solve rate"):
        cotkit.measure_spending("simulated/30b", sweep, reach=20)
    with pytest.raises(UsageError, match="one benchmark at a time"):
        cotkit.measure_spending("simulated/30b", sweep, "gsm-mini,arithmetic")


def test_a_ladder_has_no_stop_rule_and_no_budget() -> None:
    with pytest.raises(UnknownNameError, match="option of scale"):
        cotkit.scale(["simulated/1b", "simulated/7b"], "cot", Sums(n=2), stop_when="decided")
    with pytest.raises(UsageError, match="a budget is of one run"):
        cotkit.scale(
            ["simulated/1b", "simulated/7b"],
            "cot",
            Sums(n=2),
            resources=Resources(budget=Budget(tokens=5)),
        )


def test_an_option_that_is_none_has_its_default_and_one_out_of_range_is_refused() -> None:
    options: dict[str, Any] = {"margin": None, "model_args": None}
    planned = cotkit.plan("simulated/70b", "cot", Sums(n=4), **options)
    assert planned.run_id == cotkit.plan("simulated/70b", "cot", Sums(n=4)).run_id
    with pytest.raises(UsageError, match="margin 2 is not between 0 and 1"):
        cotkit.plan("simulated/70b", "cot", Sums(n=4), margin=2)
    with pytest.raises(UsageError, match="a batch is sent by a model with a name"):
        cotkit.compare(lambda prompt: prompt, "cot", Sums(n=4), batch=True)


def test_several_strategies_in_one_text_are_several_arms() -> None:
    planned = cotkit.plan("simulated/70b", "cot,self-consistency:k=2+3", Sums(n=4))
    assert {arm.arm for arm in planned.arms} >= {"self-consistency:k=2", "self-consistency:k=3"}


def test_the_command_line_has_the_same_defaults() -> None:
    written = inspect.signature(read_specs).parameters.items()
    (spec,) = read_specs(**{name: option.default.default for name, option in written})
    assert spec == RunSpec(model=DEFAULT_MODEL)


def test_what_0_1_stored_is_what_is_stored_now() -> None:
    stored_now = json.loads(RunSpec(model="m").to_json())
    assert json.loads(STORED_BY_0_1).items() <= stored_now.items()
    assert RunSpec.from_json(STORED_BY_0_1) == RunSpec(model="m")
    assert {field.name for field in dataclasses.fields(RunSpec)} == {
        *("model", "bench", "strategies", "exemplar_seeds", "sample_seeds", "assume"),
        *OPTIONS,
    }


def test_several_benchmarks_and_a_file_with_a_comma(tmp_path: Path) -> None:
    file = tmp_path / "a,b+c.jsonl"
    file.touch()
    (tmp_path / "mine.py").touch()
    mine = tmp_path / "mine.py"
    names = [f"name{i}" for i in range(100)]
    assert list_specs(",".join(names)) == tuple(names), "longer than a path may be"
    assert list_specs(f"{mine}:n=1+2") == (f"{mine}:n=1", f"{mine}:n=2")
    texts = ["gsm-mini,svamp", "arithmetic:steps=1+2,operators=+-", str(file), f"{file}:x=1+2"]
    assert list_specs(texts) == (
        *("gsm-mini", "svamp"),
        *("arithmetic:steps=1,operators=+-", "arithmetic:steps=2,operators=+-"),
        *(str(file), f"{file}:x=1+2"),
    )


def test_completion_sees_the_public_names_before_they_are_loaded() -> None:
    code = (
        "import sys, cotkit; print(set(cotkit.__all__) <= set(dir(cotkit)));"
        "print('cotkit.api' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_the_old_name_of_a_result_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="cotkit.Scored is now cotkit.ScoreResult"):
        assert getattr(cotkit, "Scored") is cotkit.ScoreResult  # noqa: B009 - no checker knows it


def test_a_tag_names_a_run_and_is_not_part_of_its_identity(tmp_path: Path) -> None:
    plain = api.compare("simulated/70b", limit=4, log_dir=tmp_path / "plain")
    tagged = api.compare("simulated/70b", limit=4, log_dir=tmp_path / "tagged", tag="nightly")
    assert tagged.run_id == plain.run_id
    command = ["list", "runs", "--log-dir", str(tmp_path / "tagged")]
    assert CliRunner().invoke(app, command).stdout.rstrip().endswith("cot · nightly")
