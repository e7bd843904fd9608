"""One batch on its way: submitted once, found again, waited for, its answers read."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cotkit.backends._batches.parcels import Parcel
from cotkit.backends._batches.shapes import Batch, Ledger, Progress, Provider, Source, Unanswered
from cotkit.backends._hosted.policy import Caller, Fault, Malformed
from cotkit.errors import AccessError, BackendError, TransientError
from cotkit.types import Completion, Request

_MAX_LOST = 20  # polls in a row of which all tries failed: half an hour and more
_SLOWER, _SLOWEST = 1.5, 12.0  # the wait between polls grows by this, up to so many times poll_s
_KEPT = timedelta(days=28)  # results are kept at least so long, by both providers

SHORT = Fault(status="short", error=TransientError("fewer choices than asked in a batch"))
"""Some samples of a call are not among its choices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """Everything that is said to a provider about batches, and to the ledger about it."""

    provider: Provider
    """Who is spoken to."""
    ledger: Ledger
    """Told before and after."""
    caller: Caller
    """Tries again what fails for a while."""
    sleep: Callable[[float], Awaitable[object]]
    """Waits so many seconds."""
    poll_s: float
    """Seconds between the first two polls."""

    async def submit(self, parcel: Parcel, backend: str) -> Batch:
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
        bodies = {custom_id(key, i): body for i, body in enumerate(parcel.bodies)}
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

    async def locate(self, batch: Batch) -> Batch | None:
        """A batch of an earlier run with its id; None: it never got through, and is forgotten."""
        if batch.id is not None:
            return batch
        id_, _ = await self.caller.call(lambda: self._find(batch), 0)
        if id_ is None:
            self.ledger.forget(batch.key)
            return None
        return self.ledger.submitted(batch.key, id_)

    async def ended(self, batch: Batch, tell: Callable[[Progress], None]) -> Progress:
        """Poll a batch to its end; ``tell`` is called with every answer.

        A provider that cannot be reached is asked again for a long time: a batch takes hours.

        Raises:
            TransientError: it could not be reached for very long.
            BackendError: the batch as a whole was refused, or is unknown to this key.
        """
        pause, n_lost = self.poll_s, 0
        while True:
            try:
                progress, _ = await self.caller.call(lambda: self.provider.progress(_id(batch)), 0)
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

    async def answers(self, batch: Batch, take: Callable[[int, object], None]) -> None:
        """Read the answers of an ended batch, by position in it, one by one."""
        prefix = custom_id(batch.key, "")

        def take_ours(name: str, answer: object) -> None:
            position = name.removeprefix(prefix)
            if name.startswith(prefix) and position.isdecimal():
                take(int(position), answer)

        await self.caller.call(lambda: self.provider.results(_id(batch), take_ours), 0)
        self.ledger.collected(batch.key)

    async def _find(self, batch: Batch) -> str | None:
        return await self.provider.find(batch, self.ledger.ids(self.provider.name))

    def _check(self, batch: Batch, progress: Progress) -> None:
        """Raise where a batch will never have results; where it is sure, it is forgotten."""
        name, id_ = self.provider.name, _id(batch)
        if progress.failure is not None:
            self.ledger.forget(batch.key)
            raise BackendError(
                f"{name} refused batch {id_}: {progress.failure}",
                hint="nothing of it was paid for; a smaller --limit, or the same without --batch",
            )
        if progress.is_unknown and datetime.now(UTC) - batch.created_utc < _KEPT:
            raise AccessError(
                f"{name} knows no batch {id_}, which holds answers that are paid for",
                hint="set the key it was submitted with, or go on without --batch",
            )
        if progress.is_unknown:
            self.ledger.forget(batch.key)
            raise TransientError(f"{name} keeps batch {id_} no longer")


def read_answer(
    answer: object, request: Request, provider: Provider, source: Source
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


def stamped(
    completions: tuple[Completion, ...], batch: Batch, progress: Progress
) -> Iterator[Completion]:
    """Completions with their share of the batch's time, and the batch that made them."""
    share = progress.seconds / batch.n_calls / len(completions)
    for one in completions:
        yield replace(one, seconds=share, sent={**one.sent, "batch": _id(batch)})


def custom_id(key: str, position: int | str) -> str:
    """The name of a call in a batch, at most 64 characters of ``[a-z0-9-]``."""
    return f"{key}-{position}"


def _id(batch: Batch) -> str:
    assert batch.id is not None, "only a batch that was located is asked for"
    return batch.id
