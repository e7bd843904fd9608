"""A model of Inspect as a backend; our solvers ask it by the same call."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from cotkit.backends.inspect import complete
from cotkit.types import BackendInfo, Completion, Request


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
