"""A pool of workers that answer requests elsewhere: in processes of this machine, or on a cluster.

A request goes to the worker that has the fewest; while all have enough, it waits in the queue. What
a lost worker had not answered goes to the others, once: a request that is lost again fails. The
pool neither starts workers nor talks to them. It may be called from any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from cotkit.errors import BackendError, CotkitError
from cotkit.types import Completion, Request

T = TypeVar("T")

MAX_LOSSES = 2
"""Workers that one request may be lost with before it fails."""


class PoolWorker(Protocol):
    """The near side of a worker. Neither method may block for long or raise."""

    def send(self, number: int, request: Request) -> None:
        """Have a request answered; the answer is given to :meth:`WorkerPool.settle`."""
        ...

    def cancel(self, number: int) -> None:
        """Stop the work on a request whose answer is no longer awaited."""
        ...


@dataclass(slots=True, eq=False, kw_only=True)
class PendingRequest:
    """A request that has not been answered."""

    number: int
    request: Request
    future: asyncio.Future[tuple[Completion, ...]]
    n_losses: int = 0


class WorkerPool:
    """The queue of requests, and what each worker has of it.

    Args:
        max_per_worker: Most unanswered requests of one worker; None: no limit.
        loss_error: Makes the error of a request that was lost too often.
    """

    def __init__(
        self, *, max_per_worker: int | None, loss_error: Callable[[], BackendError]
    ) -> None:
        self._max_per_worker = max_per_worker
        self._loss_error = loss_error
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._queue = deque[PendingRequest]()
        self._assigned: dict[PoolWorker, dict[int, PendingRequest]] = {}
        self._error: BaseException | None = None

    @property
    def n_workers(self) -> int:
        """How many workers are ready."""
        return len(self._assigned)

    async def ask(self, request: Request) -> tuple[Completion, ...]:
        """Have a worker answer a request.

        Raises:
            CotkitError: as the worker's backend; or the request was lost too often; or the
                error given to :meth:`fail`.
        """
        future = asyncio.get_running_loop().create_future()
        pending = PendingRequest(number=next(self._numbers), request=request, future=future)
        with self._lock:
            if self._error is not None:
                raise self._error
            self._queue.append(pending)
        self._dispatch()
        try:
            return await pending.future
        except asyncio.CancelledError:
            self._cancel(pending)
            raise

    def add(self, worker: PoolWorker) -> None:
        """Take in a worker that is ready."""
        with self._lock:
            self._assigned[worker] = {}
        self._dispatch()

    def settle(
        self, worker: PoolWorker, number: int, result: tuple[Completion, ...] | Failure
    ) -> None:
        """Deliver a worker's answer to a request."""
        with self._lock:
            pending = self._assigned.get(worker, {}).pop(number, None)
        if pending is not None:
            settle(pending.future, result.error() if isinstance(result, Failure) else result)
        self._dispatch()

    def lose(self, worker: PoolWorker) -> int:
        """Give the requests of a lost worker to the others; return how many there were."""
        with self._lock:
            lost = list(self._assigned.pop(worker, {}).values())
            for pending in lost:
                pending.n_losses += 1
            retried = [pending for pending in lost if pending.n_losses < MAX_LOSSES]
            self._queue.extendleft(reversed(retried))
        for pending in lost:
            if pending.n_losses >= MAX_LOSSES:
                settle(pending.future, self._loss_error())
        self._dispatch()
        return len(lost)

    def fail(self, error: BaseException) -> None:
        """Fail all requests that wait, and all that are yet to come."""
        with self._lock:
            self._error = error
            pending_requests = [*self._queue]
            self._queue.clear()
            for assigned in self._assigned.values():
                pending_requests.extend(assigned.values())
                assigned.clear()
        for pending in pending_requests:
            settle(pending.future, error)

    def _dispatch(self) -> None:
        """Send what waits to workers that have room."""
        while True:
            with self._lock:
                if not self._queue or not self._assigned:
                    return
                worker = min(self._assigned, key=self._n_assigned)
                assigned = self._assigned[worker]
                if self._max_per_worker is not None and len(assigned) >= self._max_per_worker:
                    return
                pending = self._queue.popleft()
                if pending.future.done():  # cancelled while it waited
                    continue
                assigned[pending.number] = pending
            worker.send(pending.number, pending.request)

    def _n_assigned(self, worker: PoolWorker) -> int:
        return len(self._assigned[worker])

    def _cancel(self, pending: PendingRequest) -> None:
        with self._lock:
            workers = [
                worker
                for worker, assigned in self._assigned.items()
                if assigned.pop(pending.number, None) is not None
            ]
        for worker in workers:
            worker.cancel(pending.number)
        self._dispatch()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error of cotkit on its way from a worker, as plain values."""

    kind: type[CotkitError]
    message: str
    hint: str | None
    answered: Mapping[int, Completion] = field(default_factory=dict[int, Completion])

    @classmethod
    def of(cls, error: CotkitError) -> Failure:
        """Take an error apart."""
        answered = dict(error.answered) if isinstance(error, BackendError) else {}
        return cls(kind=type(error), message=error.message, hint=error.hint, answered=answered)

    def error(self) -> CotkitError:
        """Put the error together again."""
        error = self.kind.__new__(self.kind)
        CotkitError.__init__(error, self.message, hint=self.hint)
        if isinstance(error, BackendError):
            error.answered = self.answered
        return error


def settle(future: asyncio.Future[T], result: T | BaseException) -> None:
    """Give a future its result or its exception, from any thread."""

    def settle_now() -> None:
        if future.done():
            return
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)

    with contextlib.suppress(RuntimeError):  # the loop is closed: nothing awaits it
        future.get_loop().call_soon_threadsafe(settle_now)
