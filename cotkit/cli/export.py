"""``cotkit export``: runs as Parquet, or as the files of other evaluation tools."""

from __future__ import annotations

from pathlib import Path

import typer

EXAMPLES = """
Examples:

  cotkit export 3fa9 --parquet attempts.parquet

  cotkit export 3fa9 77b1 c02e --parquet ladder.parquet

  cotkit export 3fa9 --to inspect:logs-inspect     # then: inspect view --log-dir logs-inspect

  cotkit export 3fa9 --to lm-eval:out
"""


def export(
    runs: list[str] = typer.Argument(help="Ids of runs, or how they begin (cotkit list runs)."),
    parquet: Path | None = typer.Option(
        None, "--parquet", help="Write this file: one row for each attempt, a fixed schema."
    ),
    to: list[str] = typer.Option(
        [], "--to", help="inspect:DIR or lm-eval:DIR: write the files of that tool."
    ),
    log_dir: Path = typer.Option(Path("logs"), "--log-dir", help="Folder of the store."),
) -> None:
    """Write runs of the store as Parquet, or as the logs that other tools read."""
    from cotkit.errors import UsageError
    from cotkit.foreign.taken import Taken
    from cotkit.foreign.to_inspect import write_inspect
    from cotkit.foreign.to_lm_eval import write_lm_eval
    from cotkit.foreign.to_parquet import write_parquet
    from cotkit.running import STORE_NAME
    from cotkit.store import Store

    path = log_dir / STORE_NAME
    if not path.is_file():
        raise UsageError(f"no store at {path}", hint="name its folder with --log-dir")
    if parquet is None and not to:
        raise UsageError("export to what?", hint="--parquet FILE, --to inspect:DIR or lm-eval:DIR")
    writers = {"inspect": write_inspect, "lm-eval": write_lm_eval}
    wanted = [text.partition(":")[::2] for text in to]
    for kind, folder in wanted:
        if kind.replace("_", "-") not in writers or not folder:
            raise UsageError(f"--to {kind}:{folder}?", hint="--to inspect:DIR or --to lm-eval:DIR")
    with Store(path) as store:
        taken = [Taken.of(store, prefix) for prefix in runs]
        if parquet is not None:
            typer.echo(f"{parquet}: {write_parquet(taken, parquet):,} attempts")
        for kind, folder in wanted:
            for run in taken:
                for file in writers[kind.replace("_", "-")](run, Path(folder)):
                    typer.echo(str(file))


export.__doc__ = f"{export.__doc__}\n\n\b{EXAMPLES}"
command = export
