"""``cotkit models``: the catalogue, and fetching one of its models ahead of a run."""

from __future__ import annotations

import typer

from cotkit.cli.options import CommandGroup

app = CommandGroup(help="Models that cotkit knows by name.", invoke_without_command=True)


@app.callback()
def models(context: typer.Context) -> None:
    """List the models that cotkit knows by name.

    Examples:

      cotkit models

      cotkit models pull smollm2-135m
    """
    from cotkit.cli.output import align_columns, print_lines

    if context.invoked_subcommand is None:
        print_lines(*align_columns(catalogue_rows()))


@app.command()
def pull(
    name: str = typer.Argument(help="A name from cotkit models."),
    accept_terms: bool = typer.Option(
        False, "--accept-terms", help="Agree to the licence terms of a model that asks for it."
    ),
) -> None:
    """Fetch a model now, check it, and print where it is kept.

    Examples:

      cotkit models pull qwen2.5-coder-1.5b
    """
    from cotkit.cli.output import print_lines, print_status
    from cotkit.models.fetch import ensure_model

    path = ensure_model(name, notify=print_status, accept_terms=accept_terms)
    print_lines(str(path))


def catalogue_rows() -> list[tuple[str, ...]]:
    """Return the catalogue as rows of text, the header first."""
    from cotkit.models.catalogue import entries

    header = ("model", "family", "parameters", "FLOPs", "download", "memory", "licence")
    rows: list[tuple[str, ...]] = [header]
    for entry in entries():
        flops = "-" if entry.training_flops is None else f"{entry.training_flops:.1e}"
        bound = "≤ " if entry.training_tokens_is_bound and entry.training_flops else ""
        source = entry.source
        rows.append(
            (
                entry.name,
                entry.family,
                f"{entry.n_params:,}",
                bound + flops,
                f"{source.download_bytes / 1e9:.1f} GB"
                if source
                else "ours"
                if entry.shipped
                else "hub",
                f"{source.memory_bytes / 1e9:.1f} GB" if source else "-",
                entry.licence,
            )
        )
    return rows
