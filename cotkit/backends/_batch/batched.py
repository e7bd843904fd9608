"""``--batch``: the same requests through a provider's batch API, at half price and in its own time.

A wrapper with the identity of the backend it wraps, so that completions of both ways are shared.
All flows of a run wait at once, so all their requests lie in one batch, their second turns in the
next. What is submitted is in a ledger first: a killed run finds its batches again.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cotkit.backends._batch.api import (
    BatchPayload,
    BatchProgress,
    BatchProvider,
    BatchRecord,
    BatchSource,
    Ledger,
    PendingSample,
    Unanswered,
    pack_parcels,
)
from cotkit.backends._hosted.policy import Caller, Fault, Limits, Malformed
from cotkit.errors import AccessError, BackendError, TransientError
from cotkit.identity import backend_key, completion_key, request_key
from cotkit.types import BackendInfo, Completion, Notify, Request, Try, say_nothing

_MAX_BATCHES = 3  # that one call is put into before its attempt counts as failed
_MAX_WAITING = 20_000  # flows held open at once: the fewer batches one after the other, the better
_TIMEOUT_S = 900.0  # of one upload or download, 256 MB at most


@dataclass(kw_only=True)
class BatchedBackend:
    """A hosted backend whose calls go through its provider's batch API."""

    backend: BatchSource
    """Makes the same calls one by one."""
    provider: BatchProvider
    """Its batch API."""
    ledger: Ledger
    """Where batches are remembered."""
    poll_s: float = 10.0
    """Seconds between questions how far a batch is; grows to twelve times that."""
    gather_s: float = 2.0
    """A batch is submitted when no request has come for so many seconds."""
    notify: Notify = field(default=say_nothing, repr=False, compare=False)
    """Told what a user should read."""
    sleep: Callable[[float], Awaitable[object]] = field(default=asyncio.sleep, repr=False)
    """Waits between polls; a test hands in its own."""

    def __post_init__(self) -> None:
        """Nothing waits yet."""
        self._start_over(None)

    @functools.cached_property
    def info(self) -> BackendInfo:
        """As the wrapped backend's, but many wait at once, and log-likelihoods are not batched."""
        info = self.backend.info
        capabilities = info.capabilities - {"loglikelihood"}
        return replace(info, max_concurrency=_MAX_WAITING, capabilities=capabilities)

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        """Wait until the provider has done its batch.

        Raises:
            TransientError: a call failed in several batches, or the provider cannot be reached.
            BackendError: the whole batch was refused, or a fault that another batch does not mend.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._start_over(loop)
        content = request_key(request)
        futures: list[asyncio.Future[Completion]] = []
        for sample in request.samples:
            completion = completion_key(self._key, content, sample)
            one = self._waiting.get(completion)
            if one is None or one.future.done():
                one = PendingSample(
                    request=request,
                    sample=sample,
                    completion=completion,
                    content=content,
                    future=loop.create_future(),
                )
                self._arrive(one)
            futures.append(one.future)
        return tuple(await asyncio.gather(*futures))

    async def count_tokens(self, request: Request) -> int | None:
        """As the wrapped backend."""
        return await self.backend.count_tokens(request)

    def status(self) -> str | None:
        """E.g. ``"1319 requests in 1 batch at openai, 700 done"``; None: none is in a batch."""
        if not self._open:
            return None
        n = sum(batch.n_calls for batch, _ in self._open.values())
        n_done = sum(progress.n_done for _, progress in self._open.values())
        return (
            f"{n} requests in {_format_batches(len(self._open))} at {self.provider.name},"
            f" {n_done} done"
        )

    async def close(self) -> None:
        """Stop waiting; batches go on at the provider, and the ledger knows them."""
        tasks, n = list(self._tasks), len(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if n:
            self.notify(
                f"{_format_batches(n)} left running at {self.provider.name}: "
                "the same command collects what they bring, and nothing is paid for twice"
            )
        await self.backend.close()

    def _start_over(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """In a new event loop; what waited in the old one is gone."""
        self._loop = loop
        self._arrived: list[PendingSample] = []
        self._waiting: dict[str, PendingSample] = {}
        self._open: dict[str, tuple[BatchRecord, BatchProgress]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._gathers = False

    @functools.cached_property
    def _key(self) -> str:
        return backend_key(self.backend.info)

    @functools.cached_property
    def _mail(self) -> BatchClient:
        limits = Limits(timeout_s=_TIMEOUT_S, max_connections=4)
        return BatchClient(
            provider=self.provider,
            ledger=self.ledger,
            caller=Caller(limits, self.backend.read_fault),
            sleep=self.sleep,
            poll_s=self.poll_s,
        )

    def _arrive(self, one: PendingSample) -> None:
        one.batch = None
        self._waiting[one.completion] = one
        self._arrived.append(one)
        if not self._gathers:
            self._gathers = True
            self._spawn(self._gather())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """What ends a task of ours early ends everything that waits."""
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._fail(list(self._waiting.values()), failure)

    def _fail(self, wanted: Iterable[PendingSample], failure: BaseException) -> None:
        for one in wanted:
            self._waiting.pop(one.completion, None)
            if not one.future.done():
                one.future.set_exception(failure)

    async def _gather(self) -> None:
        """Submit what has arrived, once nothing more comes."""
        try:
            while self._arrived:
                n_seen = 0
                while n_seen < len(self._arrived):
                    n_seen = len(self._arrived)
                    await asyncio.sleep(self.gather_s)
                arrived, self._arrived = self._arrived, []
                await self._place(arrived)
        finally:
            self._gathers = False

    async def _place(self, arrived: list[PendingSample]) -> None:
        """Wait for what lies in a batch already, submit the rest."""
        rest = {one.completion: one for one in arrived if not one.future.done()}
        for batch in self.ledger.holding(rest):  # latest first, so an older one gets less
            held = {key for call in batch.calls.values() for key in call.values()} & rest.keys()
            self._put([rest.pop(key) for key in sorted(held)], batch)
        for parcel in pack_parcels(rest.values(), self.provider):
            await self._submit(parcel, rest)

    async def _submit(self, parcel: BatchPayload, rest: Mapping[str, PendingSample]) -> None:
        wanted = [rest[key] for call in parcel.calls for key in call.completions.values()]
        try:
            batch = await self._mail.submit(parcel, self._key)
        except TransientError as failure:
            self._fail(wanted, failure)
            return
        self.notify(
            f"batch {batch.id} of {batch.n_calls} requests is at {self.provider.name}: half the "
            "price, up to 24 hours; Ctrl-C leaves it running, and the same command collects it"
        )
        self._put(wanted, batch)

    def _put(self, wanted: list[PendingSample], batch: BatchRecord) -> None:
        for one in wanted:
            one.batch = batch.key
        if wanted and batch.key not in self._open:
            self._open[batch.key] = batch, BatchProgress()
            self._spawn(self._bring(batch))

    async def _bring(self, batch: BatchRecord) -> None:
        """See one batch to its end, and give its answers to those who wait for them."""
        try:
            found = await self._mail.locate(batch)
            if found is None:
                for one in self._waiting_for(batch):
                    self._arrive(one)
            while found is not None and self._waiting_for(found):
                progress = await self._mail.ended(found, functools.partial(self._tell, found))
                await self._hand_out(found, progress)
        except TransientError as failure:
            self._fail(self._waiting_for(batch), failure)
        finally:
            del self._open[batch.key]

    async def _hand_out(self, batch: BatchRecord, progress: BatchProgress) -> None:
        """Give everyone their answer; what the batch did not bring goes into the next."""
        left: dict[int, dict[int, PendingSample]] = {}
        place = {key: at for at, call in batch.calls.items() for key in call.values()}
        for one in self._waiting_for(batch):
            left.setdefault(place[one.completion], {})[one.sample] = one
        again: list[tuple[PendingSample, Fault]] = []

        def take(position: int, answer: object) -> None:
            if (wanted := left.pop(position, None)) is None:
                return
            samples = tuple(batch.calls[position])
            request = replace(next(iter(wanted.values())).request, samples=samples)
            found = read_answer(answer, request, self.provider, self.backend)
            if isinstance(found, Fault):
                again.extend((one, found) for one in wanted.values())
                return
            completions = dict(zip(samples, stamp_batch(found, batch, progress), strict=False))
            self._give(completions, wanted, progress)  # it may bring fewer than asked
            again.extend((one, TOO_FEW_COMPLETIONS) for one in wanted.values())

        await self._mail.answers(batch, take)
        missing = Unanswered(progress.rest).fault
        again += [(one, missing) for wanted in left.values() for one in wanted.values()]
        if again:
            self.ledger.drop(batch.key, [one.completion for one, _ in again])
        for one, fault in again:
            self._try_again(one, fault, progress)

    def _give(
        self,
        completions: Mapping[int, Completion],
        wanted: dict[int, PendingSample],
        progress: BatchProgress,
    ) -> None:
        """Give each sample to who waits for it, taking them out of ``wanted``."""
        for sample, completion in completions.items():
            if (one := wanted.pop(sample, None)) is None or one.future.done():
                continue
            del self._waiting[one.completion]
            last = Try(status="200", seconds=progress.seconds)
            one.future.set_result(replace(completion, tries=(*one.tries, last)))

    def _try_again(self, one: PendingSample, fault: Fault, progress: BatchProgress) -> None:
        one.tries += (Try(status=fault.status, seconds=progress.seconds),)
        if not fault.error.retryable:
            self._fail([one], fault.error)
        elif len(one.tries) == _MAX_BATCHES:
            statuses = ", ".join(one_try.status for one_try in one.tries)
            why = TransientError(f"gave up after {_MAX_BATCHES} batches: {statuses}")
            self._fail([one], why)
        else:
            self._arrive(one)

    def _tell(self, batch: BatchRecord, progress: BatchProgress) -> None:
        self._open[batch.key] = batch, progress

    def _waiting_for(self, batch: BatchRecord) -> list[PendingSample]:
        return [
            one
            for one in self._waiting.values()
            if one.batch == batch.key and not one.future.done()
        ]


def _format_batches(n: int) -> str:
    return "1 batch" if n == 1 else f"{n} batches"


# One batch on its way: submitted once, found again, waited for, its answers read.


_MAX_LOST = 20  # polls in a row of which all tries failed: half an hour and more
_SLOWER, _SLOWEST = 1.5, 12.0  # the wait between polls grows by this, up to so many times poll_s
_RETENTION = timedelta(days=28)  # results are kept at least so long, by both providers

TOO_FEW_COMPLETIONS = Fault(
    status="short", error=TransientError("fewer choices than asked in a batch")
)
"""Some samples of a call are not among its choices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchClient:
    """Everything that is said to a provider about batches, and to the ledger about it."""

    provider: BatchProvider
    """Who is spoken to."""
    ledger: Ledger
    """Told before and after."""
    caller: Caller
    """Tries again what fails for a while."""
    sleep: Callable[[float], Awaitable[object]]
    """Waits so many seconds."""
    poll_s: float
    """Seconds between the first two polls."""

    async def submit(self, parcel: BatchPayload, backend: str) -> BatchRecord:
        """Start a batch; before a second try the provider is asked whether the first got through.

        Raises:
            TransientError: nobody knows whether it was started; the next run will ask.
            BackendError: the provider does not take it.
        """
        key = secrets.token_hex(16)
        batch = self.ledger.intend(
            key,
            provider=self.provider.name,
            backend=backend,
            calls=[call.completions for call in parcel.calls],
        )
        bodies = {make_custom_id(key, i): body for i, body in enumerate(parcel.bodies)}
        n_tries = 0

        async def send() -> str:
            nonlocal n_tries
            n_tries += 1
            found = await self._find(batch) if n_tries > 1 else None
            return found or await self.provider.submit(key, bodies)

        try:
            id_, _ = await self.caller.call(send, 0)
        except BackendError as refused:
            if not refused.retryable:
                self.ledger.forget(key)
            raise
        return self.ledger.submitted(key, id_)

    async def locate(self, batch: BatchRecord) -> BatchRecord | None:
        """A batch of an earlier run with its id; None: it never got through, and is forgotten."""
        if batch.id is not None:
            return batch
        id_, _ = await self.caller.call(lambda: self._find(batch), 0)
        if id_ is None:
            self.ledger.forget(batch.key)
            return None
        return self.ledger.submitted(batch.key, id_)

    async def ended(
        self, batch: BatchRecord, tell: Callable[[BatchProgress], None]
    ) -> BatchProgress:
        """Poll a batch to its end; ``tell`` is called with every answer.

        A provider that cannot be reached is asked again for a long time: a batch takes hours.

        Raises:
            TransientError: it could not be reached for very long.
            BackendError: the batch as a whole was refused, or is unknown to this key.
        """
        pause, n_lost = self.poll_s, 0
        while True:
            try:
                progress, _ = await self.caller.call(
                    lambda: self.provider.progress(_batch_id(batch)), 0
                )
            except TransientError:
                n_lost += 1
                if n_lost > _MAX_LOST:
                    raise
            else:
                n_lost = 0
                tell(progress)
                self._check(batch, progress)
                if progress.is_ended:
                    return progress
            await self.sleep(pause)
            pause = min(pause * _SLOWER, self.poll_s * _SLOWEST)

    async def answers(self, batch: BatchRecord, take: Callable[[int, object], None]) -> None:
        """Read the answers of an ended batch, by position in it, one by one."""
        prefix = make_custom_id(batch.key, "")

        def take_ours(name: str, answer: object) -> None:
            position = name.removeprefix(prefix)
            if name.startswith(prefix) and position.isdecimal():
                take(int(position), answer)

        await self.caller.call(lambda: self.provider.results(_batch_id(batch), take_ours), 0)
        self.ledger.collected(batch.key)

    async def _find(self, batch: BatchRecord) -> str | None:
        return await self.provider.find(batch, self.ledger.ids(self.provider.name))

    def _check(self, batch: BatchRecord, progress: BatchProgress) -> None:
        """Raise where a batch will never have results; where it is sure, it is forgotten."""
        name, id_ = self.provider.name, _batch_id(batch)
        if progress.failure is not None:
            self.ledger.forget(batch.key)
            raise BackendError(
                f"{name} refused batch {id_}: {progress.failure}",
                hint="nothing of it was paid for; a smaller --limit, or the same without --batch",
            )
        if progress.is_unknown and datetime.now(UTC) - batch.created_utc < _RETENTION:
            raise AccessError(
                f"{name} knows no batch {id_}, which holds answers that are paid for",
                hint="set the key it was submitted with, or go on without --batch",
            )
        if progress.is_unknown:
            self.ledger.forget(batch.key)
            raise TransientError(f"{name} keeps batch {id_} no longer")


def read_answer(
    answer: object, request: Request, provider: BatchProvider, source: BatchSource
) -> tuple[Completion, ...] | Fault:
    """The completions of a call in a batch, as a plain call would give them, or what went wrong.

    Raises:
        Exception: ``answer``, where it is none that a plain call could meet.
    """
    if isinstance(answer, Unanswered):
        return answer.fault
    if isinstance(answer, Exception):
        fault = source.read_fault(answer)
        if fault is None:
            raise answer
        return fault
    try:
        return provider.read(answer, request)
    except Malformed as lacks:
        return Fault(status="malformed", error=TransientError(f"malformed in a batch: {lacks}"))


def stamp_batch(
    completions: tuple[Completion, ...], batch: BatchRecord, progress: BatchProgress
) -> Iterator[Completion]:
    """Completions with their share of the batch's time, and the batch that made them."""
    share = progress.seconds / batch.n_calls / len(completions)
    for one in completions:
        yield replace(one, seconds=share, sent={**one.sent, "batch": _batch_id(batch)})


def make_custom_id(key: str, position: int | str) -> str:
    """The name of a call in a batch, at most 64 characters of ``[a-z0-9-]``."""
    return f"{key}-{position}"


def _batch_id(batch: BatchRecord) -> str:
    assert batch.id is not None, "only a batch that was located is asked for"
    return batch.id
