"""Ray: connect to a cluster, count what a model needs, start actors; and what runs in one."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import socket
import sys
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotkit.backends._lookup import find_backend, make_backend
from cotkit.backends._pool import Failure, WorkerPool
from cotkit.errors import (
    BackendError,
    CotkitError,
    MissingDependencyError,
    ModelLoadError,
    UsageError,
)
from cotkit.identity import backend_key
from cotkit.protocols import Backend, LikelihoodBackend
from cotkit.types import Completion, Notify, Problem, Request

if TYPE_CHECKING:
    from cotkit.types import BackendInfo


_REACH_S = 5.0
_BUNCH_S = 0.001  # what arrives within it travels together
_LIMITS = ("max_connections", "requests_per_minute", "tokens_per_minute")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerNeeds:
    """The resources of one worker."""

    cpus: float
    gpus: float


def connect_ray(address: str, notify: Notify) -> Any:  # noqa: ANN401 - the module ray, which has no types
    """Connect to a cluster and return the module ``ray``; connects once.

    A cluster that is begun here ends with this process, however that ends; its folder is told.

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
        context: Any = ray.init(address=address, log_to_driver=False, configure_logging=False)
        # Ray prints what happens to its nodes to standard output, where our report goes; its own
        # debugger turns that off in the same way, for want of an option.
        vars(importlib.import_module("ray._private.worker"))["_worker_logs_enabled"] = False
    except (OSError, ValueError, RuntimeError, OverflowError) as refused:
        raise BackendError(f"no Ray cluster at {address}", hint=hint) from refused
    if address == "local":
        folder = context.address_info["session_dir"]
        _guard_cluster(folder)
        notify(f"a Ray cluster was begun on this machine; its logs are in {folder}")
    return ray


def _guard_cluster(folder: str) -> None:
    """Start the process that ends a cluster once this one is gone."""
    if not Path("/proc/self/fd").is_dir():  # not Linux: Ray's own reaper does what it can
        return
    far_end, _ = os.pipe()  # the near end is never closed: this process's end closes it
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("_ray_guard.py")), folder],
        {},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, far_end, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    os.close(far_end)


def workers_for(
    ray: Any,  # noqa: ANN401 - as above
    info: BackendInfo,
    n_workers: int | None,
    gpus: float,
) -> tuple[int, WorkerNeeds]:
    """Return how many workers there can be, and what each needs.

    A local model on CUDA takes ``gpus`` for each copy; any other local model all CPUs of a node.
    ``n_workers``: how many the user wants; None: as many as fit.

    Raises:
        UsageError: the cluster is too small for one, or for so many as the user wants.
    """
    nodes = node_resources(ray)
    is_local = info.backend == "hf"
    if is_local and info.settings.get("device") == "cuda":
        most = sum(int(node.get("GPU", 0) // gpus) for node in nodes)
        needs, what = WorkerNeeds(cpus=1, gpus=gpus), f"{gpus:g} GPU on one node for each copy"
        total = f"{sum(node.get('GPU', 0) for node in nodes):g} GPUs on {len(nodes)} nodes"
    else:
        cpus = min((node.get("CPU", 0) for node in nodes), default=0) if is_local else 1
        needs, what = WorkerNeeds(cpus=max(1, cpus), gpus=0), "a CPU for each worker"
        most = sum(int(node.get("CPU", 0) // needs.cpus) for node in nodes)
        total = f"{sum(node.get('CPU', 0) for node in nodes):g} CPUs on {len(nodes)} nodes"
    n = n_workers or (most if is_local else len(nodes))
    if not 0 < n <= most:
        raise UsageError(
            f"{info.model} needs {what}, {max(n, 1)} in all, and the cluster has {total}",
            hint="--ray-workers, --ray-gpus, or --device cpu",
        )
    return n, needs


def node_resources(ray: Any) -> list[dict[str, float]]:  # noqa: ANN401 - as above
    """Return what each living node has: ``{"CPU": 8, "GPU": 1}``."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


class Actor:
    """A worker somewhere in the cluster, as the driver's pool sees it. For one event loop."""

    def __init__(self, ray: Any, recipe: Any, needs: WorkerNeeds, shard_size: int) -> None:  # noqa: ANN401 - a reference of Ray's to a WorkerRecipe
        options = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "scheduling_strategy": "SPREAD"}
        self._ray = ray
        self._handle = ray.remote(Worker).options(**options).remote(recipe)
        self._shard_size = shard_size
        self._outbox: dict[int, Request] = {}
        self._streams = asyncio.TaskGroup()
        self._is_lost = False

    async def begin(self) -> None:
        """Wait until it has its backend.

        Raises:
            CotkitError: it could not be built there.
        """
        failure: Failure | None = await self._handle.begin.remote()
        if failure is not None:
            raise failure.error()

    async def serve(self, pool: WorkerPool, notify: Notify) -> None:
        """Answer requests of a pool until the worker is lost.

        Raises:
            BaseExceptionGroup: how it was lost.
        """
        self._pool, self._notify = pool, notify
        async with self._streams:
            pool.add(self)
            await asyncio.Event().wait()

    def send(self, number: int, request: Request) -> None:
        """Send a request, together with those that follow within a moment."""
        if not self._outbox:
            asyncio.get_running_loop().call_later(_BUNCH_S, self._send_outbox)
        self._outbox[number] = request

    def cancel(self, number: int) -> None:
        """Do not send a request; one that has been sent is answered for nothing."""
        self._outbox.pop(number, None)

    def end(self) -> None:
        """Give its resources back."""
        with contextlib.suppress(Exception):  # it may have ended with its node
            self._ray.kill(self._handle)

    def _send_outbox(self) -> None:
        if self._is_lost:  # the pool gives its requests to others
            return
        requests, self._outbox = list(self._outbox.items()), {}
        for start in range(0, len(requests), self._shard_size):
            shard = dict(requests[start : start + self._shard_size])
            self._streams.create_task(self._stream(shard))

    async def _stream(self, shard: Shard) -> None:
        """Have a shard answered, and hand its answers on as they come."""
        try:
            async for reference in self._handle.answer.remote(shard):
                reply: ShardReply = await reference
                for text in reply.notices:
                    self._notify(text)
                for number, result in reply.results:
                    self._pool.settle(self, number, result)
        except BaseException:
            self._is_lost = True
            raise


def share_limits(args: Mapping[str, str], backend: object, n_workers: int) -> dict[str, str]:
    """Return the settings of one of several workers, with its part of the limits of a key.

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


# The far side: a backend on one machine, built once, that answers shards of requests.


Shard = Mapping[int, Request]
"""Requests that travel together, by their numbers in the pool."""


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
    """``identity.backend_key`` of the driver's backend: a worker must have the same."""
    fields: Mapping[str, object] = field(default_factory=dict[str, object])
    """Fields of the driver's backend that no argument sets, for a backend that has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReply:
    """Some answers of a shard, as soon as they exist."""

    results: tuple[tuple[int, tuple[Completion, ...] | Failure], ...]
    """(number of the request, its completions or its error)."""
    notices: tuple[str, ...] = ()
    """What the backend would have a user read."""


class Worker:
    """What runs inside an actor; Ray calls its methods on one event loop."""

    def __init__(self, recipe: WorkerRecipe) -> None:
        self._recipe = recipe
        self._notices: list[str] = []
        self._backend: Backend | None = None
        self._slots: asyncio.Semaphore | None = None

    async def begin(self) -> Failure | None:
        """Build the backend; return why it cannot be, or why it is not the driver's."""
        recipe = self._recipe
        try:
            spec, name = find_backend(recipe.model, recipe.args)
            backend = make_backend(
                spec,
                name,
                problems=recipe.problems,
                notify=self._notices.append,
                **recipe.fields,
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
        """Answer a shard; yield answers as soon as they exist."""
        numbers = {
            asyncio.create_task(self._answer(request)): number for number, request in shard.items()
        }
        pending = set(numbers)
        try:
            while pending:
                finished, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                notices, self._notices[:] = tuple(self._notices), []
                yield ShardReply(
                    results=tuple((numbers[task], task.result()) for task in finished),
                    notices=notices,
                )
        finally:
            for task in pending:
                task.cancel()

    async def _answer(self, request: Request) -> tuple[Completion, ...] | Failure:
        try:
            async with self._slots or contextlib.nullcontext():
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
