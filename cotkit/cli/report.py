"""``cotkit report``: stored runs as one HTML file, with a browser of their samples."""

from pathlib import Path

import typer

from cotkit.cli.options import read_consent, read_place, with_options

EXAMPLES = """
Examples:

  cotkit report --html report.html

  cotkit report 3fa9 --html report.html

  cotkit report 3fa9 c9a2 71d0 --html models.html --log-dir ./logs
"""


def report(
    log_dir: Path | str,
    trusts_code: bool,
    runs: list[str] = typer.Argument(
        None, help="Ids of runs, or how they begin (default: the latest)."
    ),
    html: Path = typer.Option(..., "--html", help="The file to write."),
    samples: bool = typer.Option(
        True,
        "--samples/--no-samples",
        help="Whether it shows problems, gold answers and what was written.",
    ),
    timing: bool = typer.Option(
        False, "--timing", help="Add measured columns: seconds, shared tokens."
    ),
) -> None:
    """Write one self-contained HTML file about stored runs: answer, figures, tables, every sample.

    Several runs of one benchmark (several models) make one page. Nothing is asked of a model.
    """
    from cotkit.cli.output import PageRequest, check_page, print_status, write_page
    from cotkit.errors import UsageError
    from cotkit.report.html import page
    from cotkit.store import Store, existing_place, mask_password
    from cotkit.workflows.stored_run import load_part

    check_page(html)
    place = existing_place(log_dir)
    with Store(place) as store:
        chosen = [store.run(run) for run in runs or []] or store.runs()[:1]
        if not chosen:
            raise UsageError(
                f"{mask_password(place)} holds no run", hint="begin with: cotkit compare"
            )
        chosen = list({run.id: run for run in chosen}.values())
        request = PageRequest(path=html, samples=samples)
        parts = [
            request.select_samples(load_part(store, run, print_status, trusts_code=trusts_code))
            for run in chosen
        ]
    write_page(html, page(parts, timing=timing))
    typer.echo(str(html))


report.__doc__ = f"{report.__doc__}\n\n\b{EXAMPLES}"
command = with_options(read_place, read_consent)(report)
