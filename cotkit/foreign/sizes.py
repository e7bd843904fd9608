"""How large a model is: as the user says, as the file says, as the catalogue knows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from cotkit.analysis.scale.inputs import Rung
from cotkit.errors import UnknownNameError, UsageError
from cotkit.foreign.values import Size
from cotkit.models.catalogue import Entry, find, find_by_hub_id

_COUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?(?:e\+?\d{1,2})?)(?P<unit>[kmbt]?)", re.IGNORECASE)
_MOST = 10**18
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


def read_count(text: str) -> int | None:
    """``7B``, ``350M``, ``1.5e9`` or plain digits; None: no whole number from 1 to 10^18."""
    found = _COUNT.fullmatch(text.strip().replace("_", "").replace(",", ""))
    if found is None:
        return None
    value = Decimal(found["number"]) * _UNITS[found["unit"].lower()]
    return int(value) if 1 <= value <= _MOST and value == value.to_integral_value() else None


def read_sizes(given: Sequence[str]) -> dict[str, int]:
    """What ``--params MODEL=7B`` says: model -> parameters.

    Raises:
        UsageError: it says something else.
    """
    sizes: dict[str, int] = {}
    for text in given:
        model, equals, count = text.rpartition("=")
        n = read_count(count)
        if not equals or not model or n is None:
            raise UsageError(f"--params {text!r} cannot be read", hint="--params MODEL=7B")
        sizes[model] = n
    return sizes


def rung(model: str, size: Size, given: Mapping[str, int]) -> Rung:
    """A model with what is known of it: the user's word first, then the file's, the catalogue's."""
    known = _known(model)
    n_params = given.get(model, size.n_params)
    is_mixture = known is not None and known.n_active_params != known.n_params
    return Rung(
        model=model,
        family=size.family or (known.family if known else None),
        n_params=n_params or (known.n_params if known else None),
        n_active_params=known.n_active_params if known and is_mixture else None,
        train_flops=size.train_flops or (known.training_flops if known else None),
        flops_is_bound=bool(known and size.train_flops is None and known.training_tokens_is_bound),
    )


def _known(model: str) -> Entry | None:
    """Other tools write ``hf/OWNER/NAME``; the catalogue has ``OWNER/NAME`` and short names."""
    parts = model.split("/")
    for name in dict.fromkeys((model, "/".join(parts[1:]), "/".join(parts[-2:]), parts[-1])):
        if (entry := find_by_hub_id(name)) is not None:
            return entry
        try:
            return find(name)
        except UnknownNameError:
            continue
    return None
