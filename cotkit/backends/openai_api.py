"""Any server that speaks OpenAI's protocol: ``--model openai-api/SERVICE/MODEL``.

``SERVICE_BASE_URL`` says where it is, ``SERVICE_API_KEY`` holds its key if it wants one: hyphens
become underscores, ``openai-api/my-vllm/Qwen/Qwen3-8B`` reads ``MY_VLLM_BASE_URL``. On the command
line: ``--model-args base_url=http://127.0.0.1:8000/v1``. Services of ``services.toml`` need
neither: ``--model groq/MODEL``.
"""

from __future__ import annotations

from dataclasses import dataclass

from cotkit.backends._hosted import keys
from cotkit.backends._openai.base import OpenaiHosted
from cotkit.backends._openai.services import load_services, variable_prefix
from cotkit.backends._openai.setup import (
    header_variables,
    make_setup,
    read_extra_body,
    read_headers,
)


@dataclass(kw_only=True)
class OpenaiApi(OpenaiHosted):
    """vLLM, SGLang, Ollama, llama.cpp, LM Studio, ``transformers serve``, and hosted services.

    Raises:
        ValueError: an argument does not fit, or nothing says where the server is.
        UsageError: the address is none, or holds a secret.
    """

    model: str
    """``SERVICE/MODEL``: a name for the server, then the model as the server names it."""
    base_url: str | None = None
    """Address up to and with ``/v1``; None: ``SERVICE_BASE_URL``."""
    api: str = "auto"
    """``chat``, ``completions`` (raw text) or ``responses``; auto: chat."""
    continues: bool = False
    """Whether the server goes on with a reply that a strategy began (vLLM, SGLang do)."""
    reasoning_effort: str | None = None
    """``none`` .. ``max``; None: the model's own habit."""
    without: str = ""
    """Parameters never to be sent, as ``stop+seed``: for what the server does not take."""
    logprobs: bool = True
    """Whether options may be scored by log-probabilities."""

    extra_body: str | None = None
    """A JSON object of further parameters, which go with every request and into the identity."""
    headers: str | None = None
    """A JSON object of further headers; a secret is written ``$VARIABLE``, whose name is stored."""

    def __post_init__(self) -> None:
        """Check what can be checked without a server."""
        super().__post_init__()
        name, _, model = self.model.partition("/")
        if not name or not model:
            raise ValueError("write --model openai-api/SERVICE/MODEL")
        service, prefix = load_services().get(name), variable_prefix(name)
        headers, where = read_headers(self.headers), f"{prefix}_BASE_URL"
        address = keys.choose_address(
            self.base_url,
            where,
            secrets=(
                f"{prefix}_API_KEY",
                *(service.keys if service else ()),
                *header_variables(headers),
            ),
            trusted=self.trusted_addresses,
        )
        key_variables, needs_key = (f"{prefix}_API_KEY",), False
        if address is None and service is not None and service.base_url is not None:
            address, key_variables = service.base_url, service.keys
            needs_key = not service.is_local
        elif service is not None and service.base_url is None:
            key_variables, needs_key = service.keys, True
        if address is None:
            raise ValueError(f"where is {name}? give --model-args base_url=..., or set {where}")
        self._setup = make_setup(
            backend="openai-api",
            label=self.model,
            model=model,
            base_url=address,
            key_variable=keys.first_set(key_variables),
            needs_key=needs_key,
            api=self.api,
            reasoning_effort=self.reasoning_effort,
            without=self.without,
            logprobs=self.logprobs,
            continues=self.continues,
            extra_body=read_extra_body(self.extra_body),
            headers=headers,
        )
