"""A ladder: which models a family has, how large each is, and whether they can be put in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cotkit.analysis.scale.inputs import Axis, Rung
from cotkit.analysis.scale.ladder import position
from cotkit.backends.simulated import FAMILY as SIMULATED
from cotkit.errors import UnknownNameError, UsageError
from cotkit.models import catalogue
from cotkit.types import BackendInfo

_NEEDED: Mapping[Axis, tuple[str, str]] = {
    "params": ("number of parameters", "--x ordinal takes the models in the order given"),
    "active-params": ("number of parameters", "--x ordinal takes the models in the order given"),
    "flops": ("training compute", "--x params, or --x ordinal for the order given"),
    "loss": ("pretraining loss", "--loss MODEL=2.31"),
}
"""Axis, but ``ordinal`` -> what of a model it needs, and the way out where that is not known."""


def members(family: str) -> tuple[str, ...]:
    """The models of a family as users name them, the smallest first.

    Raises:
        UnknownNameError: no family has this name.
    """
    if family == "simulated":
        return SIMULATED
    known = sorted(catalogue.entries(), key=lambda entry: entry.n_params)
    found = tuple(entry.name for entry in known if entry.family == family)
    if not found:
        raise UnknownNameError("family", family, {"simulated", *(entry.family for entry in known)})
    return found


def rung_of(info: BackendInfo, loss: float | None = None) -> Rung:
    """What is known of a model's size: its backend's word, and the catalogue's for compute."""
    rung = Rung(
        model=info.model,
        family=info.family,
        n_params=info.n_params,
        n_active_params=info.n_active_params,
        loss=loss,
    )
    try:
        entry = catalogue.find(info.model)
    except UnknownNameError:
        return rung
    return replace(
        rung,
        train_flops=entry.training_flops,
        flops_is_bound=entry.training_flops is not None and entry.training_tokens_is_bound,
    )


def check_count(n_models: int) -> None:
    """Refuse what is no ladder, before any model is looked for.

    Raises:
        UsageError: fewer than two models.
    """
    if n_models < 2:
        raise UsageError(
            f"a ladder needs two models or more, not {n_models}",
            hint="--models A,B,C or --family NAME",
        )


def check_ladder(rungs: Sequence[Rung], axis: Axis) -> None:
    """Refuse what has no order, before anything is generated.

    Raises:
        UsageError: fewer than two models, one given twice, or two of equal or unknown size.
    """
    check_count(len(rungs))
    if again := _first_twice(rung.model for rung in rungs):
        raise UsageError(f"{again} is given twice", hint="name each model once")
    seen: dict[float, Rung] = {}
    for index, rung in enumerate(rungs):
        at = position(rung, index, axis)
        if at is None:
            what, hint = _NEEDED[axis]
            raise UsageError(f"the {what} of {rung.model} is not known", hint=hint)
        other = seen.setdefault(at, rung)
        if other is not rung:
            raise UsageError(
                f"{other.model} and {rung.model} have the same {_NEEDED[axis][0]}",
                hint="leave one out, or --x ordinal for the order given",
            )


def _first_twice(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
