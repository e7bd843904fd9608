"""What the problems of ``arithmetic`` look like: our grid, and the published shapes as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Literal

from cotkit.bench._arithmetic import Choose, Maker, Worked, apply, divisors, number, pick

Shape = Literal["chain", "signs", "nested"]

_WORDS = {"+": "add", "-": "subtract", "*": "multiply by", "/": "divide by"}
_SPOKEN = {"+": "plus", "-": "minus", "*": "times"}
_NAMES = {"+": "add", "-": "sub", "*": "mul", "/": "div"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """One cell of the grid; called, it makes a problem. Values are checked by ``Arithmetic``."""

    steps: int
    """Operations in a problem."""
    digits: int
    """Digits of every number given; the first is not 0."""
    operators: str
    """Some of ``+-*/``, in this order; each step takes any of them."""
    shape: Shape
    """``chain``: from left to right, in words; ``signs``: the same in signs; ``nested``: signs with
    brackets around every inner operation."""

    @property
    def name(self) -> str:
        """E.g. ``3-steps-2-digits-add-sub-chain``: one for each set of values."""
        return f"{self.steps}-steps-{self.digits}-digits-{self.kind}"

    @property
    def kind(self) -> str:
        """The part of the name that cells of every size share: ``add-sub-chain``."""
        return "-".join([*(_NAMES[sign] for sign in self.operators), self.shape])

    def __call__(self, choose: Choose) -> Worked | None:
        """A question, or None where a division finds no divisor."""
        worked = self._expression(choose, self.steps)
        if worked is None:
            return None
        if self.shape == "chain":
            return replace(worked, text=f"Start with {worked.text}. What is the result?")
        return replace(worked, text=f"What is {worked.text}?")

    def _expression(self, choose: Choose, steps: int) -> Worked | None:
        """The operator is drawn before the numbers, so that a rare division is not crowded out."""
        lowest, highest = 10 ** (self.digits - 1), 10**self.digits - 1
        if steps == 0:
            return number(lowest + choose(highest - lowest + 1))
        operator = pick(choose, self.operators)
        branches = self.shape == "nested" and operator != "/"
        n_left = choose(steps) if branches else steps - 1
        left = self._expression(choose, n_left)
        if left is None:
            return None
        if operator != "/":
            right = self._expression(choose, steps - 1 - n_left)
        elif exact := divisors(left.value, lowest, highest):
            right = number(pick(choose, exact))
        else:
            right = None
        return right and apply(left, operator, right, self._shown(left, operator, right))

    def _shown(self, left: Worked, operator: str, right: Worked) -> str:
        if self.shape == "nested":
            return f"{_bracketed(left)} {operator} {_bracketed(right)}"
        if self.shape == "chain":
            return f"{left.text}, {'then ' if left.steps else ''}{_WORDS[operator]} {right.text}"
        return f"{left.text} {operator} {right.text}"


def _bracketed(worked: Worked) -> str:
    return f"({worked.text})" if worked.steps else worked.text


def _gpt3(choose: Choose, *, digits: int, operator: str) -> Worked:
    """Two numbers of up to so many digits, uniform from 0: ``What is 98 plus 45?``."""
    left, right = (number(choose(10**digits)) for _ in range(2))
    return apply(left, operator, right, f"What is {left.text} {_SPOKEN[operator]} {right.text}?")


def _gpt3_composite(choose: Choose) -> Worked:
    """Three numbers from 0 to 9, brackets around the last two: ``What is 6+(4*8)?``."""
    first, second, third = (number(choose(10)) for _ in range(3))
    outer, inner = (pick(choose, "+-*") for _ in range(2))
    right = apply(second, inner, third, f"({second.text}{inner}{third.text})")
    return apply(first, outer, right, f"What is {first.text}{outer}{right.text}?")


def _multistep(choose: Choose, *, depth: int, length: int) -> Worked:
    """``((-1 + 2 * 5) - (9 * -4 + 6)) =``: depth 1, length 3."""
    worked = _brackets(choose, depth, length)
    return replace(worked, text=f"{worked.text} =")


def _brackets(choose: Choose, depth: int, length: int) -> Worked:
    """Two brackets of the depth below; at depth 0, ``length`` numbers with products first."""
    if depth:
        left, right = (_brackets(choose, depth - 1, length) for _ in range(2))
        operator = pick(choose, "+-*")
        return apply(left, operator, right, f"({left.text} {operator} {right.text})")
    terms = [number(choose(19) - 9) for _ in range(length)]
    operators = [pick(choose, "+-*") for _ in range(length - 1)]
    for level in ("*", "+-"):
        while at := next((i for i, sign in enumerate(operators, 1) if sign in level), 0):
            left, right, sign = terms[at - 1], terms[at], operators.pop(at - 1)
            terms[at - 1 : at + 1] = [apply(left, sign, right, f"{left.text} {sign} {right.text}")]
    (worked,) = terms
    return replace(worked, text=f"({worked.text})")


def _modified(choose: Choose, *, digits: int, operator: str, adds: int) -> Worked:
    """Five solved lines and an open one; the arrow is the operation, with ``adds`` added to it."""
    lines: list[str] = []
    worked = number(0)
    for _ in range(6):
        left, right = (number(choose(10**digits)) for _ in range(2))
        worked = apply(left, operator, right, f"{left.text} {operator} {right.text} ->")
        if adds:
            worked = apply(worked, "+", number(adds), worked.text)
        lines.append(f"{worked.text} {worked.value}")
    head = "In each of these lines the arrow -> stands for the same calculation."
    return replace(worked, text="\n".join([head, *lines[:5], worked.text]))


_MODIFIED = (("+", 3), ("-", 3), ("*", 2))

PRESETS: Mapping[str, Maker] = MappingProxyType(
    {
        **{
            f"gpt3-{digits}d-{_NAMES[sign]}": partial(_gpt3, digits=digits, operator=sign)
            for sign, digits in (*product("+-", (2, 3, 4, 5)), ("*", 2))
        },
        "gpt3-1d-composite": _gpt3_composite,
        **{
            f"multistep-{depth}-{length}": partial(_multistep, depth=depth, length=length)
            for depth, length in product(range(4), (2, 3, 4))
        },
        **{
            f"modified-{digits}d-{_NAMES[sign]}-{twin}": partial(
                _modified, digits=digits, operator=sign, adds=adds
            )
            for (sign, digits), (twin, adds) in product(
                _MODIFIED, (("control", 0), ("plus-one", 1))
            )
        },
    }
)
"""Published shape -> its maker: arXiv:2005.14165 section 3.9.1 (``gpt3-``), and of BIG-bench
``multistep_arithmetic`` (levels of brackets, numbers in the innermost) and ``modified_arithmetic``.
"""


def stream_of(preset: str) -> str:
    """What a preset is drawn by: twins share it, so that they differ in the arrow alone."""
    return preset.removesuffix("-plus-one").removesuffix("-control")
