"""Strategies and benchmarks of one's own: from a template, or from another distribution."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cotkit.benchmarks import check_disjoint, draw_exemplars, load_benchmark
from cotkit.cli import app
from cotkit.cli.new import BENCHMARK
from cotkit.registry import entries, parse_spec

THEIRS = '''
"""Theirs."""

from dataclasses import dataclass
from typing import ClassVar

from cotkit.types import Attempt, Decoding, Message, Request


@dataclass(frozen=True, kw_only=True)
class {name}:
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = False

    def solve(self, question):
        asked = (Message(role="user", content=f"Q: {{question.text}}\\nA: The answer is"),)
        (said,) = yield Request(messages=asked, decoding=Decoding(max_tokens=9))
        return Attempt(text=f"The answer is{{said.text}}", stop_reason=said.stop_reason)
'''


def cotkit(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    return subprocess.run(
        [sys.executable, "-m", "cotkit", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder that looks as if a distribution were installed in it."""
    site = tmp_path / "site"
    (info := site / "their_ideas-1.0.dist-info").mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-ideas\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[cotkit.strategies]\ntheir-idea = their_ideas.idea\ncot = their_ideas.impostor\n"
        "[cotkit.benchmarks]\ntheir-set = their_ideas.their_set\n"
    )
    (package := site / "their_ideas").mkdir()
    (package / "__init__.py").write_text("")
    (package / "idea.py").write_text(THEIRS.format(name="TheirIdea"))
    (package / "their_set.py").write_text(
        BENCHMARK.format(
            title="Theirs", command="", class_name="TheirSet", stem="their_set", hyphens="their-set"
        )
    )
    (package / "impostor.py").write_text("raise RuntimeError('must not be imported')\n")
    return site


RUN = ["--model", "simulated/70b", "--limit", "5", "--format", "csv"]


def test_a_new_strategy_works_as_it_was_printed() -> None:
    done = cotkit("new", "strategy", "my-idea")
    assert done.returncode == 0, done.stderr
    command = done.stdout.splitlines()[1].split()
    assert command[:4] == ["cotkit", "compare", "--strategy", "./my_idea.py"]
    ran = cotkit(*command[1:4], *RUN)
    assert ran.returncode == 0, ran.stderr
    assert "./my_idea.py" in ran.stdout
    assert "class MyIdea:" in Path("my_idea.py").read_text()


def test_a_new_benchmark_works_as_it_was_printed() -> None:
    done = cotkit("new", "benchmark", "my-set")
    assert done.returncode == 0, done.stderr
    command = done.stdout.splitlines()[1].split()
    assert command[:4] == ["cotkit", "compare", "--bench", "./my_set.py"]
    ran = cotkit(*command[1:4], *RUN, "--exemplars", "train:8")
    assert ran.returncode == 0, ran.stderr
    assert "my-set" in ran.stderr
    fewer = cotkit("compare", "--bench", "./my_set.py:n=3", *RUN[:2], "--limit", "all")
    assert "3 of 3 problems" in fewer.stdout
    assert "class MySet:" in Path("my_set.py").read_text()


def test_a_new_benchmark_keeps_the_contract() -> None:
    cotkit("new", "benchmark", "a2b")
    bench = load_benchmark(parse_spec("./a2b.py"))
    problems, pool = bench.problems(), bench.exemplar_pool()
    ids = [problem.question.id for problem in (*problems, *pool)]
    assert len(set(ids)) == len(ids)
    check_disjoint(draw_exemplars(pool, 8, 0), problems)
    assert (bench.name, bench.version, bench.answer_kind) == ("a2b", "1-n40", "number")
    assert load_benchmark(parse_spec("./a2b.py:n=9")).version != bench.version


def test_a_class_that_is_no_benchmark_is_refused_in_one_line() -> None:
    cotkit("new", "benchmark", "half")
    path = Path("half.py")
    path.write_text(path.read_text().replace("def exemplar_pool", "def something_else"))
    done = cotkit("compare", "--bench", "./half.py", *RUN)
    assert done.returncode == 2
    assert done.stderr.startswith("cotkit: benchmark ./half.py has no exemplar_pool")
    assert len(done.stderr.splitlines()) == 1


def test_a_benchmark_of_ones_own_has_no_card() -> None:
    cotkit("new", "benchmark", "my-set")
    done = cotkit("show", "bench", "./my_set.py")
    assert done.returncode == 2
    assert "it has no card" in done.stderr


@pytest.mark.parametrize("kind", ["strategy", "benchmark"])
def test_what_is_new_is_fit_to_be_copied_from(kind: str) -> None:
    cotkit("new", kind, "a2b")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "--line-length=100", "a2b.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_nothing_is_overwritten() -> None:
    Path("my_idea.py").write_text("mine")
    done = cotkit("new", "strategy", "my-idea")
    assert done.returncode == 2
    assert done.stderr.startswith("cotkit: my_idea.py is already there")
    assert Path("my_idea.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("strategy", name) for name in ["My-Idea", "2fast", "../x", "class", "a--b"]),
        ("benchmark", "../x"),
    ],
)
def test_a_bad_name_is_one_line(kind: str, name: str) -> None:
    done = cotkit("new", kind, "--", name)
    assert done.returncode == 2
    assert done.stderr.startswith(f"cotkit: {name!r} cannot name a {kind}")
    assert len(done.stderr.splitlines()) == 1
    assert list(Path.cwd().iterdir()) == []


def test_a_third_party_strategy_runs_by_its_name(theirs: Path) -> None:
    ran = cotkit("compare", "--strategy", "their-idea", *RUN, path=theirs)
    assert ran.returncode == 0, ran.stderr
    assert "their-idea" in ran.stdout
    assert "their-idea" not in cotkit("list", "strategies").stdout, "only while it is installed"


def test_a_third_party_strategy_is_listed_with_its_origin(theirs: Path) -> None:
    lines = cotkit("list", "strategies", path=theirs).stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("their-idea ")]
    assert "from their-ideas" in line


def test_a_third_party_benchmark_runs_by_its_name(theirs: Path) -> None:
    ran = cotkit("compare", "--bench", "their-set:n=4", *RUN[:2], "--limit", "all", path=theirs)
    assert ran.returncode == 0, ran.stderr
    assert "4 of 4 problems" in ran.stdout
    lines = cotkit("list", "benches", path=theirs).stdout.splitlines()
    assert any(line.startswith("their-set ") and "from their-ideas" in line for line in lines)


def test_a_built_in_name_wins(theirs: Path) -> None:
    lines = cotkit("list", "strategies", path=theirs).stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("cot ")]
    assert "their-ideas" not in line
    ran = cotkit("compare", "--strategy", "cot", *RUN, path=theirs)
    assert ran.returncode == 0, ran.stderr


def test_every_built_in_strategy_can_be_shown() -> None:
    names = [entry.name for entry in entries("strategy")]
    assert "oracle-review" in names
    for name in names:
        labels = name in {"flipped-labels", "unrelated-labels"}
        bench = ["--bench", "sentiment-mini"] if labels else []
        done = CliRunner().invoke(app, ["show", "prompt", "--strategy", name, *bench])
        assert done.exit_code == 0, (name, done.exception)
        assert " · turn 1 · " in done.stderr


def test_a_trigger_is_listed_and_used() -> None:
    listed = CliRunner().invoke(app, ["list", "triggers"])
    name, text = listed.output.splitlines()[1].split(maxsplit=1)
    shown = CliRunner().invoke(
        app, ["show", "prompt", "--strategy", f"zero-shot-cot:trigger={name}"]
    )
    assert text in shown.output
