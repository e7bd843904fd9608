"""Ctrl-C between two steps instead of within one."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Generator
from types import FrameType


@contextlib.contextmanager
def deferred() -> Generator[Callable[[], bool]]:
    """Ask the function given whether Ctrl-C was pressed; pressed again, it interrupts at once.

    Works in the main thread only, where Python lets a program hear signals.
    """
    pressed = False

    def hear(_signal: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
