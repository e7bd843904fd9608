"""Kill -9 at any moment: run again, and only what is missing is generated, to the same bytes."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

SIMULATED = [
    "--model",
    "simulated/70b",
    "--model-args",
    "latency_s=0.05,max_concurrency=4",
    "--strategy",
    "cot,zero-shot-cot",
    "--limit",
    "25",
]
N_COMPLETIONS = 25 * (3 + 2)  # few-shot, cot and standard ask once, zero-shot-cot twice


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cotkit", "compare", *arguments, "--log-dir", str(folder)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder.parent,
    )


def finish(arguments: list[str], folder: Path) -> tuple[str, str]:
    process = start(arguments, folder)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out, err


def n_stored(folder: Path) -> int:
    path = folder / "cotkit.db"
    if not path.exists():
        return 0
    with sqlite3.connect(path) as db:
        has_table = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'completion'").fetchone()
        return db.execute("SELECT count(*) FROM completion").fetchone()[0] if has_table else 0


def wait_for(folder: Path, n: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while n_stored(folder) < n:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_at_random_points_the_table_is_the_same_and_nothing_is_made_twice(
    tmp_path: Path,
) -> None:
    whole, _ = finish(SIMULATED, tmp_path / "whole")
    rng, folder = random.Random(7), tmp_path / "killed"
    for goal in sorted(rng.sample(range(1, N_COMPLETIONS - 10), 4)):
        process = start(SIMULATED, folder)
        wait_for(folder, goal, process)
        process.kill()
        process.communicate()
    before = n_stored(folder)
    out, err = finish(SIMULATED, folder)
    assert out == whole
    assert f"{N_COMPLETIONS - before} completions made in" in err
    again, err = finish(SIMULATED, folder)
    assert again == whole
    assert "all from the store" in err


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    process = start(SIMULATED, folder)
    wait_for(folder, 20, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    hint = re.search(r"cotkit resume (\w+) --log-dir (\S+)\)", err)
    assert hint is not None, err
    assert hint[2] == str(folder)
    command = [sys.executable, "-m", "cotkit", "resume", hint[1], "--log-dir", str(folder)]
    resumed = subprocess.run(command, capture_output=True, text=True, check=True)
    whole, _ = finish(SIMULATED, tmp_path / "whole")
    assert resumed.stdout == whole


@pytest.mark.full
def test_a_real_engine_killed_gives_the_same_table(tmp_path: Path) -> None:
    """The tiny random model through transformers, on disk, as any local model."""
    pytest.importorskip("torch", reason="the hf extra is not installed")
    from tests.tiny_model import build_tiny_model

    model = build_tiny_model(tmp_path / "tiny")
    arguments = ["--model", str(model), "--num-fewshot", "1", "--limit", "8", "--max-tokens", "24"]
    arguments += ["--batch-size", "2"]
    whole, _ = finish(arguments, tmp_path / "whole")
    folder = tmp_path / "killed"
    for goal in (2, 7):
        process = start(arguments, folder)
        wait_for(folder, goal, process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    out, _ = finish(arguments, folder)
    assert out == whole
