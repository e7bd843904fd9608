"""The worker: one thread that runs the rows handed in, and lives while there are any.

All torch work, tokenizing included, happens on it; an event loop only hands rows in and is handed
completions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cotkit.backends.hf.prompt import Prompter
from cotkit.backends.hf.sequence import Row, first_line, is_user_error
from cotkit.backends.hf.source import EngineConfig
from cotkit.errors import BackendError, MissingDependencyError
from cotkit.types import Notify

if TYPE_CHECKING:
    from cotkit.backends.hf.scheduler import Scheduler

_LINGER_S = 0.01  # flows that were just answered ask on within this; small beside any prompt


class Engine:
    """Runs rows on a worker thread. Loads the model at the first row."""

    def __init__(
        self, setup: EngineConfig, prompter: Prompter, notify: Callable[[], Notify]
    ) -> None:
        self._setup = setup
        self._prompter = prompter
        self._notify = notify
        self._lock = threading.Lock()
        self._arrived: list[Row] = []
        self._taken: list[Row] = []
        self._thread: threading.Thread | None = None
        self._schedule: Scheduler | None = None

    def submit(self, rows: Sequence[Row]) -> None:
        """Hand rows in, from any thread."""
        with self._lock:
            self._arrived.extend(rows)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="cotkit-hf")
                self._thread.start()

    def status(self) -> str | None:
        """How far the rows are, in words; None: there are none, or the model is being loaded."""
        schedule = self._schedule
        return None if schedule is None or schedule.idle else schedule.status()

    def close(self) -> None:
        """Forget the rows that wait, stop at the next token, give the memory back."""
        with self._lock:
            rows, self._arrived, thread = [*self._arrived, *self._taken], [], self._thread
        for row in rows:
            if not row.done:
                row.fail(BackendError("the backend was closed"))
        if thread is not None:
            thread.join()
        self._schedule = None

    def _work(self) -> None:
        while (rows := self._take()) is not None:
            try:
                if self._schedule is None:
                    self._schedule = self._loaded()
                self._schedule.add(rows)
                self._schedule.advance()
            except Exception as fault:  # noqa: BLE001 - every fault must reach those who wait
                for row in self._taken:
                    if not row.done:
                        row.fail(_to_user_error(fault))
                if self._schedule is not None:
                    self._schedule.clear()

    def _loaded(self) -> Scheduler:
        try:
            from cotkit.backends.hf.scheduler import Scheduler
        except ImportError as missing:
            raise MissingDependencyError("torch and transformers", "hf") from missing
        return Scheduler(self._setup, self._prompter, self._notify)

    def _take(self) -> list[Row] | None:
        """What has arrived; while nothing runs, once no more does. None: the thread is to end."""
        seen = -1
        while True:
            with self._lock:
                rows = [row for row in self._arrived if not row.over]
                idle = self._schedule is None or self._schedule.idle
                if not idle or len(rows) == seen:
                    self._arrived = []
                    if rows:
                        self._taken = [row for row in self._taken if not row.over] + rows
                    elif idle:
                        self._taken, self._thread = [], None
                        return None
                    return rows
                seen = len(rows)
            time.sleep(_LINGER_S)


def _to_user_error(fault: Exception) -> Exception:
    return fault if is_user_error(fault) else BackendError(f"the model failed: {first_line(fault)}")
