"""Train the networks and measure their squared errors on classes seen and not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cotkit.analysis.icl import Condition, Errors
from cotkit.lab.fit import Fit, Trainer
from cotkit.lab.icl.baselines import lasso, least_squares
from cotkit.lab.icl.functions import (
    Draw,
    Floats,
    batch,
    combined,
    linear,
    of_class,
    points,
    sine,
)
from cotkit.lab.icl.recipe import Mixture, Recipe, name_of

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the sinusoid in a convex combination."""
OCTAVES = (-2, -1, 0, 1, 2)
"""Test frequencies are the middle of the trained range, times 2 to these powers."""
_AT_ONCE = 250  # prompts
_SPREAD = 0.6  # of first weights, times the root of the width; GPT-2's 0.02 learns slowly if narrow


class Reader(nn.Module):
    """GPT-2's blocks over x, f(x), x, f(x), ...: predicts f(x) at each x.

    [prompts x points x dims], [prompts x points] -> [prompts x points].
    """

    def __init__(self, recipe: Recipe) -> None:
        from transformers import GPT2Config, GPT2Model

        super().__init__()
        self.read = nn.Linear(recipe.dims, recipe.width)
        config = GPT2Config(
            vocab_size=1,
            n_positions=2 * recipe.n_points,
            n_embd=recipe.width,
            n_layer=recipe.n_layers,
            n_head=recipe.n_heads,
            initializer_range=_SPREAD / recipe.width**0.5,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=None,
            eos_token_id=None,
        )
        self.blocks = GPT2Model(config)
        del self.blocks.wte  # nothing here is a word
        self.head = nn.Linear(recipe.width, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Read values as vectors whose first coordinate they are, as Garg et al. do."""
        n, n_points, dims = x.shape
        values = torch.cat([y[..., None], x.new_zeros(n, n_points, dims - 1)], dim=-1)
        woven = self.read(torch.stack([x, values], dim=2).reshape(n, 2 * n_points, dims))
        read: Any = self.blocks(inputs_embeds=woven[:, :-1])
        return self.head(read.last_hidden_state[:, ::2])[..., 0]


def measured(recipe: Recipe, seed: int, out: Path, trainer: Trainer) -> list[Errors]:
    """Every network trained (or found trained in ``out``), on every test, with the baselines.

    Raises:
        CotkitError: as :meth:`Trainer.fit` and :func:`lasso`.
    """
    readers = {
        name_of(mixture): trainer.fit(*_training(recipe, mixture, seed, out))
        for mixture in recipe.mixtures
    }
    found: list[Errors] = []
    for condition, draw in _conditions(recipe):
        # The same points for all tests: differences between tests are then paired.
        rng = np.random.default_rng([seed, 1 << 40])
        x = points(recipe, recipe.n_prompts, rng)
        y = draw(x, rng)
        said = {name: _said(made, x, y) for name, made in readers.items()}
        said["least squares"] = least_squares(x, y)
        if condition.kind in {"seen", "sparsity"}:
            said["Lasso"] = lasso(x, y)
        squares = {name: np.square(of - y) for name, of in said.items()}
        found.append(Errors(condition=condition, squares=squares))
    return found


def _training(recipe: Recipe, mixture: Mixture, seed: int, out: Path) -> tuple[Fit, nn.Module, Any]:
    parts = (recipe.dims, recipe.n_nonzero, recipe.frequencies, recipe.n_points, recipe.batch)
    shape = (recipe.width, recipe.n_layers, recipe.n_heads)
    job = Fit(
        name=f"{name_of(mixture)}-seed{seed}",
        out=out,
        recipe={"mixture": mixture, "data": parts, "network": shape, "seed": seed},
        n_steps=recipe.n_steps,
        peak_rate=recipe.peak_rate,
    )
    torch.manual_seed(seed)

    def loss(made: nn.Module, step: int) -> torch.Tensor:
        device = next(made.parameters()).device
        x, y = (
            torch.from_numpy(part.astype(np.float32)).to(device)
            for part in batch(recipe, mixture, seed, step)
        )
        return (made(x, y) - y).square().mean()

    return job, Reader(recipe), loss


@torch.no_grad()
def _said(made: nn.Module, x: Floats, y: Floats) -> Floats:
    device = next(made.parameters()).device
    parts = [
        made(
            torch.from_numpy(x[i : i + _AT_ONCE].astype(np.float32)).to(device),
            torch.from_numpy(y[i : i + _AT_ONCE].astype(np.float32)).to(device),
        )
        for i in range(0, len(x), _AT_ONCE)
    ]
    return torch.cat(parts).double().cpu().numpy()


def _conditions(recipe: Recipe) -> list[tuple[Condition, Draw]]:
    """What is tested: the classes seen, and three ways away from them."""
    dense, waves = of_class(recipe, "dense"), of_class(recipe, "sine")
    found: list[tuple[Condition, Draw]] = [
        (Condition(kind="seen", name=name, x=float(i), is_seen=True), of_class(recipe, name))
        for i, name in enumerate(("dense", "sparse", "sine"))
    ]
    found += [
        (
            Condition(
                kind="convex", name=f"{share:.0%} sine", x=share, is_seen=share in {0.0, 1.0}
            ),
            combined(dense, waves, share),
        )
        for share in SHARES
    ]
    found += [
        (
            Condition(
                kind="sparsity",
                name=f"{n} of {recipe.dims}",
                x=float(n),
                is_seen=n in {recipe.n_nonzero, recipe.dims},
            ),
            linear(n),
        )
        for n in range(recipe.n_nonzero, recipe.dims + 1)
    ]
    low, high = recipe.frequencies
    middle = (low * high) ** 0.5
    found += [
        (
            Condition(
                kind="frequency",
                name=f"{middle * 2.0**octave:.2g} rad",
                x=middle * 2.0**octave,
                is_seen=low <= middle * 2.0**octave <= high,
            ),
            sine(middle * 2.0**octave, middle * 2.0**octave),
        )
        for octave in OCTAVES
    ]
    return found
