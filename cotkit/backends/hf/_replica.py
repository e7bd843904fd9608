"""One replica: a process of its own that answers requests until its input ends.

Frames are pickles over standard input and output, from and to the process that started it. What is
printed by accident goes to standard error.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from cotkit.backends.hf import Hf
from cotkit.backends.hf._rows import first_line, ours
from cotkit.errors import BackendError
from cotkit.types import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """What a replica is; its first frame."""

    params: dict[str, Any]
    """Of its backend."""
    place: int
    """Which of the replicas it is, from 0."""
    n_replicas: int
    """How many share this machine."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request under a number; no request: that number is no longer waited for."""

    number: int
    request: Request | None


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a number; number -1: a sentence for the user."""

    number: int
    result: Any


def main() -> None:
    """Answer until standard input ends."""
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _serve(sys.stdin.buffer, frames)


def _serve(source: BinaryIO, target: BinaryIO) -> None:
    begin: Begin = pickle.load(source)  # noqa: S301 - from the process that started this one
    lock = threading.Lock()

    def tell(told: Told) -> None:
        with lock:
            pickle.dump(told, target)
            target.flush()

    backend = Hf(**_placed(begin), notify=lambda text: tell(Told(-1, text)))
    asyncio.run(_answer(backend, source, tell))


async def _answer(backend: Hf, source: BinaryIO, tell: Callable[[Told], None]) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    tasks: dict[int, asyncio.Task[None]] = {}

    async def answer(number: int, request: Request) -> None:
        ask = backend.loglikelihood if request.options else backend.generate
        try:
            result: Any = await ask(request)
        except Exception as fault:  # noqa: BLE001 - who asked is told of every fault
            result = (
                fault if ours(fault) else BackendError(f"a replica failed: {first_line(fault)}")
            )
        tell(Told(number, result))
        del tasks[number]

    def hear(asked: Asked) -> None:
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


def _placed(begin: Begin) -> dict[str, Any]:
    """The parameters with a device, or a share of the processors, of its own."""
    import torch

    device = begin.params["device"]
    if device == "cuda":
        return {**begin.params, "device": f"cuda:{begin.place % torch.cuda.device_count()}"}
    if device == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // begin.n_replicas))
    return begin.params
