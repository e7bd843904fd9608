"""The scale analysis of 10^4, 10^5 and 10^6 attempts, from the store: seconds, memory, growth.

    python perf/analysis.py [PROBLEMS ...]

20 models x 10 strategies x PROBLEMS (default: 50, 500 and 5000), made up and written to a store in
a temporary folder; then a fresh process on one core reads them and analyses all nine gains. Making
them up is not measured. Seconds are processor seconds; memory is the process's largest resident
set, imports included.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cotkit.analysis.scale.analysis import analyse
from cotkit.analysis.scale.grid import Rung, ScaleQuestion
from cotkit.identity import backend_key
from cotkit.store import Store
from cotkit.types import BackendInfo
from cotkit.workflows.ladder_grid import LadderArms, LadderRun, read_grid

SIZES = [round(10 ** (8 + 3.5 * i / 19)) for i in range(20)]
REASONS = {
    "few-shot": False,
    "answer-first": False,
    "filler": False,
    "cot": True,
    "cot-shuffled": True,
    "equation-only": True,
    "least-to-most": True,
    "plan-and-solve": True,
    "self-consistency:k=5": True,
    "zero-shot-cot": True,
}
ANSWER = "The answer is 13."
CHAIN = "There are 16 eggs and 3 are eaten, so 16 - 3 = 13 are left. " * 5 + ANSWER
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def fill(path: Path, n_problems: int) -> None:
    """Write a run of each model, with arms that help from different sizes on."""
    rng = np.random.default_rng(0)
    with Store(path) as store:
        for i, n_params in enumerate(SIZES):
            info = BackendInfo(backend="made-up", model=f"m{i}", fingerprint="1", n_params=n_params)
            store.put_backend(backend_key(info), info)
            store.start_run(f"run{i}", "{}", backend_key(info))
    with sqlite3.connect(path) as db:
        for i, n_params in enumerate(SIZES):
            for j, arm in enumerate(REASONS):
                rate = 0.02 + 0.9 / (1 + np.exp(-4 * (np.log10(n_params) - 11 + 0.15 * j)))
                db.executemany(
                    f"INSERT INTO attempt ({', '.join(COLUMNS)}) "  # noqa: S608 - our own names
                    f"VALUES ({', '.join('?' for _ in COLUMNS)})",
                    rows(f"run{i}", arm, rng.random(n_problems) < rate, first=j * n_problems),
                )


COLUMNS = (
    *("run", "arm", "problem_id", "sample", "position", "outcome", "text", "gold", "readings"),
    *("truncated", "n_calls", "n_prompt_tokens", "n_shared_tokens", "n_generated_tokens"),
    *("seconds", "n_steps", "turns", "metrics"),
)


def rows(run: str, arm: str, solved: np.ndarray, first: int) -> Iterator[tuple[object, ...]]:
    """Attempts as a run writes them."""
    text = CHAIN if REASONS[arm] else ANSWER
    for i, right in enumerate(solved.tolist()):
        value = "13" if right else "12"
        read = {
            name: [value, "answer-line", right]
            for name in ("strict", "flexible", "last-number", "lm-eval-strict", "lm-eval-flexible")
        }
        share = 1.0 if right else 0.5
        metrics = {
            "digit_accuracy": share,
            "edit_distance": 2 * (1 - share),
            "edit_similarity": share,
            "exact_match": float(right),
            "numeric_match": float(right),
        }
        yield (
            *(run, arm, f"p/{i:05}", 0, first + i, "correct" if right else "wrong", text, "13"),
            *(json.dumps(read), 0, 1, 800, 700, 90, 0.5, 1 + i % 8),
            *(json.dumps([[f"{first + i:064x}"]]), json.dumps(metrics)),
        )


def measure(path: Path, n_problems: int) -> None:
    """Read and analyse in this process; print seconds of each and peak memory."""
    started = time.process_time()
    runs = [
        LadderRun(rung=Rung(model=f"m{i}", family="made-up", n_params=n_params), run_id=f"run{i}")
        for i, n_params in enumerate(SIZES)
    ]
    arms = LadderArms(
        bench="made-up",
        problem_ids=tuple(f"p/{i:05}" for i in range(n_problems)),
        reasons=REASONS,
        reader="flexible",
    )
    with Store(path) as store:
        read = read_grid(store, runs, arms)
    read_s = time.process_time() - started
    control, *others = REASONS
    question = ScaleQuestion(pairs=tuple((arm, control) for arm in others), margin=0.02)
    found = analyse(read.grid, question, np.random.default_rng(0))
    whole_s = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    statuses = ", ".join(sorted({answer.onset.status for answer in found.answers}))
    print(
        f"{len(SIZES) * len(REASONS) * n_problems:>9,} attempts: read {read_s:6.1f} s, analysed "
        f"{whole_s - read_s:6.1f} s, together {whole_s:6.1f} s, {peak:6.0f} MB ({statuses})",
        flush=True,
    )


def main(counts: list[int]) -> None:
    """Fill a store for each count and measure it in a process of its own."""
    for n_problems in counts:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "made-up.db"
            fill(path, n_problems)
            print(f"{path.stat().st_size / 2**20:9,.0f} MB in the store", flush=True)
            subprocess.run(
                [sys.executable, __file__, "--measure", str(path), str(n_problems)],
                check=True,
                env=os.environ | ONE_THREAD,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main([int(n) for n in sys.argv[1:]] or [50, 500, 5000])
