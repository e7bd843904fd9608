"""Scratchpad: exemplars that write every column of an addition down (Nye et al. 2021)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import ClassVar

from cotkit.strategies._base import DecodingStrategy, few_shot_turn
from cotkit.strategies._equations import equation_sentences, equations, with_rationales
from cotkit.types import Exemplar, Flow, Question

_ADDITION = re.compile(r"(\d[\d,]*) ?\+ ?(\d[\d,]*) ?= ?[\d,]+")


@dataclass(frozen=True, kw_only=True)
class Scratchpad(DecodingStrategy):
    """``few-shot`` with each addition of the exemplars worked out digit by digit, with its carry.

    For long addition: ``--bench arithmetic:steps=1,digits=5``, ``arithmetic:preset=gpt3-5d-add``;
    other equations are shown as they are. Source: arXiv:2112.00114, section 3, with our lines.
    Against ``cot``, its same-cost control, it tells what the digits add to a rationale that states
    each sum at once.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "exemplars"
    prompts: ClassVar[tuple[str, ...]] = ("scratchpad.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "few-shot"
    reasons: ClassVar[bool] = True
    exemplars: tuple[Exemplar, ...]
    """Shown in this order, at least one; every rationale works out an equation."""
    max_tokens: int = 512

    def __post_init__(self) -> None:
        """Refuse an exemplar without an equation.

        Raises:
            ValueError: names the exemplar, or the field and its range.
        """
        DecodingStrategy.__post_init__(self)
        equation_sentences(self.exemplars)

    def same_cost(self) -> str:
        """Return the control with as many calls: chains without the digits."""
        return f"cot:max_tokens={self.max_tokens}"

    def solve(self, question: Question) -> Flow:
        """Send one request."""
        pads = ["\n".join(map(work_out, equations(x.rationale))) for x in self.exemplars]
        exemplars = with_rationales(self.exemplars, pads)
        return few_shot_turn(self, "scratchpad", question, exemplars)


def work_out(equation: str) -> str:
    """Write the columns of ``29 + 57 = 86`` from the right, then the digits that they leave.

    An equation that adds no two whole numbers stays as it is.
    """
    match = _ADDITION.fullmatch(equation)
    if match is None:
        return equation
    first, second = (term.replace(",", "") for term in match.groups())
    return "\n".join([f"{first} + {second}", *_columns(first, second)])


def _columns(first: str, second: str) -> Iterator[str]:
    carry, digits = 0, ""
    for upper, lower in zip_longest(reversed(first), reversed(second), fillvalue="0"):
        total = int(upper) + int(lower) + carry
        digits = f"{total % 10}{digits}"
        work = f"{upper} + {lower} + {carry} = {total}"
        carry = total // 10
        yield f"{work}, write {total % 10}, carry {carry}: {digits}"
    yield f"sum: {carry or ''}{digits}"
