"""``cotkit view``: all runs of a store on one local page, each opening its report."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.options import read_consent, read_place, with_options
from cotkit.errors import CotkitError
from cotkit.paths import check_overwrites, write_atomically
from cotkit.types import say_nothing

if TYPE_CHECKING:
    from cotkit.analysis.values import PageRun
    from cotkit.report.html.runs import RunEntry
    from cotkit.store import Place, RunRow, Store

PORT = 8642
INDEX = "index.html"
"""File name of the list."""
UNREADABLE = (CotkitError, ValueError, TypeError, LookupError, AttributeError)
"""What a run of a store that anybody wrote may raise."""


@dataclass(kw_only=True)
class RunPages:
    """The runs of one store as pages; an answer that was read is remembered until its run changes.

    The store is only read. Any number of threads may ask.
    """

    place: Place
    """Where the store is."""
    samples: bool = True
    """Whether reports show problems, gold answers and what was written."""
    trusts_code: bool = False
    """Whether Python files that a run names may be run."""
    _entries: dict[RunRow, RunEntry] = field(default_factory=dict["RunRow", "RunEntry"])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def index(self, within_s: float) -> str:
        """Return the list; answers of runs that are not read yet are read within so many seconds.

        Raises:
            StoreError: the store cannot be read.
        """
        from cotkit.report.html.runs import runs_page
        from cotkit.store import Store, mask_password

        deadline = time.monotonic() + within_s
        with self._lock, Store(self.place, reads_only=True) as store:
            runs = store.runs()
            for run in runs:
                if run not in self._entries and time.monotonic() < deadline:
                    self._read(store, run)
        entries = [self._entries.get(run) or _describe(run) for run in runs]
        return runs_page(entries, mask_password(self.place))

    def report(self, file_name: str) -> str | None:
        """Return the report of this name; None: no run has it.

        Raises:
            CotkitError: the run cannot be analysed any more.
        """
        from cotkit.store import Store

        with self._lock, Store(self.place, reads_only=True) as store:
            for run in store.runs():
                if _describe(run).file_name == file_name:
                    return self._render(self._load(store, run))
        return None

    def reports(self) -> Iterator[tuple[str, str]]:
        """Yield name and text of the report of every run that has one, the latest first."""
        from cotkit.store import Store

        with self._lock, Store(self.place, reads_only=True) as store:
            for run in store.runs():
                if (part := self._read(store, run)) is not None:
                    yield self._entries[run].file_name, self._render(part)

    def _read(self, store: Store, run: RunRow) -> PageRun | None:
        """Remember the answer of a run, or why there is none; return its analysis."""
        from cotkit.cli.output import worst_gate
        from cotkit.report.comparison_tables import comparison_document
        from cotkit.report.verdicts import verdict_cell

        entry, part = _describe(run), None
        try:
            part = self._load(store, run)
            headline = comparison_document(part.comparison).headline
            entry = replace(entry, headline=headline)
            entry = replace(entry, gate=verdict_cell(worst_gate(part.comparison)))
        except UNREADABLE as error:
            if part is None:
                entry = replace(entry, trouble=str(error) or type(error).__name__)
        self._entries[run] = entry
        return part

    def _load(self, store: Store, run: RunRow) -> PageRun:
        from cotkit.workflows.stored_run import load_part

        return load_part(store, run, say_nothing, trusts_code=self.trusts_code)

    def _render(self, part: PageRun) -> str:
        from cotkit.report.html import page

        return page([part if self.samples else replace(part, samples=())], home=INDEX)


def _describe(run: RunRow) -> RunEntry:
    """Return what is known of a run before it is read."""
    import json

    from cotkit.report.document import Words
    from cotkit.report.html.runs import RunEntry

    try:
        spec = json.loads(run.spec)
        fields = {key: str(spec[key]) for key in ("model", "bench")}
        strategies, tag = tuple(map(str, spec["strategies"])), str(spec.get("tag") or "")
    except (ValueError, TypeError, LookupError, AttributeError):
        fields, strategies, tag = {"model": "?", "bench": "?"}, (), ""
    return RunEntry(
        id=run.id,
        **fields,
        strategies=strategies,
        tag=tag,
        status=run.status,
        updated_utc=run.updated_utc,
        headline=None,
        gate=Words(text="", raw=""),
    )


@with_options(read_place, read_consent)
def command(
    log_dir: Path | str,
    trusts_code: bool,
    out: Path | None = typer.Option(
        None, "--out", help="Write the pages into this folder instead of serving them."
    ),
    port: int = typer.Option(PORT, "--port", help="Port on 127.0.0.1; 0: any that is free."),
    samples: bool = typer.Option(
        True,
        "--samples/--no-samples",
        help="Whether reports show problems, gold answers and what was written.",
    ),
) -> None:
    """Show all runs of a store on one local page, each opening its report; search and filters.

    Served on this machine until Ctrl-C, or written to a folder. The store is only read.

    Examples:

      cotkit view

      cotkit view --out pages --log-dir ./logs
    """
    from cotkit.cli.output import check_report_extra, print_lines, print_status
    from cotkit.cli.run_server import make_server
    from cotkit.store import existing_place

    check_report_extra()
    pages = RunPages(place=existing_place(log_dir), samples=samples, trusts_code=trusts_code)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in pages.reports():
            _write(out / name, text)
            print_status(f"written: {out / name}")
        _write(out / INDEX, pages.index(within_s=0))
        print_lines(str(out / INDEX))
        return
    with make_server(pages, port) as server, contextlib.suppress(KeyboardInterrupt):
        print_lines(f"http://127.0.0.1:{server.server_address[1]}/")
        print_status("Ctrl-C ends it")
        server.serve_forever()


def _write(path: Path, text: str) -> None:
    check_overwrites(path, b"<!doctype html>", "HTML page")
    write_atomically(path, text.encode())
