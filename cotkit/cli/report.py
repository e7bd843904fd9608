"""``cotkit report``: stored runs again, on the terminal or as one HTML file with every sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.options import View, read_consent, read_place, read_view, with_options
from cotkit.cli.output import read_page

if TYPE_CHECKING:
    from cotkit.cli.output import PageRequest

EXAMPLES = """
Examples:

  cotkit report

  cotkit report last --show metrics,outcomes

  cotkit report --html report.html

  cotkit report 3fa9 c9a2 71d0 --html models.html --log-dir ./logs

  cotkit report --figures figures
"""


def report(
    log_dir: Path | str,
    page: PageRequest | None,
    view: View,
    trusts_code: bool,
    runs: list[str] = typer.Argument(
        None, help="Ids of runs, how they begin, or last (default: the latest)."
    ),
    timing: bool = typer.Option(
        False, "--timing", help="Add measured columns: seconds, shared tokens."
    ),
) -> None:
    """Print stored runs again as compare printed them, or write a self-contained page or figures.

    Several runs of one benchmark (several models) make one page. Nothing is asked of a model.
    """
    from cotkit.cli.output import (
        hint_lines,
        print_lines,
        print_report,
        print_status,
        write_figures,
        write_page,
    )
    from cotkit.errors import UsageError
    from cotkit.report.html import list_charts
    from cotkit.report.html import page as make_page
    from cotkit.report.suite_tables import is_suite
    from cotkit.store import Store, existing_place, mask_password
    from cotkit.workflows.stored_run import load_part

    _check_view(page, view)
    place = existing_place(log_dir)
    with Store(place) as store:
        chosen = [store.run(run) for run in runs or []] or store.runs()[:1]
        if not chosen:
            raise UsageError(
                f"{mask_password(place)} holds no run", hint="begin with: cotkit compare"
            )
        chosen = list({run.id: run for run in chosen}.values())
        parts = [load_part(store, run, print_status, trusts_code=trusts_code) for run in chosen]
    is_one = len(parts) == 1 or is_suite([part.comparison for part in parts])
    if page is None and not is_one and view.format.value not in {"table", "markdown"}:
        raise UsageError(
            f"several runs have no format {view.format.value}", hint="table or markdown"
        )
    if not is_one and view.outputs:
        raise UsageError("several runs of one benchmark have no --output", hint="--html FILE")
    if page is not None:
        if page.path is not None:
            write_page(page.path, make_page(list(map(page.select_samples, parts)), timing=timing))
        if page.figures is not None:
            charts = list_charts([part.comparison for part in parts], timing=timing)
            write_figures(page.figures, charts)
        print_lines(*map(str, page.paths()))
        return
    comparisons = [part.comparison for part in parts]
    if is_one and len(parts) > 1:
        print_report(comparisons, view, hint_lines(view, chosen[0].id, log_dir), timing=timing)
        return
    for number, comparison in enumerate(comparisons):
        if number:
            print_lines("")
        print_report(comparison, view, hint_lines(view, comparison.run_id, log_dir), timing=timing)


def _check_view(page: PageRequest | None, view: View) -> None:
    """Refuse ways of printing where nothing is printed; raises UsageError."""
    from cotkit.errors import UsageError

    if page is not None and (
        view.full or view.show or view.outputs or view.format.value != "table"
    ):
        what = "--figures prints no report" if page.path is None else "--html holds every section"
        raise UsageError(what, hint="leave out --format, --full, --show and --output")


report.__doc__ = f"{report.__doc__}\n\n\b{EXAMPLES}"
command = with_options(read_place, read_page, read_view, read_consent)(report)
