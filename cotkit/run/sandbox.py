"""Run code that a model wrote, behind walls of the kernel, only where the user allowed it.

A helper process (``_jail``) is started for each piece of code. It raises its walls, says so, and
only then is sent the code; a helper that cannot raise them ends the run, and the code never runs.

- ``kernel``: Landlock (it reads the standard library, and no other file) and seccomp (it makes the
  few dozen system calls that computing needs), without privileges, where allowed as a user of its
  own. Linux on x86_64 and aarch64.
- ``bwrap``: the same, in name spaces of its own in which no other file or process exists.
- ``docker``, ``podman``: a container without network for each piece of code; the helper raises
  the same walls in it where it can.
- ``none``: a process with limits on time and memory that can do all that the user can.
- ``auto``: ``bwrap`` where it works, else ``kernel``, else refused.

Besides: a process group killed as a whole at the end, an empty folder, an empty environment, no
stdin, no site-packages, limits on output, time, memory, file size, and processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import importlib.util
import math
import os
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cotkit.errors import TransientError, UsageError
from cotkit.run import _jail
from cotkit.run.driver import Run
from cotkit.run.spec import CONFIRM, check_sandbox
from cotkit.types import Completion, Execute

MAX_OUTPUT_BYTES = 10_000
"""Code that prints more is ended."""
MAX_AT_ONCE = 4
"""Processes of one sandbox at the same time; others wait, and their time limits with them."""
DEFAULT_IMAGE = "docker.io/library/python:3.13-slim"
_START_S = 60.0  # until a helper has its walls: a busy machine is no fault of the code
_PYTHON_OPTIONS = ("-I", "-S", "-B", "-X", "utf8")
_JAIL = Path(_jail.__file__)
_SIGNALS = {number.value: number.name for number in signal.Signals}
_SET_DUMPABLE = 4  # of prctl
_NOBODY = "65534"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    """How helpers are started, and what they must raise."""

    kind: str
    """As of ``RunOptions.sandbox``, but not ``auto``."""
    command: tuple[str, ...]
    """What runs the helper, which gets three arguments more."""
    walls: str
    """Of ``_jail``: what must stand before the code is sent."""


# Which wall.


def find_wall(kind: str) -> Wall:
    """Return the wall that a user asks for, tried once: a helper was started and said ``READY``.

    Args:
        kind: As of ``RunOptions.sandbox``.

    Raises:
        UsageError: there is no such kind, or it does not work here.
    """
    name = check_sandbox(kind)
    if name != "auto":
        wall, reason = _try_wall(kind)
        if wall is None:
            hint = _way_out(name)
            if "image" in reason.lower():
                hint = f"{name} pull {kind.partition(':')[2] or DEFAULT_IMAGE}"
            raise UsageError(f"--sandbox {kind} does not work here: {reason}", hint=hint)
        return wall
    reasons: list[str] = []
    for candidate in ("bwrap", "kernel"):
        wall, reason = _try_wall(candidate)
        if wall is not None:
            return wall
        reasons.append(reason)
    raise UsageError(
        "nothing here keeps code that a model wrote from your files, the answers and the network:"
        f" {'; '.join(reasons)}",
        hint=f"{_way_out('auto')}; a container is the boundary for hostile code",
    )


def _way_out(tried: str) -> str:
    containers = [name for name in ("docker", "podman") if name != tried and shutil.which(name)]
    ways = [*(f"--sandbox {name}" for name in containers), "--sandbox none, where it may do all"]
    return f"{', or '.join(ways)} that you may"


@functools.cache
def _try_wall(kind: str) -> tuple[Wall | None, str]:
    """Return a wall that works; if none, why."""
    name, _, image = kind.partition(":")
    program = shutil.which(name)
    if name in {"bwrap", "docker", "podman"} and program is None:
        return None, f"no {name}"
    if name == "bwrap":
        wall = Wall(kind=name, command=_bwrap_command(str(program)), walls=_jail.SECCOMP)
    elif name in {"docker", "podman"}:
        command = _container_command(str(program), image or DEFAULT_IMAGE)
        wall = Wall(kind=name, command=command, walls=_jail.CONTAINER)
    else:
        command = (sys.executable, *_PYTHON_OPTIONS, str(_compiled_jail()))
        walls = _jail.NONE if name == "none" else _jail.LANDLOCK_AND_SECCOMP
        wall = Wall(kind=name, command=command, walls=walls)
    reason = _reason_not_to_use(wall)
    return (None, reason) if reason else (wall, "")


def _compiled_jail() -> Path:
    """Return the helper as this Python compiled it, which starts sooner; else its source."""
    compiled = Path(importlib.util.cache_from_source(_JAIL))
    source = _JAIL.stat()
    stamp = struct.pack("<III", 0, int(source.st_mtime), source.st_size)
    with contextlib.suppress(OSError):  # none was written
        if compiled.read_bytes()[4:16] == stamp:
            return compiled
    return _JAIL


def _reason_not_to_use(wall: Wall) -> str:
    """Return why a wall does not work, by its helper's own words; empty: it works."""
    try:
        trial = subprocess.run(  # noqa: S603 - our own helper
            [*wall.command, wall.walls, *_limits(Execute(code=""))],
            input=b"print(6 * 7)",
            capture_output=True,
            check=False,
            env=_environment(wall),
            timeout=_START_S,
        )
    except (OSError, subprocess.TimeoutExpired) as failed:
        return f"{wall.kind}: {failed}"
    if trial.returncode == 0 and trial.stdout == b"42\n":
        return ""
    printed = trial.stderr.decode(errors="replace").splitlines()
    lines = [line.strip() for line in printed if line.strip() and not line.startswith("Run '")]
    return f"{wall.kind}: {lines[-1] if lines else f'exit status {trial.returncode}'}"


def _bwrap_command(program: str) -> tuple[str, ...]:
    """Return the command that starts a helper where only Python and its libraries exist."""
    python = os.path.realpath(sys.executable)
    libraries = ["/usr/lib", "/usr/lib64", "/usr/local/lib", f"{sys.base_prefix}/lib"]
    shared = [python, *libraries, "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime"]
    binds = [text for path in dict.fromkeys(shared) for text in ("--ro-bind-try", path, path)]
    for folder in ("/lib", "/lib64", "/bin"):  # links into /usr on most systems
        if Path(folder).is_symlink():
            binds += ["--symlink", str(Path(folder).readlink()), folder]
        else:
            binds += ["--ro-bind-try", folder, folder]
    for library in libraries:  # installed packages may hold answers, ours do
        for packages in Path(library).glob("python*/*-packages"):
            binds += ["--tmpfs", str(packages)]
    for device in ("/dev/null", "/dev/urandom"):
        binds += ["--dev-bind", device, device]
    return (
        program,
        *("--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"),
        *("--uid", _NOBODY, "--gid", _NOBODY, "--cap-drop", "ALL"),
        *binds,
        *("--ro-bind", str(_JAIL), "/jail.py", "--remount-ro", "/", "--chdir", "/", "--"),
        *(python, *_PYTHON_OPTIONS, "/jail.py"),
    )


def _container_command(program: str, image: str) -> tuple[str, ...]:
    """Return the command that starts a helper in a container, without a name yet."""
    return (
        *(program, "run", "--rm", "--interactive", "--pull", "never", "--log-driver", "none"),
        *("--network", "none", "--read-only", "--cap-drop", "ALL", "--pids-limit", "16"),
        *("--security-opt", "no-new-privileges", "--user", f"{_NOBODY}:{_NOBODY}"),
        *("--workdir", "/", image, "python3", *_PYTHON_OPTIONS, "-c", _JAIL.read_text("utf-8")),
    )


def _limits(step: Execute) -> tuple[str, str]:
    return str(math.ceil(step.timeout_s) + 1), str(step.memory_bytes)


def _environment(wall: Wall) -> dict[str, str]:
    """Return the environment of a helper; a container's client is told where containers are."""
    if wall.walls != _jail.CONTAINER:
        return {}
    return {
        name: value
        for name, value in os.environ.items()
        if name in {"HOME", "PATH"} or name.startswith(("DOCKER_", "CONTAINER", "XDG_"))
    }


def _hide_memory() -> None:
    """Keep other processes of this user from reading this one's memory, files and folder."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)


# Running code.


def make_sandbox(*, allowed: bool, kind: str = "auto") -> Run:
    """Return the function that runs code: behind a wall if ``allowed``, else it refuses.

    Code that raises, breaks a rule or a limit, or does not parse comes back as an ``error`` of one
    sentence. Its output must be UTF-8; the last line need not end in a newline.

    Args:
        allowed: Whether the user confirmed that such code may run.
        kind: As of :func:`find_wall`.

    Raises (when called with code):
        UsageError: the user did not allow it, or there is no such wall here.
        TransientError: the helper did not come up.
    """
    places = asyncio.Semaphore(MAX_AT_ONCE)

    async def run(step: Execute) -> Completion:
        async with places:
            wall = await asyncio.to_thread(find_wall, kind)
            if wall.kind != "none":
                _hide_memory()
            return await _run_code(wall, step)

    return run if allowed else _refuse_code


Exec = Callable[[list[str], str, int], Awaitable[tuple[int, str, str]]]
"""Runs a command where another tool keeps code apart: the command, its stdin and a time limit in
seconds -> its exit status, stdout and stderr. Raises TimeoutError."""


def make_borrowed_sandbox(execute: Exec) -> Run:
    """Return the function that runs code in the sandbox of another tool, which has ``python3``.

    Raises (when called with code):
        TransientError: no helper came up there.
    """
    helper = ["python3", *_PYTHON_OPTIONS, "-c", _JAIL.read_text("utf-8"), _jail.CONTAINER]

    async def run(step: Execute) -> Completion:
        try:
            status, printed, reason = await execute(
                [*helper, *_limits(step)], step.code, math.ceil(step.timeout_s)
            )
        except TimeoutError:
            return _failed_completion(f"killed after {step.timeout_s:g} s")
        before, ready, after = reason.partition(f"{_jail.READY}\n")
        if not ready:
            raise TransientError(f"the sandbox did not start: {before.strip() or status}")
        return _read_end(status, printed.encode(), after.encode(), is_direct=False)

    return run


async def _refuse_code(step: Execute) -> Completion:  # noqa: ARG001 - the type's
    raise UsageError("this strategy runs code that the model writes", hint=CONFIRM)


async def _run_code(wall: Wall, step: Execute) -> Completion:
    """Start a helper, wait until its walls stand, send it the code, read what comes of it."""
    with tempfile.TemporaryDirectory(prefix="cotkit-") as empty:
        helper = await _Helper.start(wall, step, empty)
        try:
            await helper.wait_for_walls()
            return await helper.run(step)
        finally:  # also when cancelled
            await helper.end()


@dataclass(slots=True, kw_only=True)
class _Helper:
    """A helper process, from its start to its end."""

    wall: Wall
    process: asyncio.subprocess.Process
    outputs: tuple[asyncio.StreamReader, asyncio.StreamReader]
    """Its stdout and stderr."""
    pipes: tuple[asyncio.BaseTransport, ...]
    """Of the outputs: closed at the end, also if something still holds the far side."""
    container: tuple[str, ...] = ()
    """The command that ends its container, which is then removed; empty: it has none."""

    @classmethod
    async def start(cls, wall: Wall, step: Execute, folder: str) -> _Helper:
        """Start a helper in a folder."""
        command, container = wall.command, ()
        if wall.walls == _jail.CONTAINER:
            name = f"cotkit-{secrets.token_hex(8)}"
            command = (*command[:2], "--name", name, *command[2:])
            container = (command[0], "kill", name)
        pipes = [await _open_pipe() for _ in range(2)]
        try:
            process = await asyncio.create_subprocess_exec(
                *(*command, wall.walls, *_limits(step)),
                stdin=asyncio.subprocess.PIPE,
                stdout=pipes[0].inner,
                stderr=pipes[1].inner,
                cwd=folder,
                env=_environment(wall),
                start_new_session=True,
            )
        finally:
            for pipe in pipes:
                os.close(pipe.inner)
        return cls(
            wall=wall,
            process=process,
            outputs=(pipes[0].reader, pipes[1].reader),
            pipes=tuple(pipe.transport for pipe in pipes),
            container=container,
        )

    async def wait_for_walls(self) -> None:
        """Wait until it says that its walls stand.

        Raises:
            UsageError: they cannot be raised.
            TransientError: it did not come up.
        """
        line, line_before = "", ""
        try:
            async with asyncio.timeout(_START_S):
                while line != _jail.READY:  # containers may have warnings to print
                    line_before = line or line_before
                    if not (printed := await self.outputs[1].readline()):
                        break
                    line = printed.decode(errors="replace").strip()
                else:
                    return
                status = await self.process.wait()
        except TimeoutError:
            raise TransientError(f"the sandbox did not start in {_START_S:g} s") from None
        reason = line or line_before or f"exit status {status}"
        if status == _jail.NO_WALL:
            raise UsageError(f"--sandbox {self.wall.kind} does not work here: {reason}")
        raise TransientError(f"the sandbox did not start: {reason}")

    async def run(self, step: Execute) -> Completion:
        """Send the code and read what comes of it."""
        feed = self._feed(step.code)
        talk = asyncio.gather(feed, self._read(self.outputs[0]), self._read(self.outputs[1]))
        try:
            async with asyncio.timeout(step.timeout_s):
                _, printed, reason = await asyncio.shield(talk)
                status = await self.process.wait()
        except TimeoutError:
            return _failed_completion(f"killed after {step.timeout_s:g} s")
        finally:
            await self.end()  # which ends the talk, too
            await talk
        is_direct = self.wall.walls in {_jail.LANDLOCK_AND_SECCOMP, _jail.NONE}
        return _read_end(status, printed, reason, is_direct=is_direct)

    def kill(self) -> None:
        """Kill it, and all that is in its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it is gone already
            os.killpg(self.process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Kill it, wait for its end, and read no more."""
        is_running = self.process.returncode is None
        self.kill()
        if self.container and is_running:  # its client is gone, it is not
            kill = await asyncio.create_subprocess_exec(
                *self.container, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            await kill.wait()
            self.container = ()
        for pipe in self.pipes:
            pipe.close()
        await self.process.wait()

    async def _feed(self, code: str) -> None:
        stdin = self.process.stdin
        assert stdin is not None
        with contextlib.suppress(ConnectionError):  # it died before it read: its status says why
            stdin.write(code.encode(errors="replace"))
            await stdin.drain()
        stdin.close()

    async def _read(self, stream: asyncio.StreamReader) -> bytes:
        """Read a pipe to its end; beyond the limit the output is cut and the helper killed."""
        data = b""
        while piece := await stream.read(65536):
            data = (data + piece)[: MAX_OUTPUT_BYTES + 1]
            if len(data) > MAX_OUTPUT_BYTES:
                self.kill()
        return data


class _Pipe(NamedTuple):
    """A pipe out of a helper."""

    reader: asyncio.StreamReader
    transport: asyncio.BaseTransport
    inner: int
    """The end to write to: the helper's."""


async def _open_pipe() -> _Pipe:
    outer, inner = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(outer, "rb", 0)
    )
    return _Pipe(reader, transport, inner)


def _read_end(status: int, printed: bytes, reason: bytes, *, is_direct: bool) -> Completion:
    """Return what a helper's end means; not ``is_direct``: something between tells its status."""
    if max(len(printed), len(reason)) > MAX_OUTPUT_BYTES:
        return _failed_completion(f"printed more than {MAX_OUTPUT_BYTES // 1000} kB")
    if status == _jail.REFUSED:
        return _failed_completion(reason.decode(errors="replace"))
    if status > 128 and not is_direct:
        status = 128 - status  # as a shell says that a signal ended it
    if status < 0:
        return _failed_completion(f"crashed ({_SIGNALS.get(-status, f'signal {-status}')})")
    if status > 0:
        return _failed_completion(f"exited with status {status}")
    return Completion(text=printed.decode(errors="replace"), stop_reason="stop")


def _failed_completion(reason: str) -> Completion:
    plain = "".join(character if character.isprintable() else "\ufffd" for character in reason)
    return Completion(text="", stop_reason="stop", error=plain)
