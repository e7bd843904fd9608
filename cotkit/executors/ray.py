"""A backend whose requests are answered on a Ray cluster, in shards that go to its workers.

To a run it is a backend like any other: there is one writer, the driver, and a driver that is lost
resumes from its store. A lost worker is replaced, and what it had not answered is sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cotkit.backends._pool import MAX_LOSSES, Failure, WorkerPool
from cotkit.backends._thinking import thinking_room
from cotkit.backends.hf.sequence import first_line
from cotkit.errors import BackendError, CotkitError, InterruptedRunError, TransientError, UsageError
from cotkit.executors.ray_workers import (
    Actor,
    WorkerNeeds,
    WorkerRecipe,
    connect_ray,
    node_resources,
    share_limits,
    workers_for,
)
from cotkit.identity import backend_key
from cotkit.types import BackendInfo, Completion, Decoding, Notify, Problem, Request

if TYPE_CHECKING:
    from cotkit.protocols import Backend

_LOG = logging.getLogger("cotkit.ray")

SHARD = 64
"""Most requests in a shard; a backend that takes fewer at once gets so many."""
_SHARED_FIELDS = ("stored_as", "trusted_addresses")
_BEGIN_S = 600.0  # until a worker has its model: it may have to be fetched
_RETRY_S = 1.0  # before a lost worker is replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class RayExecutor:
    """Which cluster answers requests, and with how many workers."""

    address: str = "auto"
    """``HOST:PORT`` of a Ray cluster; ``auto``: the one of this machine; ``local``: begin one."""
    workers: int | None = None
    """How many; None: as many copies of a local model as fit, else one for each node."""
    gpus: float = 1
    """GPUs of one copy of a local model on CUDA; below 1 they share one."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            UsageError: names the option.
        """
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--ray-workers {self.workers} is below 1")
        if not self.gpus > 0:
            raise UsageError(f"--ray-gpus {self.gpus:g} is not above 0")

    def sharded(
        self,
        inner: Backend,
        model: str,
        args: Mapping[str, str],
        problems: Sequence[Problem],
        notify: Notify,
    ) -> ShardedBackend:
        """Return the backend on this cluster that workers build from the same words.

        Raises:
            CotkitError: as :func:`connect_ray` and :func:`workers_for`; before anything is asked.
        """
        info = inner.info
        if info.backend in {"replay", "function"}:
            hint = "leave out --executor"
            raise UsageError(f"{info.backend} has nothing to do on a cluster", hint=hint)
        ray = connect_ray(self.address, notify)
        n, needs = workers_for(ray, info, self.workers, self.gpus)
        n = min(n, getattr(inner, "max_connections", n))
        recipe = WorkerRecipe(
            model=model,
            args=share_limits(args, inner, n),
            problems=tuple(problems),
            key=backend_key(info),
            fields={name: getattr(inner, name) for name in _SHARED_FIELDS if hasattr(inner, name)},
        )
        shard_size = min(SHARD, info.max_concurrency or SHARD)
        reference = ray.put(recipe)  # once, however many workers there are
        return ShardedBackend(
            inner=inner,
            start=lambda: Actor(ray, reference, needs, shard_size),
            n_workers=n,
            shard_size=shard_size,
            notify=notify,
            ray=ray,
        )


def _loss_error() -> BackendError:
    why = f"{MAX_LOSSES} workers of the cluster were lost with this request"
    return TransientError(why, hint="out of memory there?")


@dataclass(kw_only=True)
class ShardedBackend:
    """A backend on a cluster; made by :meth:`RayExecutor.sharded`."""

    inner: Backend
    """The same backend here: it has the identity and counts tokens; it is never asked."""
    start: Callable[[], Actor]
    """Starts a worker."""
    n_workers: int
    """How many workers."""
    shard_size: int
    """Most requests that travel together."""
    notify: Notify
    """Called with what a user should read."""
    ray: Any = field(repr=False)
    """The module, connected."""

    def __post_init__(self) -> None:
        """Prepare the pool; workers start with :meth:`begin`."""
        # A worker has as much waiting as it takes at once, so that it is never idle.
        self._pool = WorkerPool(max_per_worker=2 * self.shard_size, loss_error=_loss_error)
        self._keepers: list[asyncio.Task[None]] = []
        self._n_given_up = 0

    @property
    def info(self) -> BackendInfo:
        """As of the backend here; every worker takes as much at once, and has as much waiting."""
        info = self.inner.info
        most = info.max_concurrency
        return replace(info, max_concurrency=most and 2 * most * self.n_workers)

    def thinking_room(self, decoding: Decoding) -> int:
        """Say how much it may think, as the backend here does."""
        return thinking_room(self.inner, decoding)

    def begin(self) -> None:
        """Start the workers; the first request does, too. ``status`` says how many are ready."""
        if not self._keepers:
            self._keepers = [asyncio.create_task(self._keep()) for _ in range(self.n_workers)]

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        """Have a worker complete a request.

        Raises:
            CotkitError: as the backend does there, or as it could not be built there.
            TransientError: every worker that had it was lost, or none can be had.
        """
        self.begin()
        return await self._pool.ask(request)

    async def loglikelihood(self, request: Request) -> tuple[Completion, ...]:
        """Have a worker score the options of a request; errors as :meth:`generate`."""
        return await self.generate(request)

    async def count_tokens(self, request: Request) -> int | None:
        """Count as the backend here does."""
        return await self.inner.count_tokens(request)

    async def close(self) -> None:
        """End the workers; the cluster stays."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers = []
        await self.inner.close()

    def status(self) -> str | None:
        """Say how many workers are ready; None: all."""
        if not self._keepers or self._pool.n_workers == self.n_workers:
            return None
        return f"{self._pool.n_workers} of {self.n_workers} workers of the cluster are ready"

    async def _keep(self) -> None:
        """Keep one worker running: another is started when it is lost."""
        while True:
            actor = self.start()
            try:
                await asyncio.wait_for(actor.begin(), _BEGIN_S)
                _LOG.info("a worker of the cluster is ready")
                await actor.serve(self._pool, self.notify)
            except CotkitError as error:  # another worker would say the same
                self._pool.fail(error)
                return
            except TimeoutError:
                self._give_up()
                return
            except BaseExceptionGroup as group:
                _, other = group.split(self.ray.exceptions.RayError)
                if other is not None:
                    self._pool.fail(other.exceptions[0])
                    return
                n_lost = self._pool.lose(actor)
                self.notify(f"a worker of the cluster was lost: {n_lost} requests are sent again")
            except self.ray.exceptions.RayError as lost:
                self.notify(f"a worker of the cluster did not come up: {first_line(lost)}")
            finally:
                self._pool.lose(actor)
                actor.end()
            await asyncio.sleep(_RETRY_S)

    def _give_up(self) -> None:
        self._n_given_up += 1
        if self._n_given_up == self.n_workers:
            self._pool.fail(TransientError(f"the cluster started no worker in {_BEGIN_S:g} s"))


# Work that needs no backend, such as a training, on a cluster: one task for each job.
#
# A task that is lost with its node is started again elsewhere by Ray, and goes on from what it
# left in a folder that every node sees.


T = TypeVar("T")
R = TypeVar("R")

_LOOK_S = 0.5
_STOP_S = 30.0  # for tasks to save what they have


def run_jobs(
    address: str,
    jobs: Sequence[T],
    do: Callable[[T, Callable[[Any], None]], R],
    *,
    needs: WorkerNeeds,
    out: Path,
    report: Callable[[Any], None],
    notify: Notify,
) -> Generator[tuple[T, R]]:
    """Do jobs on the nodes of a cluster, as many at once as fit; yield each with its result.

    Args:
        address: Of the cluster, as of :class:`cotkit.executors.ray.RayExecutor`.
        jobs: Values that can travel.
        do: A function of a module that every node has: does a job, calling its second argument
            with how far it is.
        needs: Of one job.
        out: Where the jobs write: an absolute path that is the same folder on every node.
        report: Called here with what the jobs report.
        notify: Called with what a user should read.

    Raises:
        UsageError: the cluster has no node for such a job, or ``out`` is not there on a node.
        InterruptedRunError: Ctrl-C; the jobs were interrupted, too, and had time to save.
        CotkitError: as :func:`cotkit.executors.ray_workers.connect_ray`, or as a job does.
    """
    ray = connect_ray(address, notify)
    _check_room(ray, needs)
    from ray.util.queue import Queue

    mark = out / f".{secrets.token_hex(8)}"
    reports: Any = Queue(actor_options={"num_cpus": 0})
    task: Any = ray.remote(num_cpus=needs.cpus, num_gpus=needs.gpus)(_run_job)
    running: dict[Any, T] = {}
    try:
        mark.touch()
        running |= {task.remote(do, job, reports, mark): job for job in jobs}
        while running:
            ended, _ = ray.wait(list(running), timeout=_LOOK_S)
            while not reports.empty():
                report(reports.get())
            for reference in ended:
                job = running.pop(reference)
                yield job, _fetch_result(ray, reference)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "interrupted; what was saved is kept", hint="the same command goes on from there"
        ) from None
    finally:
        mark.unlink(missing_ok=True)
        _stop_tasks(ray, list(running))
        reports.shutdown()


def _check_room(ray: Any, needs: WorkerNeeds) -> None:  # noqa: ANN401 - the module ray, which has no types
    nodes = node_resources(ray)
    fits = [
        node
        for node in nodes
        if node.get("CPU", 0) >= needs.cpus and node.get("GPU", 0) >= needs.gpus
    ]
    if not fits:
        wants = f"{needs.cpus:g} CPU and {needs.gpus:g} GPU"
        raise UsageError(
            f"a job needs {wants} of one node, and none of the {len(nodes)} nodes has them",
            hint="--ray-gpus, or --device cpu",
        )


def _run_job(do: Callable[..., R], job: object, reports: Any, mark: Path) -> R | Failure:  # noqa: ANN401 - a queue of Ray's
    """Run a job in a task of Ray."""
    try:
        if not mark.exists():
            raise UsageError(
                f"{mark.parent} is not the same folder on every node", hint="--out on a shared disk"
            )
        return do(job, reports.put)
    except CotkitError as error:
        return Failure.of(error)


def _fetch_result(ray: Any, reference: object) -> Any:  # noqa: ANN401 - as above
    try:
        result = ray.get(reference)
    except ray.exceptions.RayError as lost:
        raise BackendError(
            f"a task of the cluster was lost for good: {first_line(lost)}",
            hint="the same command goes on with what is left",
        ) from lost
    if isinstance(result, Failure):
        raise result.error()
    return result


def _stop_tasks(ray: Any, references: Sequence[object]) -> None:  # noqa: ANN401 - as above
    """Interrupt tasks and wait until they have saved."""
    for reference in references:
        with contextlib.suppress(Exception):  # it has ended, or its node has
            ray.cancel(reference)
    if references:
        with contextlib.suppress(Exception):
            ray.wait(list(references), num_returns=len(references), timeout=_STOP_S)
