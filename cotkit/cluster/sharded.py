"""A backend whose requests are answered elsewhere: chunks of them go to workers of a cluster.

To a run it is a backend like any other: there is one writer, the driver, and a driver that is lost
resumes from its store. A worker that is lost takes nothing along but what it had not told; that is
sent again.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cotkit.errors import CotkitError, TransientError, UsageError
from cotkit.identity import backend_key
from cotkit.types import BackendInfo, Completion, Notify, Problem, Request

if TYPE_CHECKING:
    from cotkit.cluster.parcel import Told
    from cotkit.cluster.pool import Actor
    from cotkit.protocols import Backend

SHARD = 64
"""Most requests in a shard; a backend that takes fewer at once gets so many."""
_BUNCH_S = 0.001  # what arrives within it travels together
_MOST_TRIES = 3  # workers that one request may be lost with
_BEGIN_S = 600.0  # until a worker has its model: it may have to be fetched
_AGAIN_S = 1.0  # before a lost worker is replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
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
    ) -> Sharded:
        """The backend on this cluster that a worker would build from the same words.

        Raises:
            CotkitError: as ``pool.connect`` and ``pool.workers_for``; before anything is asked.
        """
        from cotkit.cluster.parcel import Recipe
        from cotkit.cluster.pool import connect, share, workers_for

        info = inner.info
        if info.backend in {"replay", "function"}:
            hint = "leave out --executor"
            raise UsageError(f"{info.backend} has nothing to do on a cluster", hint=hint)
        ray = connect(self.address)
        n, needs = workers_for(ray, info, self.workers, self.gpus)
        n = min(n, getattr(inner, "max_connections", n))
        recipe = Recipe(
            model=model,
            args=share(args, inner, n),
            problems=tuple(problems),
            key=backend_key(info),
        )
        handed = ray.put(recipe)  # once, however many workers there are
        start = functools.partial(_actor, ray, handed, needs)
        return Sharded(inner=inner, start=start, n_workers=n, notify=notify, ray=ray)


def _actor(ray: Any, recipe: Any, needs: Any) -> Actor:  # noqa: ANN401 - Ray has no types
    from cotkit.cluster.pool import Actor

    return Actor(ray, recipe, needs)


@dataclass(slots=True, eq=False)
class _Asked:
    request: Request
    future: asyncio.Future[tuple[Completion, ...]]
    n_tries: int = 0


@dataclass(kw_only=True)
class Sharded:
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
        self._waiting = deque[_Asked]()
        self._flying = set[_Asked]()
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
        asked = _Asked(request, asyncio.get_running_loop().create_future())
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
                self.notify(f"a worker of the cluster did not come up: {_line(lost)}")
            finally:
                self._n_ready -= is_ready
                actor.end()
            await asyncio.sleep(_AGAIN_S)

    async def _feed(self, actor: Actor, group: asyncio.TaskGroup) -> None:
        """Let a worker always have as much waiting as it takes at once."""
        most = min(SHARD, self.inner.info.max_concurrency or SHARD)
        held = set[_Asked]()
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

    async def _send(self, actor: Actor, shard: Sequence[_Asked], held: set[_Asked]) -> None:
        """Have a shard answered; whatever ends that, what is not goes back."""
        self._flying.update(shard)
        try:
            requests = tuple(one.request for one in shard)
            async for reference in actor.handle.answer.remote(requests):
                told: Told = await reference
                for text in told.said:
                    self.notify(text)
                for place, result in told.found:
                    _settle(shard[place], result)
                    held.discard(shard[place])
                self._arrival.set()  # there is room
        finally:
            self._return([one for one in shard if not one.future.done()])
            self._flying.difference_update(shard)

    def _return(self, lost: Sequence[_Asked]) -> None:
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


def _settle(asked: _Asked, result: Any) -> None:  # noqa: ANN401 - completions, or a Failure
    if asked.future.done():
        return
    if isinstance(result, tuple):
        asked.future.set_result(result)
    else:
        asked.future.set_exception(result.error())


def _line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
