"""Any server that speaks OpenAI's protocol: ``--model openai-api/SERVICE/MODEL``.

``SERVICE_BASE_URL`` says where it is, ``SERVICE_API_KEY`` holds its key if it wants one: hyphens
become underscores, ``openai-api/my-vllm/Qwen/Qwen3-8B`` reads ``MY_VLLM_BASE_URL``. On the command
line: ``--model-args base_url=http://127.0.0.1:8000/v1``.
"""

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


@dataclass(kw_only=True)
class OpenaiApi(Hosted):
    """vLLM, SGLang, Ollama, llama.cpp, LM Studio, ``transformers serve``, and hosted services.

    Raises:
        ValueError: an argument does not fit, or nothing says where the server is.
        UsageError: the address is none, or holds a secret.
    """

    model: str
    """``SERVICE/MODEL``: a name for the server, then the model as the server names it."""
    base_url: str | None = None
    """Address up to and with ``/v1``; None: ``SERVICE_BASE_URL``."""
    api: str = "auto"
    """``chat``, ``completions`` (raw text) or ``responses``; auto: chat."""
    continues: bool = False
    """Whether the server goes on with a reply that a strategy began (vLLM, SGLang do)."""
    reasoning_effort: str | None = None
    """``none`` .. ``max``; None: the model's own habit."""
    without: str = ""
    """Parameters never to be sent, as ``stop+seed``: for what the server does not take."""
    logprobs: bool = True
    """Whether options may be scored by log-probabilities."""

    def __post_init__(self) -> None:
        """Check what can be checked without a server."""
        super().__post_init__()
        service, _, model = self.model.partition("/")
        if not service or not model:
            raise ValueError("write --model openai-api/SERVICE/MODEL")
        prefix = service.replace("-", "_").upper()
        url = self.base_url
        where = f"{prefix}_BASE_URL"
        address = keys.check_url("base_url", url) if url else keys.read_base_url(where)
        if address is None:
            raise ValueError(f"where is {service}? give --model-args base_url=..., or set {where}")
        self._setup = make_setup(
            backend="openai-api",
            shown=self.model,
            model=model,
            base_url=address,
            key_variable=f"{prefix}_API_KEY",
            needs_key=False,
            api=self.api,
            reasoning_effort=self.reasoning_effort,
            without=self.without,
            logprobs=self.logprobs,
            continues=self.continues,
        )

    @functools.cached_property
    def info(self) -> BackendInfo:
        """Identity: address and name are all that such a server tells of its weights."""
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
