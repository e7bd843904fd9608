"""Any provider of litellm: ``--model litellm/PROVIDER/MODEL``, where litellm is installed."""

from __future__ import annotations

import functools
import importlib
import os
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from cotkit.backends._hosted.base import Hosted, OnParts, ask_concurrently
from cotkit.backends._hosted.keys import check_url
from cotkit.backends._openai.protocol import INTERFACES
from cotkit.backends._openai.setup import make_setup, read_extra_body
from cotkit.errors import MissingDependencyError
from cotkit.types import BackendInfo, Completion, Decoding, Request

if TYPE_CHECKING:
    from cotkit.backends._hosted.policy import Fault


@dataclass(kw_only=True)
class Litellm(Hosted):
    """``litellm/PROVIDER/MODEL``; keys and addresses are litellm's, in its environment variables.

    Raises:
        ValueError: an argument does not fit.
        UsageError: ``extra_body`` is no JSON object, or holds a key.
    """

    base_url: str | None = None
    """Address, where litellm's own is not meant."""
    without: str = ""
    """Parameters never to be sent, as ``stop+seed``: for what the provider does not take."""
    extra_body: str | None = None
    """A JSON object of further parameters, which go with every request and into the identity."""

    def __post_init__(self) -> None:
        """Check what can be checked without litellm."""
        super().__post_init__()
        self._setup = make_setup(
            backend="litellm",
            label=self.model,
            model=self.model,
            base_url=check_url("base_url", self.base_url) if self.base_url else "litellm",
            key_variable=f"the key of {self.model.partition('/')[0]}",
            needs_key=False,
            api="chat",
            reasoning_effort=None,
            without=self.without,
            logprobs=False,
            extra_body=read_extra_body(self.extra_body),
        )

    @functools.cached_property
    def info(self) -> BackendInfo:
        """Identity: the name that litellm knows it by."""
        return self._setup.info(self.max_connections)

    def thinking_room(self, decoding: Decoding) -> int:
        """Say how much it may think; see :class:`cotkit.protocols.ThinkingBackend`."""
        return self._setup.thinking_room(decoding)

    async def generate_each(self, request: Request, keep: OnParts) -> tuple[Completion, ...]:
        """Complete as the base does, all samples side by side: few providers take ``n``."""
        load_litellm()  # here: the time limit of a try is not for importing it
        alone = [replace(request, samples=(sample,)) for sample in request.samples]
        return await ask_concurrently(alone, functools.partial(super().generate_each, keep=keep))

    async def send(self, request: Request) -> tuple[Completion, ...]:
        """Make one call, for the first of ``request.samples``."""
        body = INTERFACES["chat"].write_body(self._setup, request) | {**self._setup.extra_body}
        address = {} if self.base_url is None else {"api_base": self.base_url}
        answer = await load_litellm().acompletion(**body, **address, num_retries=0)
        return INTERFACES["chat"].read_completions(answer.model_dump(), body)

    def read_fault(self, fault: Exception) -> Fault | None:
        """Return what an exception of litellm means; they are those of OpenAI's SDK."""
        from cotkit.backends._openai.faults import read_fault

        return read_fault(fault, self._setup)

    async def close(self) -> None:
        """Do nothing: litellm keeps its connections."""


@functools.cache
def load_litellm() -> Any:  # noqa: ANN401 - an optional module
    """Import litellm; it fetches nothing at import and prints no help of its own.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if find_spec("litellm") is None:
        raise MissingDependencyError("litellm", "litellm")
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")  # else it takes addresses from any .env
    module: Any = importlib.import_module("litellm")
    module.telemetry = False
    module.suppress_debug_info = True
    return module
