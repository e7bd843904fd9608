"""The external calculator: correct the equations of a generated chain and carry results on.

Source: Wei et al. 2022, arXiv:2201.11903, appendix ("external calculator"). The paper gives the
idea only; the rule below is ours.

An **equation** is ``a op b [op c ...] = r`` on one line: numbers (with ``$``, thousands commas,
decimals, ``%``), brackets, and ``+ - * x × · / ÷`` with the usual precedence. From left to right:

1. An operand that repeats a wrong result replaced before is replaced by the right one.
2. The left side is worked out exactly, in fractions. A result is right if it equals that value, or
   is that value rounded or cut to the decimals it shows (at least one). A number that stood for a
   rounded result is read exactly or as written, whichever makes the equation right.
3. A wrong ``r`` is replaced, by the exact reading. A value without a finite decimal form is written
   with two decimals, or with as many as ``r`` has.
4. In ``The answer is r``, an ``r`` that repeats a wrong result is replaced too. The latest equation
   that gave a number says what that number means. Nothing else in the text is touched.

``b%`` is b/100 beside ``*`` and ``/``; a sum with ``%`` is read only where every number has one. A
result with ``%`` may be the value or 100 times it; if it is neither, the nearer is written.

Limits. Left alone: equations with units, words or unknowns between the numbers, powers, remainders
and fractions as results, ``≈``, division by zero, and whatever goes on from an expression that
cannot be read. Words that state a wrong result again keep it. A given number that happens to equal
an earlier wrong result is taken for it. A unit change within an equation (``30 + 30 = 1`` hour) and
a quotient rounded to a whole number (``50 / 8 = 6``) are taken for mistakes.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

_MAX_DECIMALS = 10  # a finite decimal form longer than this counts as endless
_NUMBER = (
    r"(?:[$€£¥][ ]?)?+(?:[0-9]{1,3}(?:,[0-9]{3})++|[0-9]{1,30}+)(?:\.[0-9]{1,30}+)?+(?![.,]?[0-9])"
)
_OPERAND = rf"\({{0,30}}+{_NUMBER}(?:[ ]?%)?+(?:[ ]?\))*+"
_OPERATOR = r"[ ]*+(?:[-+\u2212\u2013·xX×]|[*/÷][ ]*+-?)[ ]*+"
_GOES_ON_AFTER = (  # a result that is not the end of its expression, or not a plain number
    r"(?![ ]*+[-+*/÷·×xX^][ ]*+[-(]*+[$€£¥]?[0-9]|[ ]+[0-9]|[:(][0-9]|\*\*[0-9]|[xXyYnN]\b"
    r"|[ ]?[rR][ ]?[0-9]|[A-Za-z]*+\^"
    r"|[ ]?(?:remainder|rem|dozen|hundred|thousand|million|billion|trillion|k)\b)"
)
_STEP = re.compile(
    rf"(?<![\w.,:/)$€£¥])(?P<left>-?{_OPERAND}(?:{_OPERATOR}{_OPERAND}){{1,30}}+)[ ]*+=[ ]*+"
    rf"(?P<result>-?{_NUMBER})(?P<percent>[ ]?%)?+{_GOES_ON_AFTER}"
    rf"|(?i:\bthe answer is)[^0-9\n=(]{{0,40}}?(?P<answer>-?{_NUMBER})(?!{_OPERATOR}[$€£¥(]*+[0-9])"
)
_NUMBER_AT = re.compile(rf"(?P<number>{_NUMBER})(?P<percent>[ ]?%)?+")
_GOES_ON_BEFORE = re.compile(
    r"(?:[-+*/×÷·^(\u2212\u2013]|[0-9]|(?<![A-Za-z])[xX]"
    r"|\b(?:times|plus|minus|by|over|twice|double|triple)"
    r"|(?:\b(?:half|thirds?|quarters?|fifths?|percent)|[%0-9])\s+of)\s*\Z"
)
_BULLET = re.compile(r"[ \t]*(?:[-+*•]|[0-9]+[.)])[ \t]+")
_PLAIN = str.maketrans("xX×·÷\u2212\u2013", "****/--", " ")
_OPERATIONS: Mapping[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def calculate(chain: str) -> str:
    """Correct the equations of a chain; return the same text where none is wrong."""
    results = _EquationResults()

    def correct(step: re.Match[str]) -> str:
        if step["answer"]:
            return results.answer(step)
        before = chain[max(0, step.start() - 80) : step.start()]
        starts_here = _starts_here(before[before.rfind("\n") + 1 :], step["left"])
        return results.equation(step) if starts_here else step[0]

    return _STEP.sub(correct, chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class _EquationResults:
    """The results of the equations so far."""

    right: dict[Fraction, Fraction] = field(default_factory=dict[Fraction, Fraction])
    """Wrong result as written -> the right value."""
    exact: dict[Fraction, Fraction] = field(default_factory=dict[Fraction, Fraction])
    """Rounded result as written -> its exact value."""

    def answer(self, step: re.Match[str]) -> str:
        """Return the answer line, with the right value where it repeats a wrong one."""
        value = self.right.get(_figure(step["answer"]))
        return step[0] if value is None else _replace_number(step, "answer", value)

    def equation(self, step: re.Match[str]) -> str:
        """Carry results into an equation and correct its own; unchanged if it cannot be read."""
        expression = _NUMBER_AT.sub(self._carry_on, step["left"])
        is_percent = step["percent"] is not None
        exact = _values(expression, self.exact, is_percent=is_percent)
        plain = _values(expression, {}, is_percent=is_percent)
        if not exact:
            return step[0]
        stated = _figure(step["result"])
        meant = [value for value in (*exact, *plain) if _agrees(step["result"], value)]
        value = meant[0] if meant else min(exact, key=lambda value: abs(value - stated))
        result = step["result"] if meant else _format_like(value, step["result"])
        self._note(_figure(result), value)
        if meant:
            return expression + step[0][len(step["left"]) :]
        self.right[stated] = value
        return expression + _replace_number(step, "result", value)[len(step["left"]) :]

    def _note(self, result: Fraction, value: Fraction) -> None:
        self.right.pop(result, None)
        self.exact.pop(result, None)
        if result != value:
            self.exact[result] = value

    def _carry_on(self, number: re.Match[str]) -> str:
        value = self.right.get(_figure(number["number"]))
        if value is None:
            return number[0]
        text = _format_like(value, number["number"]) + (number["percent"] or "")
        return f"({text})" if value < 0 else text


def _starts_here(line: str, expression: str) -> bool:
    """Return whether an expression starts after this line, and does not go on from its end."""
    if _BULLET.fullmatch(line):
        return True
    if expression.startswith("-"):  # a sign only where there is nothing to subtract from
        return not line.strip() or line.rstrip()[-1] in "=:,;"
    return not _GOES_ON_BEFORE.search(line)


def _values(
    expression: str, exact: Mapping[Fraction, Fraction], *, is_percent: bool
) -> tuple[Fraction, ...]:
    """Return what the result may be, the likeliest first; empty if the text cannot be read."""
    numbers = list(_NUMBER_AT.finditer(expression))
    names = iter(range(len(numbers)))
    code = _NUMBER_AT.sub(lambda _: f"n{next(names)}", expression).translate(_PLAIN)
    n_open, n_first = code.count("(") - code.count(")"), len(code) - len(code.lstrip("("))
    code = code[max(0, min(n_open, n_first)) :]  # the bracket of an aside that holds the equation
    shares = [number["percent"] is not None for number in numbers]
    adds_shares = any(shares) and ("+" in code or "-" in code)
    if adds_shares and not (all(shares) and is_percent):
        return ()  # 40 + 25%: of what?
    figures = [_figure(number["number"]) for number in numbers]
    parts = [
        exact.get(figure, figure) / (100 if share and not adds_shares else 1)
        for figure, share in zip(figures, shares, strict=True)
    ]
    try:
        value = _value_of(ast.parse(code, mode="eval").body, parts)
    except (SyntaxError, ZeroDivisionError):
        return ()
    return (value * 100, value) if is_percent and not adds_shares else (value,)


def _value_of(node: ast.expr, numbers: Sequence[Fraction]) -> Fraction:
    """Return the value of ``n0 + n1 * ...``, exactly."""
    match node:
        case ast.Name(id=name):
            return numbers[int(name[1:])]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value_of(operand, numbers)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_value_of(left, numbers), _value_of(right, numbers))
        case _:
            raise SyntaxError("not arithmetic")


def _agrees(text: str, value: Fraction) -> bool:
    """Return whether a result is a value, or that value rounded or cut to the decimals it shows."""
    stated, places = _figure(text), len(text.partition(".")[2])
    if stated == value or not places:
        return stated == value
    unit = Fraction(1, 10**places)
    is_cut = stated * value >= 0 and 0 <= abs(value) - abs(stated) < unit
    return is_cut or abs(value - stated) <= unit / 2


def _replace_number(step: re.Match[str], group: str, value: Fraction) -> str:
    """Return the match with another number in a group."""
    start, end = step.start(group) - step.start(), step.end(group) - step.start()
    return step[0][:start] + _format_like(value, step[group]) + step[0][end:]


def _figure(text: str) -> Fraction:
    return Fraction(re.sub(r"[^0-9.-]", "", text))


def _format_like(value: Fraction, like: str) -> str:
    """Write a value in the style of a number: its coin, its commas, at least its decimals."""
    n_decimals = len(like.partition(".")[2])
    finite = (n for n in range(_MAX_DECIMALS + 1) if (value * 10**n).denominator == 1)
    places = max(n_decimals, next(finite, 2))
    integer, part = divmod(round(abs(value) * 10**places), 10**places)
    coin = like.removeprefix("-")[: len(like.removeprefix("-")) - len(like.lstrip("-$€£¥ "))]
    digits = f"{integer:,}" if "," in like else str(integer)
    return ("-" if value < 0 else "") + coin + digits + (f".{part:0{places}d}" if places else "")
