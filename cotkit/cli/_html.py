"""The options that say what page is written beside the answer.

No ``from __future__ import annotations`` here, for the reason that ``_options`` gives.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.errors import UsageError

if TYPE_CHECKING:
    from cotkit.cli._page import Page


def read_page(
    html: Path | None = typer.Option(
        None, "--html", help="Also write one HTML file: figures, tables, every sample."
    ),
    samples: bool = typer.Option(
        True,
        "--samples/--no-samples",
        help="Whether that file shows problems, gold answers and what was written.",
    ),
) -> "Page | None":
    """The page; None: none is wanted.

    Raises:
        CotkitError: it cannot be written, as ``check_page`` says.
    """
    if html is None:
        if not samples:
            raise UsageError("--no-samples says nothing without --html", hint="--html FILE")
        return None
    from cotkit.cli._page import Page, check_page

    check_page(html)
    return Page(path=html, samples=samples)
