"""Listeners to a run besides its display: trackers (``--track``), the log (``--log-level``)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol, TextIO, runtime_checkable

from cotkit.errors import CotkitError, UsageError
from cotkit.events import (
    AttemptDone,
    Event,
    GainFound,
    RunEnded,
    RunStarted,
    Said,
    Waits,
)
from cotkit.printable import mask_passwords, printable
from cotkit.registry import construct, parse_spec

Level = Literal["debug", "info", "warning", "error"]
"""How much is logged: from every try of every call down to only what failed."""

_LOG = logging.getLogger("cotkit.run")


@runtime_checkable
class Tracker(Protocol):
    """Records the events of runs; a dataclass whose fields are its ``key=value``."""

    def record(self, event: Event) -> None:
        """Record one event; never called from two threads at once."""
        ...

    def close(self) -> None:
        """Close; called once, after the last event, also when an error or Ctrl-C ended the run."""
        ...


@contextmanager
def track_events(
    emit: Callable[[Event], None], specs: Sequence[str]
) -> Generator[Callable[[Event], None]]:
    """Yield a function that passes each event to ``emit`` and then to the trackers.

    A tracker that raises gets no more events, and the user a message; it never ends a run.

    Args:
        emit: Gets each event first.
        specs: Trackers as on the command line, e.g. ``"jsonl:events.jsonl"``.

    Raises:
        UsageError: no such tracker, or it refuses its parameters.
    """
    trackers = {spec: _make_tracker(spec) for spec in specs}
    lock = threading.RLock()

    def guard(spec: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as failure:  # noqa: BLE001 - a plugin may raise anything
            trackers.pop(spec, None)
            reason = f"{type(failure).__name__}: {failure}"
            sentence = f"the tracker {spec} failed and gets no more events: {reason}"
            emit(Said(text=mask_passwords(sentence)))

    def emit_to_all(event: Event) -> None:
        emit(event)
        with lock:
            for spec, tracker in list(trackers.items()):
                guard(spec, lambda tracker=tracker: tracker.record(event))

    try:
        yield emit_to_all
    finally:
        for spec, tracker in list(trackers.items()):
            guard(spec, tracker.close)


def _make_tracker(spec: str) -> Tracker:
    try:
        tracker = construct("tracker", parse_spec(spec))
    except CotkitError:
        raise
    except Exception as failure:  # a plugin may raise anything
        reason = next(iter(str(failure).strip().splitlines()), "")[:200]
        sentence = f"the tracker {spec} cannot begin: {type(failure).__name__}: {reason}"
        raise UsageError(mask_passwords(sentence)) from failure
    if not isinstance(tracker, Tracker):
        raise UsageError(
            f"tracker {spec}: {type(tracker).__name__} lacks record or close",
            hint="docs/observing.md describes trackers",
        )
    return tracker


def start_log(level: Level, stderr: TextIO) -> None:
    """Write the log of cotkit to a stream, without those of other libraries: they may hold keys.

    ``info``: runs, gains, calls that are tried again; ``debug``: also every attempt and every try.
    """
    handler = logging.StreamHandler(stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("cotkit")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())


def log_event(event: Event) -> None:
    """Log an event at its level."""
    match event:
        case RunStarted():
            described = f"{event.model} on {event.bench}, {', '.join(event.arms)}"
            _LOG.info("run %s started: %s", event.run_id, described)
        case AttemptDone(outcome="failed"):
            _LOG.warning("%s of %s failed: %s", event.arm, event.problem_id, event.error)
        case AttemptDone():
            _LOG.debug("%s of %s: %s", event.arm, event.problem_id, event.outcome)
        case GainFound():
            _LOG.info("%s over %s: %+.3f, %s", event.arm, event.control, event.gain, event.verdict)
        case RunEnded():
            n = event.n_failed
            _LOG.info("run %s ended: %d done, %d failed", event.run_id, event.n_done, n)
        case Said():
            pass  # shown already, whatever the display
        case Waits():
            _LOG.debug("%s", event.text or "no longer waiting")


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
