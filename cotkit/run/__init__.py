"""A run from spec to stored rows: the plan, the flows of the strategies, the events."""

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
