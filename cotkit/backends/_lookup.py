"""From what a user calls a model to its backend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from cotkit.backends._hosted.keys import is_given
from cotkit.backends._openai.services import load_services
from cotkit.errors import UnknownNameError, UsageError
from cotkit.models import catalogue
from cotkit.models.prices import load_prices
from cotkit.protocols import Backend
from cotkit.registry import Spec, construct, entries

_LM_EVAL: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "local-chat-completions": ("openai-api", {"api": "chat"}),
    "local-completions": ("openai-api", {"api": "completions"}),
    "openai-chat-completions": ("openai", {"api": "chat"}),
    "openai-completions": ("openai", {"api": "completions"}),
    "anthropic-chat": ("anthropic", {}),
    "anthropic-chat-completions": ("anthropic", {}),
}
_LM_EVAL_PARAMS = {
    "num_concurrent": "max_connections",
    "max_retries": "max_tries",
    "timeout": "timeout_s",
}
_STARTED = ("vllm", "sglang")
"""Services that are started where ``vllm/ORG/NAME`` comes without an address."""
_ENDPOINT = re.compile(r"(/chat/completions|/completions|/v1/messages)/*$")


def find_backend(model: str, args: Mapping[str, str]) -> tuple[Spec, str]:
    """Return the backend that a model's name means, and the model's name there (may be empty).

    ``backend/name`` names both; a bare catalogue name, a folder, a ``.gguf`` file and a hub id
    ``owner/name`` are local models; ``groq/name`` and its like are services of ``services.toml``;
    ``vllm/owner/name`` without an address is ``serve/vllm:owner/name``.
    ``--model hf --model-args pretrained=X`` (lm-eval's way) too,
    and lm-eval's names of hosted models: ``--model local-chat-completions --model-args
    base_url=http://127.0.0.1:8000/v1/chat/completions,model=NAME``.

    Raises:
        UnknownNameError: nothing has this name.
        UsageError: an argument does not fit.
    """
    params = {key.replace("-", "_"): value for key, value in args.items()}
    backend, name = _split_model(model, params.pop("pretrained", None))
    service, _, weights = name.partition("/")
    is_bare = model.startswith(f"{service}/") and service in _STARTED and "/" in weights
    if is_bare and "base_url" not in params and not is_given(f"{service.upper()}_BASE_URL"):
        backend, name = "serve", f"{service}:{weights}"
    if backend in _LM_EVAL:
        backend, name, params = _from_lm_eval(backend, name, params)
    return Spec(name=backend, params=params), name


_OURS: Mapping[str, object] = {"stored_as": None, "trusted_addresses": ()}


def make_backend(spec: Spec, name: str, **fields: object) -> Backend:
    """Construct what :func:`find_backend` returned; ``fields``: given where the class has them.

    What only cotkit itself or the command line may say is never read from a spec.

    Raises:
        UsageError: an argument does not fit.
    """
    if name:
        fields["model"] = name
    return cast("Backend", construct("backend", spec, **{**_OURS, **fields}))


def _split_model(model: str, pretrained: str | None) -> tuple[str, str]:
    backends = [entry.name for entry in entries("backend")]
    first, _, name = model.partition("/")
    backend = first.replace("_", "-").lower()
    if backend in backends or backend in _LM_EVAL:
        return backend, pretrained or name
    if backend in load_services() and name and not Path(model).exists():
        return "openai-api", f"{backend}/{name}"
    if backend == "google" and name.lower().startswith("gemini"):
        raise UsageError(
            f"{model} is no model of the hub, where google/ is an organisation",
            hint=f"Google's own interface is --model gemini/{name}; weights are google/gemma-...",
        )
    local_models = [entry.name for entry in catalogue.entries()]
    if catalogue.split_revision(model)[0] in local_models or "/" in model or Path(model).exists():
        return "hf", model
    choices = [*local_models, *backends, *load_services(), *_LM_EVAL]
    hosted = {
        name: f"{price.backend}/{name}"
        for price in load_prices()
        for name in price.models
        if not set("*?") & set(name)
    }
    raise UnknownNameError("model", model, choices, hosted)


def _from_lm_eval(
    alias: str, name: str, params: Mapping[str, str]
) -> tuple[str, str, dict[str, str]]:
    """Return backend, model and parameters in our words; unknown ones stay, to be refused."""
    backend, defaults = _LM_EVAL[alias]
    renamed = {**defaults, **{_LM_EVAL_PARAMS.get(key, key): text for key, text in params.items()}}
    model = renamed.pop("model", name)
    if not model:
        raise UsageError(f"{alias} needs a model", hint="--model-args model=NAME")
    if "base_url" in renamed:
        renamed["base_url"] = _ENDPOINT.sub("", renamed["base_url"])
    return backend, f"local/{model}" if backend == "openai-api" else model, renamed
