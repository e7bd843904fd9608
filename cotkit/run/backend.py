"""From a model's name to its backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from cotkit.errors import UnknownNameError, UsageError
from cotkit.identity import completion_key
from cotkit.models import catalogue
from cotkit.protocols import Backend
from cotkit.registry import Spec, construct, entries
from cotkit.store import Store
from cotkit.types import Completion, Notify, Problem


def build_backend(
    model: str,
    args: Mapping[str, str],
    *,
    problems: Sequence[Problem],
    store: Store | None,
    notify: Notify,
) -> Backend:
    """The backend that a model's name means.

    ``backend/name`` names both; a bare catalogue name, a folder, a ``.gguf`` file and a hub id
    ``owner/name`` are local models. ``--model hf --model-args pretrained=X`` (lm-eval's way) too.

    Raises:
        UnknownNameError: nothing has this name.
        UsageError: an argument does not fit.
    """
    params = {key.replace("-", "_"): value for key, value in args.items()}
    name, rest = _split(model, params.pop("pretrained", None))
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
        given |= {"info": info, "recorded": _lookup(recorded_store, key)}
    return cast("Backend", construct("backend", Spec(name=name, params=params), **given))


def _split(model: str, pretrained: str | None) -> tuple[str, str]:
    known = [entry.name for entry in entries("backend")]
    first, _, rest = model.partition("/")
    backend = first.replace("_", "-").lower()
    if backend in known:
        return backend, pretrained or rest
    names = [entry.name for entry in catalogue.entries()]
    if model in names or "/" in model or Path(model).exists():
        return "hf", model
    raise UnknownNameError("model", model, [*names, *known])


def _lookup(store: Store, backend: str) -> Callable[[str, int], Completion | None]:
    return lambda request, sample: store.completion(completion_key(backend, request, sample))
