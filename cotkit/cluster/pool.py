"""The side of Ray that the driver sees: connect, count what a model needs, start workers."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cotkit.cluster.parcel import Failure
from cotkit.cluster.worker import Worker
from cotkit.errors import BackendError, MissingDependencyError, UsageError

if TYPE_CHECKING:
    from cotkit.types import BackendInfo

_REACH_S = 5.0
_LIMITS = ("max_connections", "requests_per_minute", "tokens_per_minute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one worker asks of the cluster."""

    cpus: float
    gpus: float


def connect(address: str) -> Any:  # noqa: ANN401 - the module ray, which has no types
    """The module ``ray``, connected; the same address again is no new connection.

    Raises:
        MissingDependencyError: Ray is not installed.
        BackendError: no cluster answers there.
        UsageError: an address that Ray's drivers cannot use.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers
    try:
        import ray
    except ImportError:
        raise MissingDependencyError("ray", "ray") from None
    if ray.is_initialized():
        return ray
    if "://" in address:
        hint = "start cotkit on a node of the cluster, or through: ray job submit"
        raise UsageError(f"--ray-address {address} is not HOST:PORT, auto or local", hint=hint)
    hint = "ray start --head on this machine, --ray-address HOST:PORT, or --ray-address local"
    try:
        if address not in {"auto", "local"}:
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), _REACH_S).close()
        ray.init(address=address, log_to_driver=False, configure_logging=False)
        # Ray prints what happens to its nodes to standard output, where our report goes; its own
        # debugger turns that off in the same way, for want of an option.
        vars(importlib.import_module("ray._private.worker"))["_worker_logs_enabled"] = False
    except (OSError, ValueError, RuntimeError, OverflowError) as refused:
        raise BackendError(f"no Ray cluster at {address}", hint=hint) from refused
    return ray


def workers_for(ray: Any, info: BackendInfo, wanted: int | None, gpus: float) -> tuple[int, Needs]:  # noqa: ANN401 - as above
    """How many workers there can be, and what each needs.

    A local model on CUDA takes ``gpus`` for each copy; any other local model all CPUs of a node.

    Raises:
        UsageError: the cluster is too small for one, or for so many as are wanted.
    """
    nodes = [one["Resources"] for one in ray.nodes() if one["Alive"]]
    is_local = info.backend == "hf"
    if is_local and info.settings.get("device") == "cuda":
        most = sum(int(one.get("GPU", 0) // gpus) for one in nodes)
        needs, what = Needs(cpus=1, gpus=gpus), f"{gpus:g} GPU on one node for each copy"
        found = f"{sum(one.get('GPU', 0) for one in nodes):g} GPUs on {len(nodes)} nodes"
    else:
        cpus = min((one.get("CPU", 0) for one in nodes), default=0) if is_local else 1
        needs, what = Needs(cpus=max(1, cpus), gpus=0), "a CPU for each worker"
        most = sum(int(one.get("CPU", 0) // needs.cpus) for one in nodes)
        found = f"{sum(one.get('CPU', 0) for one in nodes):g} CPUs on {len(nodes)} nodes"
    n = wanted or (most if is_local else len(nodes))
    if not 0 < n <= most:
        raise UsageError(
            f"{info.model} needs {what}, {max(n, 1)} in all, and the cluster has {found}",
            hint="--ray-workers, --ray-gpus, or --device cpu",
        )
    return n, needs


class Actor:
    """A worker somewhere in the cluster."""

    def __init__(self, ray: Any, recipe: Any, needs: Needs) -> None:  # noqa: ANN401 - a reference of Ray's to a Recipe
        options = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "scheduling_strategy": "SPREAD"}
        self._ray = ray
        self.handle = ray.remote(Worker).options(**options).remote(recipe)

    async def begin(self) -> None:
        """Wait until it has its backend.

        Raises:
            CotkitError: it could not be built there.
        """
        failure: Failure | None = await self.handle.begin.remote()
        if failure is not None:
            raise failure.error()

    def end(self) -> None:
        """Give its resources back."""
        with contextlib.suppress(Exception):  # it may have ended with its node
            self._ray.kill(self.handle)


def share(args: Mapping[str, str], backend: object, n_workers: int) -> dict[str, str]:
    """The settings of one of several workers: what is limited for a key is limited for all of them.

    Every worker gets an equal part, so together they never exceed the limits of ``backend``.
    """
    shared = dict(args)
    for name in _LIMITS:
        limit = getattr(backend, name, None)
        if limit is not None:
            shared = {key: text for key, text in shared.items() if key.replace("-", "_") != name}
            part = limit / n_workers
            shared[name] = str(int(part) if isinstance(limit, int) else part)
    return shared
