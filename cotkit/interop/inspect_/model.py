"""A model of Inspect as a backend; our solvers ask it by the same call."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cotkit.errors import BackendError
from cotkit.identity import request_key, sample_seed
from cotkit.interop.inspect_.logs import STOP_REASONS
from cotkit.types import BackendInfo, Completion, Message, Request

_SEED_BITS = 0x7FFFFFFF  # what every provider takes


@dataclass(kw_only=True)
class InspectModel:
    """``inspect_ai.model.get_model(...)`` as a backend: ``cotkit.compare(model, ...)``.

    Nothing about it tells for certain which weights answer (``mockllm`` has none), so completions
    are reused by a later run only under an ``identity`` that its owner vouches for.
    """

    model: Any
    """An ``inspect_ai.model.Model``; it is left open, and it retries by its own rules."""
    identity: str = field(default_factory=lambda: f"once-{uuid.uuid4().hex}")
    """Names model and version; unique to this object unless given."""

    @property
    def info(self) -> BackendInfo:
        """Describe the model, named as Inspect names it."""
        base_url = getattr(self.model.api, "base_url", None)
        settings = {"config": self.model.config.model_dump_json(exclude_none=True)}
        return BackendInfo(
            backend="inspect",
            model=str(self.model),
            fingerprint=self.identity,
            settings=settings | ({"base_url": str(base_url)} if base_url else {}),
            capabilities=frozenset({"generate", "chat", "sampling"}),
            max_concurrency=self.model.api.max_connections(),
        )

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        """Make one call for each sample.

        Raises:
            BackendError: no choice came back; what the provider raises is raised.
        """
        from inspect_ai.util import collect  # pyright: ignore[reportMissingImports] - optional

        completions = await collect(
            *(complete(self.model, request, sample) for sample in request.samples)
        )
        return tuple(completions)

    async def count_tokens(self, request: Request) -> int | None:  # noqa: ARG002 - the protocol's
        """Return None: Inspect only estimates tokens."""
        return None

    async def close(self) -> None:
        """Do nothing: the model belongs to the caller."""


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
