"""The options that say where requests are answered, shared by the commands that ask models.

No ``from __future__ import annotations`` here, for the reason that ``_options`` gives.
"""

from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from cotkit.errors import UsageError

if TYPE_CHECKING:
    from cotkit.cluster import Cluster


class Executor(StrEnum):
    """Who asks the model."""

    here = "here"
    ray = "ray"


def read_cluster(
    executor: Executor = typer.Option(
        Executor.here, "--executor", help="ray: ask the model on the machines of a Ray cluster."
    ),
    ray_address: str | None = typer.Option(
        None,
        "--ray-address",
        help="HOST:PORT; auto: this machine's cluster; local: begin one. (default: auto)",
    ),
    ray_workers: int | None = typer.Option(
        None,
        "--ray-workers",
        help="Workers (default: local models as many copies as fit, others one a node).",
    ),
    ray_gpus: float | None = typer.Option(
        None, "--ray-gpus", help="GPUs of each copy of a local model on CUDA (default: 1)."
    ),
) -> "Cluster | None":
    """The cluster; None: this process asks.

    Raises:
        UsageError: an option that has nothing to say, or no sense.
    """
    if executor is Executor.here:
        if (ray_address, ray_workers, ray_gpus) != (None, None, None):
            raise UsageError("the --ray- options are of --executor ray", hint="add --executor ray")
        return None
    from cotkit.cluster import Cluster

    return Cluster(
        address=ray_address or "auto",
        workers=ray_workers,
        gpus=1 if ray_gpus is None else ray_gpus,
    )
