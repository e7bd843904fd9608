"""Train the networks and measure their squared errors on classes seen and not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cotkit.errors import MissingDependencyError, UnknownNameError, UsageError
from cotkit.labs.icl_judge import IclCondition, PredictionErrors
from cotkit.labs.trainer import Trainer, TrainingJob

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the sinusoid in a convex combination."""
OCTAVES = (-2, -1, 0, 1, 2)
"""Test frequencies are the middle of the trained range, times 2 to these powers."""
_AT_ONCE = 250  # prompts
_SPREAD = 0.6  # of first weights, times the root of the width; GPT-2's 0.02 learns slowly if narrow


class IclTransformer(nn.Module):
    """GPT-2's blocks over x, f(x), x, f(x), ...: predicts f(x) at each x.

    [prompts x points x dims], [prompts x points] -> [prompts x points].
    """

    def __init__(self, recipe: IclRecipe) -> None:
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


def measure_networks(
    recipe: IclRecipe, seed: int, out: Path, trainer: Trainer
) -> list[PredictionErrors]:
    """Every network trained (or found trained in ``out``), on every test, with the baselines.

    Raises:
        CotkitError: as :meth:`Trainer.fit` and :func:`lasso`.
    """
    readers = {
        name_of(mixture): trainer.fit(*_make_training(recipe, mixture, seed, out))
        for mixture in recipe.mixtures
    }
    found: list[PredictionErrors] = []
    for condition, draw in _make_conditions(recipe):
        # The same points for all tests: differences between tests are then paired.
        rng = np.random.default_rng([seed, 1 << 40])
        x = draw_points(recipe, recipe.n_prompts, rng)
        y = draw(x, rng)
        said = {name: _predict(made, x, y) for name, made in readers.items()}
        said["least squares"] = least_squares(x, y)
        if condition.kind in {"seen", "sparsity"}:
            said["Lasso"] = lasso(x, y)
        squares = {name: np.square(of - y) for name, of in said.items()}
        found.append(PredictionErrors(condition=condition, squares=squares))
    return found


def _make_training(
    recipe: IclRecipe, mixture: Mixture, seed: int, out: Path
) -> tuple[TrainingJob, nn.Module, Any]:
    parts = (recipe.dims, recipe.n_nonzero, recipe.frequencies, recipe.n_points, recipe.batch)
    shape = (recipe.width, recipe.n_layers, recipe.n_heads)
    job = TrainingJob(
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
            for part in make_batch(recipe, mixture, seed, step)
        )
        return (made(x, y) - y).square().mean()

    return job, IclTransformer(recipe), loss


@torch.no_grad()
def _predict(made: nn.Module, x: Floats, y: Floats) -> Floats:
    device = next(made.parameters()).device
    parts = [
        made(
            torch.from_numpy(x[i : i + _AT_ONCE].astype(np.float32)).to(device),
            torch.from_numpy(y[i : i + _AT_ONCE].astype(np.float32)).to(device),
        )
        for i in range(0, len(x), _AT_ONCE)
    ]
    return torch.cat(parts).double().cpu().numpy()


def _make_conditions(recipe: IclRecipe) -> list[tuple[IclCondition, Draw]]:
    """What is tested: the classes seen, and three ways away from them."""
    dense, waves = functions_of_class(recipe, "dense"), functions_of_class(recipe, "sine")
    found: list[tuple[IclCondition, Draw]] = [
        (
            IclCondition(kind="seen", name=name, x=float(i), is_seen=True),
            functions_of_class(recipe, name),
        )
        for i, name in enumerate(("dense", "sparse", "sine"))
    ]
    found += [
        (
            IclCondition(
                kind="convex", name=f"{share:.0%} sine", x=share, is_seen=share in {0.0, 1.0}
            ),
            combine_functions(dense, waves, share),
        )
        for share in SHARES
    ]
    found += [
        (
            IclCondition(
                kind="sparsity",
                name=f"{n} of {recipe.dims}",
                x=float(n),
                is_seen=n in {recipe.n_nonzero, recipe.dims},
            ),
            linear_functions(n),
        )
        for n in range(recipe.n_nonzero, recipe.dims + 1)
    ]
    low, high = recipe.frequencies
    middle = (low * high) ** 0.5
    found += [
        (
            IclCondition(
                kind="frequency",
                name=f"{middle * 2.0**octave:.2g} rad",
                x=middle * 2.0**octave,
                is_seen=low <= middle * 2.0**octave <= high,
            ),
            sine_functions(middle * 2.0**octave, middle * 2.0**octave),
        )
        for octave in OCTAVES
    ]
    return found


# What is trained: GPT-2-style networks on prompts x, f(x), x, f(x), ... of mixed function classes.
#
# Yadlowsky et al. 2023 (arXiv:2311.00871) on the set-up of Garg et al. 2022 (arXiv:2208.01066).
# Every class has outputs of variance 1, so an error of 1 is that of always answering 0.


ClassName = Literal["dense", "sparse", "sine"]
Mixture = tuple[ClassName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IclRecipe:
    """The whole experiment."""

    dims: int
    """Of x, drawn from a standard normal."""
    n_nonzero: int = 2
    """Weights of a sparse linear function that are not 0."""
    frequencies: tuple[float, float] = (0.5, 2.0)
    """Of the sinusoids trained on: radians for each unit of the first coordinate of x."""
    n_points: int
    """Pairs in a prompt; the last has ``n_points - 1`` exemplars before it."""
    width: int
    """Of the residual stream."""
    n_layers: int
    """Blocks."""
    n_heads: int
    """Attention heads."""
    n_steps: int
    """Optimizer steps of every network."""
    batch: int = 64
    """Prompts of one step."""
    peak_rate: float
    """Highest learning rate of AdamW."""
    mixtures: tuple[Mixture, ...] = (
        ("dense",),
        ("sparse",),
        ("sine",),
        ("dense", "sparse"),
        ("dense", "sine"),
    )
    """One network for each; the classes of a mixture are equally likely."""
    n_prompts: int
    """Prompts of every test."""


PRESETS: Mapping[str, IclRecipe] = MappingProxyType(
    {
        "cpu": IclRecipe(
            dims=3,
            n_nonzero=1,
            n_points=10,
            width=32,
            n_layers=2,
            n_heads=4,
            n_steps=2_400,
            peak_rate=0.003,
            n_prompts=500,
        ),
        "paper": IclRecipe(
            dims=20,
            n_points=64,
            width=256,
            n_layers=12,
            n_heads=8,
            n_steps=500_000,
            peak_rate=0.0001,
            n_prompts=1_000,
        ),
    }
)
"""``cpu``: minutes. ``paper``: 9.5 million parameters and 500,000 steps, for a GPU."""


def recipe_of(preset: str, n_steps: int | None = None) -> IclRecipe:
    """A preset, perhaps with other steps.

    Raises:
        UnknownNameError: no such preset.
        UsageError: fewer than one step.
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    if n_steps is None:
        return PRESETS[preset]
    if n_steps < 1:
        raise UsageError(f"--steps {n_steps} trains nothing", hint="1 or more")
    return replace(PRESETS[preset], n_steps=n_steps)


def name_of(mixture: Mixture) -> str:
    """``dense+sparse``."""
    return "+".join(mixture)


# Draw functions and points: NumPy only, all of one batch at once.


Floats: TypeAlias = NDArray[np.float64]
Draw: TypeAlias = Callable[[Floats, np.random.Generator], Floats]
"""[prompts x points x dims] -> [prompts x points]: a function of its own for each prompt."""


def draw_points(recipe: IclRecipe, n: int, rng: np.random.Generator) -> Floats:
    """[n x points x dims], standard normal."""
    return rng.standard_normal((n, recipe.n_points, recipe.dims))


def linear_functions(n_nonzero: int) -> Draw:
    """Linear functions, so many of whose weights (drawn where) are not 0; variance 1."""

    def draw(x: Floats, rng: np.random.Generator) -> Floats:
        n, _, dims = x.shape
        weights = rng.standard_normal((n, dims))
        order = rng.random((n, dims)).argsort(axis=1).argsort(axis=1)
        kept = np.where(order < n_nonzero, weights, 0.0) / np.sqrt(n_nonzero)
        return np.einsum("npd,nd->np", x, kept)

    return draw


def sine_functions(low: float, high: float) -> Draw:
    """``sqrt(2) sin(w x_1 + p)``: w uniform from low to high, p from 0 to 2 pi; variance 1."""

    def draw(x: Floats, rng: np.random.Generator) -> Floats:
        n = len(x)
        frequency = rng.uniform(low, high, (n, 1))
        phase = rng.uniform(0, 2 * np.pi, (n, 1))
        return np.sqrt(2) * np.sin(frequency * x[..., 0] + phase)

    return draw


def combine_functions(first: Draw, second: Draw, share: float) -> Draw:
    """``(1 - share) f + share g``, scaled to variance 1."""
    scale = np.sqrt((1 - share) ** 2 + share**2)

    def draw(x: Floats, rng: np.random.Generator) -> Floats:
        return ((1 - share) * first(x, rng) + share * second(x, rng)) / scale

    return draw


def functions_of_class(recipe: IclRecipe, name: str) -> Draw:
    """A class by its name in mixtures."""
    if name == "sine":
        return sine_functions(*recipe.frequencies)
    return linear_functions(recipe.dims if name == "dense" else recipe.n_nonzero)


def make_batch(recipe: IclRecipe, mixture: Mixture, seed: int, step: int) -> tuple[Floats, Floats]:
    """Prompts of one step: x and f(x); a function of its arguments."""
    rng = np.random.default_rng([seed, step])
    x = draw_points(recipe, recipe.batch, rng)
    every = np.stack([functions_of_class(recipe, name)(x, rng) for name in mixture])
    chosen = rng.integers(0, len(mixture), recipe.batch)
    return x, every[chosen, np.arange(recipe.batch)]


# What a statistician would predict from the same exemplars.


LASSO_ALPHA = 0.01
"""Penalty of the Lasso, on outputs of variance 1."""


def least_squares(x: Floats, y: Floats) -> Floats:
    """Predict each point by the shortest least-squares fit of those before it; without any, 0.

    [prompts x points x dims], [prompts x points] -> [prompts x points].
    """
    said = np.zeros_like(y)
    for n in range(1, y.shape[1]):
        weights = np.linalg.pinv(x[:, :n]) @ y[:, :n, None]
        said[:, n] = np.einsum("nd,nd->n", x[:, n], weights[..., 0])
    return said


def lasso(x: Floats, y: Floats) -> Floats:
    """The same by scikit-learn's Lasso, without an intercept.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import Lasso
    except ImportError as missing:
        raise MissingDependencyError("scikit-learn", "lab") from missing
    fitted: Any = Lasso(alpha=LASSO_ALPHA, fit_intercept=False, max_iter=10_000)
    said = np.zeros_like(y)
    for i in range(len(y)):
        for n in range(1, y.shape[1]):
            fitted.fit(x[i, :n], y[i, :n])
            said[i, n] = float(fitted.coef_ @ x[i, n])
    return said
