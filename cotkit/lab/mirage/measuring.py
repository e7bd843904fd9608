"""Train the families and measure them on images that they were not trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from cotkit.analysis.mirage import CLOSE, Measured
from cotkit.lab.fit import Fit, Trainer
from cotkit.lab.images import Images, images
from cotkit.lab.mirage.networks import n_params, network
from cotkit.lab.mirage.recipe import Family, Recipe

Floats: TypeAlias = NDArray[np.float64]
Loss: TypeAlias = Callable[[torch.nn.Module, int], torch.Tensor]

_NAMES = {"lenet": "LeNet", "autoencoder": "Autoencoder", "transformer": "Transformer"}
_AT_ONCE = 500  # images, or sequences, measured at one time


def measured(recipe: Recipe, seed: int, out: Path, trainer: Trainer) -> list[Measured]:
    """Every family of the recipe, trained (or found trained in ``out``) and measured.

    Args:
        recipe: What to train.
        seed: The first of the seeds; each size has ``recipe.n_seeds``.
        out: Folder of the networks.
        trainer: How and where.

    Raises:
        CotkitError: as :func:`images` and :meth:`Trainer.fit`.
    """
    sets = {family.data: images(family.data, out / "data") for family in recipe.families}
    found: list[Measured] = []
    for family in recipe.families:
        of = sets[family.data]
        outputs: list[list[Floats]] = []
        sizes: list[int] = []
        for width in family.widths:
            made = [
                trainer.fit(*_training(recipe, family, width, of, seed=seed + i, out=out))
                for i in range(recipe.n_seeds)
            ]
            sizes.append(n_params(made[0]))
            outputs.append([_output(recipe, family, one, of) for one in made])
        found.append(_measured(recipe, family, sizes, np.asarray(outputs), of))
    return found


def _training(
    recipe: Recipe, family: Family, width: int, of: Images, *, seed: int, out: Path
) -> tuple[Fit, torch.nn.Module, Loss]:
    job = Fit(
        name=f"{family.kind}-{width}-seed{seed}",
        out=out,
        recipe={
            "kind": family.kind,
            "data": family.data,
            "width": width,
            "batch": family.batch,
            "length": recipe.most if family.kind == "transformer" else 1,
            "seed": seed,
        },
        n_steps=family.n_steps,
        peak_rate=family.peak_rate,
    )
    torch.manual_seed(seed)
    made = network(family, width, of.train.shape[-1], of.n_classes)
    return job, made, _loss(recipe, family, of, seed)


def _loss(recipe: Recipe, family: Family, of: Images, seed: int) -> Loss:
    pixels, labels = torch.from_numpy(of.train), torch.from_numpy(of.train_labels)
    shape = (family.batch, recipe.most) if family.kind == "transformer" else (family.batch,)

    def loss(made: torch.nn.Module, step: int) -> torch.Tensor:
        device = next(made.parameters()).device
        chosen = np.random.default_rng([seed, step]).integers(0, len(pixels), shape)
        shown, named = pixels[chosen].to(device), labels[chosen].to(device)
        if family.kind == "autoencoder":
            return functional.mse_loss(made(shown), shown)
        said = made(shown, named) if family.kind == "transformer" else made(shown)
        return functional.cross_entropy(said.flatten(0, -2), named.flatten())

    return loss


@torch.no_grad()
def _output(recipe: Recipe, family: Family, made: torch.nn.Module, of: Images) -> Floats:
    """[images] right or squared error; of a transformer [sequences x length] right."""
    device = next(made.parameters()).device
    pixels, labels = torch.from_numpy(of.test), torch.from_numpy(of.test_labels)
    if family.kind == "transformer":  # sequences that share no image
        n = len(pixels) // recipe.most
        pixels = pixels[: n * recipe.most].unflatten(0, (n, recipe.most))
        labels = labels[: n * recipe.most].unflatten(0, (n, recipe.most))
    parts: list[torch.Tensor] = []
    for shown, named in zip(pixels.split(_AT_ONCE), labels.split(_AT_ONCE), strict=True):
        given, right = shown.to(device), named.to(device)
        if family.kind == "autoencoder":
            parts.append((made(given) - given).square().flatten(1).sum(-1))
        else:
            said = made(given, right) if family.kind == "transformer" else made(given)
            parts.append((said.argmax(-1) == right).double())
    return torch.cat(parts).double().cpu().numpy()


def _measured(
    recipe: Recipe, family: Family, sizes: list[int], outputs: Floats, of: Images
) -> Measured:
    """``outputs``: [sizes x seeds x ...]."""
    metrics: dict[str, Floats] = {}
    if family.kind == "autoencoder":
        centre = of.test.mean(0)
        variance = float(np.square(of.test - centre).sum((1, 2)).mean())
        metrics["variance explained"] = 1 - outputs.mean(1) / variance
        metrics["reconstructed"] = (outputs < CLOSE * variance).mean(1)
    elif family.kind == "transformer":
        metrics["accuracy per image"] = outputs.mean((1, 3))
        for k in range(2, recipe.most + 1):
            metrics[f"sequence accuracy L={k}"] = outputs[..., :k].all(-1).mean(1)
    return Measured(
        name=_NAMES[family.kind],
        data=family.data,
        sizes=tuple(sizes),
        metrics=metrics,
        right=outputs if family.kind == "lenet" else None,
        most=recipe.most,
    )
