"""``cotkit models``: the catalogue, what is on disk, fetching and removing a model."""

from __future__ import annotations

import typer

from cotkit.cli.options import CommandGroup

app = CommandGroup(
    help="Models that cotkit knows by name, and those on this disk.", invoke_without_command=True
)


@app.callback()
def models(context: typer.Context) -> None:
    """List the models that cotkit knows by name, and those on this disk with their sizes.

    Examples:

      cotkit models

      cotkit models pull smollm2-135m

      cotkit models rm smollm2-135m
    """
    from cotkit.cli.output import align_columns, print_lines
    from cotkit.models.cache import format_bytes, list_disk

    if context.invoked_subcommand is not None:
        return
    print_lines(*align_columns(catalogue_rows()))
    if on_disk := list_disk():
        rows = [
            (model.name, model.form, format_bytes(model.n_bytes), str(model.path))
            for model in on_disk
        ]
        print_lines("", *align_columns([("on this disk", "format", "size", "where"), *rows]))


@app.command()
def pull(
    name: str = typer.Argument(help="A name from cotkit models."),
    accept_terms: bool = typer.Option(
        False, "--accept-terms", help="Agree to the licence terms of a model that asks for it."
    ),
    dtype: str = typer.Option(
        "auto", "--dtype", help="Number format to keep it in: as --dtype of compare."
    ),
) -> None:
    """Fetch a model now, check it, and print where it is kept.

    Examples:

      cotkit models pull qwen2.5-coder-1.5b

      cotkit models pull qwen2.5-coder-1.5b --dtype int8
    """
    from cotkit.backends.hf.source import choose_placement
    from cotkit.cli.output import print_lines, print_status
    from cotkit.models.catalogue import find
    from cotkit.models.fetch import ensure_model

    entry = find(name)
    form = choose_placement("auto", dtype, entry.n_params).dtype if entry.source else "float32"
    path = ensure_model(name, notify=print_status, accept_terms=accept_terms, dtype=form)
    print_lines(str(path))


@app.command()
def rm(
    name: str = typer.Argument(help="NAME, NAME:FORMAT, or ORG/NAME[@REVISION] of the hub."),
) -> None:
    """Remove a model from this disk: cotkit's copies of it, or what the hub's cache holds.

    Stored answers stay. Folders and files of your own are never touched.

    Examples:

      cotkit models rm smollm2-135m

      cotkit models rm qwen2.5-coder-1.5b:float32
    """
    from cotkit.cli.output import print_lines
    from cotkit.models.cache import format_bytes, remove_model

    for model in remove_model(name):
        print_lines(
            f"removed {model.path} ({model.form}): {format_bytes(model.n_bytes)} free again"
        )


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
                f"{source.memory_bytes(2) / 1e9:.1f} GB" if source else "-",
                entry.licence,
            )
        )
    return rows
