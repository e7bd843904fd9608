"""``cotkit compare --from``: files of other tools in place of a run."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from cotkit.errors import UsageError

if TYPE_CHECKING:
    from cotkit.cli._formats import Format
    from cotkit.run import RunSpec

_FITTING = frozenset({"sources", "baseline", "reader", "margin", "format_"})
"""Options that mean something for what was recorded."""


def compare_files(
    sources: Sequence[str], spec: RunSpec, format_: Format, given: frozenset[str]
) -> None:
    """Compare and print; ``given``: names of the options that the user wrote.

    Raises:
        UsageError: one of them says nothing here.
        CotkitError: as ``compare_recorded``.
    """
    from cotkit.interop.compared import compare_recorded
    from cotkit.report import render

    if wrong := min(given - _FITTING, default=None):
        name = wrong.strip("_").replace("_", "-")
        hint = "--baseline, --reader, --margin and --format do"
        raise UsageError(f"--{name} says nothing of results that are there", hint=hint)
    found = compare_recorded(
        sources, baseline=spec.baseline, reader=spec.reader, margin=spec.margin
    )
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    text = render(
        found,
        format_.value,
        width=shutil.get_terminal_size((100, 24)).columns,
        color=color,
        encoding=sys.stdout.encoding,
    )
    typer.echo(text, nl=False, color=color)
