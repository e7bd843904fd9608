"""Hosted runs side by side: raw aiohttp, a bare loop over the SDK, cotkit, and its peers.

    python -m perf.hosted [--n 1319] [--repeat 3] [--peer lm-eval=PYTHON] [--faults] [--cached]

Every contestant is a process of its own and asks one loopback server the same questions: 8-shot
chain-of-thought prompts, answers of about 100 words, each after a fixed latency. The server is in
this process, so its cost is in no figure but the wall time of a machine with too few cores.
Request phase: first request to last answer, as the server saw them. Wall, processor seconds and
peak memory are those of the whole process: start, prompts, answers read, everything stored.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cotkit.prompting import read_exemplars
from cotkit.store import Store
from cotkit.strategies.cot import Cot
from cotkit.types import Question, Request
from perf.hosted_peers import PEERS, Command, Job
from tests.fake_api import FakeApi, Seen
from tests.fake_asked import last_user

FAULTS = {"429": 0.05, "500": 0.02, "reset": 0.01, "malformed": 0.01, "hang": 0.005}
TIMEOUT_S = 5.0
N_WORDS = 95  # of reasoning in each answer


@dataclass(slots=True)
class Log:
    """What the server saw since it was last cleared."""

    n_seen: int = 0
    first_s: float = float("inf")
    last_s: float = 0.0
    answered: Counter[int] = field(default_factory=Counter[int])
    faults: Counter[str] = field(default_factory=Counter[str])

    def add(self, seen: Seen) -> None:
        """Count a request that is over."""
        self.n_seen += 1
        self.first_s = min(self.first_s, seen.at_s)
        self.last_s = max(self.last_s, seen.done_s)
        if seen.fault:
            self.faults[seen.fault] += 1
        if seen.is_answered:
            self.answered[hash(last_user(seen.body))] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one process took."""

    phase_s: float
    wall_s: float
    cpu_s: float
    peak_mb: float
    log: Log


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m perf.hosted")
    parser.add_argument("--n", type=int, default=1319, help="requests")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default="raw,sdk,cotkit", help="contestants, or none")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--faults", action="store_true", help="and once with a mix of faults")
    parser.add_argument("--cached", action="store_true", help="and once with nothing left to ask")
    given = parser.parse_args()
    contestants = _contestants(given.only.split(","), given.peer)
    ideal_s = given.n / given.connections * given.latency
    print(
        f"{given.n:,} requests, {given.latency * 1000:.0f} ms each, {given.connections} at once: "
        f"ideal {ideal_s:.1f} s; the best of {given.repeat} in each column"
    )
    print(f"{'':20} {'phase s':>8} {'wall s':>8} {'CPU s':>8} {'peak MB':>8} {'sent':>7}")
    with tempfile.TemporaryDirectory(prefix="hosted-") as home:
        prompts = _write_prompts(Path(home), given.n)
        with FakeApi() as free:  # one address for all runs: it is part of what a cache goes by
            port = int(free.url.rpartition(":")[2])
        bench = _Bench(
            prompts=prompts, connections=given.connections, latency_s=given.latency, port=port
        )
        best: dict[str, Figures] = {}
        for name, command in contestants.items():
            runs = [bench.run(command, Path(home) / f"{name}-{i}") for i in range(given.repeat)]
            best[name] = _best(runs)
            _print(name, best[name])
        if {"sdk", "cotkit"} <= set(best):
            ours, bare = best["cotkit"], best["sdk"]
            phase, cpu = ours.phase_s / bare.phase_s, ours.cpu_s / bare.cpu_s
            print(f"cotkit to the bare SDK loop: phase {phase:.2f}, CPU {cpu:.2f}")
        if given.cached:
            again = bench.run(_cotkit, Path(home) / "cotkit-0")
            _print("cotkit, all cached", again)
        if given.faults:
            _print_faults(bench, best["cotkit"], Path(home))


def _print_faults(bench: _Bench, clean: Figures, home: Path) -> None:
    met = bench.run(_cotkit, home / "faults", FAULTS)
    _print("cotkit, faults", met)
    print(f"  met {dict(met.log.faults)}: {met.wall_s / clean.wall_s:.2f} times the wall time")
    n, same = _n_same(home / "cotkit-0", home / "faults")
    twice = sum(times - 1 for times in met.log.answered.values())
    print(f"  {same:,} of {n:,} answers scored the same; {twice} answered requests sent again")


def _n_same(one: Path, other: Path) -> tuple[int, int]:
    """Attempts of the one store, and how many the other has with the same text and score."""

    def rows(folder: Path) -> dict[str, object]:
        with Store(folder / "cotkit.db") as store:
            kept = store.attempts(store.runs()[0].id)
            return {row.problem_id: (row.text, row.outcome, row.readings) for row in kept}

    ours, theirs = rows(one), rows(other)
    return len(ours), sum(theirs.get(key) == value for key, value in ours.items())


def _print(name: str, took: Figures) -> None:
    times = f"{took.phase_s:8.2f} {took.wall_s:8.2f} {took.cpu_s:8.2f}"
    print(f"{name:20} {times} {took.peak_mb:8.0f} {took.log.n_seen:7,}", flush=True)


def _best(runs: Sequence[Figures]) -> Figures:
    """The least of each column; of the memory, the most."""
    return Figures(
        phase_s=min(run.phase_s for run in runs),
        wall_s=min(run.wall_s for run in runs),
        cpu_s=min(run.cpu_s for run in runs),
        peak_mb=max(run.peak_mb for run in runs),
        log=runs[0].log,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """The same work for any contestant."""

    prompts: Path
    connections: int
    latency_s: float
    port: int

    def run(
        self,
        contestant: Callable[[Job], Command],
        folder: Path,
        faults: Mapping[str, float] | None = None,
    ) -> Figures:
        """Start a contestant against a fresh server; its output is shown only if it fails."""
        folder.mkdir(exist_ok=True)
        log = Log()
        with (
            FakeApi(
                latency_s=self.latency_s,
                n_words=N_WORDS,
                faults=faults,
                keep=log.add,
                port=self.port,
            ) as api,
            (folder / "said.txt").open("w+", encoding="utf-8") as said,
        ):
            job = Job(
                url=api.url, prompts=self.prompts, connections=self.connections, folder=folder
            )
            command, environment = contestant(job)
            started = time.monotonic()
            process = subprocess.Popen(
                command, stdout=said, stderr=said, cwd=folder, env=os.environ | environment
            )
            _, status, used = os.wait4(process.pid, 0)
            wall_s = time.monotonic() - started
        if status:
            text = (folder / "said.txt").read_text(encoding="utf-8")
            raise SystemExit(f"{command[1:4]} failed:\n{text[-2000:]}")
        to_mb = 1e6 if sys.platform == "darwin" else 1e3
        return Figures(
            phase_s=max(log.last_s - log.first_s, 0.0),
            wall_s=wall_s,
            cpu_s=used.ru_utime + used.ru_stime,
            peak_mb=used.ru_maxrss / to_mb,
            log=log,
        )


def _contestants(only: Sequence[str], peers: Sequence[str]) -> dict[str, Callable[[Job], Command]]:
    ours = {"raw": _loop("raw"), "sdk": _loop("sdk"), "cotkit": _cotkit}
    found: dict[str, Callable[[Job], Command]] = {name: ours[name] for name in only if name in ours}
    for text in peers:
        name, _, python = text.partition("=")
        found[name] = lambda job, name=name, python=python: PEERS[name](python, job)
    return found


def _loop(kind: str) -> Callable[[Job], Command]:
    def command(job: Job) -> Command:
        bodies = str(job.prompts.with_name("bodies.jsonl"))
        script = [sys.executable, str(Path(__file__).with_name("hosted_loops.py")), kind]
        return [*script, job.url, bodies, str(job.connections)], {}

    return command


def _cotkit(job: Job) -> Command:
    """The whole product: one arm, every attempt scored, every completion stored."""
    settings = f"max_connections={job.connections},timeout_s={TIMEOUT_S:g}"
    command = [sys.executable, "-m", "cotkit", "compare", "--model", "openai-api/fake/m"]
    command += ["--model-args", settings, "--strategy", "cot", "--baseline", "cot"]
    command += ["--bench", str(job.prompts.with_name("bench.jsonl")), "--limit", "all"]
    command += ["--log-dir", str(job.folder), "--display", "plain"]
    return command, {"FAKE_BASE_URL": f"{job.url}/v1", "FAKE_API_KEY": "fake"}


def _write_prompts(folder: Path, n: int) -> Path:
    """The same questions three times: as a benchmark, as prompts, as request bodies."""
    strategy = Cot(exemplars=read_exemplars(8))
    bench, prompts, bodies = (
        (folder / f"{name}.jsonl").open("w", encoding="utf-8")
        for name in ("bench", "prompts", "bodies")
    )
    with bench, prompts, bodies:
        for i in range(n):
            question = _question(i)
            step = next(strategy.solve(Question(id=str(i), text=question)))
            assert isinstance(step, Request)
            prompt, answer = step.messages[0].content, str(i % 10)
            message = {"role": "user", "content": prompt.strip()}
            body = {"model": "m", "messages": [message], "max_tokens": 256, "temperature": 0}
            for file, line in (
                (bench, {"question": question, "answer": answer}),
                (prompts, {"prompt": prompt, "answer": answer}),
                (bodies, body),
            ):
                file.write(json.dumps(line) + "\n")
    return folder / "prompts.jsonl"


def _question(i: int) -> str:
    """As long as those of GSM8K: about 45 words."""
    return (
        f"A farm shop gets {i + 12} crates of pears in the morning. Each crate holds {i % 17 + 8} "
        f"pears, but {i % 5 + 2} pears of every crate are bruised and go to the pigs. In the "
        f"afternoon a school buys {i % 23 + 30} of the good pears and a baker takes half of what "
        "is left. How many pears can still be sold the next day?"
    )


if __name__ == "__main__":
    main()
