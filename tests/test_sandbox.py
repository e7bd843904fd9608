"""The sandbox: code that misbehaves is ended with its reason, and what comes after goes on."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from pathlib import Path

import pytest

from cotkit.errors import TransientError, UsageError
from cotkit.run import sandbox
from cotkit.run.sandbox import (
    MAX_AT_ONCE,
    MAX_OUTPUT_BYTES,
    Wall,
    make_borrowed_sandbox,
    make_sandbox,
)
from cotkit.types import Completion, Execute
from tests.attack import needs_wall

pytestmark = needs_wall


async def once(step: Execute, *, allowed: bool = True, kind: str = "kernel") -> Completion:
    return await make_sandbox(allowed=allowed, kind=kind)(step)


def run(code: str, *, timeout_s: float = 4.0, kind: str = "kernel") -> Completion:
    return asyncio.run(once(Execute(code=code, timeout_s=timeout_s), kind=kind))


ENDED = [
    ("while True: pass", "killed after 0.5 s", "loops"),
    ("import time; time.sleep(99)", "killed after 0.5 s", "sleeps"),
    ("import itertools; print(sum(itertools.count()))", "killed after 0.5 s", "endless generator"),
    ("x = bytearray(10**10)", "used more than 512 MB", "10 GB at once"),
    (
        "import os\nwhile True:\n try: os.fork()\n except Exception: pass",
        "killed after 0.5 s",
        "forks",
    ),
    ("import subprocess", "tried to import subprocess, which is not for programs", "a shell"),
    ("import http.client", "tried to import http, which is not for programs", "a module's part"),
    ("from socket import *", "tried to import socket, which is not for programs", "all of it"),
    ("__import__('ctypes')", "tried to import ctypes, which is not for programs", "C code"),
    ("exec('import asyncio')", "tried to import asyncio", "within exec"),
    ("import os; os.fork()", "PermissionError in line 1: [Errno 1]", "one fork"),
    ("import os; os.execv('/bin/sh', ['sh'])", "PermissionError in line 1", "a command"),
    ("open('x', 'w')", "PermissionError in line 1: [Errno 13] Permission denied: 'x'", "writes"),
    ("x = 1\nopen('/etc/passwd')", "Error in line 2: [Errno ", "reads"),
    ("import os; open(os.__file__, 'a')", "PermissionError", "writes to the standard library"),
    ("import os; os.mkdir('x')", "PermissionError", "makes a folder"),
    ("import os; os.kill(os.getppid(), 9)", "PermissionError", "kills its parent"),
    ("print('x' * 10**6)", "printed more than 10 kB", "prints 1 MB"),
    ("x = 1\ndef f(:\n", "syntax error in line 2: invalid syntax", "does not parse"),
    ("x = '\0'", "syntax error: source code", "a null byte"),
    ("x = 1\n1 / 0", "ZeroDivisionError in line 2: division by zero", "raises"),
    ("eval('1 +')", "syntax error in line 1", "a syntax error within"),
    ("def f(n): return f(n + 1)\nf(0)", "RecursionError in line 1: maximum recursion", "recurses"),
    ("x = " + "(" * 500 + ")" * 500, "syntax error in line 1: too many nested", "nests"),
    ("import sys; sys.exit('no')", "exited with 'no'", "exits"),
    ("import os; os.kill(os.getpid(), 40)", "crashed (signal 40)", "a signal without a name"),
    ("import os; os.abort()", "crashed (SIGABRT)", "aborts"),
    (
        "raise ValueError('\x1b[31m\u202ered')",
        "ValueError in line 1: \ufffd[31m\ufffdred",
        "escapes",
    ),
    ("import os; os._exit(3)", "exited with status 3", "exits at once"),
    ("import faulthandler; faulthandler._sigsegv()", "crashed (SIGSEGV)", "crashes"),
    ("import signal; signal.raise_signal(40)", "tried to import signal", "a signal"),
    ("input()", "EOFError in line 1", "asks"),
    ("import numpy", "ModuleNotFoundError in line 1: No module named 'numpy'", "no site-packages"),
]


@pytest.mark.parametrize(("code", "says", "why"), ENDED, ids=[row[2] for row in ENDED])
def test_code_that_is_ended_says_why(code: str, says: str, why: str) -> None:
    done = run(code, timeout_s=0.5 if "killed" in says else 4.0)
    assert (done.text, done.stop_reason) == ("", "stop"), why
    assert says in (done.error or ""), why


FINE = [
    ("print(6 * 7)", "42\n"),
    ("print('é 漢字 😀')", "é 漢字 😀\n"),
    ("import sys; print(3); sys.exit()", "3\n"),
    ("", ""),
    (f"print('x' * {MAX_OUTPUT_BYTES - 1})", "x" * (MAX_OUTPUT_BYTES - 1) + "\n"),
    ("import sys; print('noise', file=sys.stderr); print(1)", "1\n"),
    ("import math, random, datetime, statistics, fractions, decimal, json, re; print(1)", "1\n"),
    ("import os; print(sorted(os.environ), os.path.exists('x'))", "[] False\n"),
    ("import sys; print('cotkit' in sys.modules, sys.argv)", "False ['']\n"),
    ("print(__name__)", "__main__\n"),
    (
        "from datetime import datetime as d\nprint(d.strptime('2024-02-01', '%Y-%m-%d').day)",
        "1\n",
    ),
    ("import time; print(time.strptime('2024', '%Y').tm_year, time.strftime('%H')[2:])", "2024 \n"),
    ("import os; print(len(os.urandom(3)), os.path.exists('/'), os.getcwd()[:1])", "3 True /\n"),
    (
        (
            "import zoneinfo, datetime\n"
            "print(datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo('UTC')).tzname())"
        ),
        "UTC\n",
    ),
    ("import pickle, copy; print(pickle.loads(pickle.dumps(copy.copy([1]))))", "[1]\n"),
    ("import decimal; print(pickled := decimal.Decimal('1.10') + 1)", "2.10\n"),
    (
        "import hashlib, zlib; print(hashlib.md5(b'').hexdigest()[:4], zlib.crc32(b'x'))",
        "d41d 2363233923\n",
    ),
    ("print('\\N{EURO SIGN}', 'é'.encode('idna'), 'x'.encode('cp1252'))", "€ b'xn--9ca' b'x'\n"),
    ("import warnings; warnings.warn('x'); print(1 if 2 is 2 else 0)", "1\n"),
    ("import random; random.seed(1); print(random.randint(1, 6), 2 ** 100 % 7)", "2 2\n"),
    ("import statistics, fractions; print(statistics.mean([fractions.Fraction(1, 3)]))", "1/3\n"),
    ("import importlib; print(importlib.import_module('math').pi > 3)", "True\n"),
    ("import __main__; x = 1; print(__main__.x, len(vars(__main__)) < 12)", "1 True\n"),
    (
        (
            "from collections import namedtuple\nfrom enum import Enum\nimport typing, traceback\n"
            "P = namedtuple('P', 'x'); E = Enum('E', 'a'); T = typing.TypeVar('T')\n"
            "try: 1 / 0\nexcept ArithmeticError: print(bool(traceback.format_exc()), P(1), E.a)"
        ),
        "True P(x=1) E.a\n",
    ),
    (
        (
            "from __future__ import annotations\nfrom dataclasses import dataclass\n"
            "@dataclass\nclass A:\n x: int = 1\nprint(A())"
        ),
        "A(x=1)\n",
    ),
]


@pytest.mark.parametrize(("code", "printed"), FINE, ids=range(len(FINE)))
def test_what_code_prints_is_its_result(code: str, printed: str) -> None:
    assert run(code) == Completion(text=printed, stop_reason="stop")


def test_less_memory_is_less() -> None:
    step = Execute(code="x = bytearray(10**8)", memory_bytes=64 * 2**20)
    assert asyncio.run(once(step)).error == "used more than 64 MB"


def test_no_more_than_a_few_run_at_once_and_each_has_its_own_clock() -> None:
    async def many() -> list[Completion]:
        one = make_sandbox(allowed=True, kind="kernel")
        step = Execute(code="import time; time.sleep(0.4); print(1)", timeout_s=2)
        return await asyncio.gather(*(one(step) for _ in range(2 * MAX_AT_ONCE)))

    started = time.perf_counter()
    done = asyncio.run(many())
    assert [c.text for c in done] == ["1\n"] * (2 * MAX_AT_ONCE)
    assert time.perf_counter() - started >= 0.8


def test_cancelling_kills_the_child(tmp_path: Path) -> None:
    async def cancelled() -> None:
        code = "import time; time.sleep(30.25)"
        task = asyncio.create_task(once(Execute(code=code, timeout_s=30)))
        await asyncio.sleep(0.3)
        children = _children()
        assert len(children) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not children & _children()

    asyncio.run(asyncio.wait_for(cancelled(), 8))


def _children() -> set[str]:
    """Ids of jails whose parent is this process."""
    found: set[str] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_text()
        except OSError:  # it has just ended
            continue
        if int(stat[1]) == os.getpid() and "_jail." in command:
            found.add(folder.name)
    return found


def test_without_leave_nothing_runs() -> None:
    with pytest.raises(UsageError, match="--confirm-run-unsafe-code"):
        asyncio.run(once(Execute(code="print(1)"), allowed=False))


def borrowed(code: str, *, timeout_s: float = 4.0, python: str | None = None) -> Completion:
    """Run code as in the sandbox of another tool, which is a plain process here."""

    async def execute(command: list[str], stdin: str, timeout_s: int) -> tuple[int, str, str]:
        assert command[0] == "python3"
        child = await asyncio.create_subprocess_exec(
            *(python or sys.executable, *command[1:]), stdin=-1, stdout=-1, stderr=-1
        )
        try:
            async with asyncio.timeout(timeout_s):
                printed, reason = await child.communicate(stdin.encode())
        except TimeoutError:
            child.kill()
            await child.communicate()
            raise
        status = child.returncode or 0
        return (status if status >= 0 else 128 - status), printed.decode(), reason.decode()

    async def once_there() -> Completion:
        return await make_borrowed_sandbox(execute)(Execute(code=code, timeout_s=timeout_s))

    return asyncio.run(once_there())


def test_the_sandbox_of_another_tool_gives_the_same_answers() -> None:
    assert borrowed("print(6 * 7)").text == "42\n"
    assert borrowed("import socket").error == run("import socket").error
    assert borrowed("1 / 0").error == "ZeroDivisionError in line 1: division by zero"
    assert borrowed("import os; os.abort()").error == "crashed (SIGABRT)"
    assert borrowed("while True: pass", timeout_s=0.5).error == "killed after 0.5 s"
    assert borrowed("open('/etc/passwd')").error == run("open('/etc/passwd')").error
    with pytest.raises(TransientError, match="the sandbox did not start"):
        borrowed("print(1)", python="/bin/false")


FAKE_DOCKER = f"""#!{sys.executable}
import os, sys
with open({{log!r}}, 'a') as log: print(*sys.argv[1:7], file=log)
if sys.argv[1] == 'run':
    if 'absent' in sys.argv: sys.exit('No such image: absent')
    at = sys.argv.index('python3')
    for option in ('--network none', '--read-only', '--cap-drop ALL', '--pull never'):
        assert option in ' '.join(sys.argv[:at]), option
    os.execv(sys.executable, [sys.executable, *sys.argv[at + 1:]])
"""


def test_a_container_runs_code_and_is_ended_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for docker, which runs the helper here; the real one is tried by hand."""
    docker, log = tmp_path / "docker", tmp_path / "log"
    docker.write_text(FAKE_DOCKER.format(log=str(log)))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert run("print(6 * 7)", kind="docker:ours").text == "42\n"
    assert "Errno" in (run("open('/etc/passwd')", kind="docker:ours").error or "")
    assert run("while True: pass", timeout_s=0.5, kind="docker:ours").error == "killed after 0.5 s"
    lines = log.read_text().splitlines()
    names = [line.split()[2] for line in lines if line.startswith("run --name cotkit-")]
    assert [line for line in lines if line.startswith("kill")] == [f"kill {names[-1]}"]
    with pytest.raises(UsageError, match=r"No such image: absent \(docker pull absent\)"):
        run("print(1)", kind="docker:absent")


def test_root_runs_code_as_a_user_of_its_own_where_the_library_is_readable() -> None:
    python = Path("/usr/bin/python3")
    if os.geteuid() or not python.exists():
        pytest.skip("needs root and a Python of the system")
    command = (str(python), "-I", "-S", "-B", str(Path(sandbox.__file__).with_name("_jail.py")))
    wall = Wall(kind="kernel", command=command, walls="landlock+seccomp")
    step = Execute(code="import os; print(os.getuid() > 60000, os.geteuid() == os.getgid())")
    assert asyncio.run(sandbox._run_code(wall, step)).text == "True True\n"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")
def test_the_process_that_runs_code_shows_its_memory_to_nobody() -> None:
    run("print(1)")
    assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0  # PR_GET_DUMPABLE
