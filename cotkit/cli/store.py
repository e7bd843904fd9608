"""``cotkit store``: check a store, and keep what a damaged one still holds."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.config import ConfiguredCommand
from cotkit.cli.options import CommandGroup, read_place, with_options

if TYPE_CHECKING:
    from collections.abc import Mapping

app = CommandGroup(help="Check a store, or recover a damaged one.")


@app.command("check", cls=ConfiguredCommand)
@with_options(read_place)
def check(log_dir: Path | str) -> None:
    """Look at every page and every row of a store; exit 74 if something is wrong.

    Examples:

      cotkit store check --log-dir ./logs
    """
    from cotkit.cli.output import print_lines
    from cotkit.errors import StoreError
    from cotkit.store import existing_place, mask_password
    from cotkit.store.recovery import check_store

    place = existing_place(log_dir)
    result = check_store(place)
    if not result.problems:
        print_lines(f"{mask_password(place)}: {_say_counts(result.counts)}: whole")
        return
    print_lines(*result.problems)
    hint = None
    if isinstance(place, Path):
        hint = f"cotkit store recover --log-dir {place.parent} keeps what can still be read"
    raise StoreError(f"the store {mask_password(place)} is damaged", hint=hint)


@app.command("recover", cls=ConfiguredCommand)
@with_options(read_place)
def recover(
    log_dir: Path | str,
    to: Path | None = typer.Option(
        None, "--to", help="Folder of the new store (default: in place of the damaged one)."
    ),
) -> None:
    """Make a new store of what a damaged one still holds; the damaged file is kept.

    Only what lies in damaged pages is lost; the same command then makes what is missing.

    Examples:

      cotkit store recover --log-dir ./logs

      cotkit store recover --log-dir ./logs --to ./recovered
    """
    from cotkit.cli.output import print_lines
    from cotkit.errors import UsageError
    from cotkit.store import existing_place
    from cotkit.store.recovery import recover_store

    place = existing_place(log_dir)
    if not isinstance(place, Path):
        raise UsageError(
            "PostgreSQL recovers its databases itself", hint="or restore one from its backup"
        )
    result = recover_store(place, to)
    print_lines(
        f"{result.path}: {_say_counts(result.counts)} kept",
        f"the damaged file is {result.damaged}",
        "the same command, or cotkit resume, makes only what is missing",
    )


def _say_counts(counts: "Mapping[str, int]") -> str:
    return ", ".join(f"{counts[name]:,} {name}s" for name in ("completion", "run", "attempt"))
