"""``cotkit lab icl``: which function classes a transformer selects in context."""

from __future__ import annotations

from pathlib import Path

import typer

from cotkit.cli._lab import Teller, check_out, say, tell


def command(
    preset: str = typer.Option("cpu", "--preset", help="cpu (minutes) or paper (for a GPU)."),
    seed: int = typer.Option(0, "--seed", help="Of first weights, data and tests."),
    steps: int | None = typer.Option(
        None, "--steps", help="Optimizer steps in place of the preset's: another recipe, then."
    ),
    device: str = typer.Option("auto", "--device", help="cpu, cuda, cuda:1, mps or auto."),
    out: Path = typer.Option(Path("lab-icl"), "--out", help="Folder of networks and reports."),
    save_every: int = typer.Option(500, "--save-every", help="Steps between two checkpoints."),
) -> None:
    """Does in-context learning reach beyond the training mixture? Transformers on functions.

    GPT-2-style networks are trained on prompts of dense linear, sparse linear and sinusoidal
    functions, alone and mixed (arXiv:2311.00871); their errors by number of exemplars stand
    against least squares and the Lasso, on classes seen and on functions between and beyond them.
    The same command goes on after Ctrl-C or a kill, and trains nothing twice.

    Examples:

      cotkit lab icl --preset cpu

      cotkit lab icl --preset paper --device cuda
    """
    from cotkit.lab.icl.recipe import recipe_of

    recipe = recipe_of(preset, steps)
    from cotkit.lab.device import accelerator

    found = accelerator(device)
    check_out(out, save_every)
    from cotkit.analysis.icl import icl
    from cotkit.lab.fit import Trainer
    from cotkit.lab.icl.measuring import measured

    say(f"{len(recipe.mixtures)} networks, {recipe.n_steps:,} steps each")
    trainer = Trainer(accelerator=found, save_every=save_every, report=Teller())
    errors = measured(recipe, seed, out, trainer)
    tell(icl(errors, n_steps=recipe.n_steps, dims=recipe.dims, seed=seed), out)
