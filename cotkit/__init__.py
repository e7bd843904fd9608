"""cotkit: does this prompting strategy help this model, from which size on, and at what price?

The names below are loaded when first used, so that ``import cotkit`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cotkit.analysis.scale.values import Scale
    from cotkit.analysis.values import Comparison
    from cotkit.api import ScoreResult, compare, scale, score
    from cotkit.errors import CotkitError
    from cotkit.report import render
    from cotkit.workflows.plan import Forecast, plan

__all__ = [
    "Comparison",
    "CotkitError",
    "Forecast",
    "Scale",
    "ScoreResult",
    "compare",
    "plan",
    "render",
    "scale",
    "score",
]
__version__ = "0.1.0"

_HOMES = {
    "Comparison": "cotkit.analysis.values",
    "CotkitError": "cotkit.errors",
    "Forecast": "cotkit.workflows.plan",
    "Scale": "cotkit.analysis.scale.values",
    "ScoreResult": "cotkit.api",
    "compare": "cotkit.api",
    "plan": "cotkit.workflows.plan",
    "render": "cotkit.report",
    "scale": "cotkit.api",
    "score": "cotkit.api",
}


def __getattr__(name: str) -> object:
    """Load a public name from its home (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cotkit' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
