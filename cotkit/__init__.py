"""cotkit: does this prompting strategy help this model, from which size on, and at what price?

The names below are loaded when first used, so that ``import cotkit`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cotkit.analysis.scale.contrasts import ModelContrasts
    from cotkit.analysis.scale.spending import Spending
    from cotkit.analysis.scale.values import Scale
    from cotkit.analysis.values import Comparison
    from cotkit.api import (
        ScoreResult,
        compare,
        compare_models,
        measure_spending,
        plan,
        scale,
        score,
    )
    from cotkit.errors import CotkitError
    from cotkit.report import render
    from cotkit.run.budget import Budget, Resources
    from cotkit.run.spec import RunOptions
    from cotkit.workflows.plan import Forecast

__all__ = [
    "Budget",
    "Comparison",
    "CotkitError",
    "Forecast",
    "ModelContrasts",
    "Resources",
    "RunOptions",
    "Scale",
    "ScoreResult",
    "Spending",
    "compare",
    "compare_models",
    "measure_spending",
    "plan",
    "render",
    "scale",
    "score",
]
__version__ = "0.2.0"

_HOMES = {
    "Budget": "cotkit.run.budget",
    "Comparison": "cotkit.analysis.values",
    "CotkitError": "cotkit.errors",
    "Forecast": "cotkit.workflows.plan",
    "ModelContrasts": "cotkit.analysis.scale.contrasts",
    "Resources": "cotkit.run.budget",
    "RunOptions": "cotkit.run.spec",
    "Scale": "cotkit.analysis.scale.values",
    "ScoreResult": "cotkit.api",
    "Spending": "cotkit.analysis.scale.spending",
    "compare": "cotkit.api",
    "compare_models": "cotkit.api",
    "measure_spending": "cotkit.api",
    "plan": "cotkit.api",
    "render": "cotkit.report",
    "scale": "cotkit.api",
    "score": "cotkit.api",
}
_OLD_NAMES = {"Scored": "ScoreResult"}
"""Names of version 0.1, to be removed in the next one -> the names of now."""


def __getattr__(name: str) -> object:
    """Load a public name from its home (PEP 562)."""
    import importlib

    if name in _OLD_NAMES:
        import warnings

        message = f"cotkit.{name} is now cotkit.{_OLD_NAMES[name]}"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        name = _OLD_NAMES[name]
    if name not in _HOMES:
        raise AttributeError(f"module 'cotkit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, loaded or not, for completion in notebooks and shells."""
    return sorted({*globals(), *__all__})
