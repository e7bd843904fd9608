"""The pages of ``cotkit view``, and a server of them on this machine alone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import TYPE_CHECKING, cast

from cotkit.errors import CotkitError, UsageError
from cotkit.printable import printable_text
from cotkit.types import say_nothing

if TYPE_CHECKING:
    from cotkit.analysis.values import PageRun
    from cotkit.report.html.runs import RunEntry
    from cotkit.store import Place, RunRow, Store

INDEX = "index.html"
"""File name of the list."""
_UNREADABLE = (CotkitError, ValueError, TypeError, LookupError, AttributeError)
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
    _reader: threading.Thread | None = None

    def index(self) -> str:
        """Return the list at once; a thread reads the answers that are not known yet.

        Raises:
            StoreError: the store cannot be read.
        """
        from cotkit.report.html.runs import runs_page
        from cotkit.store import Store, mask_password

        with Store(self.place, reads_only=True) as store:
            runs = store.runs()
        unread = [run for run in runs if run not in self._entries]
        if unread and (self._reader is None or not self._reader.is_alive()):
            self._reader = threading.Thread(target=self._read_all, args=(unread,), daemon=True)
            self._reader.start()
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

    def _read_all(self, runs: list[RunRow]) -> None:
        from cotkit.store import Store

        with contextlib.suppress(CotkitError):  # the next request for the list says it
            for run in runs:
                with self._lock, Store(self.place, reads_only=True) as store:
                    self._read(store, run)

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
        except _UNREADABLE as error:
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


# Served: nothing but these pages.

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the list and for reports, if asked by this machine's own name."""

    server_version, sys_version = "cotkit", ""
    timeout = 30

    def __init__(self, pages: RunPages, *connection: object) -> None:
        self._pages = pages
        super().__init__(*connection)  # pyright: ignore[reportArgumentType] - as the server calls it

    def do_GET(self) -> None:
        """Answer."""
        status, kind, text = self._answer()
        body = text.encode("utf-8", errors="backslashreplace")
        self.send_response(status)
        self.send_header("Content-Type", f"text/{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - as above

    def _answer(self) -> tuple[int, str, str]:
        """Return status, kind of text and text."""
        port = cast("HTTPServer", self.server).server_port
        if self.headers.get_all("Host") not in ([f"127.0.0.1:{port}"], [f"localhost:{port}"]):
            return 421, "plain", f"ask for http://127.0.0.1:{port}/\n"  # or another site's name
        name = self.path.partition("?")[0].removeprefix("/")
        try:
            text = self._pages.index() if name in {"", INDEX} else self._pages.report(name)
        except _UNREADABLE as error:
            return 500, "plain", f"{printable_text(str(error) or type(error).__name__)}\n"
        return (404, "plain", "there is no such run\n") if text is None else (200, "html", text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base
        """Say nothing of a request."""


def make_server(pages: RunPages, port: int) -> ThreadingHTTPServer:
    """Return a server of the pages on 127.0.0.1; 0: any free port.

    Raises:
        UsageError: the port cannot be used.
    """
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, pages))
    except (OSError, OverflowError) as refused:
        why = getattr(refused, "strerror", None) or refused
        raise UsageError(f"cannot serve on port {port}: {why}", hint="--port 0: any free") from None
