"""How far a training is, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass

LOSS_EVERY = 10
"""Steps of which a loss curve shows the mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a training is."""

    name: str
    """The model's."""
    step: int
    """Steps done."""
    n_steps: int
    """Of so many."""
    loss: float
    """Mean of the last ``LOSS_EVERY`` steps, in the loss's unit."""
    left_s: float
    """At the rate since this process began."""
