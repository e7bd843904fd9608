"""Claude models over Anthropic's Messages API: ``--model anthropic/claude-haiku-5-5``."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cotkit.backends._anthropic import faults, wire
from cotkit.backends._anthropic.wire import AnthropicClient
from cotkit.backends._hosted import keys
from cotkit.backends._hosted.base import Hosted, OnParts, ask_concurrently
from cotkit.backends._hosted.parameters import (
    ParameterRule,
    describe_changes,
    load_forms,
    rule_for,
)
from cotkit.errors import UsageError
from cotkit.types import BackendInfo, Completion, Decoding, Request

if TYPE_CHECKING:
    from cotkit.backends._hosted.policy import Fault

_DEFAULT_URL = "https://api.anthropic.com"
_MIN_BUDGET = 1024  # tokens; the API takes no less


@dataclass(kw_only=True)
class Anthropic(Hosted):
    """``anthropic/MODEL``; ``ANTHROPIC_API_KEY`` is read from the environment or ``.env``."""

    base_url: str | None = None
    """Address of the API; None: ``ANTHROPIC_BASE_URL``, or Anthropic's own."""
    thinking: str | None = None
    """``off``, ``auto`` (the model decides) or a budget in tokens; None: off where that is known
    to be possible, so that the prompt alone asks for reasoning. ``--thinking`` is for every model;
    this one is kept for commands that have it."""
    effort: str | None = None
    """``low`` .. ``max``, where the model takes it; None: its own habit."""
    without: str = ""
    """Parameters never to be sent, as ``temperature+stop``: for what the table does not know."""
    cache: bool = True
    """Mark prefixes that repeat (exemplars, earlier turns) for the provider's cache."""

    def __post_init__(self) -> None:
        """Check what can be checked without a server.

        Raises:
            ValueError: a field holds something that no model takes.
            UsageError: the address is none, or holds a secret.
        """
        super().__post_init__()
        address = keys.choose_address(
            self.base_url,
            "ANTHROPIC_BASE_URL",
            secrets=("ANTHROPIC_API_KEY", "ANTHROPIC_CUSTOM_HEADERS"),
            trusted=self.trusted_addresses,
        )
        self._url = address or _DEFAULT_URL
        rule = rule_for(f"anthropic/{self.model}", without=self.without)
        thinking = _thinking_parameter(self.thinking, rule)
        if thinking is not None and thinking["type"] in wire.THINKING:
            rule = rule_for(f"anthropic/{self.model}", effort="any", without=self.without)
        self._terms = wire.RequestTerms(
            model=self.model, rule=rule, thinking=thinking, effort=self.effort, caches=self.cache
        )

    def thinking_room(self, decoding: Decoding) -> int:
        """Say how much it may think; see :class:`cotkit.protocols.ThinkingBackend`."""
        if decoding.thinking is not None and (self.thinking or self.effort):
            raise UsageError(
                f"thinking={decoding.thinking} and --model-args for thinking or effort",
                hint="leave the --model-args out",
            )
        return wire.thinking_room(self._terms, decoding)

    @functools.cached_property
    def info(self) -> BackendInfo:
        """Identity: the model's name is all that Anthropic tells of its weights."""
        terms = self._terms
        options = {**(terms.thinking or {}), **({"effort": self.effort} if self.effort else {})}
        parameters = [
            describe_changes(terms.rule),
            *(f"{key}={value}" for key, value in options.items()),
        ]
        settings = {"api": "messages", "base_url": self._url}
        if changed := ",".join(filter(None, parameters)):
            settings["parameters"] = changed
        return BackendInfo(
            backend="anthropic",
            model=self.model,
            fingerprint=f"anthropic/{self.model}",
            settings=settings,
            capabilities=frozenset({"generate", "chat", "sampling"}),
            max_concurrency=self.max_connections * 2,
        )

    async def generate_each(self, request: Request, keep: OnParts) -> tuple[Completion, ...]:
        """Complete as the base does, all samples side by side: the API gives one answer a call."""
        await self.client.open()  # here: the time limit of a try is not for loading the SDK
        alone = [replace(request, samples=(sample,)) for sample in request.samples]
        return await ask_concurrently(alone, functools.partial(super().generate_each, keep=keep))

    async def send(self, request: Request) -> tuple[Completion, ...]:
        """Make one call, for the first of ``request.samples``."""
        body = wire.write_body(request, self._terms)
        return (wire.read_completion(await self.client.post(body), body),)

    def read_fault(self, fault: Exception) -> Fault | None:
        """Return what an exception of the SDK means."""
        return faults.read_fault(fault, model=self.model, base_url=self._url)

    @functools.cached_property
    def client(self) -> AnthropicClient:
        """The connections; opened by the first call: planning needs neither SDK nor key."""
        return AnthropicClient(self._url, self.notify)

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self.client.close()


def _thinking_parameter(thinking: str | None, rule: ParameterRule) -> dict[str, str | int] | None:
    """Return the ``thinking`` object that a user asks for; None: nothing to send."""
    if thinking == "off" and rule.thinks == "always":
        raise ValueError("thinking=off: the model cannot be kept from thinking")
    if thinking == "auto" or (thinking is None and rule.thinks == "always"):
        return {"type": "adaptive", "display": "summarized"}  # some models omit what they thought
    if thinking is None or thinking == "off":
        return load_forms()[rule.form]["off"].get("thinking")
    if not (thinking.isascii() and thinking.isdecimal()) or int(thinking) < _MIN_BUDGET:
        raise ValueError(
            f"thinking={thinking} is neither off, auto nor a budget from {_MIN_BUDGET}"
        )
    return {"type": "enabled", "budget_tokens": int(thinking)}
