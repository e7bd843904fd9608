"""Models of other tools, recognised where the Python API is given one."""

from __future__ import annotations

import sys
from typing import Any, Protocol, TypeAlias, cast

from cotkit.interop.inspect_.model import InspectModel
from cotkit.interop.lm_eval.model import LmEvalModel
from cotkit.protocols import Backend


class InspectModelLike(Protocol):
    """What an ``inspect_ai.model.Model`` has."""

    api: Any
    """Its provider."""
    config: Any
    """Its own decoding."""


class LmEvalModelLike(Protocol):
    """What an ``lm_eval.api.model.LM`` has."""

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Complete prompts."""
        ...


Foreign: TypeAlias = InspectModelLike | LmEvalModelLike
"""A model of another tool."""

_KINDS = (
    ("inspect_ai.model", "Model", InspectModel),
    ("lm_eval.api.model", "LM", LmEvalModel),
)
"""(module, its class, what makes a backend of such an object)."""


def as_backend(model: object, identity: str | None = None) -> Backend | None:
    """A backend that asks an Inspect ``Model`` or an lm-eval ``LM``; None: it is neither.

    Imports nothing: whoever has such an object has imported its module.

    Args:
        model: What the user gave.
        identity: Vouches for model and version behind it; None: no later run reuses completions.
    """
    for module, name, adapter in _KINDS:
        cls = getattr(sys.modules.get(module), name, None)
        if isinstance(cls, type) and isinstance(model, cls):
            made = (
                adapter(model=model)
                if identity is None
                else adapter(model=model, identity=identity)
            )
            return cast("Backend", made)
    return None
