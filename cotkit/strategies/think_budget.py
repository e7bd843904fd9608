"""A thought that ends at a budget: budget forcing on local models (Muennighoff et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.strategies.standard import Standard


@dataclass(frozen=True, kw_only=True)
class ThinkBudget(Standard):
    """``standard``, whose thought is ended after so many tokens and the answer asked for.

    The engine writes the end of the thought in the model's own marks; what the model would have
    thought further never is. A thought that ends by itself before is left alone. Hosted models take
    a budget by their own means, where they have one.

    Source: arXiv:2501.19393, section 3.1.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "thinking"
    needs: ClassVar[str] = "a local model that thinks"
    prompts: ClassVar[tuple[str, ...]] = ("standard.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "think-budget:tokens=0"
    tokens: int = 512
    """Of the thought, at least 0 (it ends at once)."""

    def __post_init__(self) -> None:
        """Set the budget.

        Raises:
            ValueError: names the field and its range.
        """
        if self.tokens < 0:
            raise ValueError(f"tokens is {self.tokens}, must be at least 0")
        if self.thinking not in {None, str(self.tokens)} or self.max_thinking_tokens is not None:
            raise ValueError("tokens is the budget: leave thinking and max_thinking_tokens out")
        object.__setattr__(self, "thinking", str(self.tokens))
        Standard.__post_init__(self)
