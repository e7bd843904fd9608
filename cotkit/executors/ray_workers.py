"""The side of Ray that the driver sees: connect, count what a model needs, start workers."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import socket
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cotkit.errors import (
    BackendError,
    CotkitError,
    MissingDependencyError,
    ModelLoadError,
    UsageError,
)
from cotkit.identity import backend_key
from cotkit.protocols import Backend, LikelihoodBackend
from cotkit.run import build_backend
from cotkit.types import Completion, Problem, Request

if TYPE_CHECKING:
    from cotkit.types import BackendInfo


_REACH_S = 5.0
_LIMITS = ("max_connections", "requests_per_minute", "tokens_per_minute")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerNeeds:
    """What one worker asks of the cluster."""

    cpus: float
    gpus: float


def connect_ray(address: str) -> Any:  # noqa: ANN401 - the module ray, which has no types
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


def workers_for(
    ray: Any,  # noqa: ANN401 - as above
    info: BackendInfo,
    wanted: int | None,
    gpus: float,
) -> tuple[int, WorkerNeeds]:
    """How many workers there can be, and what each needs.

    A local model on CUDA takes ``gpus`` for each copy; any other local model all CPUs of a node.

    Raises:
        UsageError: the cluster is too small for one, or for so many as are wanted.
    """
    nodes = [one["Resources"] for one in ray.nodes() if one["Alive"]]
    is_local = info.backend == "hf"
    if is_local and info.settings.get("device") == "cuda":
        most = sum(int(one.get("GPU", 0) // gpus) for one in nodes)
        needs, what = WorkerNeeds(cpus=1, gpus=gpus), f"{gpus:g} GPU on one node for each copy"
        found = f"{sum(one.get('GPU', 0) for one in nodes):g} GPUs on {len(nodes)} nodes"
    else:
        cpus = min((one.get("CPU", 0) for one in nodes), default=0) if is_local else 1
        needs, what = WorkerNeeds(cpus=max(1, cpus), gpus=0), "a CPU for each worker"
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

    def __init__(self, ray: Any, recipe: Any, needs: WorkerNeeds) -> None:  # noqa: ANN401 - a reference of Ray's to a Recipe
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


def share_limits(args: Mapping[str, str], backend: object, n_workers: int) -> dict[str, str]:
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


# The actor: one backend on one machine, built once and kept for every shard.


class Worker:
    """What runs inside an actor; Ray calls its methods on one event loop."""

    def __init__(self, recipe: WorkerRecipe) -> None:
        self._recipe, self._said = recipe, list[str]()
        self._backend: Backend | None = None
        self._slots: asyncio.Semaphore | None = None

    async def begin(self) -> Failure | None:
        """Build the backend; why it could not be, or would answer as another than the driver's."""
        recipe = self._recipe
        try:
            backend = build_backend(
                recipe.model,
                recipe.args,
                problems=recipe.problems,
                store=None,
                notify=self._said.append,
            )
            info = await asyncio.to_thread(lambda: backend.info)  # may fetch a model
            if backend_key(info) != recipe.key:
                raise ModelLoadError(
                    f"{recipe.model} on a worker is not what it is here: {info.settings}",
                    hint="same cotkit, packages and weights everywhere; name --device and --dtype",
                )
        except CotkitError as error:
            return Failure.of(error)
        self._backend = backend
        if info.max_concurrency is not None:
            self._slots = asyncio.Semaphore(info.max_concurrency)
        return None

    async def answer(self, shard: Shard) -> AsyncGenerator[ShardReply]:
        """What comes of a shard, each part as soon as it is there."""
        tasks = {asyncio.create_task(self._one(one)): i for i, one in enumerate(shard)}
        left = set(tasks)
        try:
            while left:
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                found = tuple((tasks[task], task.result()) for task in done)
                said, self._said[:] = tuple(self._said), []
                yield ShardReply(found=found, said=said)
        finally:
            for task in left:
                task.cancel()

    async def _one(self, request: Request) -> tuple[Completion, ...] | Failure:
        try:
            if self._slots is None:
                return await self._ask(request)
            async with self._slots:
                return await self._ask(request)
        except CotkitError as error:
            return Failure.of(error)

    async def _ask(self, request: Request) -> tuple[Completion, ...]:
        backend = self._backend
        assert backend is not None, "begin comes first"
        if not request.options:
            return await backend.generate(request)
        assert isinstance(backend, LikelihoodBackend), "its info says what it can"
        return await backend.loglikelihood(request)


# What travels between the driver and its workers: plain values, errors included.


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecipe:
    """How a worker builds its backend."""

    model: str
    """As the user named it."""
    args: Mapping[str, str]
    """Fields of the backend, as text."""
    problems: tuple[Problem, ...]
    """Of the benchmark: ``simulated`` looks its answers up there."""
    key: str
    """``identity.backend_key`` of the driver's: a worker must have the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error of ours, in transit."""

    kind: type[CotkitError]
    message: str
    hint: str | None
    answered: Mapping[int, Completion] = field(default_factory=dict[int, Completion])

    @classmethod
    def of(cls, error: CotkitError) -> Failure:
        """Take it apart."""
        answered = dict(error.answered) if isinstance(error, BackendError) else {}
        return cls(kind=type(error), message=error.message, hint=error.hint, answered=answered)

    def error(self) -> CotkitError:
        """Put it together again."""
        error = self.kind.__new__(self.kind)
        CotkitError.__init__(error, self.message, hint=self.hint)
        if isinstance(error, BackendError):
            error.answered = self.answered
        return error


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReply:
    """Some of a shard, as soon as it is there."""

    found: tuple[tuple[int, tuple[Completion, ...] | Failure], ...]
    """(place of the request in the shard, what came of it)."""
    said: tuple[str, ...] = ()
    """What the backend would have a user read."""


Shard = tuple[Request, ...]
"""Requests that one worker gets together."""
