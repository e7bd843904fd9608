"""Write a page to a file; what cannot work is refused before anything is spent."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cotkit.errors import MissingDependencyError, UsageError
from cotkit.outfile import check_overwrites
from cotkit.types import say_nothing

if TYPE_CHECKING:
    from cotkit.analysis.results import Comparison
    from cotkit.analysis.scale.values import Scale
    from cotkit.report.html import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What file is wanted."""

    path: Path
    """Where."""
    samples: bool
    """Whether it shows problems, golds and what was written, and not only what follows."""

    def of(self, part: Part) -> Part:
        """A run with the samples that its page shows."""
        return part if self.samples else replace(part, samples=())


def check_page(path: Path) -> None:
    """Refuse what :func:`write_page` could not write.

    Raises:
        UsageError: the file cannot be written, or is there and is no page.
        MissingDependencyError: matplotlib is not installed.
    """
    check_overwrites(path, b"<!doctype html>", "HTML page")
    why = None
    if not path.parent.is_dir():
        why = f"there is no folder {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        why = "no permission"
    if why is not None:
        raise UsageError(f"cannot write {path}: {why}", hint="--html FILE")
    if find_spec("matplotlib") is None:
        raise MissingDependencyError("matplotlib", "report")


def write_run(wanted: Page, found: Comparison, log_dir: Path | str, *, timing: bool) -> None:
    """Write the page of a run that has just been made.

    Raises:
        UsageError: as :func:`write_page`.
    """
    from cotkit.report.html import page
    from cotkit.reporting import stored_part
    from cotkit.store import Store, place_of

    with Store(place_of(log_dir)) as store:
        part = stored_part(store, store.run(found.run_id), say_nothing)
    part = wanted.of(replace(part, comparison=found))
    write_page(wanted.path, page([part], timing=timing))


def write_scales(
    wanted: Page,
    scales: Sequence[Scale],
    log_dir: Path | str | None,
    *,
    reach: float | None,
    timing: bool,
) -> None:
    """Write the page of scale analyses and of the runs that they are of; ``log_dir``: of these.

    Raises:
        UsageError: as :func:`write_page`.
    """
    from cotkit.report.html import page
    from cotkit.reporting import stored_part
    from cotkit.store import Store, place_of

    runs = [run for one in scales if one.origin for run in one.origin.runs.values()]
    parts: list[Part] = []
    if log_dir is not None:
        with Store(place_of(log_dir)) as store:
            parts = [wanted.of(stored_part(store, store.run(run), say_nothing)) for run in runs]
    write_page(wanted.path, page(parts, scales=scales, reach=reach, timing=timing))


def write_page(path: Path, text: str) -> None:
    """Write it whole, or leave what was there; through links.

    Raises:
        UsageError: the file cannot be written.
    """
    there = path.resolve()
    new = there.with_name(f".{secrets.token_hex(8)}.new")
    try:
        new.write_text(text, encoding="utf-8", newline="\n")
        new.replace(there)
    except OSError as refused:
        new.unlink(missing_ok=True)
        raise UsageError(
            f"cannot write {path}: {refused.strerror}", hint="--html FILE"
        ) from refused
