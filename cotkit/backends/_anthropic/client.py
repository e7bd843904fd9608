"""The SDK's client, and one call over it that gives back what the server wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from cotkit.backends._hosted.policy import Malformed
from cotkit.errors import MissingDependencyError

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic


def open_client(*, key: str, base_url: str) -> AsyncAnthropic:
    """A client on the aiohttp transport that neither tries again nor times out: the policy does.

    Raises:
        MissingDependencyError: the SDK or its transport is not installed.
    """
    for package in ("anthropic", "aiohttp"):
        if find_spec(package) is None:
            raise MissingDependencyError(package, "anthropic")
    from anthropic import AsyncAnthropic, DefaultAioHttpClient

    return AsyncAnthropic(
        api_key=key,
        base_url=base_url,
        max_retries=0,
        timeout=None,
        http_client=DefaultAioHttpClient(),
    )


async def post(client: AsyncAnthropic, body: Mapping[str, object]) -> Mapping[str, object]:
    """One ``POST /v1/messages``, as JSON: what comes back is checked in ``messages.read`` alone.

    Raises:
        Malformed: what came back with status 200 is not a JSON object.
        anthropic.APIError: every other fault.
    """
    raw = await client.post("/v1/messages", cast_to=bytes, body=body)
    try:
        answer = cast("object", json.loads(raw))
    except ValueError as broken:
        raise Malformed(f"not JSON: {broken}") from broken
    if not isinstance(answer, dict):
        raise Malformed(f"not an object but {type(answer).__name__}")
    return cast("dict[str, object]", answer)
