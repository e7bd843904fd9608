"""What the commands of the labs share: progress, and the report in three forms."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.errors import UsageError

if TYPE_CHECKING:
    from cotkit.analysis.lab import Lab
    from cotkit.lab.progress import Progress

_QUIET_S = 10.0  # between two lines of progress


class Teller:
    """Says how far a training is, every ten seconds and at its end."""

    def __init__(self) -> None:
        self._said = 0.0

    def __call__(self, at: Progress) -> None:
        """Print one line, or nothing yet."""
        if at.step < at.n_steps and time.monotonic() - self._said < _QUIET_S:
            return
        self._said = time.monotonic()
        say(
            f"{at.name}: step {at.step:,} of {at.n_steps:,}, loss {at.loss:.3f}, "
            f"{duration(at.left_s)} left"
        )


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.2 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def say(text: str) -> None:
    """On standard error: answers alone go to standard output."""
    typer.echo(text, err=True)


def check_out(out: Path, save_every: int = 1) -> None:
    """Refuse what the report could not be written to, before anything is trained.

    Raises:
        UsageError: ``out`` is not a folder or cannot be made; ``save_every`` is less than 1.
        MissingDependencyError: matplotlib is not installed.
    """
    from cotkit.cli._page import check_page

    if save_every < 1:
        raise UsageError(f"--save-every {save_every} saves nothing", hint="1 or more")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise UsageError(f"cannot make {out}: {refused.strerror}", hint="--out FOLDER") from refused
    check_page(out / "report.html")


def tell(lab: Lab, out: Path) -> None:
    """Print the report, and write ``report.json`` and ``report.html`` beside the networks.

    Raises:
        UsageError: they cannot be written.
    """
    from cotkit.cli._page import write_page
    from cotkit.report import render
    from cotkit.report.html import lab_page

    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size((100, 24)).columns
    text = render(lab, "table", width=width, color=color, encoding=sys.stdout.encoding)
    typer.echo(text, nl=False, color=color)
    for name, page in (("report.json", render(lab, "json")), ("report.html", lab_page(lab))):
        write_page(out / name, page)
        say(f"written: {out / name}")
