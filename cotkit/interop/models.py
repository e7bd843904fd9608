"""Model objects of other tools, recognised where the Python API takes a model."""

from __future__ import annotations

import sys
from typing import Any, Protocol, TypeAlias

from cotkit.interop.inspect_.model import InspectModel
from cotkit.interop.lm_eval.model import LmEvalModel
from cotkit.protocols import Backend


class InspectModelLike(Protocol):
    """The attributes by which an ``inspect_ai.model.Model`` is typed."""

    api: Any
    """Its provider."""
    config: Any
    """Its own decoding."""


class LmEvalModelLike(Protocol):
    """The method by which an ``lm_eval.api.model.LM`` is typed."""

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Complete prompts."""
        ...


Foreign: TypeAlias = InspectModelLike | LmEvalModelLike
"""A model of another tool."""

_KINDS = (
    ("inspect_ai.model", "Model", InspectModel),
    ("lm_eval.api.model", "LM", LmEvalModel),
)
"""(module, its class, our backend for objects of that class)."""


def as_backend(model: object, identity: str | None = None) -> Backend | None:
    """Return a backend that asks an Inspect ``Model`` or an lm-eval ``LM``; None: it is neither.

    Imports nothing: who has such an object has imported its module.

    Args:
        model: The object that the user passed.
        identity: Names model and version behind it; None: no later run reuses completions.
    """
    for module, name, adapter in _KINDS:
        cls = getattr(sys.modules.get(module), name, None)
        if isinstance(cls, type) and isinstance(model, cls):
            if identity is None:
                return adapter(model=model)
            return adapter(model=model, identity=identity)
    return None
