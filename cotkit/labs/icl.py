"""Train networks on functions in context and measure their errors on classes seen and not seen.

GPT-2-style networks read x, f(x), x, f(x), ... of mixed function classes: Yadlowsky et al. 2023
(arXiv:2311.00871) on the set-up of Garg et al. 2022 (arXiv:2208.01066). Every class has outputs of
variance 1, so an error of 1 is that of always answering 0.
"""

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
from cotkit.labs.networks import make_blocks, read_firsts, weave_pairs
from cotkit.labs.trainer import Schedule, Trainer, TrainingJob

Floats: TypeAlias = NDArray[np.float64]


# What is trained.


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


def find_recipe(
    preset: str, n_steps: int | None = None, dims: int | None = None, n_nonzero: int | None = None
) -> IclRecipe:
    """Return a preset, perhaps with another number of steps, dimensions, or sparse weights.

    A prompt has three points for each dimension at least, so that the functions can be found.

    Raises:
        UnknownNameError: no such preset.
        UsageError: no sparsity lies between sparse and dense.
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    recipe = PRESETS[preset]
    dims, n_nonzero = dims or recipe.dims, n_nonzero or recipe.n_nonzero
    if dims < n_nonzero + 2:
        raise UsageError(
            f"no sparsity lies between {n_nonzero} of {dims} weights and all of them",
            hint=f"--dims {n_nonzero + 2} or more",
        )
    return replace(
        recipe,
        n_steps=n_steps or recipe.n_steps,
        dims=dims,
        n_nonzero=n_nonzero,
        n_points=max(recipe.n_points, 3 * dims + 1),
    )


def format_mixture(mixture: Mixture) -> str:
    """Return the name of a mixture: ``dense+sparse``."""
    return "+".join(mixture)


# Draw functions and points: NumPy only, all of one batch at once.


Draw: TypeAlias = Callable[[Floats, np.random.Generator], Floats]
"""[prompts x points x dims] -> [prompts x points]: a function of its own for each prompt."""


def draw_points(recipe: IclRecipe, n: int, rng: np.random.Generator) -> Floats:
    """Draw points from a standard normal: [n x points x dims]."""
    return rng.standard_normal((n, recipe.n_points, recipe.dims))


def linear_functions(n_nonzero: int) -> Draw:
    """Return linear functions with so many weights that are not 0, at random places; variance 1."""

    def draw(x: Floats, rng: np.random.Generator) -> Floats:
        n, _, dims = x.shape
        weights = rng.standard_normal((n, dims))
        order = rng.random((n, dims)).argsort(axis=1).argsort(axis=1)
        sparse = np.where(order < n_nonzero, weights, 0.0) / np.sqrt(n_nonzero)
        return np.einsum("npd,nd->np", x, sparse)

    return draw


def sine_functions(low: float, high: float) -> Draw:
    """Return ``sqrt(2) sin(w x_1 + p)``: w from low to high, any p; variance 1."""

    def draw(x: Floats, rng: np.random.Generator) -> Floats:
        n = len(x)
        frequency = rng.uniform(low, high, (n, 1))
        phase = rng.uniform(0, 2 * np.pi, (n, 1))
        return np.sqrt(2) * np.sin(frequency * x[..., 0] + phase)

    return draw


def combine_functions(first: Draw, second: Draw, share: float) -> Draw:
    """Return ``(1 - share) f + share g``, scaled to variance 1."""
    scale = np.sqrt((1 - share) ** 2 + share**2)

    def draw(x: Floats, rng: np.random.Generator) -> Floats:
        return ((1 - share) * first(x, rng) + share * second(x, rng)) / scale

    return draw


def functions_of_class(recipe: IclRecipe, name: str) -> Draw:
    """Return a class by its name in mixtures."""
    if name == "sine":
        return sine_functions(*recipe.frequencies)
    return linear_functions(recipe.dims if name == "dense" else recipe.n_nonzero)


def make_batch(recipe: IclRecipe, mixture: Mixture, seed: int, step: int) -> tuple[Floats, Floats]:
    """Return the prompts of one step, x and f(x): a function of the arguments."""
    rng = np.random.default_rng([seed, step])
    x = draw_points(recipe, recipe.batch, rng)
    values = np.stack([functions_of_class(recipe, name)(x, rng) for name in mixture])
    chosen = rng.integers(0, len(mixture), recipe.batch)
    return x, values[chosen, np.arange(recipe.batch)]


# What a statistician would predict from the same exemplars.


LASSO_ALPHA = 0.01
"""Penalty of the Lasso, on outputs of variance 1."""


def predict_by_least_squares(x: Floats, y: Floats) -> Floats:
    """Predict each point by the shortest least-squares fit of those before it; without any, 0.

    [prompts x points x dims], [prompts x points] -> [prompts x points].
    """
    predicted = np.zeros_like(y)
    for n in range(1, y.shape[1]):
        weights = np.linalg.pinv(x[:, :n]) @ y[:, :n, None]
        predicted[:, n] = np.einsum("nd,nd->n", x[:, n], weights[..., 0])
    return predicted


def predict_by_lasso(x: Floats, y: Floats) -> Floats:
    """Predict each point by scikit-learn's Lasso on those before it, without an intercept.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import Lasso
    except ImportError as missing:
        raise MissingDependencyError("scikit-learn", "lab") from missing
    fitted: Any = Lasso(alpha=LASSO_ALPHA, fit_intercept=False, max_iter=10_000)
    predicted = np.zeros_like(y)
    for i in range(len(y)):
        for n in range(1, y.shape[1]):
            fitted.fit(x[i, :n], y[i, :n])
            predicted[i, n] = float(fitted.coef_ @ x[i, n])
    return predicted


# Training and measuring.


_SPREAD = 0.6  # of first weights, times the root of the width; GPT-2's 0.02 learns slowly if narrow


class IclTransformer(nn.Module):
    """GPT-2's blocks over x, f(x), x, f(x), ...: predicts f(x) at each x.

    [prompts x points x dims], [prompts x points] -> [prompts x points].
    """

    def __init__(self, recipe: IclRecipe) -> None:
        super().__init__()
        self.read = nn.Linear(recipe.dims, recipe.width)
        self.blocks = make_blocks(
            width=recipe.width,
            n_positions=2 * recipe.n_points,
            n_layers=recipe.n_layers,
            n_heads=recipe.n_heads,
            initializer_range=_SPREAD / recipe.width**0.5,
        )
        self.head = nn.Linear(recipe.width, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Read values as vectors whose first coordinate they are, as Garg et al. do."""
        n, n_points, dims = x.shape
        values = torch.cat([y[..., None], x.new_zeros(n, n_points, dims - 1)], dim=-1)
        woven = self.read(weave_pairs(x, values))
        return self.head(read_firsts(self.blocks, woven))[..., 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class IclJob(TrainingJob):
    """One network to train on a mixture."""

    experiment: IclRecipe
    """The whole experiment."""
    mixture: Mixture
    """Its function classes."""

    @property
    def name(self) -> str:
        """``dense+sparse-seed1``."""
        return f"{format_mixture(self.mixture)}-seed{self.seed}"

    @property
    def schedule(self) -> Schedule:
        """The experiment's."""
        return Schedule(n_steps=self.experiment.n_steps, peak_rate=self.experiment.peak_rate)

    @property
    def settings(self) -> Mapping[str, object]:
        """Mixture, data, network and seed."""
        recipe = self.experiment
        data = (recipe.dims, recipe.n_nonzero, recipe.frequencies, recipe.n_points, recipe.batch)
        network = (recipe.width, recipe.n_layers, recipe.n_heads)
        return {"mixture": self.mixture, "data": data, "network": network, "seed": self.seed}

    def make_network(self) -> nn.Module:
        """Return the untrained network."""
        torch.manual_seed(self.seed)
        return IclTransformer(self.experiment)

    def compute_loss(self, network: nn.Module, step: int) -> torch.Tensor:
        """Return the mean squared error over all points of the step's prompts."""
        batch = make_batch(self.experiment, self.mixture, self.seed, step)
        x, y = (_to_tensor(values, network) for values in batch)
        return (network(x, y) - y).square().mean()


def measure_networks(
    recipe: IclRecipe, seed: int, out: Path, trainer: Trainer
) -> list[PredictionErrors]:
    """Train every network, or load what ``out`` holds, and measure all on every test.

    Raises:
        CotkitError: as :meth:`Trainer.fit` and :func:`predict_by_lasso`.
    """
    networks = {
        format_mixture(mixture): trainer.fit(
            IclJob(experiment=recipe, mixture=mixture, seed=seed, out=out)
        )
        for mixture in recipe.mixtures
    }
    errors: list[PredictionErrors] = []
    for condition, draw in _make_conditions(recipe):
        # The same points for all tests: differences between tests are then paired.
        rng = np.random.default_rng([seed, 1 << 40])
        x = draw_points(recipe, recipe.n_prompts, rng)
        y = draw(x, rng)
        predictions = {name: _predict(network, x, y) for name, network in networks.items()}
        predictions["least squares"] = predict_by_least_squares(x, y)
        if condition.kind in {"seen", "sparsity"}:
            predictions["Lasso"] = predict_by_lasso(x, y)
        squares = {name: np.square(predicted - y) for name, predicted in predictions.items()}
        errors.append(PredictionErrors(condition=condition, squares=squares))
    return errors


_AT_ONCE = 250  # prompts predicted at one time


@torch.no_grad()
def _predict(network: nn.Module, x: Floats, y: Floats) -> Floats:
    parts = [
        network(*(_to_tensor(values[i : i + _AT_ONCE], network) for values in (x, y)))
        for i in range(0, len(x), _AT_ONCE)
    ]
    return torch.cat(parts).double().cpu().numpy()


def _to_tensor(values: Floats, network: nn.Module) -> torch.Tensor:
    """Return float32 values on the network's device."""
    device = next(network.parameters()).device
    return torch.from_numpy(values.astype(np.float32)).to(device)


SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the sinusoid in a convex combination."""
OCTAVES = (-2, -1, 0, 1, 2)
"""Test frequencies are the middle of the trained range, times 2 to these powers."""


def _make_conditions(recipe: IclRecipe) -> list[tuple[IclCondition, Draw]]:
    """Return what is tested: the classes seen, and three ways away from them."""
    dense, sine = (functions_of_class(recipe, name) for name in ("dense", "sine"))
    conditions: list[tuple[IclCondition, Draw]] = []
    for i, name in enumerate(("dense", "sparse", "sine")):
        condition = IclCondition(kind="seen", name=name, x=float(i), is_seen=True)
        conditions.append((condition, functions_of_class(recipe, name)))
    for share in SHARES:
        condition = IclCondition(
            kind="convex", name=f"{share:.0%} sine", x=share, is_seen=share in {0.0, 1.0}
        )
        conditions.append((condition, combine_functions(dense, sine, share)))
    for n in range(recipe.n_nonzero, recipe.dims + 1):
        condition = IclCondition(
            kind="sparsity",
            name=f"{n} of {recipe.dims}",
            x=float(n),
            is_seen=n in {recipe.n_nonzero, recipe.dims},
        )
        conditions.append((condition, linear_functions(n)))
    low, high = recipe.frequencies
    for octave in OCTAVES:
        frequency = (low * high) ** 0.5 * 2.0**octave
        condition = IclCondition(
            kind="frequency",
            name=f"{frequency:.2g} rad",
            x=frequency,
            is_seen=low <= frequency <= high,
        )
        conditions.append((condition, sine_functions(frequency, frequency)))
    return conditions
