"""The least that 1,319 requests can cost: raw aiohttp, and a bare loop over the SDK.

    python perf/hosted_loops.py raw|sdk URL BODIES.jsonl CONNECTIONS

Nothing is built, stored, retried or scored; each answer's text is read.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

Body = dict[str, Any]


async def raw(url: str, bodies: Iterator[Body], connections: int) -> None:
    """The floor: an HTTP client and JSON."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(body: Body) -> str:
            async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                return (await response.json())["choices"][0]["message"]["content"]

        await _all(ask, bodies, connections)


async def sdk(url: str, bodies: Iterator[Body], connections: int) -> None:
    """What the SDK adds: requests and answers as checked objects."""
    import openai

    client = openai.AsyncOpenAI(
        base_url=f"{url}/v1",
        api_key="fake",
        max_retries=0,
        http_client=openai.DefaultAioHttpClient(),
    )

    async def ask(body: Body) -> str:
        return (await client.chat.completions.create(**body)).choices[0].message.content or ""

    await _all(ask, bodies, connections)
    await client.close()


async def _all(
    ask: Callable[[Body], Awaitable[str]], bodies: Iterator[Body], connections: int
) -> None:
    async def work() -> None:
        for body in bodies:
            assert await ask(body)

    await asyncio.gather(*(work() for _ in range(connections)))


if __name__ == "__main__":
    kind, address, path, n_connections = sys.argv[1:]
    with Path(path).open(encoding="utf-8") as file:
        asyncio.run(
            {"raw": raw, "sdk": sdk}[kind](address, map(json.loads, file), int(n_connections))
        )
