"""A backend whose requests are answered elsewhere: chunks of them go to workers of a cluster.

To a run it is a backend like any other: there is one writer, the driver, and a driver that is lost
resumes from its store. A worker that is lost takes nothing along but what it had not told; that is
sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cotkit.errors import BackendError, CotkitError, InterruptedRunError, TransientError, UsageError
from cotkit.executors.ray_workers import Failure, WorkerNeeds, connect_ray
from cotkit.identity import backend_key
from cotkit.types import BackendInfo, Completion, Notify, Problem, Request

if TYPE_CHECKING:
    from cotkit.executors.ray_workers import Actor, ShardReply
    from cotkit.protocols import Backend


SHARD = 64
"""Most requests in a shard; a backend that takes fewer at once gets so many."""
_BUNCH_S = 0.001  # what arrives within it travels together
_MOST_TRIES = 3  # workers that one request may be lost with
_BEGIN_S = 600.0  # until a worker has its model: it may have to be fetched
_RETRY_S = 1.0  # before a lost worker is replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class RayExecutor:
    """Where requests are to be answered."""

    address: str = "auto"
    """``HOST:PORT`` of a Ray cluster; ``auto``: the one of this machine; ``local``: begin one."""
    workers: int | None = None
    """How many; None: as many copies of a local model as fit, else one for each node."""
    gpus: float = 1
    """GPUs of one copy of a local model on CUDA; below 1 they share one."""

    def __post_init__(self) -> None:
        """Refuse what no cluster can have.

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
        """The backend on this cluster that a worker would build from the same words.

        Raises:
            CotkitError: as ``pool.connect`` and ``pool.workers_for``; before anything is asked.
        """
        from cotkit.executors.ray_workers import (
            WorkerRecipe,
            connect_ray,
            share_limits,
            workers_for,
        )

        info = inner.info
        if info.backend in {"replay", "function"}:
            hint = "leave out --executor"
            raise UsageError(f"{info.backend} has nothing to do on a cluster", hint=hint)
        ray = connect_ray(self.address)
        n, needs = workers_for(ray, info, self.workers, self.gpus)
        n = min(n, getattr(inner, "max_connections", n))
        recipe = WorkerRecipe(
            model=model,
            args=share_limits(args, inner, n),
            problems=tuple(problems),
            key=backend_key(info),
        )
        handed = ray.put(recipe)  # once, however many workers there are
        start = functools.partial(_start_actor, ray, handed, needs)
        return ShardedBackend(inner=inner, start=start, n_workers=n, notify=notify, ray=ray)


def _start_actor(ray: Any, recipe: Any, needs: Any) -> Actor:  # noqa: ANN401 - Ray has no types
    from cotkit.executors.ray_workers import Actor

    return Actor(ray, recipe, needs)


@dataclass(slots=True, eq=False)
class _PendingRequest:
    request: Request
    future: asyncio.Future[tuple[Completion, ...]]
    n_tries: int = 0


@dataclass(kw_only=True)
class ShardedBackend:
    """A backend on a cluster; made by :meth:`Cluster.sharded`."""

    inner: Backend
    """The same backend here: it says what it is and counts tokens; it is never asked."""
    start: functools.partial[Actor]
    """Starts a worker."""
    n_workers: int
    """How many."""
    notify: Notify
    """Told what a user should read."""
    ray: Any = field(repr=False)

    def __post_init__(self) -> None:
        """Nothing waits, no worker is there."""
        self._waiting = deque[_PendingRequest]()
        self._flying = set[_PendingRequest]()
        self._arrival = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._n_ready = self._n_given_up = self._n_lost = 0
        self._why: CotkitError | None = None

    @property
    def info(self) -> BackendInfo:
        """As of the backend here; every worker takes as much at once, and has as much waiting."""
        info = self.inner.info
        most = info.max_concurrency
        return replace(info, max_concurrency=most and 2 * most * self.n_workers)

    def begin(self) -> None:
        """Start the workers; the first request does, too. ``status`` says how many are there."""
        if not self._keepers:
            self._keepers = [asyncio.create_task(self._keep()) for _ in range(self.n_workers)]

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        """Have a worker complete a request.

        Raises:
            CotkitError: as the backend does there, or as it could not be built there.
            TransientError: every worker that had it was lost, or none can be had.
        """
        self.begin()
        if self._why is not None:
            raise self._why
        asked = _PendingRequest(request, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._arrival.set()
        return await asked.future

    async def loglikelihood(self, request: Request) -> tuple[Completion, ...]:
        """Have a worker score the options of a request; errors as :meth:`generate`."""
        return await self.generate(request)

    async def count_tokens(self, request: Request) -> int | None:
        """As the backend here counts."""
        return await self.inner.count_tokens(request)

    async def close(self) -> None:
        """End the workers; the cluster stays."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers = []
        await self.inner.close()

    def status(self) -> str | None:
        """How many workers are missing."""
        if not self._keepers or self._n_ready == self.n_workers:
            return None
        return f"{self._n_ready} of {self.n_workers} workers of the cluster are ready"

    async def _keep(self) -> None:
        """Keep one worker, and another one if it is lost, busy with shards."""
        while True:
            actor = self.start()
            is_ready = False
            try:
                await asyncio.wait_for(actor.begin(), _BEGIN_S)
                is_ready = True
                self._n_ready += 1
                async with asyncio.TaskGroup() as group:
                    await self._feed(actor, group)
            except CotkitError as error:  # another worker would say the same
                self._fail(error)
                return
            except TimeoutError:
                self._give_up()
                return
            except BaseExceptionGroup as group:
                lost, other = group.split(self.ray.exceptions.RayError)
                if other is not None:
                    self._fail(other.exceptions[0])
                    return
                assert lost is not None
                self.notify(
                    f"a worker of the cluster was lost: {self._n_lost} requests are sent again"
                )
                self._n_lost = 0
            except self.ray.exceptions.RayError as lost:
                self.notify(f"a worker of the cluster did not come up: {_first_line(lost)}")
            finally:
                self._n_ready -= is_ready
                actor.end()
            await asyncio.sleep(_RETRY_S)

    async def _feed(self, actor: Actor, group: asyncio.TaskGroup) -> None:
        """Let a worker always have as much waiting as it takes at once."""
        most = min(SHARD, self.inner.info.max_concurrency or SHARD)
        held = set[_PendingRequest]()
        while True:
            while not self._waiting or len(held) >= 2 * most:
                self._arrival.clear()
                await self._arrival.wait()
            await asyncio.sleep(_BUNCH_S)
            fair = -(-len(self._waiting) // self.n_workers)  # the others want some, too
            n = min(most, fair, 2 * most - len(held))
            taken = [self._waiting.popleft() for _ in range(n)]
            shard = [one for one in taken if not one.future.done()]  # else nobody waits any more
            if shard:
                held.update(shard)
                group.create_task(self._send(actor, shard, held))

    async def _send(
        self, actor: Actor, shard: Sequence[_PendingRequest], held: set[_PendingRequest]
    ) -> None:
        """Have a shard answered; whatever ends that, what is not goes back."""
        self._flying.update(shard)
        try:
            requests = tuple(one.request for one in shard)
            async for reference in actor.handle.answer.remote(requests):
                told: ShardReply = await reference
                for text in told.said:
                    self.notify(text)
                for place, result in told.found:
                    _settle_future(shard[place], result)
                    held.discard(shard[place])
                self._arrival.set()  # there is room
        finally:
            self._return([one for one in shard if not one.future.done()])
            self._flying.difference_update(shard)

    def _return(self, lost: Sequence[_PendingRequest]) -> None:
        """Put what a worker left unanswered in front of the queue; fail what was lost too often."""
        for one in reversed(lost):
            one.n_tries += 1
            self._n_lost += 1
            if one.n_tries < _MOST_TRIES:
                self._waiting.appendleft(one)
            else:
                why = f"{one.n_tries} workers of the cluster were lost with this request"
                one.future.set_exception(TransientError(why, hint="out of memory there?"))
        self._arrival.set()

    def _give_up(self) -> None:
        self._n_given_up += 1
        if self._n_given_up == self.n_workers:
            self._fail(TransientError(f"the cluster started no worker in {_BEGIN_S:g} s"))

    def _fail(self, why: BaseException) -> None:
        """End whatever waits and whatever will."""
        self._why = why if isinstance(why, CotkitError) else None
        for one in (*self._waiting, *self._flying):
            if not one.future.done():
                one.future.set_exception(why)
        self._waiting.clear()


def _settle_future(asked: _PendingRequest, result: Any) -> None:  # noqa: ANN401 - completions, or a Failure
    if asked.future.done():
        return
    if isinstance(result, tuple):
        asked.future.set_result(result)
    else:
        asked.future.set_exception(result.error())


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


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
) -> Generator[tuple[T, R]]:
    """Do jobs on the nodes of a cluster, as many at once as fit; each with what came of it.

    Args:
        address: Of the cluster, as of :class:`cotkit.executors.ray.RayExecutor`.
        jobs: Values that can travel.
        do: A function of a module that every node has: does a job, telling the second argument how
            far it is.
        needs: Of one job.
        out: Where the jobs write: an absolute path that is the same folder on every node.
        report: Told here what the jobs tell.

    Raises:
        UsageError: the cluster has no node for such a job, or ``out`` is not there on a node.
        InterruptedRunError: Ctrl-C; the jobs were interrupted, too, and had time to save.
        CotkitError: as :func:`cotkit.executors.ray_workers.connect_ray`, or as a job does.
    """
    ray = connect_ray(address)
    _check_room(ray, needs)
    from ray.util.queue import Queue

    mark = out / f".{secrets.token_hex(8)}"
    told: Any = Queue(actor_options={"num_cpus": 0})
    task: Any = ray.remote(num_cpus=needs.cpus, num_gpus=needs.gpus)(_run_job)
    left: dict[Any, T] = {}
    try:
        mark.touch()
        left |= {task.remote(do, job, told, mark): job for job in jobs}
        while left:
            done, _ = ray.wait(list(left), timeout=_LOOK_S)
            while not told.empty():
                report(told.get())
            for reference in done:
                job = left.pop(reference)
                yield job, _fetch_result(ray, reference)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "interrupted; what was saved is kept", hint="the same command goes on from there"
        ) from None
    finally:
        mark.unlink(missing_ok=True)
        _stop_tasks(ray, list(left))
        told.shutdown()


def _check_room(ray: Any, needs: WorkerNeeds) -> None:  # noqa: ANN401 - the module ray, which has no types
    nodes = [one["Resources"] for one in ray.nodes() if one["Alive"]]
    fits = [
        one for one in nodes if one.get("CPU", 0) >= needs.cpus and one.get("GPU", 0) >= needs.gpus
    ]
    if not fits:
        wants = f"{needs.cpus:g} CPU and {needs.gpus:g} GPU"
        raise UsageError(
            f"a job needs {wants} of one node, and none of the {len(nodes)} nodes has them",
            hint="--ray-gpus, or --device cpu",
        )


def _run_job(do: Callable[..., R], job: object, told: Any, mark: Path) -> R | Failure:  # noqa: ANN401 - a queue of Ray's
    """What runs in a task."""
    try:
        if not mark.exists():
            raise UsageError(
                f"{mark.parent} is not the same folder on every node", hint="--out on a shared disk"
            )
        return do(job, told.put)
    except CotkitError as error:
        return Failure.of(error)


def _fetch_result(ray: Any, reference: object) -> Any:  # noqa: ANN401 - as above
    try:
        found = ray.get(reference)
    except ray.exceptions.RayError as lost:
        what = next(iter(str(lost).strip().splitlines()), type(lost).__name__)
        raise BackendError(
            f"a task of the cluster was lost for good: {what}",
            hint="the same command goes on with what is left",
        ) from lost
    if isinstance(found, Failure):
        raise found.error()
    return found


def _stop_tasks(ray: Any, references: Sequence[object]) -> None:  # noqa: ANN401 - as above
    """Interrupt tasks and wait until they have saved."""
    for reference in references:
        with contextlib.suppress(Exception):  # it has ended, or its node has
            ray.cancel(reference)
    if references:
        with contextlib.suppress(Exception):
            ray.wait(list(references), num_returns=len(references), timeout=_STOP_S)
