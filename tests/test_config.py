"""Defaults from files: the user's own, and a project's, which chooses nothing of weight."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cotkit.cli import config
from cotkit.errors import BadInputError
from tests.conftest import Cotkit

USER = """# mine
model = "simulated/8b"
margin = 7
format = "json"
display = "none"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "home" / "cotkit"
    path.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(path.parent))
    monkeypatch.delenv("COTKIT_STORE", raising=False)
    return path / "config.toml"


def test_files_give_defaults_flags_go_before_them_and_both_are_said(
    home: Path, command: Cotkit
) -> None:
    home.write_text(USER)
    Path("pyproject.toml").write_text('[tool.cotkit]\nmargin = 5.5\ndisplay = "plain"\n')
    asked = ("compare", "--limit", "2", "--strategy", "zero-shot-cot")
    done = command(*asked)
    report = json.loads(done.out)
    assert (report["model"], report["margin"]) == ("simulated-8b", 0.055)
    assert f"model simulated/8b ({home}:2)" in done.err
    assert "margin 5.5 (pyproject.toml:2)" in done.err
    named = command(*asked, "--margin", "3", "--model", "simulated/70b")
    report = json.loads(named.out)
    assert (report["model"], report["margin"]) == ("simulated-70b", 0.03)
    assert "settings from files" not in named.err
    shown = command("doctor", "--settings").out
    assert [line.split() for line in shown.splitlines()][:4] == [
        ["default", "value", "from"],
        ["model", "simulated/8b", f"{home}:2"],
        ["store", "logs", "cotkit"],
        ["margin", "5.5", "pyproject.toml:2"],
    ]


def test_a_store_of_the_users_file_and_what_goes_before_it(
    home: Path, tmp_path: Path, command: Cotkit
) -> None:
    home.write_text(f'store = "{tmp_path}/mine"\nmodel = "simulated/8b"\n')
    asked = ("compare", "--limit", "1", "--strategy", "zero-shot-cot", "--display", "none")
    assert command(*asked).code == 0
    assert Path("mine/cotkit.db").is_file()
    assert command(*asked, "--log-dir", "here").code == 0
    assert Path("here/cotkit.db").is_file()
    home.write_text('store = "postgresql://me:pw@127.0.0.1:9/none"\n')
    assert command("list", "runs", "--log-dir", "here").code == 0
    refused = command("list", "runs")
    assert refused.code != 0
    assert "pw" not in refused.out + refused.err
    assert "pw" not in command("doctor", "--settings").out


FORBIDDEN = [
    "model",
    "store",
    "base_url",
    "confirm_run_unsafe_code",
    "sandbox",
    "prices",
    "strategy",
]
PROJECTS = [f'[tool.cotkit]\nmargin = 3\n{key} = "x"\n' for key in FORBIDDEN]


@pytest.mark.parametrize(("key", "text"), list(zip(FORBIDDEN, PROJECTS, strict=True)))
def test_a_project_chooses_neither_model_nor_address_store_or_permissions(
    key: str, text: str
) -> None:
    Path("pyproject.toml").write_text(text)
    with pytest.raises(BadInputError, match=rf"^pyproject.toml:3:{key}: .*only margin") as told:
        config.read_settings()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tool.cotkit.model_args]\nbase_url='x'\n", "pyproject.toml:1:model_args: a project"),
        ("[tool]\ncotkit.model = 'x'\n", "pyproject.toml:2:model: a project"),
        ("tool.cotkit = {margin = 3, model = 'x'}\n", "pyproject.toml:1:model: a project"),
        ("[ 'tool' . cotkit ]\n'margin' = 300\n", "pyproject.toml:2:margin: 300 is no number"),
        ("[tool.cotkit]\nmargin = true\n", "pyproject.toml:2:margin: True is no number"),
        ("[tool.cotkit]\nmargin = nan\n", "pyproject.toml:2:margin: nan is no number"),
        ("[tool.cotkit]\nmargin = '3'\n", "pyproject.toml:2:margin: 3 is no number"),
        ("[tool.cotkit]\nformat = 'html'\n", "pyproject.toml:2:format: 'html' is none of table"),
        ("[tool.cotkit]\ndisplay = ['none']\n", "pyproject.toml:2:display: "),
        ("[tool]\ncotkit = 3\n", "pyproject.toml:2:cotkit: is no table"),
        ("[tool.cotkit]\nmargin = 3\nmargin = 4\n", "pyproject.toml:3: "),
        ("[tool.cotkit\n", "pyproject.toml:1: "),
    ],
)
def test_a_broken_project_is_one_line_with_file_line_and_key(text: str, says: str) -> None:
    Path("pyproject.toml").write_text(text)
    with pytest.raises(BadInputError) as told:
        config.read_settings()
    assert str(told.value).startswith(says)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models = 'x'\n", ":1:models: no such setting"),
        ("margin = 3\n[defaults]\nmodel = 'x'\n", ":2:defaults: no such setting"),
        ("store = 'logs'\n", ":1:store: 'logs' is neither a URL nor an absolute path"),
        ("model = ''\n", ":1:model: '' is no name"),
        ("base_url = 'http://x'\n", ":1:base_url: no such setting"),
    ],
)
def test_a_broken_file_of_the_users_is_one_line(home: Path, text: str, says: str) -> None:
    home.write_text(text)
    with pytest.raises(BadInputError) as told:
        config.read_settings()
    assert str(told.value).startswith(f"{home}{says}")


def test_help_and_other_projects_are_left_alone(command: Cotkit) -> None:
    Path("pyproject.toml").write_text("[tool.other\n")
    assert config.read_settings() == {}
    Path("pyproject.toml").write_text("[project]\nname = 'cotkit'\n")
    assert config.read_settings() == {}
    Path("pyproject.toml").write_text("[tool.cotkit]\nmodel = 'x'\n")
    assert command("compare", "--help").code == 0
    refused = command("list", "strategies")
    assert refused.code == 65
    assert refused.err.startswith("cotkit: pyproject.toml:2:model: a project")
