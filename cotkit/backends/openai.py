"""OpenAI's models: ``--model openai/gpt-5.4-mini``; the key comes from ``OPENAI_API_KEY``."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cotkit.backends._hosted import keys
from cotkit.backends._hosted.base import Hosted, OnParts
from cotkit.backends._openai.setup import make_setup
from cotkit.types import BackendInfo, Completion, Request

if TYPE_CHECKING:
    from cotkit.backends._hosted.policy import Fault
    from cotkit.backends._openai.wire import Wire

_DEFAULT_URL = "https://api.openai.com/v1"


@dataclass(kw_only=True)
class Openai(Hosted):
    """``openai/MODEL``; for other servers of the same protocol see ``openai-api``.

    Raises:
        ValueError: an argument does not fit.
        UsageError: the address is none, or holds a secret.
    """

    base_url: str | None = None
    """Address of the API; None: ``OPENAI_BASE_URL``, or OpenAI's own."""
    api: str = "auto"
    """``chat``, ``completions`` (raw text) or ``responses``; auto: chat where the model has it."""
    reasoning_effort: str | None = None
    """``none`` .. ``max``; None: the model's own habit."""
    without: str = ""
    """Parameters never to be sent, as ``stop+seed``: for what the table of rules does not know."""
    logprobs: bool = True
    """Whether options may be scored by log-probabilities."""

    def __post_init__(self) -> None:
        """Check what can be checked without a server."""
        super().__post_init__()
        url = self.base_url
        address = keys.check_url("base_url", url) if url else keys.read_base_url("OPENAI_BASE_URL")
        self._setup = make_setup(
            backend="openai",
            shown=self.model,
            model=self.model,
            base_url=address or _DEFAULT_URL,
            key_variable="OPENAI_API_KEY",
            needs_key=True,
            api=self.api,
            reasoning_effort=self.reasoning_effort,
            without=self.without,
            logprobs=self.logprobs,
        )

    @functools.cached_property
    def info(self) -> BackendInfo:
        """Identity: the model's name is all that OpenAI tells of its weights."""
        return self._setup.info(self.max_connections)

    @functools.cached_property
    def wire(self) -> Wire:
        """The way to the server; made by the first call."""
        from cotkit.backends._openai.wire import Wire

        return Wire(self._setup, self.notify)

    async def generate_each(self, request: Request, keep: OnParts) -> tuple[Completion, ...]:
        """As the base; what one call cannot hold is asked side by side."""
        ask = functools.partial(super().generate_each, keep=keep)
        return await self.wire.generate(request, ask)

    async def send(self, request: Request) -> tuple[Completion, ...]:
        """One call."""
        return await self.wire.send(request)

    async def loglikelihood(self, request: Request) -> tuple[Completion, ...]:
        """Score options; see :class:`cotkit.protocols.LikelihoodBackend`."""
        return await self.wire.loglikelihood(request, self.caller)

    def read_fault(self, fault: Exception) -> Fault | None:
        """What an exception of the SDK means."""
        return self.wire.read_fault(fault)

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self.wire.client.close()
