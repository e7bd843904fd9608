"""The pool of workers: spread, room, a lost worker's requests once more elsewhere, cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from cotkit.backends._pool import Failure, WorkerPool
from cotkit.errors import BackendError, TransientError
from cotkit.types import Completion, Decoding, Message, Request

ANSWER = (Completion(text="a", stop_reason="stop"),)
REQUEST = Request(messages=(Message(role="user", content="Q: x"),), decoding=Decoding(max_tokens=1))


class FakeWorker:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.cancelled: list[int] = []

    def send(self, number: int, request: Request) -> None:
        assert request is REQUEST
        self.numbers.append(number)

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)


def make_pool(room: int | None = None) -> WorkerPool:
    return WorkerPool(max_per_worker=room, loss_error=lambda: TransientError("lost twice"))


async def ask(pool: WorkerPool, n: int) -> list[asyncio.Task[tuple[Completion, ...]]]:
    tasks = [asyncio.create_task(pool.ask(REQUEST)) for _ in range(n)]
    await asyncio.sleep(0)
    return tasks


def run(scenario: Coroutine[object, object, None]) -> None:
    asyncio.run(scenario)


def test_requests_are_spread_and_wait_while_all_workers_are_full() -> None:
    async def scenario() -> None:
        pool, first, second = make_pool(room=2), FakeWorker(), FakeWorker()
        pool.add(first)
        pool.add(second)
        tasks = await ask(pool, 5)
        assert (first.numbers, second.numbers) == ([0, 2], [1, 3])
        pool.settle(second, 1, ANSWER)
        assert second.numbers == [1, 3, 4]
        assert await tasks[1] == ANSWER
        pool.settle(first, 0, Failure.of(BackendError("no", hint="why")))
        with pytest.raises(BackendError, match="no"):
            await tasks[0]
        pool.fail(BackendError("closed"))
        assert {str(e) for e in await asyncio.gather(*tasks[2:], return_exceptions=True)} == {
            "closed"
        }
        with pytest.raises(BackendError, match="closed"):
            await pool.ask(REQUEST)

    run(scenario())


def test_a_lost_workers_requests_are_asked_once_more_elsewhere() -> None:
    async def scenario() -> None:
        pool, first, second, third = make_pool(), FakeWorker(), FakeWorker(), FakeWorker()
        pool.add(first)
        tasks = await ask(pool, 2)
        assert pool.lose(first) == 2
        assert pool.n_workers == 0
        pool.settle(first, 0, ANSWER)  # too late: it is another's now
        pool.add(second)
        assert second.numbers == [0, 1]
        pool.settle(second, 1, ANSWER)
        assert pool.lose(second) == 1
        pool.add(third)
        assert third.numbers == []
        assert await tasks[1] == ANSWER
        with pytest.raises(TransientError, match="lost twice"):
            await tasks[0]

    run(scenario())


def test_what_is_cancelled_is_not_worked_on() -> None:
    async def scenario() -> None:
        pool, worker = make_pool(room=1), FakeWorker()
        pool.add(worker)
        tasks = await ask(pool, 3)
        for task in tasks[:2]:  # one is with the worker, one waits
            task.cancel()
        await asyncio.gather(*tasks[:2], return_exceptions=True)
        assert worker.cancelled == [0]
        assert worker.numbers == [0, 2]
        pool.settle(worker, 0, ANSWER)
        pool.settle(worker, 2, ANSWER)
        assert await tasks[2] == ANSWER

    run(scenario())
