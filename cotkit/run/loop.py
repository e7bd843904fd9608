"""Run a coroutine from ordinary code, with Ctrl-C, also inside a notebook."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")
_JOIN_S = 0.2  # how long a Ctrl-C may go unnoticed in a script that runs an event loop


def run_to_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end, also where this thread runs an event loop (a notebook's)."""
    results: list[_T] = []

    async def keep_result() -> None:
        results.append(await work)

    # A task with a result writes it out as a text when asyncio.run ends: megabytes of a long run.
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(keep_result())
        return results[0]
    loop = asyncio.new_event_loop()
    task = loop.create_task(keep_result())
    thread = threading.Thread(target=_finish, args=(loop, task), name="cotkit-run")
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_JOIN_S)
            _raise_if_cancelled()
    except KeyboardInterrupt:
        with contextlib.suppress(RuntimeError):  # the loop has just closed: the run is over
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    task.result()  # raises what ended it
    return results[0]


def _raise_if_cancelled() -> None:
    """Raise ``KeyboardInterrupt`` where a Ctrl-C under ``asyncio.run`` only cancelled the task."""
    current = asyncio.current_task()
    if current is not None and current.cancelling():
        raise KeyboardInterrupt


def _finish(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(asyncio.wait([task]))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
