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
from cotkit.backends._hosted.base import make_refusals
from cotkit.backends._hosted.policy import Caller, Fault, Limits, Malformed
from cotkit.errors import AccessError, BackendError, ContentRefusalError, TransientError
from cotkit.identity import backend_key, completion_key, request_key
from cotkit.types import BackendInfo, Completion, Decoding, Notify, Request, Try, say_nothing

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
    """Called with messages for the user."""
    sleep: Callable[[float], Awaitable[object]] = field(default=asyncio.sleep, repr=False)
    """Waits between polls; a test hands in its own."""

    def __post_init__(self) -> None:
        """Prepare to gather requests."""
        self._start_over(None)

    @functools.cached_property
    def info(self) -> BackendInfo:
        """As the wrapped backend's, but many wait at once, and log-likelihoods are not batched."""
        info = self.backend.info
        capabilities = info.capabilities - {"loglikelihood"}
        return replace(info, max_concurrency=_MAX_WAITING, capabilities=capabilities)

    def thinking_room(self, decoding: Decoding) -> int:
        """Say how much it may think; see :class:`cotkit.protocols.ThinkingBackend`."""
        return self.backend.thinking_room(decoding)

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
            pending = self._waiting.get(completion)
            if pending is None or pending.future.done():
                pending = PendingSample(
                    request=request,
                    sample=sample,
                    completion=completion,
                    content=content,
                    future=loop.create_future(),
                )
                self._arrive(pending)
            futures.append(pending.future)
        return tuple(await asyncio.gather(*futures))

    async def count_tokens(self, request: Request) -> int | None:
        """Count as the wrapped backend does."""
        return await self.backend.count_tokens(request)

    def status(self) -> str | None:
        """Return ``"1319 requests in 1 batch at openai, 700 done"``; None: no batch is open."""
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
        """Forget everything: a new event loop, in which nothing of the old one is awaited."""
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
    def _client(self) -> BatchClient:
        limits = Limits(timeout_s=_TIMEOUT_S, max_connections=4)
        return BatchClient(
            provider=self.provider,
            ledger=self.ledger,
            caller=Caller(limits, self.backend.read_fault),
            sleep=self.sleep,
            poll_s=self.poll_s,
        )

    def _arrive(self, pending: PendingSample) -> None:
        pending.batch = None
        self._waiting[pending.completion] = pending
        self._arrived.append(pending)
        if not self._gathers:
            self._gathers = True
            self._spawn(self._gather())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Fail everything that waits if a task of this backend failed."""
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._fail(list(self._waiting.values()), failure)

    def _fail(self, pending: Iterable[PendingSample], failure: BaseException) -> None:
        for sample in pending:
            self._waiting.pop(sample.completion, None)
            if not sample.future.done():
                sample.future.set_exception(failure)

    async def _gather(self) -> None:
        """Submit the requests that have arrived once no more arrive."""
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
        """Wait for what lies in a batch already; submit the others."""
        pending = {sample.completion: sample for sample in arrived if not sample.future.done()}
        for batch in self.ledger.holding(pending):  # latest first, so an older one gets less
            keys = {key for call in batch.calls.values() for key in call.values()} & pending.keys()
            self._put([pending.pop(key) for key in sorted(keys)], batch)
        for parcel in pack_parcels(pending.values(), self.provider):
            await self._submit(parcel, pending)

    async def _submit(self, parcel: BatchPayload, pending: Mapping[str, PendingSample]) -> None:
        samples = [pending[key] for call in parcel.calls for key in call.completions.values()]
        try:
            batch = await self._client.submit(parcel, self._key)
        except TransientError as failure:
            self._fail(samples, failure)
            return
        self.notify(
            f"batch {batch.id} of {batch.n_calls} requests is at {self.provider.name}: half the "
            "price, up to 24 hours; Ctrl-C leaves it running, and the same command collects it"
        )
        self._put(samples, batch)

    def _put(self, samples: list[PendingSample], batch: BatchRecord) -> None:
        for sample in samples:
            sample.batch = batch.key
        if samples and batch.key not in self._open:
            self._open[batch.key] = batch, BatchProgress()
            self._spawn(self._bring(batch))

    async def _bring(self, batch: BatchRecord) -> None:
        """Follow one batch to its end and deliver its answers."""
        try:
            located = await self._client.locate(batch)
            if located is None:
                for sample in self._waiting_for(batch):
                    self._arrive(sample)
            while located is not None and self._waiting_for(located):
                progress = await self._client.ended(located, functools.partial(self._tell, located))
                await self._hand_out(located, progress)
        except TransientError as failure:
            self._fail(self._waiting_for(batch), failure)
        finally:
            del self._open[batch.key]

    async def _hand_out(self, batch: BatchRecord, progress: BatchProgress) -> None:
        """Deliver the answers of a batch; what it did not bring goes into the next."""
        unanswered: dict[int, dict[int, PendingSample]] = {}
        position_of = {
            key: position for position, call in batch.calls.items() for key in call.values()
        }
        for sample in self._waiting_for(batch):
            unanswered.setdefault(position_of[sample.completion], {})[sample.sample] = sample
        again: list[tuple[PendingSample, Fault]] = []

        def take(position: int, answer: object) -> None:
            if (pending := unanswered.pop(position, None)) is None:
                return
            samples = tuple(batch.calls[position])
            request = replace(next(iter(pending.values())).request, samples=samples)
            result = read_answer(answer, request, self.provider, self.backend)
            if isinstance(result, Fault):
                again.extend((sample, result) for sample in pending.values())
                return
            completions = dict(zip(samples, stamp_batch(result, batch, progress), strict=False))
            self._give(completions, pending, progress)  # it may bring fewer than asked
            again.extend((sample, TOO_FEW_COMPLETIONS) for sample in pending.values())

        await self._client.answers(batch, take)
        missing = Unanswered(progress.missing_status).fault
        again += [
            (sample, missing) for pending in unanswered.values() for sample in pending.values()
        ]
        if again:
            self.ledger.drop(batch.key, [sample.completion for sample, _ in again])
        for sample, fault in again:
            self._try_again(sample, fault, progress)

    def _give(
        self,
        completions: Mapping[int, Completion],
        pending: dict[int, PendingSample],
        progress: BatchProgress,
    ) -> None:
        """Deliver completions of samples, and take them out of ``pending``."""
        for sample, completion in completions.items():
            if (
                pending_sample := pending.pop(sample, None)
            ) is None or pending_sample.future.done():
                continue
            del self._waiting[pending_sample.completion]
            last = Try(status="200", seconds=progress.seconds)
            pending_sample.future.set_result(
                replace(completion, tries=(*pending_sample.tries, last))
            )

    def _try_again(self, pending: PendingSample, fault: Fault, progress: BatchProgress) -> None:
        pending.tries += (Try(status=fault.status, seconds=progress.seconds),)
        if not fault.error.retryable:
            self._fail([pending], fault.error)
        elif len(pending.tries) == _MAX_BATCHES:
            statuses = ", ".join(each.status for each in pending.tries)
            why = TransientError(f"gave up after {_MAX_BATCHES} batches: {statuses}")
            self._fail([pending], why)
        else:
            self._arrive(pending)

    def _tell(self, batch: BatchRecord, progress: BatchProgress) -> None:
        self._open[batch.key] = batch, progress

    def _waiting_for(self, batch: BatchRecord) -> list[PendingSample]:
        return [
            sample
            for sample in self._waiting.values()
            if sample.batch == batch.key and not sample.future.done()
        ]


def _format_batches(n: int) -> str:
    return "1 batch" if n == 1 else f"{n} batches"


# A provider and the ledger: a batch is submitted once, found again, polled, and its answers read.


_MAX_LOST = 20  # polls in a row of which all tries failed: half an hour and more
_SLOWER, _SLOWEST = 1.5, 12.0  # the wait between polls grows by this, up to so many times poll_s
_RETENTION = timedelta(days=28)  # results are kept at least so long, by both providers

TOO_FEW_COMPLETIONS = Fault(
    status="short", error=TransientError("fewer choices than asked in a batch")
)
"""Some samples of a call are not among its choices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchClient:
    """Talks about batches with a provider, and keeps the ledger."""

    provider: BatchProvider
    """The provider's batch API."""
    ledger: Ledger
    """Records each batch before it is submitted and after its results were read."""
    caller: Caller
    """Tries again what fails for a while."""
    sleep: Callable[[float], Awaitable[object]]
    """Waits so many seconds."""
    poll_s: float
    """Seconds between the first two polls."""

    async def submit(self, parcel: BatchPayload, backend: str) -> BatchRecord:
        """Start a batch; before a second try, ask the provider whether the first succeeded.

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
            earlier = await self._find(batch) if n_tries > 1 else None
            return earlier or await self.provider.submit(key, bodies)

        try:
            id_, _ = await self.caller.call(send, 0)
        except BackendError as refused:
            if not refused.retryable:
                self.ledger.forget(key)
            raise
        return self.ledger.submitted(key, id_)

    async def locate(self, batch: BatchRecord) -> BatchRecord | None:
        """Return a batch of an earlier run with its id; None: it was never started."""
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

        def take_own(name: str, answer: object) -> None:
            position = name.removeprefix(prefix)
            if name.startswith(prefix) and position.isdecimal():
                take(int(position), answer)

        await self.caller.call(lambda: self.provider.results(_batch_id(batch), take_own), 0)
        self.ledger.collected(batch.key)

    async def _find(self, batch: BatchRecord) -> str | None:
        return await self.provider.find(batch, self.ledger.ids(self.provider.name))

    def _check(self, batch: BatchRecord, progress: BatchProgress) -> None:
        """Raise if a batch will never have results; forget it if that is certain."""
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
    """Return the completions of a call in a batch as a plain call would, or its fault.

    Raises:
        Exception: ``answer``, where it is none that a plain call could meet.
    """
    if isinstance(answer, Unanswered):
        return answer.fault
    if isinstance(answer, Exception):
        fault = source.read_fault(answer)
        if fault is None:
            raise answer
        if isinstance(fault.error, ContentRefusalError):
            return make_refusals(request, fault.error.message)
        return fault
    lack: object = f"not an object but {type(answer).__name__}"
    if isinstance(answer, dict):
        try:
            return provider.read(answer, request)
        except Malformed as malformed:
            lack = malformed
    return Fault(status="malformed", error=TransientError(f"malformed in a batch: {lack}"))


def stamp_batch(
    completions: tuple[Completion, ...], batch: BatchRecord, progress: BatchProgress
) -> Iterator[Completion]:
    """Yield completions with their share of the batch's time, and its id."""
    share = progress.seconds / batch.n_calls / len(completions)
    for completion in completions:
        yield replace(
            completion, seconds=share, sent={**completion.sent, "batch": _batch_id(batch)}
        )


def make_custom_id(key: str, position: int | str) -> str:
    """Return the name of a call in a batch, at most 64 characters of ``[a-z0-9-]``."""
    return f"{key}-{position}"


def _batch_id(batch: BatchRecord) -> str:
    assert batch.id is not None, "only a batch that was located is asked for"
    return batch.id
