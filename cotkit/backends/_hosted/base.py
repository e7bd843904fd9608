"""What every hosted backend shares: how it is called, and what of it a user can set."""

from __future__ import annotations

import abc
import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from cotkit.errors import BackendError, ContentRefusalError
from cotkit.types import Completion, Notify, Request, Try, say_nothing

if TYPE_CHECKING:
    from cotkit.backends._hosted.policy import Caller, Fault


Ask = Callable[[Request], Awaitable[tuple[Completion, ...]]]

OnParts = Callable[[Mapping[int, Completion]], None]
"""Given completions by their sample, as soon as they are there."""


def ignore_parts(_found: Mapping[int, Completion]) -> None:
    """Do nothing with a part: the caller waits for the whole."""


@dataclass(kw_only=True)
class Hosted(abc.ABC):
    """Base of the hosted backends: :meth:`send` makes one call, and the policy makes all of them.

    None of these fields can change a completion, so none is part of its identity.
    """

    model: str
    """The model as its provider names it."""
    timeout_s: float = 120.0
    """Seconds that one try may take."""
    max_connections: int = 32
    """Most calls at once; fewer while the provider says that it is busy."""
    max_tries: int = 8
    """Tries of one call before its attempt counts as failed, at least 1."""
    requests_per_minute: float | None = None
    """Calls a minute; None: as many as the provider lets through."""
    tokens_per_minute: float | None = None
    """Prompt and generated tokens a minute, estimated before a call and settled after it."""
    hedge_after_s: float | None = None
    """Send a call a second time if it has not been answered for so long; None: never."""
    notify: Notify = field(default=say_nothing, repr=False, compare=False)
    """Called with messages for the user; the runner sets it."""
    trusted_addresses: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """Addresses that may have a key though only a file of this folder names them."""

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ValueError: one lets nothing through.
        """
        for name in ("max_connections", "max_tries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        for name in ("timeout_s", "requests_per_minute", "tokens_per_minute", "hedge_after_s"):
            if (limit := getattr(self, name)) is not None and not limit > 0:
                raise ValueError(f"{name}={limit:g}: must be above 0")

    @functools.cached_property
    def caller(self) -> Caller:
        """The policy, one for all calls of this backend."""
        from cotkit.backends._hosted.policy import Caller, Limits

        return Caller(
            Limits(
                timeout_s=self.timeout_s,
                max_connections=self.max_connections,
                max_tries=self.max_tries,
                requests_per_minute=self.requests_per_minute,
                tokens_per_minute=self.tokens_per_minute,
                hedge_after_s=self.hedge_after_s,
            ),
            self.read_fault,
        )

    @abc.abstractmethod
    async def send(self, request: Request) -> tuple[Completion, ...]:
        """Make one call; return completions for the first of ``request.samples``, at least one.

        Raises:
            Exception: whatever the SDK raises; :meth:`read_fault` says what it means.
        """

    @abc.abstractmethod
    def read_fault(self, fault: Exception) -> Fault | None:
        """Return what an exception of :meth:`send` means; None: a bug, which is raised."""

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        """Complete a request as :meth:`generate_each` does."""
        return await self.generate_each(request, ignore_parts)

    async def generate_each(self, request: Request, keep: OnParts) -> tuple[Completion, ...]:
        """Complete a request under the policy; what a server leaves out is asked again.

        ``keep`` is given every part as soon as it is there: what ends the rest early loses none.

        Raises:
            TransientError: every try failed; says how each did.
            BackendError: a fault that trying again does not mend.
        """
        return await self._complete(request, keep, tries_before=())

    async def _complete(
        self, request: Request, keep: OnParts, *, tries_before: tuple[Try, ...]
    ) -> tuple[Completion, ...]:
        """Complete a request; ``tries_before``: those that brought empty texts, if any did."""
        try:
            answer, tries = await self.caller.call(
                lambda: self.send(request), estimate_tokens(request), count_used_tokens
            )
        except ContentRefusalError as refusal:
            answer, tries = make_refusals(request, refusal.message), refusal.tries
        share = tries[-1].seconds / len(answer)
        completions = tuple(
            replace(completion, tries=(*tries_before, *tries), seconds=share)
            for completion in answer
        )
        answered = dict(zip(request.samples, completions, strict=False))
        empty = () if tries_before else [s for s, text in answered.items() if is_empty(text)]
        keep({sample: text for sample, text in answered.items() if sample not in empty})
        unanswered = request.samples[len(completions) :]
        try:
            if empty:
                again = replace(request, samples=tuple(empty))
                before = (*tries, Try(status="empty", seconds=0.0))
                texts = await self._complete(again, keep, tries_before=before)
                answered |= dict(zip(empty, texts, strict=True))
            if unanswered:
                remainder = replace(request, samples=unanswered)
                texts = await self._complete(remainder, keep, tries_before=tries_before)
                answered |= dict(zip(unanswered, texts, strict=True))
        except BackendError as failure:
            complete = {sample: text for sample, text in answered.items() if sample not in empty}
            failure.answered = complete | dict(failure.answered)
            raise
        return tuple(answered[sample] for sample in request.samples)

    async def count_tokens(self, request: Request) -> int | None:  # noqa: ARG002 - the protocol's
        """Return None: providers keep their tokenizers."""
        return None

    def status(self) -> str | None:
        """Describe what the policy is waiting for; None: nothing unusual."""
        return self.caller.status() if "caller" in self.__dict__ else None


async def ask_concurrently(parts: Sequence[Request], ask: Ask) -> tuple[Completion, ...]:
    """Ask the parts of a request at once.

    Raises:
        BackendError: the first part that failed, with what came of all of them in ``answered``.
    """
    results = await asyncio.gather(*(ask(part) for part in parts), return_exceptions=True)
    answered: dict[int, Completion] = {}
    for part, result in zip(parts, results, strict=True):
        if isinstance(result, BackendError):
            answered |= result.answered
        elif not isinstance(result, BaseException):
            answered |= zip(part.samples, result, strict=True)
    for result in results:
        if isinstance(result, BackendError):
            result.answered = answered
        if isinstance(result, BaseException):
            raise result
    return tuple(answered[sample] for part in parts for sample in part.samples)


def is_empty(completion: Completion) -> bool:
    """Return whether an answer is neither text nor a reason why there is none."""
    reason = completion.reasoning or completion.why_empty
    return completion.stop_reason == "stop" and not completion.text.strip() and not reason


def make_refusals(request: Request, sentence: str) -> tuple[Completion, ...]:
    """Return a refused completion for each sample of a prompt that a filter did not let through."""
    refused = Completion(text="", stop_reason="refusal", why_empty=f"filter: {sentence}")
    return (refused,) * len(request.samples)


def estimate_tokens(request: Request) -> int:
    """Estimate the tokens of a call: one for 4 characters, and all that it may generate."""
    prompt = sum(len(message.content) for message in request.messages) // 4
    return prompt + request.decoding.max_tokens * len(request.samples)


def count_used_tokens(answer: tuple[Completion, ...]) -> int | None:
    """Return the tokens that a call took; None where the server did not say."""
    total = 0
    for completion in answer:
        if completion.n_prompt_tokens is None or completion.n_generated_tokens is None:
            return None
        total += completion.n_prompt_tokens + completion.n_generated_tokens
    return total


# One client for each event loop: connections live and die with the loop that opened them.


class Closeable(Protocol):
    """Something that holds connections."""

    async def close(self) -> None:
        """Give them back."""
        ...


T = TypeVar("T", bound=Closeable)


class PerLoop(Generic[T]):
    """One client for each event loop, opened at the first call; closed after the loop."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._clients: dict[asyncio.AbstractEventLoop, T] = {}

    async def open(self) -> T:
        """Return the client of the running loop; open it if there is none."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = self._make()
            await self._put_away()
        return self._clients[loop]

    async def close(self) -> None:
        """Close the client of the running loop; the next call opens a new one."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()
        await self._put_away()

    async def _put_away(self) -> None:
        """Close the clients of closed loops; else their transport complains at collection."""
        for loop in [loop for loop in self._clients if loop.is_closed()]:
            await self._clients.pop(loop).close()
