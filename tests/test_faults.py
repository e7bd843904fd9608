"""Whatever a provider does: every answer arrives, none is paid for twice, nothing done is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from cotkit import compare
from cotkit.errors import AccessError, BackendError, ModelLoadError
from cotkit.store import AttemptRow, Store
from tests.conftest import Sums
from tests.fake_api import Answer, FakeApi, Seen
from tests.fake_asked import Body
from tests.fake_process import FakeProcess

pytest.importorskip("openai", reason="the openai extra is not installed")
pytest.importorskip("anthropic", reason="the anthropic extra is not installed")

MIX = {"429": 0.05, "500": 0.03, "529": 0.02, "reset": 0.03, "malformed": 0.03, "hang": 0.02}
HANG_TIMEOUT_S = "4"  # long for a busy machine: an answer that came is never asked for again
ENDLESS = [  # what the server says for ever, the error, its exit code, a word that must be read
    (Answer(status=401, code="invalid_api_key", text="Incorrect API key"), AccessError, 77, "key"),
    (Answer(status=404, code="model_not_found", text="No model m"), ModelLoadError, 66, "m"),
    (Answer(status=429, code="insufficient_quota", text="No quota"), AccessError, 77, "quota"),
]


@pytest.fixture(autouse=True)
def a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")


def model_args(url: str, model: str, **more: str) -> dict[str, str]:
    base = url if model.startswith("anthropic/") else f"{url}/v1"
    return {"base_url": base, "max_connections": "16", **more}


def rows(folder: Path) -> list[AttemptRow]:
    with Store(folder / "cotkit.db") as store:
        return store.attempts(store.runs()[0].id)


def n_stored(folder: Path) -> int:
    path = folder / "cotkit.db"
    if not path.exists():
        return 0
    with sqlite3.connect(path) as db:
        has_table = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'completion'").fetchone()
        return db.execute("SELECT count(*) FROM completion").fetchone()[0] if has_table else 0


def sent_twice(seen: Sequence[Seen]) -> list[str]:
    """What came again although it had been answered."""
    answered = Counter(one.content for one in seen if one.is_answered)
    return [content for content, times in answered.items() if times > 1]


@pytest.mark.parametrize(("model", "seed"), [("openai-api/fake/m", 1), ("anthropic/m", 2)])
def test_through_all_faults_every_answer_is_there_once_and_scored_the_same(
    model: str, seed: int, tmp_path: Path
) -> None:
    scored: list[list[tuple[object, ...]]] = []
    for name, faults in (("clean", {}), ("faults", MIX)):
        with FakeApi(faults=faults, seed=seed) as api:
            args = model_args(api.url, model, timeout_s=HANG_TIMEOUT_S if faults else "60")
            compare(model, "cot", Sums(), model_args=args, log_dir=tmp_path / name)
        found = rows(tmp_path / name)
        scored.append([(r.arm, r.problem_id, r.text, r.outcome, r.readings) for r in found])
        assert not sent_twice(api.seen)
        assert len({one.content for one in api.seen}) == 80, "40 sums in two arms"
    assert scored[0] == scored[1]
    assert "failed" not in {row.outcome for row in found}
    met = Counter(one.fault for one in api.seen)
    assert len(met) >= 5, "or the seed proves little"


@pytest.mark.parametrize(("refusal", "error", "exit_code", "word"), ENDLESS)
def test_a_fault_that_never_ends_stops_the_run_at_once_and_keeps_what_was_done(
    refusal: Answer, error: type[BackendError], exit_code: int, word: str, tmp_path: Path
) -> None:
    n_good = 7

    def script(body: Body, n_before: int) -> Answer:
        return Answer() if len(api.seen) <= n_good else refusal

    with FakeApi(script=script) as api:
        args = model_args(api.url, "openai-api/fake/m", max_connections="1")
        with pytest.raises(error) as met:
            compare("openai-api/fake/m", "cot", Sums(), model_args=args, log_dir=tmp_path)
    assert (met.value.exit_code, met.value.retryable) == (exit_code, False)
    assert word in str(met.value)
    assert "\n" not in str(met.value)
    assert len(api.seen) <= n_good + 2, "the next in line may have had the slot already"
    assert len({one.content for one in api.seen}) == len(api.seen), "none is tried again"
    assert n_stored(tmp_path) == n_good


def command(url: str, folder: Path, n: int, **args: str) -> list[str]:
    settings = model_args(url, "openai-api/fake/m", **args)
    bench = folder.parent / "sums.jsonl"
    lines = [{"question": f"What is {i} plus {i * i}?", "answer": str(i + i * i)} for i in range(n)]
    bench.write_text("".join(json.dumps(line) + "\n" for line in lines))
    written = ",".join(f"{key}={value}" for key, value in settings.items())
    model = ["--model", "openai-api/fake/m", "--model-args", written]
    asked = ["--bench", str(bench), "--limit", "all", "--display", "plain"]
    return [sys.executable, "-m", "cotkit", "compare", *model, *asked, "--log-dir", str(folder)]


def start(words: list[str], folder: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, cwd=folder.parent)


def finish(words: list[str], folder: Path) -> tuple[str, str]:
    process = start(words, folder)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out, err


def closed_url() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("is_there", [True, False], ids=["answers 500", "does not listen"])
def test_a_provider_that_is_down_never_ends_in_success(is_there: bool, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    with FakeApi(faults={"500": 1.0}) as api:
        words = command(api.url if is_there else closed_url(), folder, 3, max_tries="2")
        process = start(words, folder)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 75, err
    assert "Traceback" not in err
    assert len(api.seen) == (3 * 2 * 2 if is_there else 0), "three sums, two arms, two tries"


def stored_prompts(folder: Path) -> set[str]:
    """The last words of every request that has its completion in the store."""
    with sqlite3.connect(folder / "cotkit.db") as db:
        found = db.execute(
            "SELECT messages FROM request JOIN completion ON request.key = completion.request"
        ).fetchall()
    return {json.loads(messages)[-1]["content"].strip() for (messages,) in found}


def prompts(seen: Sequence[Seen]) -> list[str]:
    return [one.body["messages"][-1]["content"] for one in seen]


def test_killed_at_random_points_nothing_that_was_stored_is_sent_again(tmp_path: Path) -> None:
    n, rng = 40, random.Random(5)
    options = ["--latency", "0.05", "--spread", "0.9", "--faults", "429=0.05,500=0.05"]
    with FakeProcess(log=tmp_path / "log.jsonl", arguments=options) as api:
        words = command(api.url, tmp_path / "whole", n, max_connections="4")
        whole, _ = finish(words, tmp_path / "whole")
        folder = tmp_path / "killed"
        words = command(api.url, folder, n, max_connections="4")
        for goal in sorted(rng.sample(range(1, 2 * n - 10), 4)):
            had, n_before = (stored_prompts(folder) if folder.exists() else set()), len(api.seen)
            process = start(words, folder)
            kill_at(process, folder, goal)
            assert had.isdisjoint(prompts(api.seen[n_before:]))
        had, n_before = stored_prompts(folder), len(api.seen)
        out, _ = finish(words, folder)
        asked = prompts([one for one in api.seen[n_before:] if one.is_answered])
        assert had.isdisjoint(asked)
        assert len(asked) == len(set(asked)) == 2 * n - len(had)
        assert out == whole
        n_before = len(api.seen)
        again, err = finish(words, folder)
        assert again == whole
        assert "all from the store" in err
        assert len(api.seen) == n_before, "all of it is in the store"


def kill_at(process: subprocess.Popen[str], folder: Path, goal: int) -> None:
    """Kill -9 as soon as so many completions are in the store."""
    deadline = time.monotonic() + 60
    while n_stored(folder) < goal:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
