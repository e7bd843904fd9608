"""Which backends have a batch API, and the backend that uses it: what ``--batch`` calls."""

from __future__ import annotations

from cotkit.backends._anthropic.batch import AnthropicBatches
from cotkit.backends._batch.api import Ledger
from cotkit.backends._batch.batched import BatchedBackend
from cotkit.backends._openai.batch import OpenaiBatches
from cotkit.backends.anthropic import Anthropic
from cotkit.backends.openai import Openai
from cotkit.errors import UsageError
from cotkit.protocols import Backend


def make_batched(backend: Backend, ledger: Ledger, *, poll_s: float = 10.0) -> BatchedBackend:
    """Wrap a backend so that its calls go through its provider's batch API.

    Raises:
        UsageError: it has none, or ``poll_s`` is not above 0.
    """
    if poll_s <= 0:
        raise UsageError(f"polls every {poll_s:g} s: must be above 0")
    if isinstance(backend, Openai):
        provider = OpenaiBatches(backend.wire)
    elif isinstance(backend, Anthropic):
        provider = AnthropicBatches(backend)
    else:
        name = backend.info.backend
        raise UsageError(f"{name} has no batch API", hint="--batch is for openai/ and anthropic/")
    return BatchedBackend(
        backend=backend,
        provider=provider,
        ledger=ledger,
        poll_s=poll_s,
        notify=backend.notify,
    )
