"""What is trained: three families of networks, each smallest to largest, some seeds of each size.

Section 5 of Schaeffer et al. 2023 (arXiv:2304.15004) and its appendix B name the families and
their metrics; widths, steps and rates are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from cotkit.errors import UnknownNameError, UsageError

Kind = Literal["lenet", "autoencoder", "transformer"]
KINDS: tuple[Kind, ...] = ("lenet", "autoencoder", "transformer")
"""In the order of the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Networks that differ in width only."""

    kind: Kind
    """Which network."""
    data: str
    """Which images."""
    widths: tuple[int, ...]
    """Channels of the first layer, units of the bottleneck, or width of the residual stream."""
    n_steps: int
    """Optimizer steps of every size."""
    batch: int = 64
    """Images, or sequences, of one step."""
    peak_rate: float
    """Highest learning rate of AdamW."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The whole experiment."""

    families: tuple[Family, ...]
    """What is trained."""
    n_seeds: int
    """Networks of each size: first weights and order of the data differ."""
    most: int = 5
    """Largest K of the subsets, and images of a sequence."""


PRESETS: Mapping[str, Recipe] = MappingProxyType(
    {
        "cpu": Recipe(
            n_seeds=3,
            families=(
                Family(
                    kind="lenet",
                    data="digits",
                    widths=(1, 2, 3, 4, 6, 8, 12, 16, 24),
                    n_steps=100,
                    peak_rate=0.001,
                ),
                Family(
                    kind="autoencoder",
                    data="digits",
                    widths=(1, 2, 4, 8, 16, 32, 64),
                    n_steps=1000,
                    peak_rate=0.005,
                ),
                Family(
                    kind="transformer",
                    data="digits",
                    widths=(4, 6, 8, 12, 16, 24, 32, 48),
                    n_steps=40,
                    peak_rate=0.001,
                ),
            ),
        ),
        "paper": Recipe(
            n_seeds=5,
            families=(
                Family(
                    kind="lenet",
                    data="mnist",
                    widths=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32),
                    n_steps=5_000,
                    peak_rate=0.002,
                ),
                Family(
                    kind="autoencoder",
                    data="cifar100",
                    widths=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
                    n_steps=20_000,
                    peak_rate=0.001,
                ),
                Family(
                    kind="transformer",
                    data="omniglot",
                    widths=(8, 16, 32, 64, 128, 256),
                    n_steps=20_000,
                    peak_rate=0.001,
                ),
            ),
        ),
    }
)
"""``cpu``: bundled digits, minutes. ``paper``: the paper's images, hours, better on a GPU."""


def recipe_of(
    preset: str, *, only: str = "all", data: str | None = None, n_steps: int | None = None
) -> Recipe:
    """A preset, or a part of it.

    Args:
        preset: One of ``PRESETS``.
        only: Kinds of families, with commas; ``all``.
        data: Images for all families, in place of the preset's.
        n_steps: Steps of every network, in place of the preset's.

    Raises:
        UnknownNameError: no such preset or family.
        UsageError: fewer than one step.
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    if n_steps is not None and n_steps < 1:
        raise UsageError(f"--steps {n_steps} trains nothing", hint="1 or more")
    wanted = set(KINDS) if only == "all" else {name.strip() for name in only.split(",")}
    for name in sorted(wanted - set(KINDS)):
        raise UnknownNameError("family of the lab", name, [*KINDS, "all"])
    recipe = PRESETS[preset]
    families = tuple(
        replace(one, data=data or one.data, n_steps=n_steps or one.n_steps)
        for one in recipe.families
        if one.kind in wanted
    )
    return replace(recipe, families=families)
