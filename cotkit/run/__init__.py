"""A run from spec to stored rows: the plan, the flows of the strategies, the events.

Its names are loaded when first used, so that the command line reads the options' defaults fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cotkit.run.backend import build_backend
    from cotkit.run.plan import Arm, Plan, make_plan, plan_runnable
    from cotkit.run.runner import ExecutionResult, execute_plan
    from cotkit.run.spec import RunSpec

__all__ = [
    "Arm",
    "ExecutionResult",
    "Plan",
    "RunSpec",
    "build_backend",
    "execute_plan",
    "make_plan",
    "plan_runnable",
]

_HOMES = {
    "Arm": "cotkit.run.plan",
    "ExecutionResult": "cotkit.run.runner",
    "Plan": "cotkit.run.plan",
    "RunSpec": "cotkit.run.spec",
    "build_backend": "cotkit.run.backend",
    "execute_plan": "cotkit.run.runner",
    "make_plan": "cotkit.run.plan",
    "plan_runnable": "cotkit.run.plan",
}


def __getattr__(name: str) -> object:
    """Load a name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cotkit.run' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
