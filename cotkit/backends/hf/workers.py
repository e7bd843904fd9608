"""Several processes with a copy of the model each: a request goes to the one with least to do.

A process that ends on its own takes nothing along: what it had answered is answered, and what it
had not goes to the others, once; then it fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from cotkit.backends.hf import Hf
from cotkit.backends.hf.sequence import first_line, is_user_error
from cotkit.errors import BackendError
from cotkit.types import Completion, Notify, Request

_MOST_TRIES = 2  # processes that one request may meet the end of
_CLOSING_S = 10.0
_COMMAND = (sys.executable, "-c", "from cotkit.backends.hf.workers import main; main()")


@dataclass(slots=True, eq=False)
class _PendingRequest:
    request: Request
    future: asyncio.Future[tuple[Completion, ...]]
    loop: asyncio.AbstractEventLoop
    n_tries: int = 0

    def settle(self, result: Any) -> None:  # noqa: ANN401 - completions, or the error
        def tell() -> None:
            if self.future.done():
                return
            if isinstance(result, Exception):
                self.future.set_exception(result)
            else:
                self.future.set_result(result)

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self.loop.call_soon_threadsafe(tell)


class _WorkerProcess:
    """A replica and the jobs that it has."""

    def __init__(self, begin: WorkerConfig) -> None:
        self.jobs: dict[int, _PendingRequest] = {}
        self.alive = True
        self._lock = threading.Lock()
        self.handle = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - a constant
        self.send(begin)

    def send(self, frame: object) -> None:
        assert self.handle.stdin is not None
        with self._lock, contextlib.suppress(OSError, ValueError):  # who listens finds its end
            pickle.dump(frame, self.handle.stdin)
            self.handle.stdin.flush()


class Replicas:
    """The processes, started at once."""

    def __init__(self, n: int, params: Mapping[str, Any], notify: Callable[[], Notify]) -> None:
        self._notify = notify
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._closing = False
        self._processes = [
            _WorkerProcess(WorkerConfig(params=dict(params), place=i, n_replicas=n))
            for i in range(n)
        ]
        self._listeners = [
            threading.Thread(target=self._listen, args=(one,), name="cotkit-replica", daemon=True)
            for one in self._processes
        ]
        for thread in self._listeners:
            thread.start()

    async def ask(self, request: Request) -> tuple[Completion, ...]:
        """Have a request answered.

        Raises:
            BackendError: as the backend does; or no replica is left.
        """
        loop = asyncio.get_running_loop()
        job = _PendingRequest(request, loop.create_future(), loop)
        number = next(self._numbers)
        process = self._assign(number, job)
        try:
            return await job.future
        except asyncio.CancelledError:
            if process is not None:
                process.send(WorkerRequest(number, None))
            raise

    def close(self) -> None:
        """End the processes."""
        self._closing = True
        for process in self._processes:
            assert process.handle.stdin is not None
            with contextlib.suppress(OSError):
                process.handle.stdin.close()
        for process, thread in zip(self._processes, self._listeners, strict=True):
            try:
                process.handle.wait(_CLOSING_S)
            except subprocess.TimeoutExpired:
                process.handle.kill()
            thread.join(_CLOSING_S)

    def _assign(self, number: int, job: _PendingRequest) -> _WorkerProcess | None:
        """Give a job to the living process with the fewest; fail it if there is none."""
        with self._lock:
            living = [one for one in self._processes if one.alive]
            chosen = min(living, key=lambda one: len(one.jobs), default=None)
            if chosen is not None and job.n_tries < _MOST_TRIES:
                job.n_tries += 1
                chosen.jobs[number] = job
            else:
                chosen = None
        if chosen is None:
            why = "the replicas that worked on it ended" if living else "no replica is left"
            job.settle(
                BackendError(
                    f"{why}; what was answered is kept", hint="out of memory? use fewer replicas"
                )
            )
        else:
            chosen.send(WorkerRequest(number, job.request))
        return chosen

    def _listen(self, process: _WorkerProcess) -> None:
        """Hand on what a process tells; when it ends, share out what it had left."""
        assert process.handle.stdout is not None
        try:
            while True:
                told: WorkerReply = pickle.load(process.handle.stdout)  # noqa: S301 - a process of ours
                if told.number < 0:
                    self._notify()(str(told.result))
                elif job := process.jobs.pop(told.number, None):
                    job.settle(told.result)
        except (EOFError, OSError, pickle.UnpicklingError):
            with self._lock:
                process.alive = False
                left, process.jobs = process.jobs, {}
        if self._closing:
            for job in left.values():
                job.settle(BackendError("the backend was closed"))
            return
        self._notify()(f"a replica ended; {len(left)} of its requests go to the others")
        for number, job in left.items():
            self._assign(number, job)


# One replica: a process of its own that answers requests until its input ends.
#
# Frames are pickles over standard input and output, from and to the process that started it. What
# is printed by accident goes to standard error.


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What a replica is; its first frame."""

    params: dict[str, Any]
    """Of its backend."""
    place: int
    """Which of the replicas it is, from 0."""
    n_replicas: int
    """How many share this machine."""


@dataclass(frozen=True, slots=True)
class WorkerRequest:
    """A request under a number; no request: that number is no longer waited for."""

    number: int
    request: Request | None


@dataclass(frozen=True, slots=True)
class WorkerReply:
    """What came of a number; number -1: a sentence for the user."""

    number: int
    result: Any


def main() -> None:
    """Answer until standard input ends."""
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _serve(sys.stdin.buffer, frames)


def _serve(source: BinaryIO, target: BinaryIO) -> None:
    begin: WorkerConfig = pickle.load(source)  # noqa: S301 - from the process that started this one
    lock = threading.Lock()

    def tell(told: WorkerReply) -> None:
        with lock:
            pickle.dump(told, target)
            target.flush()

    backend = Hf(**_place_params(begin), notify=lambda text: tell(WorkerReply(-1, text)))
    asyncio.run(_answer_requests(backend, source, tell))


async def _answer_requests(
    backend: Hf, source: BinaryIO, tell: Callable[[WorkerReply], None]
) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    tasks: dict[int, asyncio.Task[None]] = {}

    async def answer(number: int, request: Request) -> None:
        ask = backend.loglikelihood if request.options else backend.generate
        try:
            result: Any = await ask(request)
        except Exception as fault:  # noqa: BLE001 - who asked is told of every fault
            result = (
                fault
                if is_user_error(fault)
                else BackendError(f"a replica failed: {first_line(fault)}")
            )
        tell(WorkerReply(number, result))
        del tasks[number]

    def hear(asked: WorkerRequest) -> None:
        if asked.request is not None:
            tasks[asked.number] = loop.create_task(answer(asked.number, asked.request))
        elif asked.number in tasks:
            tasks.pop(asked.number).cancel()

    def listen() -> None:
        try:
            while True:
                loop.call_soon_threadsafe(hear, pickle.load(source))  # noqa: S301 - as above
        except EOFError:
            loop.call_soon_threadsafe(over.set)

    threading.Thread(target=listen, daemon=True).start()
    await over.wait()
    await backend.close()


def _place_params(begin: WorkerConfig) -> dict[str, Any]:
    """The parameters with a device, or a share of the processors, of its own."""
    import torch

    device = begin.params["device"]
    if device == "cuda":
        return {**begin.params, "device": f"cuda:{begin.place % torch.cuda.device_count()}"}
    if device == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // begin.n_replicas))
    return begin.params
