"""What batches need: a backend whose calls they make, its provider's batch API, and a ledger.

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
from cotkit.types import BackendInfo, Completion, Request, Try


class Unanswered(Exception):  # noqa: N818 - what became of a call in a batch, not an error
    """A call of a batch that the provider never made; ``status``: expired, cancelled, ..."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status

    @property
    def fault(self) -> Fault:
        """Sent again, unless somebody cancelled the batch."""
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
    rest: str = "missing"
    """What became of calls of which the results say nothing; a status of :class:`Unanswered`."""
    seconds: float = 0.0
    """From submission to end; 0 before."""


class BatchRecord(Protocol):
    """One batch as a ledger remembers it."""

    @property
    def key(self) -> str:
        """Ours; the provider can be asked for it."""
        ...

    @property
    def id(self) -> str | None:
        """The provider's; None: it is not known whether it was submitted."""
        ...

    @property
    def created_utc(self) -> datetime:
        """Before it was submitted."""
        ...

    @property
    def n_calls(self) -> int:
        """Calls in it."""
        ...

    @property
    def calls(self) -> Mapping[int, Mapping[int, str]]:
        """Of those that may still be wanted: position -> sample index -> completion key."""
        ...


class Ledger(Protocol):
    """Remembers through any kill which batch holds which completion; ``store.batches`` is one."""

    def intend(
        self, key: str, *, provider: str, backend: str, calls: Sequence[Mapping[int, str]]
    ) -> BatchRecord:
        """Before a batch is submitted."""
        ...

    def submitted(self, key: str, id_: str) -> BatchRecord:
        """After it was; the batch with its id."""
        ...

    def collected(self, key: str) -> None:
        """After all its results were read."""
        ...

    def drop(self, key: str, completions: Iterable[str]) -> None:
        """What a batch did not bring."""
        ...

    def forget(self, key: str) -> None:
        """A batch that never came to be."""
        ...

    def holding(self, completions: Iterable[str]) -> Sequence[BatchRecord]:
        """The batches that hold any of these, latest first."""
        ...

    def ids(self, provider: str) -> frozenset[str]:
        """Every id at a provider that is accounted for."""
        ...


class BatchSource(Protocol):
    """What a batch needs of the hosted backend whose calls it makes."""

    @property
    def info(self) -> BackendInfo:
        """As ``protocols.Backend``."""
        ...

    def read_fault(self, fault: Exception) -> Fault | None:
        """As ``Hosted``."""
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
        """How many samples one call of this request may bring, at least 1."""
        ...

    def body(self, request: Request) -> Mapping[str, Any]:
        """What a plain call of this request would send."""
        ...

    def read(self, answer: object, request: Request) -> tuple[Completion, ...]:
        """What a plain call with this answer would give.

        Raises:
            Malformed: it is no answer.
        """
        ...

    async def submit(self, key: str, bodies: Mapping[str, Mapping[str, Any]]) -> str:
        """Start a batch of calls (custom id -> body); its id."""
        ...

    async def find(self, batch: BatchRecord, known: frozenset[str]) -> str | None:
        """The id of a batch that may or may not have been submitted; ``known``: not these."""
        ...

    async def progress(self, id_: str) -> BatchProgress:
        """How far it is."""
        ...

    async def results(self, id_: str, take: ResultSink) -> None:
        """Read the results of an ended batch, one by one."""
        ...


# Who waits for which completion, and how what is wanted is packed into batches.


_ENVELOPE_BYTES = 200  # around each call in a batch: its name, method, address


@dataclass(slots=True, kw_only=True, eq=False)
class PendingSample:
    """One sample of a request that somebody waits for."""

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
    wanted: Iterable[PendingSample], provider: BatchProvider
) -> Iterator[BatchPayload]:
    """Parcels within the provider's limits, in the order in which the calls were asked for."""
    by_content: dict[str, list[PendingSample]] = {}
    for one in wanted:
        by_content.setdefault(one.content, []).append(one)
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


def _make_calls(wanted: list[PendingSample], provider: BatchProvider) -> Iterator[BatchCall]:
    keys = {one.sample: one.completion for one in wanted}
    samples = sorted(keys)
    size = provider.n_at_once(replace(wanted[0].request, samples=tuple(samples)))
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        yield BatchCall(
            request=replace(wanted[0].request, samples=tuple(part)),
            completions={sample: keys[sample] for sample in part},
        )


# JSON Lines as they come in, one object at a time.


async def read_json_lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The objects of a file; a line ends at a newline and nowhere else.

    Raises:
        Malformed: a line is not a JSON object.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, lines):
            yield read_object(line)
    if rest:
        yield read_object(rest)
