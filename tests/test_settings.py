"""How a run was made: in every format, and enough to make it again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cotkit
from cotkit.cli import app
from cotkit.errors import UsageError
from tests.raw_server import RawServer, chat, response

ASKED = ("--strategy", "cot,zero-shot-cot", "--bench", "gsm-mini", "--limit", "6")
MORE = ("--system", "Be brief & exact.", "--margin", "3", "--seed", "2", "--gen-kwargs", "top_k=5")


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def settings_of(text: str) -> dict[str, str]:
    return {row["fact"]: row["value"] for row in json.loads(text)["settings"]}


def test_the_command_makes_the_run_again_and_every_format_has_it() -> None:
    first = run("compare", "--model", "simulated/70b", *ASKED, *MORE, "-f", "json")
    settings = settings_of(first)
    words = shlex.split(settings["command"])
    assert words[0] == "cotkit"
    assert run(*words[1:], "-f", "json") == first
    assert settings["cotkit"] == cotkit.__version__
    assert settings["arm cot"].startswith("version=1,calculator=False,max_tokens=256")
    assert "cot.v1.jinja 2dcbf395e7f8" in settings["prompts"]
    for kind, expected in (
        ("markdown", "Be brief & exact.".replace("&", "\\&")),
        ("latex", "Be brief \\& exact."),
        ("csv", "Be brief & exact."),
        ("table", "Be brief & exact."),
    ):
        full = ("--full",) if kind == "table" else ()
        assert expected in run("report", "-f", kind, *full), kind
    run("report", "--html", "o.html")
    page = Path("o.html").read_text(encoding="utf-8")
    assert "Be brief &amp; exact." in page
    assert '<p class="role">system</p>' in page
    assert "\\nQ: " not in page.partition("<script")[0], "a line of a prompt is a line of the page"
    assert "Be brief & exact." in run("show", "run", "last")


def test_the_date_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    found = run("compare", "--model", "simulated/70b", *ASKED, "-f", "json")
    assert settings_of(found)["date"] == "1970-01-02"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    done = CliRunner().invoke(app, ["report"])
    assert isinstance(done.exception, UsageError)


def test_prompts_are_shown_with_their_roles() -> None:
    asked = ["show", "prompt", "--strategy", "zero-shot-cot", "--system", "Hi"]
    done = CliRunner().invoke(app, asked)
    assert "[system]" in done.stderr
    assert "[assistant]" in done.stderr
    assert "[" not in done.stdout
    assert "Hi\n" in done.stdout


def test_a_runs_settings_end_with_what_its_server_says_of_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("openai", reason="the openai extra is not installed")
    body = chat() | {"model": "m-2026-01", "system_fingerprint": "fp_7"}
    with RawServer(lambda _body, _number: response(body)) as server:
        monkeypatch.setenv("SRV_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("SRV_API_KEY", "k")
        asked = ("--bench", "gsm-mini", "--limit", "2", "--strategy", "standard")
        run("compare", "--model", "openai-api/srv/m", *asked, "--display", "none")
    _, *facts = run("show", "run", "last").partition("What the server says of itself")
    assert "m-2026-01 fp_7" in "".join(facts)
