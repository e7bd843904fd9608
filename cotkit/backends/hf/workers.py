"""Replicas: processes with a copy of the model each, which answer requests over pipes.

Frames are pickles over standard input and output. What is printed in a replica by accident goes to
standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from cotkit.backends._pool import Failure, WorkerPool
from cotkit.backends.hf.engine import Engine
from cotkit.backends.hf.prompt import Prompter
from cotkit.backends.hf.sequence import first_line
from cotkit.backends.hf.source import EngineConfig, Placement
from cotkit.errors import BackendError, CotkitError
from cotkit.types import Completion, Notify, Request

_CLOSING_S = 10.0
_ROOT = str(Path(__file__).parents[3])
_CODE = (
    "import sys; sys.path.append(sys.argv[1]); from cotkit.backends.hf.workers import main; main()"
)
_COMMAND = (sys.executable, "-P", "-c", _CODE, _ROOT)  # no module of the working folder is imported
_HINT = "out of memory? use fewer replicas"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaConfig:
    """What a replica runs; the first frame that it gets."""

    engine: EngineConfig
    """As of one process, before the replicas share the machine."""
    place: int
    """Which of the replicas it is, from 0."""
    n_replicas: int
    """How many share this machine."""


@dataclass(frozen=True, slots=True)
class ReplicaRequest:
    """A request under a number; no request: that number is cancelled."""

    number: int
    request: Request | None


@dataclass(frozen=True, slots=True)
class ReplicaReply:
    """The answer to the request of a number."""

    number: int
    result: tuple[Completion, ...] | Failure


class Replicas:
    """The near side: starts the processes, and asks them through a pool."""

    def __init__(self, n: int, config: EngineConfig, notify: Callable[[], Notify]) -> None:
        self._notify = notify
        self._closing = False
        self._pool = WorkerPool(max_per_worker=None, loss_error=_loss_error)
        self._processes = [
            ReplicaProcess(ReplicaConfig(engine=config, place=i, n_replicas=n)) for i in range(n)
        ]
        self._listeners = [
            threading.Thread(target=self._listen, args=(process,), daemon=True)
            for process in self._processes
        ]
        for process in self._processes:
            self._pool.add(process)
        for thread in self._listeners:
            thread.start()

    async def ask(self, request: Request) -> tuple[Completion, ...]:
        """Have a replica complete a request, or score its options.

        Raises:
            BackendError: as :meth:`Engine.ask`; or no replica is left.
        """
        return await self._pool.ask(request)

    def status(self) -> str | None:
        """Return nothing: replicas do not report their progress."""
        return None

    def close(self) -> None:
        """End the processes."""
        self._closing = True
        self._pool.fail(BackendError("the backend was closed"))
        for process in self._processes:
            process.end_input()
        for process, thread in zip(self._processes, self._listeners, strict=True):
            try:
                process.handle.wait(_CLOSING_S)
            except subprocess.TimeoutExpired:
                process.handle.kill()
            thread.join(_CLOSING_S)

    def _listen(self, process: ReplicaProcess) -> None:
        """Run on a thread for each process: deliver its replies until it ends."""
        assert process.handle.stdout is not None
        try:
            while True:
                reply = pickle.load(process.handle.stdout)  # noqa: S301 - a process of ours
                if isinstance(reply, ReplicaReply):
                    self._pool.settle(process, reply.number, reply.result)
                else:
                    self._notify()(str(reply))
        except (EOFError, OSError, pickle.UnpicklingError):
            n_lost = self._pool.lose(process)
        if self._closing:
            return
        self._notify()(f"a replica ended; {n_lost} of its requests go to the others")
        if self._pool.n_workers == 0:
            error = BackendError("no replica is left; what was answered is kept", hint=_HINT)
            self._pool.fail(error)


class ReplicaProcess:
    """A replica as the pool sees it: requests go to its standard input."""

    def __init__(self, config: ReplicaConfig) -> None:
        self._lock = threading.Lock()
        self.handle = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - a constant
        self._write(config)

    def send(self, number: int, request: Request) -> None:
        """Have a request answered."""
        self._write(ReplicaRequest(number, request))

    def cancel(self, number: int) -> None:
        """Stop the work on a request."""
        self._write(ReplicaRequest(number, None))

    def end_input(self) -> None:
        """Let the process end."""
        assert self.handle.stdin is not None
        with contextlib.suppress(OSError):
            self.handle.stdin.close()

    def _write(self, frame: object) -> None:
        assert self.handle.stdin is not None
        with self._lock, contextlib.suppress(OSError, ValueError):  # its listener meets the end
            pickle.dump(frame, self.handle.stdin)
            self.handle.stdin.flush()


def _loss_error() -> BackendError:
    why = "the replicas that worked on it ended; what was answered is kept"
    return BackendError(why, hint=_HINT)


# The far side: a process that answers requests until its input ends.


def main() -> None:
    """Answer until standard input ends."""
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    source = sys.stdin.buffer
    config: ReplicaConfig = pickle.load(source)  # noqa: S301 - from the process that started this one
    lock = threading.Lock()

    def write(frame: ReplicaReply | str) -> None:
        with lock:
            pickle.dump(frame, target)
            target.flush()

    settings = replace(config.engine, placement=_share_placement(config))
    kwargs = settings.template_kwargs
    prompter = Prompter(settings.folder, chat=settings.chat, template_kwargs=kwargs)
    engine = Engine(settings, prompter, lambda: write)
    asyncio.run(_answer_requests(engine, source, write))


async def _answer_requests(
    engine: Engine, source: BinaryIO, write: Callable[[ReplicaReply], None]
) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    tasks: dict[int, asyncio.Task[None]] = {}

    async def answer(number: int, request: Request) -> None:
        result: tuple[Completion, ...] | Failure
        try:
            result = await engine.ask(request)
        except CotkitError as error:
            result = Failure.of(error)
        except Exception as fault:  # noqa: BLE001 - the asker learns of every fault
            result = Failure.of(BackendError(f"a replica failed: {first_line(fault)}"))
        write(ReplicaReply(number, result))
        del tasks[number]

    def accept(frame: ReplicaRequest) -> None:
        if frame.request is not None:
            tasks[frame.number] = loop.create_task(answer(frame.number, frame.request))
        elif frame.number in tasks:
            tasks.pop(frame.number).cancel()

    def listen() -> None:
        try:
            while True:
                loop.call_soon_threadsafe(accept, pickle.load(source))  # noqa: S301 - as above
        except EOFError:
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=listen, daemon=True).start()
    await ended.wait()
    await asyncio.to_thread(engine.close)


def _share_placement(config: ReplicaConfig) -> Placement:
    """Return a device of the replica's own; on a CPU, take a share of the cores."""
    import torch

    device = config.engine.placement.device
    if device == "cuda":
        device = f"cuda:{config.place % torch.cuda.device_count()}"
    elif device == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // config.n_replicas))
    return replace(config.engine.placement, device=device, spread=False)
