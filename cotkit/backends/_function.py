"""Any ``prompt -> text`` function as a model: how other eval code hands its own model in."""

from __future__ import annotations

import asyncio
import inspect
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cotkit.errors import InterruptedRunError, UsageError
from cotkit.types import BackendInfo, Completion, Request

PromptToText = Callable[[str], str] | Callable[[str], Awaitable[str]]


@dataclass(kw_only=True)
class Function:
    """A Python function that completes a raw prompt; token counts are unknown.

    Nothing about a function says which weights answer behind it, so its completions are reused by a
    later run only under an ``identity`` that its owner vouches for.
    """

    function: PromptToText
    """Called in a thread unless it is a coroutine function; must accept calls at once."""
    name: str = ""
    """How reports name it; its own name if empty."""
    max_concurrency: int = 8
    """How many calls may be under way at once."""
    identity: str = field(default_factory=lambda: f"once-{uuid.uuid4().hex}")
    """Names model and version behind the function; unique to this object unless given."""

    def __post_init__(self) -> None:
        """Check the limit.

        Raises:
            UsageError: it is below 1.
        """
        if self.max_concurrency < 1:
            raise UsageError(f"max_concurrency is {self.max_concurrency}, must be at least 1")

    @property
    def info(self) -> BackendInfo:
        """Named after the function."""
        own_name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return BackendInfo(
            backend="function",
            model=self.name or own_name,
            fingerprint=self.identity,
            max_concurrency=self.max_concurrency,
        )

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        """Call the function once for each sample; what it raises is raised.

        Raises:
            InterruptedRunError: the function raised KeyboardInterrupt.
        """
        prompt = "".join(message.content for message in request.messages)
        return tuple([await self._call(prompt) for _ in request.samples])

    async def count_tokens(self, request: Request) -> int | None:  # noqa: ARG002 - the protocol's
        """Return None: a function does not say."""
        return None

    async def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    async def _call(self, prompt: str) -> Completion:
        started = time.perf_counter()
        try:
            if inspect.iscoroutinefunction(self.function):
                text = await self.function(prompt)
            else:
                text = await asyncio.to_thread(self.function, prompt)
                if inspect.isawaitable(text):  # a callable object or lambda around a coroutine
                    text = await text
        except KeyboardInterrupt:  # raised inside a task it would tear down the event loop
            raise InterruptedRunError(f"{self.info.model} was interrupted") from None
        if not isinstance(text, str):
            raise TypeError(f"{self.info.model} returned {type(text).__name__}, expected str")
        return Completion(text=text, stop_reason="stop", seconds=time.perf_counter() - started)
