"""Nothing that cotkit did not write is written over, and no stream or name ends in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cotkit.store import Store

RUN = ("compare", "--model", "simulated/7b", "--limit", "2")


def cotkit(
    *arguments: str | bytes, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cotkit", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def store() -> Path:
    assert cotkit(*RUN).returncode == 0
    return Path("logs/cotkit.db")


def test_the_store_and_the_users_files_are_not_written_over(store: Path) -> None:
    with Store(store) as opened:
        run = opened.runs()[0].id
    Path("mine.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n')
    kept = {path: path.read_bytes() for path in (store, Path("mine.jsonl"))}
    asked = [
        ("report", "--html", str(store)),
        (*RUN, "--html", "mine.jsonl"),
        ("export", run, "--parquet", str(store)),
        (*RUN, "--track", f"jsonl:{store}"),
        (*RUN, "--track", "jsonl:mine.jsonl"),
    ]
    for arguments in asked:
        done = cotkit(*arguments)
        assert done.returncode == 2, arguments
        assert len(done.stderr.splitlines()) == 1
        assert "is there and is no" in done.stderr
    assert {path: path.read_bytes() for path in kept} == kept


def test_tasks_are_written_over_tasks_only() -> None:
    tasks = ("export", "--strategy", "cot", "--limit", "3", "--to")
    for _ in range(2):
        assert cotkit(*tasks, "lm-eval-tasks:tasks").returncode == 0
    mine = Path("mine/problems.jsonl")
    mine.parent.mkdir()
    mine.write_text("mine")
    done = cotkit(*tasks, "lm-eval-tasks:mine")
    assert (done.returncode, mine.read_text()) == (2, "mine")
    assert "mine/problems.jsonl is there" in done.stderr


@pytest.mark.usefixtures("store")
def test_a_page_goes_through_a_link_and_over_a_page() -> None:
    Path("link.html").symlink_to("page.html")
    Path("link.html.new").write_text("mine")
    for _ in range(2):
        assert cotkit("report", "--html", "link.html").returncode == 0
    assert Path("link.html").is_symlink()
    assert Path("page.html").read_text().startswith("<!doctype html>")
    assert Path("link.html.new").read_text() == "mine"
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]
    done = cotkit("report", "--html", os.devnull)
    assert (done.returncode, "no ordinary file" in done.stderr) == (2, True)
    assert Path(os.devnull).is_char_device()


@pytest.mark.parametrize(
    "option",
    [
        ("--bench", "{}.jsonl"),
        ("--bench", "./{}.py"),
        ("--model", "{}"),
        ("--html", "{}.html"),
        ("--track", "./{}.py"),
        ("--exemplars", "{}.jsonl:2"),
    ],
)
def test_a_name_that_is_too_long_is_one_line(option: tuple[str, str]) -> None:
    done = cotkit(*RUN, option[0], option[1].format("a" * 300))
    assert done.returncode not in {0, 1}
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("cotkit: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = cotkit("list", "strategies", stdout=full.fileno())
    assert (done.returncode, done.stderr) == (74, "cotkit: No space left on device\n")


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_closed_stream_is_written_to_in_vain(closed: str) -> None:
    command = f'"{sys.executable}" -m cotkit {" ".join(RUN)} {closed}>&-'
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert ("cot against few-shot" in done.stdout) == (closed == "2")


def test_a_name_that_is_no_text_is_one_line() -> None:
    done = cotkit(*RUN, "--bench", b"./b\xffad.jsonl")
    assert done.returncode == 2
    assert done.stderr == "cotkit: './b\\udcffad.jsonl' is no UTF-8 (rename the file)\n"
    assert not Path("logs").exists()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise KeyError('x')", "failed at "),
        ("return [3]", "holds 3 (make it a Problem)"),
        ("return [None]", "holds None (make it a Problem)"),
        ("return None", "failed: TypeError"),
    ],
)
def test_a_benchmark_of_the_users_that_fails_is_one_line(body: str, said: str) -> None:
    assert cotkit("new", "benchmark", "broken").returncode == 0
    (path,) = Path().rglob("broken.py")
    text = path.read_text()
    head, _, rest = text.partition("    def problems(self)")
    line, _, after = rest.partition("\n")
    path.write_text(f"{head}    def problems(self){line}\n        {body}\n{after}")
    done = cotkit(*RUN, "--bench", f"./{path}")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
