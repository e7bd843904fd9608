"""``cotkit export``: runs as Parquet, or as the files of other evaluation tools."""

from pathlib import Path

import typer

from cotkit.cli._options import takes
from cotkit.cli._place import read_place

EXAMPLES = """
Examples:

  cotkit export 3fa9 --parquet attempts.parquet

  cotkit export 3fa9 77b1 c02e --parquet ladder.parquet

  cotkit export 3fa9 --to inspect:logs-inspect     # then: inspect view --log-dir logs-inspect

  cotkit export 3fa9 --to lm-eval:out
"""


def export(
    log_dir: Path | str,
    runs: list[str] = typer.Argument(help="Ids of runs, or how they begin (cotkit list runs)."),
    parquet: Path | None = typer.Option(
        None, "--parquet", help="Write this file: one row for each attempt, a fixed schema."
    ),
    to: list[str] = typer.Option(
        [], "--to", help="inspect:DIR or lm-eval:DIR: write the files of that tool."
    ),
) -> None:
    """Write runs of the store as Parquet, or as the logs that other tools read."""
    from cotkit.errors import UsageError
    from cotkit.foreign.taken import Taken
    from cotkit.foreign.to_inspect import write_inspect
    from cotkit.foreign.to_lm_eval import write_lm_eval
    from cotkit.foreign.to_parquet import write_parquet
    from cotkit.store import Store, existing

    place = existing(log_dir)
    if parquet is None and not to:
        raise UsageError("export to what?", hint="--parquet FILE, --to inspect:DIR or lm-eval:DIR")
    writers = {"inspect": write_inspect, "lm-eval": write_lm_eval}
    wanted = [text.partition(":")[::2] for text in to]
    for kind, folder in wanted:
        if kind.replace("_", "-") not in writers or not folder:
            raise UsageError(f"--to {kind}:{folder}?", hint="--to inspect:DIR or --to lm-eval:DIR")
    with Store(place) as store:
        taken = [Taken.of(store, prefix) for prefix in runs]
        if parquet is not None:
            typer.echo(f"{parquet}: {write_parquet(taken, parquet):,} attempts")
        for kind, folder in wanted:
            for run in taken:
                for file in writers[kind.replace("_", "-")](run, Path(folder)):
                    typer.echo(str(file))


export.__doc__ = f"{export.__doc__}\n\n\b{EXAMPLES}"
command = takes(read_place)(export)
