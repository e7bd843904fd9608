"""The options that say where the store is, shared by every command that reads or writes one.

No ``from __future__ import annotations`` here, for the reason that ``_options`` gives.
"""

from pathlib import Path

import typer


def read_place(
    log_dir: Path = typer.Option(
        Path("logs"), "--log-dir", help="Folder of the store; what it holds is not made again."
    ),
    store: str | None = typer.Option(
        None,
        "--store",
        envvar="COTKIT_STORE",
        help="Instead: postgresql://USER@HOST/DATABASE, a store that several may write.",
    ),
) -> Path | str:
    """The folder, or the URL of a database."""
    return store or log_dir
