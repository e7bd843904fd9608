"""Run code that a model wrote, apart from this process, only where the user allowed it.

Its limits: a process and session of its own, killed as a whole at the wall limit; limits of the
kernel on processor time, address space, file size and core files (and on processes, except for
root); an empty folder, an empty environment, no stdin, no site-packages; on Linux a network name
space without interfaces where the kernel allows one; and an audit hook in the child that ends it at
its first try to open a file or socket, to start a process or thread, or to call C code. The hook
uses no name that the code can reach, by import or up the stack.

This stops accidents and clumsy mischief. It is **not a security boundary against a determined
attacker**: code can get around audit hooks within an interpreter, and where there is no network
name space, the hook is the only guard. If you do not trust a model, run cotkit in a container.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import sys
import tempfile
from pathlib import Path

from cotkit.errors import UsageError
from cotkit.run._jail import REFUSED
from cotkit.run.driver import Run
from cotkit.types import Completion, Execute

MAX_OUTPUT_BYTES = 10_000
"""Code that prints more is ended."""
MAX_AT_ONCE = 4
"""Processes of one sandbox at the same time; others wait, and their time limits with them."""

_JAIL = Path(__file__).with_name("_jail.py")
_SIGNALS = {number.value: number.name for number in signal.Signals}


def make_sandbox(*, allowed: bool) -> Run:
    """Return the function that runs code: in a limited process if ``allowed``, else it refuses.

    Code that raises, breaks a rule or a limit, or does not parse comes back as an ``error`` of one
    sentence. Its output must be UTF-8; the last line need not end in a newline.

    Raises (when called with code):
        UsageError: the user did not allow it.
    """
    places = asyncio.Semaphore(MAX_AT_ONCE)

    async def run(step: Execute) -> Completion:
        async with places:
            return await _run_code(step)

    return run if allowed else _refuse_code


async def _refuse_code(step: Execute) -> Completion:  # noqa: ARG001 - the type's
    raise UsageError(
        "this strategy runs code that the model writes", hint="--confirm-run-unsafe-code"
    )


async def _run_code(step: Execute) -> Completion:
    try:
        status, printed, reason = await _run_child(step)
    except TimeoutError:
        return _failed_completion(f"killed after {step.timeout_s:g} s")
    if len(printed) > MAX_OUTPUT_BYTES:
        return _failed_completion(f"printed more than {MAX_OUTPUT_BYTES // 1000} kB")
    if status == REFUSED:
        return _failed_completion(reason.decode(errors="replace"))
    if status < 0:
        return _failed_completion(f"crashed ({_SIGNALS.get(-status, f'signal {-status}')})")
    if status > 0:
        return _failed_completion(f"exited with status {status}")
    return Completion(text=printed.decode(errors="replace"), stop_reason="stop")


def _failed_completion(reason: str) -> Completion:
    return Completion(text="", stop_reason="stop", error=reason)


async def _run_child(step: Execute) -> tuple[int, bytes, bytes]:
    """Run a child to its end, and its session too; return exit status, stdout and stderr.

    Raises:
        TimeoutError: it took too long.
    """
    limits = (str(math.ceil(step.timeout_s) + 1), str(step.memory_bytes))
    with tempfile.TemporaryDirectory(prefix="cotkit-") as empty:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-B", "-X", "utf8", str(_JAIL), *limits),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=empty,
            env={},
            start_new_session=True,
        )
        talk = asyncio.gather(
            _feed_code(child, step.code),
            _read_output(child, child.stdout),
            _read_output(child, child.stderr),
        )
        try:
            async with asyncio.timeout(step.timeout_s):
                await asyncio.shield(talk)
                await child.wait()
        finally:  # also when cancelled
            _kill(child)
            _, printed, reason = await talk  # a pipe not read to its end would hold up wait()
            status = await child.wait()
    return status, printed, reason


def _kill(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it is gone already
        os.killpg(child.pid, signal.SIGKILL)


async def _feed_code(child: asyncio.subprocess.Process, code: str) -> None:
    assert child.stdin is not None
    with contextlib.suppress(ConnectionError):  # it died before it read: its status says why
        child.stdin.write(code.encode(errors="replace"))
        await child.stdin.drain()
    child.stdin.close()


async def _read_output(
    child: asyncio.subprocess.Process, stream: asyncio.StreamReader | None
) -> bytes:
    """Read a pipe to its end; beyond the limit the output is cut and the child killed."""
    assert stream is not None
    data = b""
    while piece := await stream.read(65536):
        data = (data + piece)[: MAX_OUTPUT_BYTES + 1]
        if len(data) > MAX_OUTPUT_BYTES:
            _kill(child)
    return data
