"""The wheel: built, installed alone in a clean environment, run from another folder."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY


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


def test_it_runs_on_its_own(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    cotkit = tmp_path / "venv" / "bin" / "cotkit"
    done = subprocess.run(
        [str(cotkit), "compare", "--model", "simulated/70b", "--limit", "10"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "simulated-70b" in done.stdout
    bare = subprocess.run(
        [str(cotkit), "compare", "--model", "smollm2-135m", "--limit", "2"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"COTKIT_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"},
    )
    assert bare.returncode == 69, bare.stderr
    assert "pip install 'cotkit[hf]'" in bare.stderr
    assert bare.stderr.count("\n") == 1
