"""Who listens to a run besides its display: trackers (``--track``), the log (``--log-level``)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol, TextIO, runtime_checkable

from cotkit.errors import UsageError
from cotkit.events import (
    AttemptDone,
    Event,
    GainFound,
    RunEnded,
    RunStarted,
    Said,
    Waits,
    printable,
)
from cotkit.registry import construct, parse_spec

Level = Literal["debug", "info", "warning", "error"]
"""How much the log says: from every try of every call to only what failed."""

_LOG = logging.getLogger("cotkit.run")


@runtime_checkable
class Tracker(Protocol):
    """Takes the events of runs somewhere; a dataclass whose fields are its ``key=value``."""

    def record(self, event: Event) -> None:
        """Take one event; never called from two threads at once."""
        ...

    def close(self) -> None:
        """Called once, after the last event, also when an error or Ctrl-C ended the run."""
        ...


@contextmanager
def track_events(
    emit: Callable[[Event], None], specs: Sequence[str]
) -> Generator[Callable[[Event], None]]:
    """Tell trackers what ``emit`` is told, after it.

    A tracker that raises is told no more, which is said; it never ends a run.

    Args:
        emit: Who is told first.
        specs: Trackers as on the command line, e.g. ``"jsonl:events.jsonl"``.

    Raises:
        UsageError: no such tracker, or it refuses its parameters.
    """
    listening = {spec: _make_tracker(spec) for spec in specs}
    one_at_a_time = threading.RLock()

    def attempt(spec: str, what: Callable[[], None]) -> None:
        try:
            what()
        except Exception as failure:  # noqa: BLE001 - a plugin may raise anything
            listening.pop(spec, None)
            why = f"{type(failure).__name__}: {failure}"
            emit(Said(text=f"the tracker {spec} failed and is told no more: {why}"))

    def tell(event: Event) -> None:
        emit(event)
        with one_at_a_time:
            for spec, tracker in list(listening.items()):
                attempt(spec, lambda tracker=tracker: tracker.record(event))

    try:
        yield tell
    finally:
        for spec, tracker in list(listening.items()):
            attempt(spec, tracker.close)


def _make_tracker(spec: str) -> Tracker:
    made = construct("tracker", parse_spec(spec))
    if not isinstance(made, Tracker):
        raise UsageError(
            f"tracker {spec}: {type(made).__name__} lacks record or close",
            hint="docs/observing.md says what a tracker is",
        )
    return made


def start_log(level: Level, stderr: TextIO) -> None:
    """Write what cotkit logs to a stream, and nothing of other libraries: theirs may hold keys.

    ``info``: runs, gains, calls to be made again; ``debug``: also every attempt and every try.
    """
    handler = logging.StreamHandler(stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    ours = logging.getLogger("cotkit")
    ours.handlers = [handler]
    ours.propagate = False
    ours.setLevel(level.upper())


def log_event(event: Event) -> None:
    """Log an event at its level."""
    match event:
        case RunStarted():
            what = f"{event.model} on {event.bench}, {', '.join(event.arms)}"
            _LOG.info("run %s started: %s", event.run_id, what)
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
            _LOG.debug("%s", event.text or "waits for nothing unusual any more")


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
