"""Any provider of Inspect: ``--model inspect/PROVIDER/MODEL``, where inspect-ai is installed."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from cotkit.backends._hosted.base import Hosted, OnParts, ask_concurrently
from cotkit.backends._hosted.keys import check_url
from cotkit.errors import AccessError, BackendError, MissingDependencyError, TransientError
from cotkit.identity import request_key, sample_seed
from cotkit.types import BackendInfo, Completion, Message, Request, StopReason

if TYPE_CHECKING:
    from cotkit.backends._hosted.policy import Fault

STOP_REASONS: Mapping[str, StopReason] = {
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "refusal",
}
"""Inspect's words for the end of a text that are not ours; others are ``stop``."""

_SEED_BITS = 0x7FFFFFFF  # what every provider takes


@dataclass(kw_only=True)
class Inspect(Hosted):
    """``inspect/PROVIDER/MODEL``; keys and addresses are Inspect's, in its own variables."""

    base_url: str | None = None
    """Address, where the provider's own is not meant."""

    def __post_init__(self) -> None:
        """Check the limits, and the address.

        Raises:
            UsageError: it is none, or holds a secret.
        """
        super().__post_init__()
        self.base_url = check_url("base_url", self.base_url) if self.base_url else None

    @functools.cached_property
    def info(self) -> BackendInfo:
        """Identity: the name that Inspect knows it by."""
        return BackendInfo(
            backend="inspect",
            model=self.model,
            fingerprint=f"inspect/{self.model}",
            settings={"api": "inspect", "base_url": self.base_url or "inspect"},
            capabilities=frozenset({"generate", "chat", "sampling"}),
            max_concurrency=self.max_connections * 2,
        )

    @functools.cached_property
    def inner(self) -> Any:  # noqa: ANN401 - Inspect's class, not imported here
        """The model of Inspect, made at the first call.

        Raises:
            MissingDependencyError: Inspect is not installed.
            AccessError: it cannot make the model: its package or key is missing.
        """
        if find_spec("inspect_ai") is None:
            raise MissingDependencyError("inspect-ai", "inspect")
        from inspect_ai.model import (  # pyright: ignore[reportMissingImports] - optional
            GenerateConfig,
            get_model,
        )

        config = GenerateConfig(max_retries=0, max_connections=self.max_connections)
        try:
            return get_model(self.model, config=config, base_url=self.base_url, memoize=False)
        except Exception as refused:
            words = " ".join(str(refused).split()) or type(refused).__name__
            raise AccessError(f"Inspect cannot make {self.model}: {words}") from refused

    async def generate_each(self, request: Request, keep: OnParts) -> tuple[Completion, ...]:
        """Complete as the base does, all samples side by side."""
        _ = self.inner  # here: the time limit of a try is not for importing Inspect
        alone = [replace(request, samples=(sample,)) for sample in request.samples]
        return await ask_concurrently(alone, functools.partial(super().generate_each, keep=keep))

    async def send(self, request: Request) -> tuple[Completion, ...]:
        """Make one call, for the first of ``request.samples``."""
        return (await complete(self.inner, request, request.samples[0]),)

    def read_fault(self, fault: Exception) -> Fault | None:
        """Return what an exception of a provider's package means, by its status if it has one."""
        from cotkit.backends._hosted.faults import may_pass, server_sentence, status_fault
        from cotkit.backends._hosted.policy import Fault

        if isinstance(fault, BackendError):
            return Fault(status="malformed", error=TransientError(str(fault)))
        if (last := getattr(fault, "last_attempt", None)) is not None:  # of Inspect's own tries
            fault = last.exception() or fault
        status = getattr(fault, "status_code", getattr(fault, "code", None))
        message = getattr(fault, "message", None)
        sentence = server_sentence(message if isinstance(message, str) else str(fault))
        sentence = sentence or type(fault).__name__
        words = f"inspect/{self.model}: {sentence}"
        if not isinstance(status, int):
            return Fault(status="reset", error=TransientError(words))
        if status in {401, 402, 403}:
            return status_fault(status, AccessError(words), None)
        error = TransientError(words) if may_pass(status) else BackendError(words)
        error.is_permanent = not error.retryable
        return status_fault(status, error, None)

    async def close(self) -> None:
        """Close the provider's connections; a later call opens new ones."""
        if "inner" in self.__dict__:
            await self.inner.api.aclose()
            del self.inner


async def complete(
    model: Any,  # noqa: ANN401 - Inspect's class, not imported here
    request: Request,
    sample: int,
) -> Completion:
    """Make one completion, not yet cut at ``stop_after``, which no provider knows.

    Raises:
        BackendError: no choice came back.
    """
    from inspect_ai.model import GenerateConfig  # pyright: ignore[reportMissingImports] - optional

    decoding = request.decoding
    is_sampled = decoding.temperature > 0
    seed = sample_seed(decoding, request_key(request), sample) & _SEED_BITS
    output = await model.generate(
        chat_messages(request.messages),
        config=GenerateConfig(
            max_tokens=decoding.max_tokens,
            temperature=decoding.temperature,
            top_p=decoding.top_p if decoding.top_p < 1 else None,
            top_k=decoding.top_k or None,
            stop_seqs=list(decoding.stop) or None,
            seed=seed if is_sampled else None,
        ),
    )
    if output.empty or (output.error and output.stop_reason != "content_filter"):
        raise BackendError(f"{model}: {output.error or 'no choice came back'}")
    parts = output.message.content
    thoughts = [part.reasoning for part in parts if getattr(part, "type", "") == "reasoning"]
    usage = output.usage
    cached = (usage and usage.input_tokens_cache_read) or 0
    stored = (usage and usage.input_tokens_cache_write) or 0
    return Completion(
        text=output.message.text,
        stop_reason=STOP_REASONS.get(output.stop_reason, "stop"),
        n_prompt_tokens=usage.input_tokens + cached + stored if usage else None,
        n_shared_tokens=cached,
        n_cache_write_tokens=stored,
        n_generated_tokens=usage.output_tokens if usage else None,
        n_reasoning_tokens=usage.reasoning_tokens if usage else None,
        reasoning="\n".join(thoughts) or None,
        seconds=output.time or 0.0,
        served_by=output.model or None,
        cut="answer" if output.stop_reason == "model_length" else None,
    )


def chat_messages(messages: Sequence[Message]) -> list[Any]:
    """Convert messages to Inspect's classes, stripped and without empty ones, as in a chat."""
    from inspect_ai import model  # pyright: ignore[reportMissingImports] - optional

    kinds = {
        "system": model.ChatMessageSystem,
        "user": model.ChatMessageUser,
        "assistant": model.ChatMessageAssistant,
    }
    return [
        kinds[message.role](content=text)
        for message in messages
        if (text := message.content.strip())
    ]
