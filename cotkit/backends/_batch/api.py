"""The parts of a batch: a backend whose calls it makes, a provider's batch API, and a ledger.

Shapes only, so that batches import neither an SDK nor the store.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from cotkit.backends._hosted.faults import read_object
from cotkit.backends._hosted.policy import Fault
from cotkit.errors import BackendError, TransientError
from cotkit.types import BackendInfo, Completion, Decoding, Request, Try


class Unanswered(Exception):  # noqa: N818 - what became of a call in a batch, not an error
    """A call of a batch that the provider never made; ``status``: expired, cancelled, ..."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status

    @property
    def fault(self) -> Fault:
        """What it means: the call is sent again, unless the batch was cancelled."""
        if self.status == "cancelled":
            error = BackendError(
                "a batch was cancelled at the provider",
                hint="what it had done is kept; the same command sends the rest anew",
            )
            return Fault(status=self.status, error=error)
        return Fault(status=self.status, error=TransientError(f"{self.status} in its batch"))


ResultSink = Callable[[str, object], None]
"""Given, for each call of a batch: its custom id, and the answer or the exception of a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """How far a batch is."""

    is_ended: bool = False
    """Whether its results can be read."""
    n_done: int = 0
    """Calls done, where the provider counts them before the end."""
    failure: str | None = None
    """Why the whole batch was refused; None: it was not."""
    is_unknown: bool = False
    """Whether the provider holds no such batch for this key."""
    missing_status: str = "missing"
    """What became of calls of which the results say nothing; a status of :class:`Unanswered`."""
    seconds: float = 0.0
    """From submission to end; 0 before."""


class BatchRecord(Protocol):
    """One batch as a ledger remembers it."""

    @property
    def key(self) -> str:
        """Our name for it; the provider can be asked for it."""
        ...

    @property
    def id(self) -> str | None:
        """The provider's name for it; None: it is not known whether it was submitted."""
        ...

    @property
    def created_utc(self) -> datetime:
        """A time before it was submitted."""
        ...

    @property
    def n_calls(self) -> int:
        """How many calls it has."""
        ...

    @property
    def calls(self) -> Mapping[int, Mapping[int, str]]:
        """Calls that may still be needed: position -> sample index -> completion key."""
        ...


class Ledger(Protocol):
    """Remembers which batch holds which completion, whatever is killed; see ``store.batches``."""

    def intend(
        self, key: str, *, provider: str, backend: str, calls: Sequence[Mapping[int, str]]
    ) -> BatchRecord:
        """Record a batch before it is submitted."""
        ...

    def submitted(self, key: str, id_: str) -> BatchRecord:
        """Record that a batch was submitted; return it with its id."""
        ...

    def collected(self, key: str) -> None:
        """Record that all results of a batch were read."""
        ...

    def drop(self, key: str, completions: Iterable[str]) -> None:
        """Remove completions that a batch did not bring."""
        ...

    def forget(self, key: str) -> None:
        """Remove a batch that was never submitted, or that is lost."""
        ...

    def holding(self, completions: Iterable[str]) -> Sequence[BatchRecord]:
        """Return the batches that hold any of these completions, latest first."""
        ...

    def ids(self, provider: str) -> frozenset[str]:
        """Return all ids at a provider that the ledger knows."""
        ...


class BatchSource(Protocol):
    """The hosted backend whose calls a batch makes."""

    @property
    def info(self) -> BackendInfo:
        """As ``protocols.Backend``."""
        ...

    def read_fault(self, fault: Exception) -> Fault | None:
        """As ``Hosted``."""
        ...

    def thinking_room(self, decoding: Decoding) -> int:
        """As ``protocols.ThinkingBackend``."""
        ...

    async def count_tokens(self, request: Request) -> int | None:
        """As ``protocols.Backend``."""
        ...

    async def close(self) -> None:
        """As ``protocols.Backend``."""
        ...


class BatchProvider(Protocol):
    """The batch API of one provider; every method may be tried again after any fault."""

    name: str
    """For people: ``openai``."""
    max_calls: int
    """Most calls of one batch."""
    max_bytes: int
    """Most bytes of one batch."""

    def n_at_once(self, request: Request) -> int:
        """Return how many samples one call of this request may bring, at least 1."""
        ...

    def body(self, request: Request) -> Mapping[str, Any]:
        """Return the body of a plain call of this request."""
        ...

    def read(self, answer: dict[str, Any], request: Request) -> tuple[Completion, ...]:
        """Read an answer as that of a plain call.

        Raises:
            Malformed: it is no answer.
        """
        ...

    async def submit(self, key: str, bodies: Mapping[str, Mapping[str, Any]]) -> str:
        """Start a batch of calls (custom id -> body); return its id."""
        ...

    async def find(self, batch: BatchRecord, accounted: frozenset[str]) -> str | None:
        """Return the id of a batch that may have been submitted; none of ``accounted``."""
        ...

    async def progress(self, id_: str) -> BatchProgress:
        """Return how far a batch is."""
        ...

    async def results(self, id_: str, take: ResultSink) -> None:
        """Read the results of an ended batch, one by one."""
        ...


# Samples that wait, and how they are packed into batches.


_ENVELOPE_BYTES = 200  # around each call in a batch: its name, method, address


@dataclass(slots=True, kw_only=True, eq=False)
class PendingSample:
    """One sample of a request whose completion is awaited."""

    request: Request
    """Its request, with whatever samples."""
    sample: int
    """Which of its samples."""
    completion: str
    """Its completion key."""
    content: str
    """Its request key."""
    future: asyncio.Future[Completion]
    """Where it is waited for."""
    batch: str | None = None
    """Key of the batch that it lies in; None: in none yet."""
    tries: tuple[Try, ...] = ()
    """What became of it in earlier batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCall:
    """Samples of one request that one call brings."""

    request: Request
    """With just these samples, ascending."""
    completions: Mapping[int, str]
    """Sample index -> completion key."""


@dataclass(slots=True, kw_only=True)
class BatchPayload:
    """Calls that go into one batch."""

    calls: list[BatchCall] = field(default_factory=list[BatchCall])
    """In the order asked for; the index of one is its position."""
    bodies: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    """What each sends."""
    n_bytes: int = 0
    """About how many bytes all of it takes."""


def pack_parcels(
    pending: Iterable[PendingSample], provider: BatchProvider
) -> Iterator[BatchPayload]:
    """Pack samples into batches within the provider's limits, in the order of the requests."""
    by_content: dict[str, list[PendingSample]] = {}
    for sample in pending:
        by_content.setdefault(sample.content, []).append(sample)
    parcel = BatchPayload()
    for samples in by_content.values():
        for call in _make_calls(samples, provider):
            body = provider.body(call.request)
            n_bytes = len(json.dumps(body)) + _ENVELOPE_BYTES
            is_full = len(parcel.calls) == provider.max_calls
            if parcel.calls and (is_full or parcel.n_bytes + n_bytes > provider.max_bytes):
                yield parcel
                parcel = BatchPayload()
            parcel.calls.append(call)
            parcel.bodies.append(body)
            parcel.n_bytes += n_bytes
    if parcel.calls:
        yield parcel


def _make_calls(pending: list[PendingSample], provider: BatchProvider) -> Iterator[BatchCall]:
    keys = {pending_sample.sample: pending_sample.completion for pending_sample in pending}
    samples = sorted(keys)
    size = provider.n_at_once(replace(pending[0].request, samples=tuple(samples)))
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        yield BatchCall(
            request=replace(pending[0].request, samples=tuple(part)),
            completions={sample: keys[sample] for sample in part},
        )


# JSON Lines, read as they arrive.


async def read_json_lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Read the objects of a file; a line ends at a newline and nowhere else.

    Raises:
        Malformed: a line is not a JSON object.
    """
    unfinished = b""
    async for chunk in chunks:
        *lines, unfinished = (unfinished + chunk).split(b"\n")
        for line in filter(None, lines):
            yield read_object(line)
    if unfinished:
        yield read_object(unfinished)
