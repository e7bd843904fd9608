"""Servers that cotkit starts: their command lines, what is known of their models, and their end.

vllm and sglang stand in as small programs that speak the same wire; transformers' and llama.cpp's
servers are real, in tests/test_server.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cotkit.backends._lookup import find_backend
from cotkit.backends._server import LocalServer
from cotkit.backends.serve import Serve
from cotkit.errors import BackendError, UsageError
from cotkit.models import catalogue
from cotkit.run.loop import run_to_end
from cotkit.types import Decoding, Message, Request
from tests.conftest import REPOSITORY, Cotkit

STAND_IN = f"""#!{sys.executable}
import json, os, sys
open(os.environ["SEEN"], "w").write(json.dumps([os.getpid(), *sys.argv]))
if "--fail" in sys.argv:
    sys.exit("no such model: it says why")
port = sys.argv[sys.argv.index("--port") + 1]
sys.path.insert(0, {str(REPOSITORY)!r})
sys.argv = ["fake_api", "--port", port]
from tests.fake_api import main
main()
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put stand-ins for vllm and sglang on the path; return where they write how they ran."""
    for name in ("vllm", "sglang"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(STAND_IN)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.json"))
    return tmp_path / "seen.json"


def asked(text: str = "What is 2 plus 3?") -> Request:
    return Request(
        messages=(Message(role="user", content=text),),
        decoding=Decoding(max_tokens=8, temperature=0.0),
        samples=(0,),
    )


def is_gone(pid: int, within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_comparison_on_a_server_that_lives_as_long_as_the_run(
    seen: Path, command: Cotkit
) -> None:
    compare = (
        *("compare", "--model", "serve/vllm:pocket-12k", "--bench", "gsm-mini", "--limit", "4"),
        *("--max-tokens", "24", "--model-args", "server_args=--max-model-len 512"),
    )
    ended = command(*compare)
    assert ended.code == 0, ended.err
    assert "starting the server of vllm:pocket-12k on port" in ended.err
    pid, program, *arguments = json.loads(seen.read_text())
    port = arguments[arguments.index("--port") + 1]
    folder = str(REPOSITORY / "weights" / "pocket-12k")
    assert Path(program).name == "vllm"
    assert arguments == [
        *("serve", folder, "--served-model-name", "pocket-12k"),
        *("--host", "127.0.0.1", "--port", port, "--max-model-len", "512"),
    ]
    assert is_gone(pid)
    again = command(*compare)
    assert again.out == ended.out
    assert "starting the server" not in again.err, "what is stored needs no server"


def test_size_revision_and_format_are_those_of_the_model(seen: Path) -> None:
    backend = Serve(model="sglang:pocket-12k")
    info, entry = backend.info, catalogue.find("pocket-12k")
    assert not seen.exists(), "no server yet"
    assert (info.n_params, info.family) == (entry.n_params, entry.family)
    assert info.context_tokens == entry.context_tokens
    assert len(info.fingerprint) == 64
    assert info.settings == {"engine": "sglang", "api": "completions", "quantisation": "none"}


def test_a_server_that_ends_says_why(seen: Path) -> None:
    backend = Serve(model="sglang:pocket-12k", server_args="--fail")
    with pytest.raises(BackendError, match=r"ended with status 1: no such model: it says why"):
        run_to_end(backend.generate(asked()))
    run_to_end(backend.close())
    pid, _, *arguments = json.loads(seen.read_text())
    assert arguments[:2] == ["serve", "--model-path"]
    assert is_gone(pid)


PARENT = """
import sys, time
from cotkit.backends._server import LocalServer
server = LocalServer(lambda port: [sys.executable, "-c", sys.argv[1]], "x", lambda text: None)
print("up", flush=True)
time.sleep(600)
"""
CHILD = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("pids", "w").write(f"{os.getpid()} {child.pid} {os.getppid()}")
time.sleep(600)
"""


@pytest.mark.parametrize("how", ["parent", "watcher", "stop"])
def test_no_server_outlives_the_one_who_wanted_it(tmp_path: Path, how: str) -> None:
    if how == "stop":
        server = LocalServer(lambda _: [sys.executable, "-c", CHILD], "x", lambda _: None)
        server_pid, child_pid, _ = wait_for_pids(tmp_path)
        server.stop()
    else:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, CHILD],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )
        server_pid, child_pid, watcher_pid = wait_for_pids(tmp_path)
        os.kill(parent.pid if how == "parent" else watcher_pid, signal.SIGKILL)
        if how == "watcher":
            child_pid = server_pid  # the kernel kills the server alone
        assert is_gone(server_pid)
        parent.kill()
        parent.wait()
    assert is_gone(server_pid)
    assert is_gone(child_pid)


def wait_for_pids(folder: Path) -> list[int]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "pids").is_file() and (text := (folder / "pids").read_text()):
            return [int(word) for word in text.split()]
        time.sleep(0.05)
    raise AssertionError("the server did not start")


@pytest.mark.parametrize("model", ["vllm", "vllm:", "ollama:x", ":x", "vllm/org/name"])
def test_what_names_no_engine_is_refused(model: str) -> None:
    with pytest.raises(UsageError, match="write serve/ENGINE:MODEL"):
        Serve(model=model)


@pytest.mark.parametrize(
    ("model", "variable", "expected"),
    [
        ("vllm/org/name", None, ("serve", "vllm:org/name")),
        ("sglang/org/name", None, ("serve", "sglang:org/name")),
        ("vllm/org/name", "http://127.0.0.1:1/v1", ("openai-api", "vllm/org/name")),
        ("openai-api/vllm/org/name", None, ("openai-api", "vllm/org/name")),
        ("vllm/name", None, ("openai-api", "vllm/name")),
        ("serve/llama.cpp:./a.gguf", None, ("serve", "llama.cpp:./a.gguf")),
    ],
)
def test_a_bare_name_starts_a_server_where_no_address_says_that_there_is_one(
    monkeypatch: pytest.MonkeyPatch, model: str, variable: str | None, expected: tuple[str, str]
) -> None:
    monkeypatch.delenv("VLLM_BASE_URL", raising=False)
    if variable is not None:
        monkeypatch.setenv("VLLM_BASE_URL", variable)
    spec, name = find_backend(model, {})
    assert (spec.name, name) == expected
