"""How much any backend's model may think; one that has no such setting is told nothing."""

from __future__ import annotations

from cotkit.errors import UsageError
from cotkit.protocols import Backend, ThinkingBackend
from cotkit.types import Decoding


def thinking_room(backend: Backend, decoding: Decoding) -> int:
    """Return how many tokens of thinking a completion may have beside its answer; 0: none.

    Raises:
        UsageError: the model cannot be told to think so.
    """
    if isinstance(backend, ThinkingBackend):
        return backend.thinking_room(decoding)
    if decoding.thinking is None and decoding.max_thinking_tokens is None:
        return 0
    info = backend.info
    raise UsageError(
        f"{info.model} cannot be told how to think: {info.backend} has no such setting",
        hint="leave thinking out",
    )
