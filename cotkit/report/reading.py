"""What reading a long file looks like while it works; all of it goes to stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TextIO

from cotkit.report.progress import EVERY_S, Mode

_MB = 1e6


@contextmanager
def reading_display(
    mode: Mode, stderr: TextIO, n_bytes: int, clock: Callable[[], float] = time.monotonic
) -> Generator[Callable[[int], None]]:
    """Show how much of a file has been read; a file that is read quickly shows nothing.

    Args:
        mode: ``full``: a bar; ``plain``: a line now and then; ``none``: nothing.
        stderr: Where to.
        n_bytes: Size of the file.
        clock: Seconds from any origin; never goes back.
    """
    match mode:
        case "full":
            with _full(stderr, n_bytes) as show:
                yield show
        case "plain":
            yield _plain(stderr, n_bytes, clock)
        case "none":
            yield lambda _: None


@contextmanager
def _full(stderr: TextIO, n_bytes: int) -> Generator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(bar_width=20), DownloadColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=Console(file=stderr), transient=True
    ) as progress:
        bar = progress.add_task("", total=n_bytes)
        yield lambda n_read: progress.update(bar, completed=n_read)


def _plain(stderr: TextIO, n_bytes: int, clock: Callable[[], float]) -> Callable[[int], None]:
    said_s = clock()

    def show(n_read: int) -> None:
        nonlocal said_s
        if clock() - said_s >= EVERY_S:
            said_s = clock()
            stderr.write(f"{n_read / _MB:,.1f} of {n_bytes / _MB:,.1f} MB read\n")
            stderr.flush()

    return show
