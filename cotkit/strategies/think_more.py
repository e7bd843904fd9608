"""A thought that goes on: its end is replaced by "Wait" (Muennighoff et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.strategies.standard import Standard
from cotkit.types import Decoding


@dataclass(frozen=True, kw_only=True)
class ThinkMore(Standard):
    """``standard``, whose thought is made to go on so many times by "Wait" in place of its end.

    On local models whose thought ends by a token of its own.

    Source: arXiv:2501.19393, section 3.1.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "thinking"
    needs: ClassVar[str] = "a local model that thinks"
    prompts: ClassVar[tuple[str, ...]] = ("standard.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "think-more:times=0"
    times: int = 1
    """How often, at least 0."""

    def __post_init__(self) -> None:
        """Refuse values no decoder can take.

        Raises:
            ValueError: names the field and its range.
        """
        if self.times < 0:
            raise ValueError(f"times is {self.times}, must be at least 0")
        Standard.__post_init__(self)

    def decoding(
        self, *, stop: tuple[str, ...], stop_after: str | None = None, max_tokens: int | None = None
    ) -> Decoding:
        """Return the decoding of ``standard`` that waits."""
        plain = Standard.decoding(self, stop=stop, stop_after=stop_after, max_tokens=max_tokens)
        return replace(plain, n_waits=self.times)
