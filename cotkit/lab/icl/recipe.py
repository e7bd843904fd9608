"""What is trained: GPT-2-style networks on prompts x, f(x), x, f(x), ... of mixed function classes.

Yadlowsky et al. 2023 (arXiv:2311.00871) on the set-up of Garg et al. 2022 (arXiv:2208.01066).
Every class has outputs of variance 1, so an error of 1 is that of always answering 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from cotkit.errors import UnknownNameError, UsageError

ClassName = Literal["dense", "sparse", "sine"]
Mixture = tuple[ClassName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
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


PRESETS: Mapping[str, Recipe] = MappingProxyType(
    {
        "cpu": Recipe(
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
        "paper": Recipe(
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


def recipe_of(preset: str, n_steps: int | None = None) -> Recipe:
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
