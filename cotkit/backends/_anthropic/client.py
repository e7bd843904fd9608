"""The SDK's client, and one call over it that gives back what the server wrote."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from cotkit.backends._anthropic.faults import error_in
from cotkit.backends._hosted import keys
from cotkit.backends._hosted.per_loop import PerLoop
from cotkit.backends._hosted.reading import read_object
from cotkit.errors import MissingDependencyError

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic


class Client:
    """One server's connections. Neither tries again nor times out: the policy does both."""

    def __init__(self, base_url: str) -> None:
        self._url = base_url
        self._sdks = PerLoop(self._open)

    async def open(self) -> AsyncAnthropic:
        """The SDK's client for the running event loop; the first call opens it.

        Raises:
            AccessError: there is no key.
            MissingDependencyError: the SDK or its transport is not installed.
        """
        return await self._sdks.open()

    async def post(self, body: Mapping[str, object]) -> Mapping[str, object]:
        """One ``POST /v1/messages``, as JSON: its fields are checked in ``messages.read`` alone.

        Raises:
            Malformed: what came back with status 200 is not a JSON object.
            anthropic.APIError: every other fault; an error that came with status 200, too.
        """
        sdk = await self.open()
        answer = read_object(await sdk.post("/v1/messages", cast_to=bytes, body=body))
        if answer.get("error") and "content" not in answer:
            raise error_in(answer)
        return answer

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._sdks.close()

    def _open(self) -> AsyncAnthropic:
        key = keys.api_key("ANTHROPIC_API_KEY")
        for package in ("anthropic", "aiohttp"):
            if find_spec(package) is None:
                raise MissingDependencyError(package, "anthropic")
        from anthropic import AsyncAnthropic, DefaultAioHttpClient

        return AsyncAnthropic(
            api_key=key,
            base_url=self._url,
            max_retries=0,
            timeout=None,
            http_client=DefaultAioHttpClient(),
        )
