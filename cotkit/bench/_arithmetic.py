"""Worked arithmetic and how it is drawn: exact integers, every step kept, seeds that never change.

A *maker* builds one problem by asking ``choose(n)`` for a number from 0 to n - 1 again and again.
Asked with random answers it draws a problem; asked with every answer in turn it lists them all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias, TypeVar

from cotkit.identity import content_hash

POOL_SIZE = 32
"""Exemplars that can be drawn."""
MISSES = 1000
"""After so many draws in a row that bring nothing new, what is left of a set is listed."""

_ONLY_RESULT = 2  # a quotient of 1 or 0 would need no division


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """An expression, or a question, with its value and how it is worked out."""

    text: str
    """As the model sees it."""
    value: int
    """Exact."""
    steps: tuple[str, ...] = ()
    """Equations ``a op b = c`` in the order in which they are worked; none for a plain number."""


Choose: TypeAlias = Callable[[int], int]
Maker: TypeAlias = Callable[[Choose], Worked | None]
"""None: these choices lead to no problem (a division that is not exact)."""

_T = TypeVar("_T")


def pick(choose: Choose, options: Sequence[_T]) -> _T:
    """One of several."""
    return options[choose(len(options))]


def number(value: int) -> Worked:
    """A given number."""
    return Worked(text=str(value), value=value)


def apply(left: Worked, operator: str, right: Worked, text: str) -> Worked:
    """One more step: ``operator`` (``+ - * /``) on two worked expressions, shown as ``text``.

    A negative number on the right of an equation stands in brackets: ``8 - (-5) = 13``.
    """
    match operator:
        case "+":
            value = left.value + right.value
        case "-":
            value = left.value - right.value
        case "*":
            value = left.value * right.value
        case _:
            value, rest = divmod(left.value, right.value)
            assert rest == 0  # makers divide by what divisors() names
    shown = f"({right.value})" if right.value < 0 else str(right.value)
    step = f"{left.value} {operator} {shown} = {value}"
    return Worked(text=text, value=value, steps=(*left.steps, *right.steps, step))


def divisors(value: int, lowest: int, highest: int) -> list[int]:
    """Numbers in a range that divide exactly, with neither divisor nor result 0 or 1 in size."""
    size, lowest = abs(value), max(lowest, 2)
    if size // lowest <= highest - lowest:  # fewer quotients to try than divisors
        quotients = range(size // lowest, _ONLY_RESULT - 1, -1)
        exact = (size // q for q in quotients if size % q == 0)
        return [divisor for divisor in exact if divisor <= highest]
    tried = range(lowest, min(highest, size // _ONLY_RESULT) + 1)
    return [divisor for divisor in tried if size % divisor == 0]


def rationale(steps: Sequence[str]) -> str:
    """The steps as sentences: ``First 12 + 7 = 19. Then 19 - 4 = 15.``."""
    first, *others = steps
    if not others:
        return f"{first}."
    return " ".join([f"First {first}.", *(f"Then {step}." for step in others)])


def split(maker: Maker, stream: str, n: int) -> tuple[list[Worked], list[Worked]]:
    """(pool, problems), no text twice: ``POOL_SIZE`` come first, then ``n``, or all there are.

    The pool does not depend on ``n``, and a larger ``n`` contains a smaller one. ``stream`` names
    the set and its seed.
    """
    wanted = POOL_SIZE + n
    found = {one.text: one for one in islice(_drawn(maker, stream), wanted)}
    if len(found) < wanted:
        left = [one for one in _every(maker) if one.text not in found]
        left.sort(key=lambda one: content_hash(stream, one.text))
        found.update((one.text, one) for one in left[: wanted - len(found)])
    together = list(found.values())
    return together[:POOL_SIZE], together[POOL_SIZE:]


def _drawn(maker: Maker, stream: str) -> Iterator[Worked]:
    """Different problems in random order, until ``MISSES``: repeats are passed over."""
    # random() of an integer seed is the one method whose numbers Python promises not to change
    source = random.Random(int(content_hash("arithmetic", stream), 16))  # noqa: S311 - a benchmark, not cryptography
    seen: set[str] = set()
    n_misses = 0
    while n_misses < MISSES:
        worked = maker(lambda n: int(source.random() * n))
        if worked is None or worked.text in seen:
            n_misses += 1
            continue
        n_misses = 0
        seen.add(worked.text)
        yield worked


def _every(maker: Maker) -> Iterator[Worked]:
    """All problems, by asking the maker with every sequence of choices, the last one fastest."""
    plan: list[int] = []
    while True:
        taken: list[tuple[int, int]] = []
        worked = maker(lambda n, plan=plan, taken=taken: _follow(plan, taken, n))
        if worked is not None:
            yield worked
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return
        plan = [choice for choice, _ in taken]
        plan[-1] += 1


def _follow(plan: Sequence[int], taken: list[tuple[int, int]], n: int) -> int:
    choice = plan[len(taken)] if len(taken) < len(plan) else 0
    taken.append((choice, n))
    return choice
