"""Worked arithmetic and how it is drawn: exact integers, every step kept, seeds that never change.

A *maker* builds one problem by asking ``choose(n)`` for a number from 0 to n - 1 again and again.
Asked with random answers it draws a problem; asked with every answer in turn it lists them all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, product
from types import MappingProxyType
from typing import Literal, TypeAlias, TypeVar

from cotkit.identity import content_hash

POOL_SIZE = 32
"""Exemplars that can be drawn."""
MAX_MISSES = 1000
"""After so many draws in a row that bring nothing new, what is left of a set is listed."""

_ONLY_RESULT = 2  # a quotient of 1 or 0 would need no division


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkedProblem:
    """An expression, or a question, with its value and how it is worked out."""

    text: str
    """As the model sees it."""
    value: int
    """Exact."""
    steps: tuple[str, ...] = ()
    """Equations ``a op b = c`` in the order in which they are worked; none for a plain number."""


Choose: TypeAlias = Callable[[int], int]
Maker: TypeAlias = Callable[[Choose], WorkedProblem | None]
"""None: these choices lead to no problem (a division that is not exact)."""

_T = TypeVar("_T")


def pick(choose: Choose, options: Sequence[_T]) -> _T:
    """Choose one of several."""
    return options[choose(len(options))]


def make_number(value: int) -> WorkedProblem:
    """Return a plain number."""
    return WorkedProblem(text=str(value), value=value)


def apply_operator(
    left: WorkedProblem, operator: str, right: WorkedProblem, text: str
) -> WorkedProblem:
    """Apply ``operator`` (``+ - * /``) to two worked expressions; the result is written ``text``.

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
            value, remainder = divmod(left.value, right.value)
            assert remainder == 0  # makers divide by what divisors() names
    right_text = f"({right.value})" if right.value < 0 else str(right.value)
    step = f"{left.value} {operator} {right_text} = {value}"
    return WorkedProblem(text=text, value=value, steps=(*left.steps, *right.steps, step))


def divisors(value: int, lowest: int, highest: int) -> list[int]:
    """Return the divisors in a range; neither they nor the result are 0 or 1 in size."""
    size, lowest = abs(value), max(lowest, 2)
    if size // lowest <= highest - lowest:  # fewer quotients to try than divisors
        quotients = range(size // lowest, _ONLY_RESULT - 1, -1)
        exact = (size // q for q in quotients if size % q == 0)
        return [divisor for divisor in exact if divisor <= highest]
    tried = range(lowest, min(highest, size // _ONLY_RESULT) + 1)
    return [divisor for divisor in tried if size % divisor == 0]


def write_rationale(steps: Sequence[str]) -> str:
    """Write the steps as sentences: ``First 12 + 7 = 19. Then 19 - 4 = 15.``."""
    first, *others = steps
    if not others:
        return f"{first}."
    return " ".join([f"First {first}.", *(f"Then {step}." for step in others)])


def split_problems(
    maker: Maker, stream: str, n: int
) -> tuple[list[WorkedProblem], list[WorkedProblem]]:
    """Return (pool, problems), no text twice: ``POOL_SIZE`` first, then ``n``, or all that exist.

    The pool does not depend on ``n``, and a larger ``n`` contains a smaller one. ``stream`` names
    the set and its seed.
    """
    n_both = POOL_SIZE + n
    drawn = list(islice(_draw_different(maker, stream), n_both))
    if len(drawn) < n_both:
        texts = {worked.text for worked in drawn}
        others = [worked for worked in _enumerate_problems(maker) if worked.text not in texts]
        others.sort(key=lambda worked: content_hash(stream, worked.text))
        drawn += others[: n_both - len(drawn)]
    return drawn[:POOL_SIZE], drawn[POOL_SIZE:]


def _draw_different(maker: Maker, stream: str) -> Iterator[WorkedProblem]:
    """Draw different problems, repeats passed over, until ``MAX_MISSES`` in a row bring none."""
    # random() of an integer seed is the one method whose numbers Python promises not to change
    source = random.Random(int(content_hash("arithmetic", stream), 16))  # noqa: S311 - a benchmark, not cryptography
    texts: set[str] = set()
    n_misses = 0
    while n_misses < MAX_MISSES:
        worked = maker(lambda n: int(source.random() * n))
        if worked is None or worked.text in texts:
            n_misses += 1
            continue
        n_misses = 0
        texts.add(worked.text)
        yield worked


def _enumerate_problems(maker: Maker) -> Iterator[WorkedProblem]:
    """Yield all problems: call the maker with every sequence of choices, the last one fastest."""
    plan: list[int] = []
    while True:
        choices: list[tuple[int, int]] = []
        worked = maker(lambda n, plan=plan, choices=choices: _follow_plan(plan, choices, n))
        if worked is not None:
            yield worked
        while choices and choices[-1][0] + 1 == choices[-1][1]:
            choices.pop()
        if not choices:
            return
        plan = [choice for choice, _ in choices]
        plan[-1] += 1


def _follow_plan(plan: Sequence[int], choices: list[tuple[int, int]], n: int) -> int:
    """Choose as planned, then 0; ``choices`` gets each (choice, number of options)."""
    choice = plan[len(choices)] if len(choices) < len(plan) else 0
    choices.append((choice, n))
    return choice


# Makers: the cells of our grid, and the published shapes.


Shape = Literal["chain", "signs", "nested"]

_WORDS = {"+": "add", "-": "subtract", "*": "multiply by", "/": "divide by"}
_SPOKEN = {"+": "plus", "-": "minus", "*": "times"}
_NAMES = {"+": "add", "-": "sub", "*": "mul", "/": "div"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemMaker:
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

    def __call__(self, choose: Choose) -> WorkedProblem | None:
        """Make a question, or None where a division finds no divisor."""
        worked = self._expression(choose, self.steps)
        if worked is None:
            return None
        if self.shape == "chain":
            return replace(worked, text=f"Start with {worked.text}. What is the result?")
        return replace(worked, text=f"What is {worked.text}?")

    def _expression(self, choose: Choose, steps: int) -> WorkedProblem | None:
        """Draw the operator before the numbers, so that a rare division is not crowded out."""
        lowest, highest = 10 ** (self.digits - 1), 10**self.digits - 1
        if steps == 0:
            return make_number(lowest + choose(highest - lowest + 1))
        operator = pick(choose, self.operators)
        branches = self.shape == "nested" and operator != "/"
        n_left = choose(steps) if branches else steps - 1
        left = self._expression(choose, n_left)
        if left is None:
            return None
        if operator != "/":
            right = self._expression(choose, steps - 1 - n_left)
        elif exact := divisors(left.value, lowest, highest):
            right = make_number(pick(choose, exact))
        else:
            right = None
        return right and apply_operator(left, operator, right, self._shown(left, operator, right))

    def _shown(self, left: WorkedProblem, operator: str, right: WorkedProblem) -> str:
        if self.shape == "nested":
            return f"{_add_brackets(left)} {operator} {_add_brackets(right)}"
        if self.shape == "chain":
            return f"{left.text}, {'then ' if left.steps else ''}{_WORDS[operator]} {right.text}"
        return f"{left.text} {operator} {right.text}"


def _add_brackets(worked: WorkedProblem) -> str:
    return f"({worked.text})" if worked.steps else worked.text


def _gpt3(choose: Choose, *, digits: int, operator: str) -> WorkedProblem:
    """Make two numbers of up to so many digits, uniform from 0: ``What is 98 plus 45?``."""
    left, right = (make_number(choose(10**digits)) for _ in range(2))
    return apply_operator(
        left, operator, right, f"What is {left.text} {_SPOKEN[operator]} {right.text}?"
    )


def _gpt3_composite(choose: Choose) -> WorkedProblem:
    """Make three numbers from 0 to 9, brackets around the last two: ``What is 6+(4*8)?``."""
    first, second, third = (make_number(choose(10)) for _ in range(3))
    outer, inner = (pick(choose, "+-*") for _ in range(2))
    right = apply_operator(second, inner, third, f"({second.text}{inner}{third.text})")
    return apply_operator(first, outer, right, f"What is {first.text}{outer}{right.text}?")


def _multistep(choose: Choose, *, depth: int, length: int) -> WorkedProblem:
    """Make e.g. ``((-1 + 2 * 5) - (9 * -4 + 6)) =``, which has depth 1 and length 3."""
    worked = _brackets(choose, depth, length)
    return replace(worked, text=f"{worked.text} =")


def _brackets(choose: Choose, depth: int, length: int) -> WorkedProblem:
    """Make two brackets of the depth below; at depth 0, ``length`` numbers, products first."""
    if depth:
        left, right = (_brackets(choose, depth - 1, length) for _ in range(2))
        operator = pick(choose, "+-*")
        return apply_operator(left, operator, right, f"({left.text} {operator} {right.text})")
    terms = [make_number(choose(19) - 9) for _ in range(length)]
    operators = [pick(choose, "+-*") for _ in range(length - 1)]
    for level in ("*", "+-"):
        while i := next((i for i, sign in enumerate(operators, 1) if sign in level), 0):
            left, right, sign = terms[i - 1], terms[i], operators.pop(i - 1)
            terms[i - 1 : i + 1] = [
                apply_operator(left, sign, right, f"{left.text} {sign} {right.text}")
            ]
    (worked,) = terms
    return replace(worked, text=f"({worked.text})")


def _modified(choose: Choose, *, digits: int, operator: str, adds: int) -> WorkedProblem:
    """Make five solved lines and an open one; the arrow is the operation plus ``adds``."""
    lines: list[str] = []
    worked = make_number(0)
    for _ in range(6):
        left, right = (make_number(choose(10**digits)) for _ in range(2))
        worked = apply_operator(left, operator, right, f"{left.text} {operator} {right.text} ->")
        if adds:
            worked = apply_operator(worked, "+", make_number(adds), worked.text)
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


def stream_name(preset: str) -> str:
    """Return the random stream of a preset: twins share one, so that only the arrow differs."""
    return preset.removesuffix("-plus-one").removesuffix("-control")
