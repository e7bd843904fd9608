"""What a scale analysis is given: results by model size, and what is asked of them.

All rates are fractions, never percent. What it says is in ``values.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

Axis = Literal["params", "active-params", "flops", "loss", "ordinal"]
"""What size means. ``loss`` falls as models get better, so its positions are negated losses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One model of a ladder."""

    model: str
    """As reports name it."""
    family: str | None
    """Models that differ in size only, by intent; None if unknown."""
    n_params: int | None = None
    """Total parameters; None if unknown."""
    n_active_params: int | None = None
    """Parameters used per token; None: as ``n_params``."""
    train_flops: float | None = None
    """Training compute in FLOPs; None if unknown."""
    flops_is_bound: bool = False
    """Whether ``train_flops`` is an upper bound only."""
    loss: float | None = None
    """Pretraining loss in nats per token; None if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """One arm of one rung, problem by problem; arrays of length P in the order of the grid's ids.

    A problem that failed or was never asked is NaN in ``correct`` and in every metric.
    """

    correct: Floats
    """Share of the problem's samples that are correct, 0..1."""
    metrics: Mapping[str, Floats] = field(default_factory=dict[str, "Floats"])
    """Metric name -> value of each problem; higher is better for all of them (companions)."""
    tokens: Floats | None = None
    """Prompt and generated tokens of each problem; None if unknown."""
    usd: Floats | None = None
    """Dollars of each problem; None if unknown."""
    seconds: Floats | None = None
    """Backend seconds of each problem; None if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """One arm of one rung where only a rate is known (published tables)."""

    rate: float
    """Solve rate, 0..1."""
    n: int
    """Problems it is of."""


Cell: TypeAlias = Outcomes | Totals
"""What is known of one arm at one size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Results of one ladder on one benchmark."""

    bench: str
    """Benchmark name and version, as reports name it."""
    rungs: tuple[Rung, ...]
    """The models, in any order; for the axis ``ordinal`` from the weakest to the strongest."""
    cells: Mapping[tuple[str, str], Cell]
    """(model, arm) -> what was measured; a key that is not there is a hole."""
    problem_ids: tuple[str, ...] = ()
    """Of the arrays of ``Outcomes``, length P; empty where there are only ``Totals``."""
    clusters: tuple[str, ...] | None = None
    """Cluster of each problem; None: every problem on its own."""
    n_steps: tuple[int | None, ...] | None = None
    """Steps of each problem; None: unknown."""
    answer_lengths: tuple[int | None, ...] | None = None
    """Tokens (digits) of each gold answer, the L of p^L; None: unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a grid; chosen before the run."""

    pairs: tuple[tuple[str, str], ...]
    """(arm, control); each has its own onset."""
    margin: float = 0.02
    """Smallest gain that counts as material, in (0, 1)."""
    level: float = 0.95
    """Of all intervals of one pair's curve together, and of the report over the pairs (Sidak)."""
    axis: Axis = "params"
    """What size means."""
    assume_sustained: bool = False
    """Step down from the largest size, each at the full level: only where help that once began is
    assumed not to stop."""
    n_resamples: int = 2000
    """Of every bootstrap."""
