"""The SDK's client: opened at the first call, for one event loop, closed when the run is over."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from typing import TYPE_CHECKING, Any

from cotkit.backends._hosted import keys
from cotkit.backends._hosted.policy import Malformed
from cotkit.backends._openai.setup import Body, Setup
from cotkit.errors import MissingDependencyError

if TYPE_CHECKING:
    from openai import AsyncOpenAI, Omit


class Client:
    """One server's connections. Neither tries again nor times out: the policy does both."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._sdk: AsyncOpenAI | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._headers: dict[str, str | Omit] = {}

    def open(self) -> AsyncOpenAI:
        """The SDK's client for the running event loop. The first time takes a second: imports.

        Raises:
            AccessError: the server needs a key and there is none.
            MissingDependencyError: the SDK or its transport is not installed.
        """
        loop = asyncio.get_running_loop()
        if self._sdk is None or self._loop is not loop:
            self._sdk, self._headers = _open(self._setup)
            self._loop = loop
        return self._sdk

    async def post(self, path: str, body: Body) -> Body:
        """One call; the SDK's models of answers are left out: servers bend them, and they are slow.

        Raises:
            Malformed: what came back with status 200 is not a JSON object.
            openai.APIError: every other fault.
        """
        sdk = self.open()
        raw = await sdk.post(path, cast_to=bytes, body=body, options={"headers": self._headers})
        try:
            answer: Any = json.loads(raw)
        except ValueError as broken:
            raise Malformed(f"not JSON: {broken}") from broken
        if not isinstance(answer, dict):
            raise Malformed(f"not an object but {type(answer).__name__}")
        return answer

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        sdk, self._sdk = self._sdk, None
        if sdk is not None:
            await sdk.close()


def _open(setup: Setup) -> tuple[AsyncOpenAI, dict[str, str | Omit]]:
    """A client, and the headers of each call: without a key the SDK wants its header taken out."""
    key = keys.api_key(setup.key_variable, required=setup.needs_key)
    for package in ("openai", "aiohttp"):
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(package, "openai")
    from openai import AsyncOpenAI, DefaultAioHttpClient, Omit

    sdk = AsyncOpenAI(
        api_key=key or "none",  # never sent
        base_url=setup.base_url,
        max_retries=0,
        timeout=None,
        http_client=DefaultAioHttpClient(),
    )
    return sdk, {} if key else {"Authorization": Omit()}
