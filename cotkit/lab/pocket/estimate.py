"""What a training will take: FLOPs, and time from a few steps that are thrown away."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cotkit.lab.device import memory_watched
from cotkit.lab.pocket import network as net
from cotkit.lab.pocket.texts import batch

if TYPE_CHECKING:
    from accelerate import Accelerator

    from cotkit.lab.pocket.recipe import Recipe, Size
    from cotkit.lab.pocket.training import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """For one job, from its first step."""

    job: Job
    """Which."""
    flops: int
    """``6 N`` for each token; attention comes on top."""
    seconds: float
    """Wall time."""


def estimates(jobs: Sequence[Job], accelerator: Accelerator) -> list[Estimate]:
    """One for each job, in order; every size is tried once, for a second or so.

    Raises:
        BackendError: memory does not suffice for one of them.
    """
    paces = {job.size: _step_seconds(job.recipe, job.size, accelerator) for job in jobs}
    return [
        Estimate(
            job=job,
            flops=job.recipe.flops(job.size),
            seconds=paces[job.size] * job.recipe.n_steps,
        )
        for job in jobs
    ]


def _step_seconds(recipe: Recipe, size: Size, accelerator: Accelerator) -> float:
    """A mean step: one of every ``long_every`` is a long one."""
    long = recipe.long_every - 1
    with memory_watched(f"pocket-{size.name}", size.n_bytes(recipe), str(accelerator.device)):
        made = net.network(recipe, size, 0).to(accelerator.device)
        adam = net.optimizer(recipe, made)
        taken: dict[int, float] = {}
        for step in (0, 0, long):  # the first one warms up
            since = time.monotonic()
            loss = net.loss(made, batch(recipe, 0, step), accelerator.device)
            accelerator.backward(loss)
            adam.step()
            loss.item()
            taken[step] = time.monotonic() - since
    return (taken[0] * long + taken[long]) / recipe.long_every
