"""Metrics for exact arithmetic: digits that are right, the first wrong step of a chain.

Answers come in the canonical form of the readers (``"-1204"``). An answer that could not be read
has no digits: it stays out here, and is counted where outcomes are.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

NoChain = Literal["no-chain"]
"""What :func:`first_wrong_step` says of a text without a single step."""

_LOOKALIKE = str.maketrans("\u2212\u2013\u00d7\u2715\u00b7\u22c5\u00f7\u2215", "--****//")
_SPELLED = (
    (r"\\[dt]?frac\s?\{([^{}]{1,40})\}\s?\{([^{}]{1,40})\}", r"\1 / \2"),
    (r"\\(?:times|cdot)\b", "*"),
    (r"\\div\b", "/"),
    (r"\\[()\[\]]|\\[,!]|\*\*|[$`]", ""),
    (r"(?i:\bplus\b)", "+"),
    (r"(?i:\bminus\b)", "-"),
    (r"(?i:\b(?:times|multiplied by)\b)", "*"),
    (r"(?i:\bdivided by\b)", "/"),
    (r"(?i:\b(?:equals|is equal to|is|gives|makes)\b)", "="),
    (r"(?<=[0-9)\s])[xX](?=[\s0-9(-])", "*"),
    (r"(?<=[0-9])(?:\{,\}|[,\u00a0\u2009\u202f])(?=[0-9]{3}(?![0-9]))", ""),
    (r"(?m)^[ \t]*(?:[-+*\u2022]|[0-9]{1,2}[.)])[ \t]+", ""),  # bullets
)
_PLAIN = tuple((re.compile(pattern), plain) for pattern, plain in _SPELLED)
_NUMBER = r"-?[0-9]{1,400}+(?:\.[0-9]{1,400}+)?+"
_TERM = rf"(?:{_NUMBER}|\( ?{_NUMBER} ?\))"
_STEP = re.compile(
    rf"(?<![\w.)])(?P<a>{_TERM}) {{0,3}}(?P<sign>[-+*/]) {{0,3}}(?P<b>{_TERM})"
    rf"(?P<closed> ?\))? {{0,3}}= {{0,3}}(?P<c>{_TERM})(?!\.?[0-9])"
)
_GOES_ON = re.compile(r"[-+*/^][ (]{0,3}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One equation ``a sign b = c``, as it stands; it may be false."""

    a: Fraction
    sign: str
    """``+ - * /``."""
    b: Fraction
    c: Fraction

    def normal(self) -> Step:
        """The same step with the terms of a sum or product in order of size."""
        if self.sign in "-/" or self.a <= self.b:
            return self
        return Step(a=self.b, sign=self.sign, b=self.a, c=self.c)


def digit_accuracy(value: str, gold: str) -> float:
    """Share of columns that agree, both numbers right-aligned at the units; 1 is best, 0 worst.

    Columns are the digits of the longer number; one more is the sign, where either is negative; one
    more each are decimals. A column in which one number has nothing differs: ``42`` against ``142``
    is 2/3, ``-7`` against ``7`` is 1/2. A fraction (``1/3``) has no columns and agrees in none.

    Source: the token metric of arXiv:2304.15004 on digits; alignment and sign are ours.

    Raises:
        ValueError: the gold answer is not an integer.
    """
    right = str(abs(int(gold)))[::-1]
    whole, _, decimals = value.lstrip("-").partition(".")
    left = whole[::-1]
    if "/" in value:
        return 0.0
    is_signed = "-" in {value[0], gold[0]}
    n_agree = sum(a == b for a, b in zip(left, right, strict=False))
    n_agree += is_signed and value[0] == gold[0]
    return n_agree / (max(len(left), len(right)) + is_signed + len(decimals))


def first_wrong_step(chain: str, gold: str) -> int | NoChain | None:
    """Number, from 1, of the first step of a chain that the gold chain does not have.

    None: every gold step is there (best). ``"no-chain"``: the text states no step at all. Steps are
    compared by value, in any order (brackets can be worked in several), with the terms of sums and
    products either way round. A step said twice counts once, and what follows the last gold step
    is not looked at. A chain that stops early is wrong at the step it lacks. A higher number means
    that more was right: of chains with as many gold steps, later is better.

    Args:
        chain: What the model wrote; see :func:`read_steps` for what is read.
        gold: The rationale of the problem.
    """
    written = list(read_steps(chain))
    if not written:
        return "no-chain"
    wanted = Counter(gold_steps(gold))
    seen: set[Step] = set()
    at = 0
    for step in (step.normal() for step in written):
        if not wanted.total():
            return None
        if wanted[step]:
            wanted[step] -= 1
        elif step in seen:
            continue
        else:
            return at + 1
        seen.add(step)
        at += 1
    return at + 1 if wanted.total() else None


@functools.lru_cache(maxsize=4096)
def gold_steps(gold: str) -> tuple[Step, ...]:
    """The steps of a gold chain, terms in order of size; read once for all attempts at it."""
    return tuple(step.normal() for step in read_steps(gold))


def read_steps(text: str) -> Iterator[Step]:
    """The steps ``a op b = c`` of a text, in order, true or not.

    Signs may be ``* x × ·``, ``/ ÷``, ``- − –``, their LaTeX or words (``plus``, ``divided by``;
    ``is``, ``equals`` for ``=``); numbers may have thousands separators, decimals and brackets.
    ``3 + 5 = 8 - 2 = 6`` is two steps. Expressions of more than one operation are not steps.
    """
    plain = text.translate(_LOOKALIKE)
    for pattern, written in _PLAIN:
        plain = pattern.sub(written, plain)
    at = 0
    while found := _STEP.search(plain, at):
        opened = plain[: found.start()].endswith(("(", "( "))
        goes_on = _GOES_ON.search(plain[max(0, found.start() - 6) : found.start()])
        if goes_on or (found["closed"] and not opened):
            at = found.end("a")
            continue
        at = found.start("c")
        a, b, c = (_exact(found[name].strip("() ")) for name in "abc")
        yield Step(a=a, sign=found["sign"], b=b, c=c)


def _exact(number: str) -> Fraction:
    return Fraction(number) if "." in number else Fraction(int(number))  # int() is much faster
