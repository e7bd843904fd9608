"""The options that say how a run is watched, shared by every command that runs one.

No ``from __future__ import annotations`` here, for the reason that ``_options`` gives.
"""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from cotkit.cli._formats import Display

if TYPE_CHECKING:
    from cotkit.events import Event
    from cotkit.report.progress import Mode


class LogLevel(StrEnum):
    """How much the log says."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is told what a run says."""

    mode: "Mode"
    """How progress is shown."""
    trackers: tuple[str, ...]
    """Specs of trackers."""
    log_level: LogLevel | None
    """Of the log on standard error; None: no log."""

    @contextmanager
    def told(self) -> Generator[Callable[["Event"], None]]:
        """Whom to tell the events, as long as runs go on.

        Raises:
            UsageError: a tracker that is not there or refuses its parameters.
        """
        from cotkit.report.progress import progress_display
        from cotkit.tracking import log_event, start_log, tracked

        if self.log_level is not None:
            start_log(self.log_level.value, sys.stderr)
        with progress_display(self.mode, sys.stderr) as show:

            def show_and_log(event: "Event") -> None:
                show(event)
                log_event(event)

            with tracked(show_and_log, self.trackers) as tell:
                yield tell


def read_watch(
    display: Display | None = typer.Option(
        None, "--display", help="Progress (default: full on a terminal, else plain)."
    ),
    track: list[str] = typer.Option(
        [],
        "--track",
        help="Also tell every event to NAME:key=value, e.g. jsonl:events.jsonl; may be repeated.",
    ),
    log_level: LogLevel | None = typer.Option(
        None, "--log-level", help="Log on standard error, with plain progress."
    ),
) -> Watch:
    """How the run is watched."""
    full = sys.stderr.isatty() and log_level is None
    return Watch(
        mode=display.value if display else ("full" if full else "plain"),
        trackers=tuple(track),
        log_level=log_level,
    )
