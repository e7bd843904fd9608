"""What an arm does to the bias of its control, in plain English, numbers included."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cotkit.analysis.bias_bootstrap import MIN_CLUSTERS
from cotkit.analysis.results import BiasChange, BiasCondition

NAMES: Mapping[BiasCondition, str] = MappingProxyType(
    {"ambig": "ambiguous", "disambig": "disambiguated"}
)
"""Condition -> its name as people read it."""


def bias_sentence(found: BiasChange) -> str:
    """E.g. ``"q-if lowers ambiguous bias: +0.31 -> +0.12 (...)."``; whatever ``sentence`` says."""
    name = NAMES[found.condition]
    if found.label == "undetermined":
        whether = f"Whether {found.arm} changes {name} bias cannot be decided"
        return f"{whether}: {_evidence(found)}{_why(found)}."
    verb = "lowers" if found.label == "less_biased" else "raises"
    return f"{found.arm} {verb} {name} bias: {_evidence(found)}."


def _evidence(found: BiasChange) -> str:
    moved = f"{_score(found.before)} -> {_score(found.after)} against {found.control}"
    items = f"{found.n} items of {found.n_clusters} templates"
    if found.change is None:
        return f"{moved} ({items})"
    low, high = _score(found.interval.low), _score(found.interval.high)
    level = f"{100 * found.interval.level:.4g} %"
    size = f"change of size {_score(found.change)}"
    return f"{moved} ({size}, {level} interval {low} to {high}; {items})"


def _why(found: BiasChange) -> str:
    if found.change is None:
        return "; without a reply that names a person there is no score"
    return f"; {MIN_CLUSTERS} templates are needed" if found.n_clusters < MIN_CLUSTERS else ""


def _score(value: float | None) -> str:
    return "no score" if value is None else f"{round(value, 2) + 0.0:+.2f}"
