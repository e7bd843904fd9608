"""Docs run: every shell and Python block of the README and docs/, and every example."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cotkit.cli.config import VARIABLES
from tests.conftest import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?P<reason><!-- not run in tests: [^>]+ -->\n+)?```(?P<language>sh|python)\n(?P<code>.*?)```",
    re.DOTALL,
)
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|home)/\w")
EXAMPLES = [
    path for path in sorted((REPOSITORY / "examples").glob("*.py")) if path.name != "demo.py"
]  # demo.py fetches the large model: `make demo` runs it, test_model.py its parts


def blocks() -> list[tuple[str, str, str]]:
    return [
        (f"{page.relative_to(REPOSITORY)}:{number}", found["language"], found["code"])
        for page in PAGES
        for number, found in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")), start=1)
        if not found["reason"]
    ]


def run(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | {"PATH": path},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("place", "language", "code"), blocks(), ids=[b[0] for b in blocks()])
def test_a_block_runs(place: str, language: str, code: str, tmp_path: Path) -> None:
    for name in ("examples", "prompts", "benchmarks"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    if language == "python":
        run([sys.executable, "-c", code], tmp_path)
    else:
        run(["bash", "-euo", "pipefail", "-c", code], tmp_path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs(path: Path, tmp_path: Path) -> None:
    if path.name == "custom_strategy.py":
        command = ["-m", "cotkit", "compare", "--strategy", str(path), "--model"]
        assert "custom_strategy" in run([sys.executable, *command, "simulated/70b"], tmp_path)
    else:
        assert run([sys.executable, str(path)], tmp_path)


def test_local_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_links_of_the_readme_work_on_a_package_index() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    assert len(targets) > 40
    for target in targets:
        assert target.startswith("https://"), target
        ours = re.fullmatch(r"https://\S+/cotkit/cotkit/(?:(?:blob|tree)/)?main/(\S+)", target)
        assert ours is None or (REPOSITORY / ours[1]).exists(), target


def test_no_machine_path_is_published() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, check=True, cwd=REPOSITORY
    ).stdout.split()
    for name in tracked:
        text = (REPOSITORY / name).read_text(encoding="utf-8", errors="replace")
        assert not MACHINE_PATH.search(text), name


def test_the_reference_names_every_variable_and_exit_status() -> None:
    page = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "cotkit").rglob("*.py")]
    variables = {name for source in sources for name in re.findall(r"COTKIT_[A-Z_]+", source)}
    assert variables == set(re.findall(r"^\| `(COTKIT_[A-Z_]+)`", page, re.MULTILINE))
    assert variables == {name for name in VARIABLES if name.startswith("COTKIT_")}
    assert [name for name in VARIABLES if name not in page] == []
    errors = (REPOSITORY / "cotkit" / "errors.py").read_text(encoding="utf-8")
    statuses = set(re.findall(r"exit_code.* = (\d+)", errors))
    assert statuses <= set(
        re.findall(r"\d+", "".join(re.findall(r"^\|[ \d,]+\|", page, re.MULTILINE)))
    )
