"""``cotkit view``: all runs of a store on one local page, each opening its report."""

from __future__ import annotations

import contextlib
from pathlib import Path

import typer

from cotkit.cli.options import read_consent, read_place, with_options
from cotkit.paths import check_overwrites, write_atomically

PORT = 8642


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
    from cotkit.cli.run_pages import INDEX, RunPages, make_server
    from cotkit.store import existing_place

    check_report_extra()
    pages = RunPages(place=existing_place(log_dir), samples=samples, trusts_code=trusts_code)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in pages.reports():
            _write(out / name, text)
            print_status(f"written: {out / name}")
        _write(out / INDEX, pages.index())
        print_lines(str(out / INDEX))
        return
    with make_server(pages, port) as server, contextlib.suppress(KeyboardInterrupt):
        print_lines(f"http://127.0.0.1:{server.server_address[1]}/")
        print_status("Ctrl-C ends it")
        server.serve_forever()


def _write(path: Path, text: str) -> None:
    check_overwrites(path, b"<!doctype html>", "HTML page")
    write_atomically(path, text.encode())
