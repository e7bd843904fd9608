"""A model server that runs as long as its backend: started, waited for, and stopped with us.

A watcher stands between us and the server. It holds a pipe from us, which the kernel closes however
we end; it then ends the server with all that this started. If the watcher itself is killed, the
kernel kills the server.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cotkit.errors import BackendError
from cotkit.types import Notify

_ROOT = str(Path(__file__).parents[2])
_CODE = (
    "import sys; sys.path.append(sys.argv[1]); from cotkit.backends._server import watch; watch()"
)
_POLL_S = 0.2
_NOTE_EVERY_S = 10.0
_STOP_S = 10.0
_DIE_WITH_PARENT = 1  # of prctl


class LocalServer:
    """A server on a free loopback port.

    ``command`` maps the port to the command line; ``name`` is what messages call the server.
    """

    def __init__(self, command: Callable[[int], Sequence[str]], name: str, notify: Notify) -> None:
        self._name, self._notify = name, notify
        self.is_ready = False
        self.port = _free_port()
        descriptor, self._log = tempfile.mkstemp(prefix="cotkit-server-", suffix=".log")
        arguments = command(self.port)
        notify(f"starting {name} on port {self.port}; its log: {self._log}")
        self._watcher = subprocess.Popen(  # noqa: S603 - the command that the user named
            [sys.executable, "-P", "-c", _CODE, _ROOT, *arguments],
            stdin=subprocess.PIPE,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours to hear
        )
        os.close(descriptor)

    @property
    def url(self) -> str:
        """Its address, up to and with ``/v1``."""
        return f"http://127.0.0.1:{self.port}/v1"

    def check(self) -> None:
        """Demand that it still runs.

        Raises:
            BackendError: it has ended; the last line of its log is quoted.
        """
        if (status := self._watcher.poll()) is not None:
            raise BackendError(
                f"{self._name} ended with status {status}: {self._last_line()}",
                hint=f"its log: {self._log}",
            )

    def stop(self) -> None:
        """End the server and wait until it has; its log goes, unless the server ended by itself."""
        assert self._watcher.stdin is not None
        is_running = self._watcher.poll() is None
        with contextlib.suppress(OSError):
            self._watcher.stdin.close()
        try:
            self._watcher.wait(2 * _STOP_S)
        except subprocess.TimeoutExpired:
            self._watcher.kill()  # the kernel then kills the server
            self._watcher.wait()
        if is_running:
            Path(self._log).unlink(missing_ok=True)

    def wait_until_ready(self, ready_s: float) -> None:
        """Wait so many seconds until it answers; where that takes long, show the end of its log.

        Raises:
            BackendError: it has ended, was stopped, or is not ready in time.
        """
        begin = time.monotonic()
        next_note = begin + _NOTE_EVERY_S
        while not _is_healthy(self.port):
            self.check()
            now = time.monotonic()
            if now - begin > ready_s:
                raise BackendError(
                    f"{self._name} was not ready after {now - begin:.0f} s: {self._last_line()}",
                    hint=f"--model-args ready_s=... waits longer; its log: {self._log}",
                )
            if now > next_note:
                next_note = now + _NOTE_EVERY_S
                seconds = f"{now - begin:.0f} s"
                self._notify(f"{self._name} is loading ({seconds}): {self._last_line()}")
            time.sleep(_POLL_S)
        self.is_ready = True

    def _last_line(self) -> str:
        with Path(self._log).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4096))
            lines = file.read().decode(errors="replace").split("\n")
        texts = [line.rpartition("\r")[2].strip() for line in lines]
        return next((text[:300] for text in reversed(texts) if text), "it said nothing")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _is_healthy(port: int) -> bool:
    """Return whether the server answers; those without ``/health`` list their models."""
    for path in ("/health", "/v1/models"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if status != http.HTTPStatus.NOT_FOUND:
            return status == http.HTTPStatus.OK
    return False


# The watcher: a process of its own.


def watch() -> None:
    """Run the server that the arguments name until it ends or standard input closes."""
    server = subprocess.Popen(  # noqa: S603 - as above
        sys.argv[2:],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - no thread has been started yet
    )

    def stop_at_end_of_input() -> None:
        sys.stdin.buffer.read()
        _signal_group(server.pid, signal.SIGTERM)
        try:
            server.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            _signal_group(server.pid, signal.SIGKILL)

    threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    status = server.wait()
    _signal_group(server.pid, signal.SIGKILL)  # what it started and left
    os._exit(min(255, abs(status)))  # the thread may be reading


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
