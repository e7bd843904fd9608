"""Build the backend of a run, with what it reads from the store."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from cotkit.backends._lookup import find_backend, make_backend
from cotkit.errors import UsageError
from cotkit.identity import completion_key
from cotkit.protocols import Backend
from cotkit.registry import Spec, load_class, parse_params
from cotkit.run.spec import RunSpec
from cotkit.store import BatchLedger, Store
from cotkit.types import BackendInfo, Completion, Notify, Problem


@runtime_checkable
class WithStoredName(Protocol):
    """A backend whose weights may be stored under another name."""

    def find_stored(self, stored: Iterable[BackendInfo]) -> None:
        """Take the name of the same weights among the backends of a store; may fetch a model."""
        ...


def build_backend(
    model: str,
    args: Mapping[str, str],
    *,
    problems: Sequence[Problem],
    store: Store | None,
    notify: Notify,
    batch: bool = False,
    trusted_addresses: tuple[str, ...] = (),
) -> Backend:
    """Build the backend that a model's name means; :func:`find_backend` has the rules.

    ``batch``: through the provider's batch interface, if there is a store for the batches' ids;
    ``trusted_addresses``: as of :class:`~cotkit.run.budget.Resources`.

    Raises:
        UnknownNameError: nothing has this name.
        UsageError: an argument does not fit.
    """
    spec, name = find_backend(model, args)
    recording: dict[str, object] = {}
    if spec.name == "replay":
        spec, recording = _open_recording(spec, name, store)
    backend = make_backend(
        spec,
        name,
        problems=problems,
        notify=notify,
        trusted_addresses=trusted_addresses,
        **recording,
    )
    if store is not None and isinstance(backend, WithStoredName):
        backend.find_stored(store.backends())
    if not batch or store is None:
        return backend
    from cotkit.backends._batch.providers import make_batched

    return cast("Backend", make_batched(backend, BatchLedger(place=store.place)))


_WITH_SETTINGS = re.compile(r"(?P<name>.+?):(?P<settings>[A-Za-z_][\w-]*=.*)")


def with_model(spec: RunSpec, text: str) -> RunSpec:
    """Return the same run of another model: ``NAME``, or ``NAME:key=value,key=value``.

    A setting is a field of the model's backend, else a strategy parameter of every arm; it goes
    before what the spec has.

    Raises:
        UnknownNameError: no model has this name.
        UsageError: the settings cannot be read.
    """
    match = None if Path(text).exists() else _WITH_SETTINGS.fullmatch(text)
    if match is None:
        return dataclasses.replace(spec, model=text)
    settings = parse_params(match["settings"])
    backend, _ = find_backend(match["name"], {**spec.model_args, **settings})
    cls = load_class("backend", backend.name)
    names = (
        {field.name for field in dataclasses.fields(cls)}
        if dataclasses.is_dataclass(cls)
        else set()
    )
    of_backend = {key: value for key, value in settings.items() if key in names}
    of_arms = {key: value for key, value in settings.items() if key not in names}
    return dataclasses.replace(
        spec,
        model=match["name"],
        model_args={**spec.model_args, **of_backend},
        generation={**spec.generation, **of_arms},
    )


def _open_recording(spec: Spec, run_id: str, store: Store | None) -> tuple[Spec, dict[str, object]]:
    """Return what ``replay`` needs: the backend of a recorded run, and its completions."""
    if not run_id:
        raise UsageError("replay needs the id of a run", hint="--model replay/RUN")
    params = dict(spec.params)
    if "store" in params:
        path = Path(params.pop("store"))
        if not path.is_file():
            raise UsageError(f"no store at {path}", hint="--model-args store=FILE.db")
        store = Store(path)
    if store is None:
        raise UsageError("replay needs a store", hint="--model-args store=FILE.db")
    key, info = store.run_backend(store.run(run_id).id)
    return Spec(name=spec.name, params=params), {
        "info": info,
        "recorded": _completion_lookup(store, key),
    }


def _completion_lookup(store: Store, backend: str) -> Callable[[str, int], Completion | None]:
    return lambda request, sample: store.completion(completion_key(backend, request, sample))
