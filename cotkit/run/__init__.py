"""The only wiring: spec -> plan -> driven flows -> rows in the store, with events on the way."""

from cotkit.run.backend import build_backend
from cotkit.run.plan import Arm, Plan, make_plan
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
]
