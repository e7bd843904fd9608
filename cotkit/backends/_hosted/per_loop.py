"""One client for each event loop: connections live and die with the loop that opened them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Closes(Protocol):
    """Something that holds connections."""

    async def close(self) -> None:
        """Give them back."""
        ...


T = TypeVar("T", bound=Closes)


class PerLoop(Generic[T]):
    """Opens a client at the first call in a loop; those of loops that are over are put away."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._clients: dict[asyncio.AbstractEventLoop, T] = {}

    async def open(self) -> T:
        """The client of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = self._make()
            await self._put_away()
        return self._clients[loop]

    async def close(self) -> None:
        """Close that of the running loop; the next call opens a new one."""
        mine = self._clients.pop(asyncio.get_running_loop(), None)
        if mine is not None:
            await mine.close()
        await self._put_away()

    async def _put_away(self) -> None:
        """Close those whose loop is closed, else their transport complains when it is collected."""
        for loop in [loop for loop in self._clients if loop.is_closed()]:
            await self._clients.pop(loop).close()
