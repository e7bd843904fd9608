"""The SDK's client: opened at the first call, for one event loop, closed when the run is over."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from cotkit.backends._hosted import keys
from cotkit.backends._hosted.per_loop import PerLoop
from cotkit.backends._hosted.reading import read_object
from cotkit.backends._openai.faults import error_in
from cotkit.backends._openai.setup import Body, Setup
from cotkit.errors import MissingDependencyError

if TYPE_CHECKING:
    from openai import AsyncOpenAI, Omit


class Client:
    """One server's connections. Neither tries again nor times out: the policy does both."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._sdks = PerLoop(self._open)
        self._headers: dict[str, str | Omit] = {}

    async def open(self) -> AsyncOpenAI:
        """The SDK's client for the running event loop. The first time takes a second: imports.

        Raises:
            AccessError: the server needs a key and there is none.
            MissingDependencyError: the SDK or its transport is not installed.
        """
        return await self._sdks.open()

    async def post(self, path: str, body: Body) -> Body:
        """One call; the SDK's models of answers are left out: servers bend them, and they are slow.

        Raises:
            Malformed: what came back with status 200 is not a JSON object.
            openai.APIError: every other fault; an error that came with status 200, too.
        """
        sdk = await self.open()
        raw = await sdk.post(path, cast_to=bytes, body=body, options={"headers": self._headers})
        answer = read_object(raw)
        if answer.get("error") and not answer.get("choices") and "output" not in answer:
            raise error_in(answer["error"])
        return answer

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._sdks.close()

    def _open(self) -> AsyncOpenAI:
        key = keys.api_key(self._setup.key_variable, required=self._setup.needs_key)
        for package in ("openai", "aiohttp"):
            if importlib.util.find_spec(package) is None:
                raise MissingDependencyError(package, "openai")
        from openai import AsyncOpenAI, DefaultAioHttpClient

        self._headers = {} if self._setup.backend == "openai" else _foreign_headers(key)
        return AsyncOpenAI(
            api_key=key or "none",  # never sent
            base_url=self._setup.base_url,
            max_retries=0,
            timeout=None,
            http_client=DefaultAioHttpClient(),
        )


def _foreign_headers(key: str | None) -> dict[str, str | Omit]:
    """Of each call to a server that is not OpenAI: what the SDK adds for OpenAI is taken out."""
    from openai import Omit

    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    names = [line.partition(":")[0].strip().lower() for line in lines if ":" in line]
    headers: dict[str, str | Omit] = {
        name: Omit() for name in ("openai-organization", "openai-project", *names)
    }
    return headers | {"authorization": f"Bearer {key}" if key else Omit()}
