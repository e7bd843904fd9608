"""Anthropic's Message Batches API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cotkit.backends._anthropic import wire
from cotkit.backends._anthropic.faults import make_status_error
from cotkit.backends._batch.api import (
    BatchProgress,
    BatchRecord,
    ResultSink,
    Unanswered,
    read_json_lines,
)
from cotkit.types import Completion, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anthropic.resources.messages import AsyncBatches

    from cotkit.backends.anthropic import Anthropic

_CLOCK_SKEW = timedelta(minutes=10)  # between our clock and the provider's
_FAILED_RESULTS = {"expired": "expired", "canceled": "cancelled"}


class AnthropicBatches:
    """Batches of messages for one model; they have no name, so a lost one is found by its calls."""

    name = "anthropic"
    max_calls = 100_000
    max_bytes = 245_000_000  # of 256 MB: the docs do not say which kind of megabyte

    def __init__(self, backend: Anthropic) -> None:
        self._backend = backend
        self._terms = backend._terms  # noqa: SLF001 - the other half of the same adapter

    async def _batches(self) -> AsyncBatches:
        return (await self._backend.client.open()).messages.batches

    def n_at_once(self, request: Request) -> int:  # noqa: ARG002 - the protocol's
        """Return 1: the API gives one answer a call."""
        return 1

    def body(self, request: Request) -> Mapping[str, Any]:
        """Return the body of a plain call."""
        return wire.write_body(request, self._terms)

    def read(self, answer: dict[str, Any], request: Request) -> tuple[Completion, ...]:
        """Read an answer as that of a plain call."""
        body = wire.write_body(request, self._terms)
        return (wire.read_completion(answer, body),)

    async def submit(self, key: str, bodies: Mapping[str, Mapping[str, Any]]) -> str:  # noqa: ARG002 - the custom ids hold it
        """Start the calls."""
        calls: Any = [{"custom_id": name, "params": body} for name, body in bodies.items()]
        return (await (await self._batches()).create(requests=calls)).id

    async def find(self, batch: BatchRecord, accounted: frozenset[str]) -> str | None:
        """Return an ended batch with our calls in it, else the first with as many since the intent.

        The provider does not say what a running batch holds. If it is another program's, it holds
        none of our calls, and they are sent again.
        """
        candidate = None
        async for listed in (await self._batches()).list(limit=100):  # latest first
            if listed.created_at < batch.created_utc - _CLOCK_SKEW:
                break
            counts = listed.request_counts
            n_calls = sum((counts.processing, counts.succeeded, counts.errored))
            n_calls += counts.canceled + counts.expired
            if listed.id in accounted or n_calls != batch.n_calls:
                continue
            if listed.processing_status != "ended":
                candidate = listed.id
            elif await self._holds(listed.id, batch.key):
                return listed.id
        return candidate

    async def progress(self, id_: str) -> BatchProgress:
        """Return how far a batch is; finished calls are counted at its end only."""
        from anthropic import NotFoundError

        try:
            batch = await (await self._batches()).retrieve(id_)
        except NotFoundError:
            return BatchProgress(is_unknown=True)
        if batch.archived_at is not None:
            return BatchProgress(is_unknown=True)
        took = batch.ended_at - batch.created_at if batch.ended_at else timedelta()
        counts = batch.request_counts
        return BatchProgress(
            is_ended=batch.processing_status == "ended",
            n_done=counts.succeeded + counts.errored,
            seconds=took.total_seconds(),
        )

    async def results(self, id_: str, take: ResultSink) -> None:
        """Read the result of each call."""
        async for line in self._lines(id_):
            take(str(line.get("custom_id")), _message_or_error(line.get("result")))

    async def _holds(self, id_: str, key: str) -> bool:
        async for line in self._lines(id_):
            return str(line.get("custom_id")).startswith(key)
        return False

    async def _lines(self, id_: str) -> AsyncIterator[dict[str, Any]]:
        async with (await self._batches()).with_streaming_response.results(id_) as response:
            async for line in read_json_lines(response.iter_bytes()):
                yield line


def _message_or_error(result: object) -> object:
    """Return the message of an answer, or the exception that a plain call would have raised."""
    fields: Any = result if isinstance(result, dict) else {}
    if fields.get("type") == "succeeded":
        return fields.get("message")
    if fields.get("type") == "errored":
        return make_status_error(fields.get("error"))
    return Unanswered(_FAILED_RESULTS.get(str(fields.get("type")), "missing"))
