"""The engine: one thread that runs sequences, and lives while there are any.

All torch work, tokenizing included, happens on that thread; an event loop only submits sequences
and awaits their completions.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import abc
from collections.abc import Callable
from typing import TYPE_CHECKING

from cotkit.backends.hf.prompt import Prompter
from cotkit.backends.hf.sequence import Sequence, first_line, make_sequences
from cotkit.backends.hf.source import EngineConfig
from cotkit.errors import BackendError, CotkitError, MissingDependencyError, ModelLoadError
from cotkit.models.folder import identify_folder
from cotkit.types import Completion, Notify, Request

if TYPE_CHECKING:
    from cotkit.backends.hf.scheduler import Scheduler

_LINGER_S = 0.01  # flows that were just answered ask on within this; small beside any prompt
_LONG_S = 10.0  # without an answer: time to report the progress
_QUIET_TURNS = 3  # of the event loop without a new request, before those that wait are submitted


class Engine:
    """Runs sequences on a thread of its own. Loads the model at the first one."""

    def __init__(
        self, config: EngineConfig, prompter: Prompter, notify: Callable[[], Notify]
    ) -> None:
        self._config = config
        self._prompter = prompter
        self._notify = notify
        # Of the event loop: what its requests bring is submitted together.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gathered: list[Sequence] = []
        self._changed_s = time.monotonic()
        # Shared with the thread, under the lock.
        self._lock = threading.Lock()
        self._submitted: list[Sequence] = []
        self._unfinished: list[Sequence] = []
        self._thread: threading.Thread | None = None
        self._scheduler: Scheduler | None = None

    async def ask(self, request: Request) -> tuple[Completion, ...]:
        """Complete a request, or score its options if it has some.

        Raises:
            BackendError: as ``Hf.generate``.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a new event loop: what waited in the old one is gone
            self._loop, self._gathered = loop, []
        if not self._gathered:
            loop.call_soon(self._submit_when_quiet, 0, 0)
        sequences = make_sequences(request, loop)
        self._gathered.extend(sequences)
        self._changed_s = time.monotonic()
        completions = await asyncio.gather(*(sequence.future for sequence in sequences))
        self._changed_s = time.monotonic()
        return tuple(completions)

    def status(self) -> str | None:
        """Describe the progress in words; None: something began or ended in the last 10 s."""
        scheduler = self._scheduler
        if scheduler is None or scheduler.is_idle or time.monotonic() - self._changed_s < _LONG_S:
            return None
        return scheduler.status()

    def close(self) -> None:
        """Fail what is unfinished, stop at the next token, give the memory back."""
        with self._lock:
            sequences = [*self._submitted, *self._unfinished]
            self._submitted, thread = [], self._thread
        self._fail(sequences, BackendError("the backend was closed"))
        if thread is not None:
            thread.join()
        self._scheduler = None

    def _submit_when_quiet(self, n_before: int, n_quiet: int) -> None:
        """Submit what was gathered once the event loop has nothing to add."""
        n_quiet = n_quiet + 1 if len(self._gathered) == n_before else 0
        if n_quiet < _QUIET_TURNS and self._loop is not None:
            self._loop.call_soon(self._submit_when_quiet, len(self._gathered), n_quiet)
            return
        with self._lock:
            self._submitted.extend(self._gathered)
            self._gathered = []
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="cotkit-hf")
                self._thread.start()

    def _work(self) -> None:
        """Run on the thread: until nothing is left to do."""
        while (arrived := self._next_arrivals()) is not None:
            try:
                if self._scheduler is None:
                    self._scheduler = self._load()
                self._scheduler.add(arrived)
                self._scheduler.advance()
            except Exception as fault:  # noqa: BLE001 - every fault must reach those who wait
                self._fail(self._unfinished, _user_error(fault))
                if self._scheduler is not None:
                    self._scheduler.clear()

    def _load(self) -> Scheduler:
        try:
            from cotkit.backends.hf.scheduler import Scheduler
        except ImportError as missing:
            raise MissingDependencyError("torch and transformers", "hf") from missing
        scheduler, config = Scheduler(self._config, self._prompter, self._notify), self._config
        if config.content and identify_folder(config.folder).content != config.content:
            raise ModelLoadError(
                f"{config.folder} changed between the begin of the run and its loading",
                hint="give the command again: it is another model now",
            )
        return scheduler

    def _next_arrivals(self) -> list[Sequence] | None:
        """Return what has arrived; while idle, wait until no more does. None: the thread ends."""
        n_before = -1
        while True:
            with self._lock:
                arrived = [sequence for sequence in self._submitted if not sequence.is_over]
                is_idle = self._scheduler is None or self._scheduler.is_idle
                if not is_idle or len(arrived) == n_before:
                    self._submitted = []
                    if arrived:
                        running = [each for each in self._unfinished if not each.is_over]
                        self._unfinished = running + arrived
                    elif is_idle:
                        self._unfinished, self._thread = [], None
                        return None
                    return arrived
                n_before = len(arrived)
            time.sleep(_LINGER_S)

    def _fail(self, sequences: abc.Sequence[Sequence], error: Exception) -> None:
        for sequence in sequences:
            if not sequence.is_done:
                sequence.fail(error)


def _user_error(fault: Exception) -> Exception:
    if isinstance(fault, CotkitError):
        return fault
    return BackendError(f"the model failed: {first_line(fault)}")
