"""Draw functions and points: NumPy only, all of one batch at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cotkit.lab.icl.recipe import Mixture, Recipe

Floats: TypeAlias = NDArray[np.float64]
Draw: TypeAlias = Callable[[Floats, np.random.Generator], Floats]
"""[prompts x points x dims] -> [prompts x points]: a function of its own for each prompt."""


def points(recipe: Recipe, n: int, rng: np.random.Generator) -> Floats:
    """[n x points x dims], standard normal."""
    return rng.standard_normal((n, recipe.n_points, recipe.dims))


def linear(n_nonzero: int) -> Draw:
    """Linear functions, so many of whose weights (drawn where) are not 0; variance 1."""

    def draw(x: Floats, rng: np.random.Generator) -> Floats:
        n, _, dims = x.shape
        weights = rng.standard_normal((n, dims))
        order = rng.random((n, dims)).argsort(axis=1).argsort(axis=1)
        kept = np.where(order < n_nonzero, weights, 0.0) / np.sqrt(n_nonzero)
        return np.einsum("npd,nd->np", x, kept)

    return draw


def sine(low: float, high: float) -> Draw:
    """``sqrt(2) sin(w x_1 + p)``: w uniform from low to high, p from 0 to 2 pi; variance 1."""

    def draw(x: Floats, rng: np.random.Generator) -> Floats:
        n = len(x)
        frequency = rng.uniform(low, high, (n, 1))
        phase = rng.uniform(0, 2 * np.pi, (n, 1))
        return np.sqrt(2) * np.sin(frequency * x[..., 0] + phase)

    return draw


def combined(first: Draw, second: Draw, share: float) -> Draw:
    """``(1 - share) f + share g``, scaled to variance 1."""
    scale = np.sqrt((1 - share) ** 2 + share**2)

    def draw(x: Floats, rng: np.random.Generator) -> Floats:
        return ((1 - share) * first(x, rng) + share * second(x, rng)) / scale

    return draw


def of_class(recipe: Recipe, name: str) -> Draw:
    """A class by its name in mixtures."""
    if name == "sine":
        return sine(*recipe.frequencies)
    return linear(recipe.dims if name == "dense" else recipe.n_nonzero)


def batch(recipe: Recipe, mixture: Mixture, seed: int, step: int) -> tuple[Floats, Floats]:
    """Prompts of one step: x and f(x); a function of its arguments."""
    rng = np.random.default_rng([seed, step])
    x = points(recipe, recipe.batch, rng)
    every = np.stack([of_class(recipe, name)(x, rng) for name in mixture])
    chosen = rng.integers(0, len(mixture), recipe.batch)
    return x, every[chosen, np.arange(recipe.batch)]
