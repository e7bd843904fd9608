"""From a model's name to its backend."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from cotkit.errors import UnknownNameError, UsageError
from cotkit.identity import completion_key
from cotkit.models import catalogue
from cotkit.protocols import Backend
from cotkit.registry import Spec, construct, entries
from cotkit.store import BatchLedger, Store
from cotkit.types import Completion, Notify, Problem

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
_ENDPOINT = re.compile(r"(/chat/completions|/completions|/v1/messages)/*$")


def build_backend(
    model: str,
    args: Mapping[str, str],
    *,
    problems: Sequence[Problem],
    store: Store | None,
    notify: Notify,
    batch: bool = False,
) -> Backend:
    """The backend that a model's name means.

    ``backend/name`` names both; a bare catalogue name, a folder, a ``.gguf`` file and a hub id
    ``owner/name`` are local models. ``--model hf --model-args pretrained=X`` (lm-eval's way) too,
    and lm-eval's names of hosted models: ``--model local-chat-completions --model-args
    base_url=http://127.0.0.1:8000/v1/chat/completions,model=NAME``. ``batch``: through the
    provider's batch interface, if there is a store to keep the batches' ids in.

    Raises:
        UnknownNameError: nothing has this name.
        UsageError: an argument does not fit.
    """
    params = {key.replace("-", "_"): value for key, value in args.items()}
    name, rest = _split_model(model, params.pop("pretrained", None))
    if name in _LM_EVAL:
        name, rest, params = _from_lm_eval(name, rest, params)
    given: dict[str, object] = {"problems": problems, "notify": notify}
    if rest:
        given["model"] = rest
    if name == "replay":
        if not rest:
            raise UsageError("replay needs the id of a run", hint="--model replay/RUN")
        if "store" in params and not Path(params["store"]).is_file():
            raise UsageError(f"no store at {params['store']}", hint="--model-args store=FILE.db")
        recorded_store = Store(Path(params.pop("store"))) if "store" in params else store
        if recorded_store is None:
            raise UsageError("replay needs a store", hint="--model-args store=FILE.db")
        run = recorded_store.run(rest)
        key, info = recorded_store.run_backend(run.id)
        given |= {"info": info, "recorded": _completion_lookup(recorded_store, key)}
    backend = cast("Backend", construct("backend", Spec(name=name, params=params), **given))
    if not batch or store is None:
        return backend
    from cotkit.backends._batch.providers import make_batched

    return cast("Backend", make_batched(backend, BatchLedger(place=store.place)))


def _split_model(model: str, pretrained: str | None) -> tuple[str, str]:
    known = [entry.name for entry in entries("backend")]
    first, _, rest = model.partition("/")
    backend = first.replace("_", "-").lower()
    if backend in known or backend in _LM_EVAL:
        return backend, pretrained or rest
    names = [entry.name for entry in catalogue.entries()]
    if model in names or "/" in model or Path(model).exists():
        return "hf", model
    raise UnknownNameError("model", model, [*names, *known, *_LM_EVAL])


def _from_lm_eval(
    alias: str, rest: str, params: Mapping[str, str]
) -> tuple[str, str, dict[str, str]]:
    """Backend, model and parameters in our words; what has no counterpart stays, to be refused."""
    name, defaults = _LM_EVAL[alias]
    ours = {**defaults, **{_LM_EVAL_PARAMS.get(key, key): text for key, text in params.items()}}
    model = ours.pop("model", rest)
    if not model:
        raise UsageError(f"{alias} needs a model", hint="--model-args model=NAME")
    if "base_url" in ours:
        ours["base_url"] = _ENDPOINT.sub("", ours["base_url"])
    return name, f"local/{model}" if name == "openai-api" else model, ours


def _completion_lookup(store: Store, backend: str) -> Callable[[str, int], Completion | None]:
    return lambda request, sample: store.completion(completion_key(backend, request, sample))
