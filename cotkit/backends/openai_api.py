"""Any server that speaks OpenAI's protocol: ``--model openai-api/SERVICE/MODEL``.

``SERVICE_BASE_URL`` says where it is, ``SERVICE_API_KEY`` holds its key if it wants one: hyphens
become underscores, ``openai-api/my-vllm/Qwen/Qwen3-8B`` reads ``MY_VLLM_BASE_URL``. On the command
line: ``--model-args base_url=http://127.0.0.1:8000/v1``.
"""

from __future__ import annotations

from dataclasses import dataclass

from cotkit.backends._hosted import keys
from cotkit.backends._openai.base import OpenaiHosted
from cotkit.backends._openai.setup import make_setup


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

    def __post_init__(self) -> None:
        """Check what can be checked without a server."""
        super().__post_init__()
        service, _, model = self.model.partition("/")
        if not service or not model:
            raise ValueError("write --model openai-api/SERVICE/MODEL")
        prefix = service.replace("-", "_").upper()
        url = self.base_url
        where = f"{prefix}_BASE_URL"
        address = keys.check_url("base_url", url) if url else keys.read_base_url(where)
        if address is None:
            raise ValueError(f"where is {service}? give --model-args base_url=..., or set {where}")
        self._setup = make_setup(
            backend="openai-api",
            label=self.model,
            model=model,
            base_url=address,
            key_variable=f"{prefix}_API_KEY",
            needs_key=False,
            api=self.api,
            reasoning_effort=self.reasoning_effort,
            without=self.without,
            logprobs=self.logprobs,
            continues=self.continues,
        )
