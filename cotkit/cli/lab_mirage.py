"""``cotkit lab mirage``: metrics that make smooth curves look sudden."""

from __future__ import annotations

from pathlib import Path

import typer

from cotkit.cli._lab import Teller, check_out, say, tell


def command(
    preset: str = typer.Option("cpu", "--preset", help="cpu (minutes) or paper (hours)."),
    only: str = typer.Option(
        "all", "--only", help="Families: lenet, autoencoder, transformer, with commas; or all."
    ),
    data: str | None = typer.Option(
        None, "--data", help="Images in place of the preset's: digits, mnist, omniglot, cifar100."
    ),
    seed: int = typer.Option(0, "--seed", help="The first seed of each size."),
    steps: int | None = typer.Option(
        None, "--steps", help="Optimizer steps in place of the preset's: another recipe, then."
    ),
    device: str = typer.Option("auto", "--device", help="cpu, cuda, cuda:1, mps or auto."),
    out: Path = typer.Option(Path("lab-mirage"), "--out", help="Folder of networks and reports."),
    save_every: int = typer.Option(500, "--save-every", help="Steps between two checkpoints."),
) -> None:
    """Is emergence made by the metric? Small image networks, measured by lax and strict metrics.

    LeNets by subset accuracy (all of K images right), autoencoders by a reconstruction threshold,
    causal transformers by whole sequences (arXiv:2304.15004, section 5). Each family ends in the
    verdict of cotkit scale: a real jump, or made by the metric. The same command goes on after
    Ctrl-C or a kill, and trains nothing twice.

    Examples:

      cotkit lab mirage --preset cpu

      cotkit lab mirage --only lenet --data mnist --device cuda
    """
    from cotkit.lab.mirage.recipe import recipe_of

    recipe = recipe_of(preset, only=only, data=data, n_steps=steps)
    from cotkit.lab.device import accelerator

    found = accelerator(device)
    check_out(out, save_every)
    from cotkit.analysis.mirage import mirage
    from cotkit.lab.fit import Trainer
    from cotkit.lab.mirage.measuring import measured

    n = sum(len(family.widths) for family in recipe.families)
    say(f"{n} sizes, {recipe.n_seeds} seeds of each")
    trainer = Trainer(accelerator=found, save_every=save_every, report=Teller())
    measures = measured(recipe, seed, out, trainer)
    tell(mirage(measures, n_seeds=recipe.n_seeds, seed=seed), out)
