"""The wheel: built, installed in a bare environment, and all of it tried there without an extra."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cotkit
from tests.conftest import REPOSITORY

TRIED = """
import contextlib, io, json, os, sys, traceback
from cotkit import cli
from cotkit.registry import entries

def walk(command, words):
    yield [*words, "--help"]
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, [*words, name])

import typer
calls = list(walk(typer.main.get_command(cli.app), []))
quick = ["compare", "--limit", "2", "--display", "none"]
simulated = [*quick, "--model", "simulated/70b"]
calls += [[*quick, "--model", f"{each.name}/x/y"] for each in entries("backend")]
calls += [[*quick, "--model", f"{each.name}/x"] for each in entries("backend")]
calls += [[*quick, "--model", name] for name in ("smollm2-135m", "pocket-57k", "./x.gguf")]
calls += [[*simulated, "--bench", each.name] for each in entries("benchmark")]
calls += [[*simulated, "--strategy", each.name] for each in entries("strategy")]
calls += [[*simulated, "--track", f"{each.name}:"] for each in entries("tracker")]
calls += [[*simulated, "--format", name] for name in
          ("table", "markdown", "json", "csv", "latex", "lm-eval", "model-index", "eval-results")]
calls += [[*simulated, "--html", "x.html"], [*simulated, "--store", "postgresql://h/d"],
          [*simulated, "--executor", "ray"], [*simulated, "--reader", "math-verify"],
          [*simulated, "--bench", "./x.parquet"], [*simulated, "--likelihood"],
          ["export", "last", "--parquet", "x.parquet"], ["export", "last", "--to", "inspect:l"],
          ["report"], ["plan", "--model", "hf/x/y"], ["doctor"], ["doctor", "--settings"],
          ["lab", "icl"], ["lab", "mirage"], ["lab", "flipped", "--models", "simulated/70b"],
          ["lab", "train", "pocket"], ["scale", "--family", "pocket", "--limit", "2"],
          ["scale", "--published", "wei2022", "--bench", "gsm8k"], ["store", "check"],
          ["models"], ["demo"], ["list", "models"], ["list", "trackers"]]
results = []
for call in calls:
    out, err, code = io.StringIO(), io.StringIO(), 0
    sys.argv = ["cotkit", *call]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            code = traceback.format_exc()
    results.append([" ".join(call), code, out.getvalue()[-500:], err.getvalue()])
print("RESULT " + json.dumps(results))
"""
"""In one process, so that a hundred calls take seconds."""

ENDS = {0, 2, 65, 66, 69, 74, 75, 77}
"""Exit statuses of docs/reference.md, but for faults of cotkit's own."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(out),
    ]
    subprocess.run([*command, str(REPOSITORY)], check=True)
    (built,) = out.glob("cotkit-*.whl")
    return built


def bare_python(folder: Path, wheel: Path) -> Path:
    """An environment with the wheel and what it requires, which is linked from this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    pending = ["cotkit"]
    for name in pending:
        needs = importlib.metadata.distribution(name).requires or []
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                pending += {canonicalize_name(need.name)} - set(pending)
        for file in importlib.metadata.files(name) or [] if name != "cotkit" else []:
            place, link = Path(str(file.locate())), packages / file.parts[0]
            if file.parts[0] != ".." and not link.exists():
                link.symlink_to(
                    place.parents[len(file.parts) - 2] if len(file.parts) > 1 else place
                )
    return folder / "bin" / "python"


def test_it_carries_its_data_and_its_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "cotkit/_data/prompts/LOCK.toml",
        "cotkit/_data/prompts/cot.v1.jinja",
        "cotkit/_data/benchmarks/gsm-mini/problems.v1.jsonl",
        "cotkit/_data/published/tables.toml",
        "cotkit/_data/published/wei2022.csv",
        "cotkit/_data/studies/wei2022.toml",
        "cotkit/store/migrations/0001_first.sql",
        "cotkit/models/catalogue.toml",
        "cotkit/report/html/page.html.jinja",
        "cotkit/report/html/report.css",
        "cotkit/report/html/report.js",
        "cotkit/_data/weights/pocket-57k/model.safetensors",
        "cotkit/py.typed",
    ):
        assert wanted in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "perf/"))]


def test_every_command_and_every_backend_works_or_names_what_it_needs(
    wheel: Path, tmp_path: Path
) -> None:
    python = bare_python(tmp_path / "venv", wheel)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    done = subprocess.run(
        [str(python), "-c", TRIED],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={
            "COTKIT_CACHE_DIR": str(tmp_path / "cache"),
            "HOME": str(tmp_path),
            "HTTPS_PROXY": "http://127.0.0.1:9",  # nothing is fetched
            "OPENAI_API_KEY": "a-key",
            "ANTHROPIC_API_KEY": "a-key",
            "PATH": "/usr/bin:/bin",
        },
    )
    assert done.returncode == 0, done.stderr
    results = {call: rest for call, *rest in json.loads(done.stdout.rpartition("RESULT ")[2])}
    wrong = {
        call: ended
        for call, ended in results.items()
        if ended[0] not in ENDS or "Traceback" in ended[2]
    }
    assert wrong == {}, wrong
    helped = [call for call, (code, *_) in results.items() if call.endswith("--help") and code == 0]
    assert len(helped) > 20
    for call, extra in (
        ("--model smollm2-135m", "hf"),
        ("--model hf/x", "hf"),
        ("--model openai/x", "openai"),
        ("--model anthropic/x", "anthropic"),
        ("--model inspect/x/y", "inspect"),
        ("--model litellm/x/y", "litellm"),
        ("--track mlflow:", "mlflow"),
        ("--track wandb:", "wandb"),
        ("--html x.html", "report"),
        ("--executor ray", "ray"),
        ("--store postgresql://h/d", "postgres"),
        ("--reader math-verify", "math"),
        ("--parquet x.parquet", "data"),
    ):
        [(code, _, err)] = [ended for each, ended in results.items() if each.endswith(call)]
        assert code == 69, (call, err)
        assert f"pip install 'cotkit[{extra}]'" in err.splitlines()[-1], err


@pytest.mark.full
def test_a_real_installation_is_small_and_answers(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    listed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {entry["name"].lower() for entry in json.loads(listed.stdout)} - {"pip", "setuptools"}
    assert len(names) <= 12, names
    done = subprocess.run(
        [str(python.with_name("cotkit")), "compare", "--model", "simulated/70b", "--limit", "10"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "simulated-70b" in done.stdout


def test_the_users_file_uses_every_public_name() -> None:
    text = (REPOSITORY / "tests" / "cases" / "user.py").read_text(encoding="utf-8")
    assert [name for name in cotkit.__all__ if f"cotkit.{name}" not in text] == []


@pytest.mark.full
def test_the_public_api_is_typed_for_users() -> None:
    subprocess.run(
        ["make", "typecheck-user", f"PYTHON={sys.executable}"], check=True, cwd=REPOSITORY
    )
