"""Real servers on loopback, reached as any other: what our own stand-in cannot teach us.

llama.cpp's is that of the wheel of xllamacpp. `transformers serve` 5.23 takes ``max_tokens``,
``seed`` and ``stop`` (and leaves the stop string in the text). It ignores ``n``, ``logprobs`` and
``echo`` without a word in its answer, and samples only if the model's generation_config.json says
so: otherwise every temperature is greedy.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cotkit.backends.openai_api import OpenaiApi
from cotkit.errors import BackendError
from cotkit.store import AttemptRow, Store
from cotkit.types import Decoding, Message, Request
from tests.conftest import REAL_MODEL, REPOSITORY
from tests.pocket_gguf import write_pocket

pytestmark = [pytest.mark.model, pytest.mark.server]

READY_S = 120.0
POCKET = REPOSITORY / "weights" / "pocket-1m"
TASK = ("--strategy", "cot", "--bench", "gsm-mini", "--limit", "4")
SHORT = ("--num-fewshot", "1", "--max-tokens", "24", "--timeout", "300")  # 0.1 s a token


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that is up."""

    model: str
    url: str
    log: Path

    def n_posted(self) -> int:
        """Completions it was asked for, by its own log."""
        return self.log.read_text(encoding="utf-8").count('"POST /v1/')

    def backend(self, api: str) -> OpenaiApi:
        """The same by hand."""
        return OpenaiApi(model=f"local/{self.model}", base_url=self.url, api=api, max_tries=2)


@pytest.fixture(scope="module")
def server(real_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves a folder under its bare name; one thread: more would wait for each other."""
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [str(Path(sys.executable).parent / "transformers"), "serve", real_model.name]
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", port, "--device", "cpu"],
            cwd=real_model.parent,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_up(process, f"http://127.0.0.1:{port}/health", log)
        yield Server(model=real_model.name, url=f"http://127.0.0.1:{port}/v1", log=log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"the server did not come up:\n{log.read_text(encoding='utf-8')[-2000:]}")


def asked(*, n: int = 1, temperature: float = 0.0, options: tuple[str, ...] = ()) -> Request:
    decoding = Decoding(max_tokens=8, temperature=temperature)
    message = Message(role="user", content="What is 2 plus 3?")
    samples = tuple(range(n))
    return Request(messages=(message,), decoding=decoding, samples=samples, options=options)


def compare(server: Server | str, *options: str) -> subprocess.CompletedProcess[str]:
    model = server if isinstance(server, str) else f"openai-api/local/{server.model}"
    url = {} if isinstance(server, str) else {"LOCAL_BASE_URL": server.url}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "cotkit",
            "compare",
            "--model",
            model,
            *(options or (*TASK, *SHORT)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | url,
        timeout=300,
    )


def attempts() -> list[AttemptRow]:
    with Store(Path("logs", "cotkit.db")) as store:
        (run,) = store.runs()
        assert run.status == "complete"
        return store.attempts(run.id)


FORTY = ("--strategy", "cot", "--limit", "40", "--timeout", "300", "--baseline")
SUMS = ("--bench", "arithmetic:steps=2,digits=1,operators=+-", "--model-args", "api=completions")


def test_forty_problems_are_answered_as_the_same_weights_answer_them_here(tmp_path: Path) -> None:
    """By llama.cpp; transformers serve answers 500 to a model without a chat template."""
    write_pocket(POCKET, tmp_path / "pocket.gguf")
    model = f"serve/llama.cpp:{tmp_path / 'pocket.gguf'}"
    completed = compare(model, *FORTY, "few-shot", *SUMS)
    assert completed.returncode == 0, completed.stderr
    rows = attempts()
    assert len(rows) == 80
    assert sum(row.outcome == "correct" for row in rows if row.arm == "cot") >= 38
    assert all(row.n_prompt_tokens and row.n_generated_tokens and row.served_by for row in rows)


@pytest.mark.full
@pytest.mark.parametrize("engine", ["transformers", "llama.cpp"])
def test_forty_problems_are_answered_by_a_model_of_others(engine: str) -> None:
    short = ("--bench", "gsm-mini", "--num-fewshot", "2", "--max-tokens", "16")
    completed = compare(f"serve/{engine}:{REAL_MODEL}", *FORTY, "cot", *short)
    assert completed.returncode == 0, completed.stderr
    rows = attempts()
    assert len(rows) == 40
    assert all(row.text and row.n_prompt_tokens and row.n_generated_tokens for row in rows)
    assert not any(row.outcome == "failed" for row in rows)


@pytest.mark.full
def test_a_comparison_end_to_end(server: Server) -> None:
    first = compare(server)
    assert first.returncode == 0, first.stderr
    with Store(Path("logs", "cotkit.db")) as store:
        (run,) = store.runs()
        rows = store.attempts(run.id)
    assert run.status == "complete"
    assert len(rows) == 8
    for row in rows:
        assert row.outcome != "failed"
        assert row.text
        assert row.n_prompt_tokens
        assert row.n_generated_tokens
        assert row.served_by.startswith(server.model)
    n_posted = server.n_posted()
    second = compare(server)
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout
    assert server.n_posted() == n_posted


def test_samples_come_from_a_server_that_ignores_n(server: Server) -> None:
    n_posted = server.n_posted()
    completions = asyncio.run(generate(server.backend("chat"), asked(n=2, temperature=0.7)))
    assert len(completions) == 2
    assert all(completions)
    assert server.n_posted() == n_posted + 2


@pytest.mark.parametrize(
    ("api", "says"),
    [
        ("chat", "this server drops logprobs"),  # it answers 200 without them
        ("completions", "answered 400: prompt must be a string"),  # one prompt a call: no options
    ],
)
def test_options_are_refused_in_words(server: Server, api: str, says: str) -> None:
    with pytest.raises(BackendError, match=says) as refused:
        asyncio.run(score(server.backend(api), asked(options=(" 5", " 6"))))
    assert not refused.value.retryable


async def generate(backend: OpenaiApi, request: Request) -> list[str]:
    try:
        return [one.text for one in await backend.generate(request)]
    finally:
        await backend.close()


async def score(backend: OpenaiApi, request: Request) -> None:
    try:
        await backend.loglikelihood(request)
    finally:
        await backend.close()
