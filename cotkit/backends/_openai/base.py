"""What both backends of OpenAI's protocol share: every call goes over one :class:`Wire`."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from cotkit.backends._hosted.base import Hosted, OnParts, ask_concurrently
from cotkit.backends._openai.setup import ServerSetup
from cotkit.types import BackendInfo, Completion, Decoding, Request

if TYPE_CHECKING:
    from cotkit.backends._hosted.policy import Fault
    from cotkit.backends._openai.wire import Wire


class OpenaiHosted(Hosted):
    """Base of ``openai`` and ``openai-api``."""

    _setup: ServerSetup
    """Set by the class that reads the user's fields."""

    @functools.cached_property
    def info(self) -> BackendInfo:
        """Identity: address and name are all that a server tells of its weights."""
        return self._setup.info(self.max_connections)

    def thinking_room(self, decoding: Decoding) -> int:
        """Say how much it may think; see :class:`cotkit.protocols.ThinkingBackend`."""
        return self._setup.thinking_room(decoding)

    @functools.cached_property
    def wire(self) -> Wire:
        """The connections; made by the first call."""
        from cotkit.backends._openai.wire import Wire

        return Wire(self._setup, self.notify)

    async def generate_each(self, request: Request, keep: OnParts) -> tuple[Completion, ...]:
        """Complete as the base does; what one call cannot hold is asked side by side."""
        await self.wire.client.open()  # here: the time limit of a try is not for importing the SDK
        samples, n = request.samples, self.wire.setup.n(len(request.samples))
        parts = [replace(request, samples=samples[i : i + n]) for i in range(0, len(samples), n)]
        return await ask_concurrently(parts, functools.partial(super().generate_each, keep=keep))

    async def send(self, request: Request) -> tuple[Completion, ...]:
        """Make one call."""
        return await self.wire.send(request)

    async def loglikelihood(self, request: Request) -> tuple[Completion, ...]:
        """Score options; see :class:`cotkit.protocols.LikelihoodBackend`."""
        return await self.wire.loglikelihood(request, self.caller)

    def read_fault(self, fault: Exception) -> Fault | None:
        """Return what an exception of the SDK means."""
        from cotkit.backends._openai.faults import read_fault

        return read_fault(fault, self._setup)

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self.wire.close()
