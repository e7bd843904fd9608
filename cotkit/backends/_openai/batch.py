"""OpenAI's Batch API: a file of calls goes up, a file of answers comes down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cotkit.backends._batch.api import (
    BatchProgress,
    BatchRecord,
    ResultSink,
    Unanswered,
    read_json_lines,
)
from cotkit.backends._hosted.keys import scrub
from cotkit.backends._openai.faults import make_status_error
from cotkit.backends._openai.protocol import INTERFACES
from cotkit.backends._openai.setup import Body
from cotkit.errors import BackendError
from cotkit.types import Completion, Request

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types import Batch as SdkBatch

    from cotkit.backends._openai.wire import Wire

_METADATA_KEY = "cotkit"  # the key of our batches' metadata
_FAILED_RESULTS = {"batch_expired": "expired", "batch_cancelled": "cancelled"}


class OpenaiBatches:
    """Batches of the calls that one :class:`Wire` makes."""

    name = "openai"
    max_calls = 50_000
    max_bytes = 190_000_000  # of 200 MB: the docs do not say which kind of megabyte

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._interface = INTERFACES[wire.setup.api]

    def n_at_once(self, request: Request) -> int:
        """Return how many samples one call may bring."""
        return self._wire.setup.n(len(request.samples))

    def body(self, request: Request) -> Mapping[str, Any]:
        """Return the body of a plain call."""
        return self._interface.write_body(self._wire.setup, request)

    def read(self, answer: dict[str, Any], request: Request) -> tuple[Completion, ...]:
        """Read an answer as that of a plain call."""
        return self._interface.read_completions(
            answer, self._interface.write_body(self._wire.setup, request)
        )

    async def submit(self, key: str, bodies: Mapping[str, Mapping[str, Any]]) -> str:
        """Upload the calls and start them; the batch carries ``key`` in its metadata."""
        from openai import NotFoundError

        sdk = await self._sdk()
        url = f"/v1{self._interface.path}"
        calls = b"".join(
            json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body}).encode()
            + b"\n"
            for name, body in bodies.items()
        )
        try:
            file = await sdk.files.create(file=(f"{key}.jsonl", calls), purpose="batch")
            batch = await sdk.batches.create(
                completion_window="24h",
                endpoint=url,  # pyright: ignore[reportArgumentType] - one of the three it lists
                input_file_id=file.id,
                metadata={_METADATA_KEY: key},
            )
        except NotFoundError as missing:
            address = self._wire.setup.base_url
            raise BackendError(
                f"{address} has no batch API", hint="go without --batch"
            ) from missing
        return batch.id

    async def find(self, batch: BatchRecord, accounted: frozenset[str]) -> str | None:  # noqa: ARG002 - metadata tells more
        """Return the id of the batch that carries our key; the order of the list is unknown."""
        async for listed in (await self._sdk()).batches.list(limit=100):
            if (listed.metadata or {}).get(_METADATA_KEY) == batch.key:
                return listed.id
        return None

    async def progress(self, id_: str) -> BatchProgress:
        """Return how far a batch is."""
        from openai import NotFoundError

        try:
            batch = await (await self._sdk()).batches.retrieve(id_)
        except NotFoundError:
            return BatchProgress(is_unknown=True)
        counts = batch.request_counts
        ended_at = batch.completed_at or batch.expired_at or batch.cancelled_at
        return BatchProgress(
            is_ended=batch.status in {"completed", "expired", "cancelled"},
            n_done=counts.completed + counts.failed if counts else 0,
            failure=_rejection_reason(batch) if batch.status == "failed" else None,
            missing_status=batch.status if batch.status in {"expired", "cancelled"} else "missing",
            seconds=float(ended_at - batch.created_at) if ended_at else 0.0,
        )

    async def results(self, id_: str, take: ResultSink) -> None:
        """Read both files: answers, and calls without one."""
        sdk = await self._sdk()
        batch = await sdk.batches.retrieve(id_)
        for file in filter(None, (batch.output_file_id, batch.error_file_id)):
            async with sdk.files.with_streaming_response.content(file) as response:
                async for line in read_json_lines(response.iter_bytes()):
                    take(str(line.get("custom_id")), _body_or_error(line))

    async def _sdk(self) -> AsyncOpenAI:
        return await self._wire.client.open()


def _rejection_reason(batch: SdkBatch) -> str:
    """Return the first sentence of OpenAI on a batch that it did not accept."""
    messages = [
        error.message for error in (batch.errors and batch.errors.data) or () if error.message
    ]
    return scrub(messages[0].splitlines()[0]) if messages else "it does not say why"


def _body_or_error(line: Body) -> object:
    """Return the body of an answer, or the exception that a plain call would have raised."""
    response: Any = line.get("response")
    if not isinstance(response, dict):
        error: Any = line.get("error")
        code = str(error.get("code")) if isinstance(error, dict) else "missing"
        return Unanswered(_FAILED_RESULTS.get(code, code))
    status, body = response.get("status_code"), response.get("body")
    if status == 200:
        return body
    return make_status_error(
        body.get("error", body) if isinstance(body, dict) else body, int(status or 500)
    )
