"""OpenAI's models: ``--model openai/gpt-5.4-mini``; the key comes from ``OPENAI_API_KEY``."""

from __future__ import annotations

from dataclasses import dataclass

from cotkit.backends._hosted import keys
from cotkit.backends._openai.base import OpenaiHosted
from cotkit.backends._openai.setup import make_setup

_DEFAULT_URL = "https://api.openai.com/v1"


@dataclass(kw_only=True)
class Openai(OpenaiHosted):
    """``openai/MODEL``; for other servers of the same protocol see ``openai-api``.

    Raises:
        ValueError: an argument does not fit.
        UsageError: the address is none, or holds a secret.
    """

    base_url: str | None = None
    """Address of the API; None: ``OPENAI_BASE_URL``, or OpenAI's own."""
    api: str = "auto"
    """``chat``, ``completions`` (raw text) or ``responses``; auto: chat where the model has it."""
    reasoning_effort: str | None = None
    """``none`` .. ``max``; None: the model's own habit."""
    without: str = ""
    """Parameters never to be sent, as ``stop+seed``: for what the table of rules does not know."""
    logprobs: bool = True
    """Whether options may be scored by log-probabilities."""

    def __post_init__(self) -> None:
        """Check what can be checked without a server."""
        super().__post_init__()
        address = keys.choose_address(
            self.base_url,
            "OPENAI_BASE_URL",
            secrets=("OPENAI_API_KEY", "OPENAI_CUSTOM_HEADERS"),
            trusted=self.trusted_addresses,
        )
        self._setup = make_setup(
            backend="openai",
            label=self.model,
            model=self.model,
            base_url=address or _DEFAULT_URL,
            key_variable="OPENAI_API_KEY",
            needs_key=True,
            api=self.api,
            reasoning_effort=self.reasoning_effort,
            without=self.without,
            logprobs=self.logprobs,
        )
