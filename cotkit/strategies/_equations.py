"""The equations of a rationale, for the controls that show nothing else of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from cotkit.types import Exemplar

# Possessive throughout (``*+``): what cannot become an equation is given up at once.
_NUMBER = r"[$€£]?(?:\d++(?:,\d{3})*+(?:\.\d++)?+|\.\d++)%?+"
_UNIT = r"(?:[ /]?[A-Za-z]{2,}+)"  # two letters or more: a lone x multiplies
_TERM = rf"[(]*+[-\u2212]?+{_NUMBER}{_UNIT}{{0,6}}+[)]*+"
_OPERATOR = r"[ \t]*+(?:[-+\u2212\u2013*\u00d7/\u00f7^]|x(?![ \t]*-))[ \t]*+"
_SIDE = rf"{_TERM}(?:{_OPERATOR}{_TERM})*+"
_EQUATION = re.compile(rf"(?<![\w.,$€£]){_SIDE}(?:[ \t]*+=[ \t]*+{_SIDE})++")
_WORDS = re.compile(_UNIT)
_WORKED = re.compile(rf"[\d%)]{_OPERATOR}[-\u2212\d.($€£]")
_BEGUN = re.compile(r"(?:[-+\u2212\u2013*\u00d7/\u00f7^]|(?:%|\bhalf) of)\s*$")
_GOES_ON = re.compile(r"\s*[+*\u00d7/\u00f7^=]|[\w(]")


def equations(rationale: str) -> tuple[str, ...]:
    """Return every ``expression = result`` in order, without units; ``a = b = c`` counts as one.

    ``"3 cups + 2 * 4 cups = 11 cups"`` is ``"3 + 2 * 4 = 11"``. At least one side has an operator;
    sides hold numbers, operators and brackets only, so what names an unknown is left out.
    """
    candidates = [
        _balanced(_WORDS.sub("", match[0]))
        for match in _EQUATION.finditer(rationale)
        if not _BEGUN.search(rationale[: match.start()][-20:])
        and not _GOES_ON.match(rationale, match.end())
    ]
    return tuple(
        equation for equation in candidates if _WORKED.search(equation) and _closes(equation)
    )


def equation_sentences(exemplars: Sequence[Exemplar]) -> tuple[str, ...]:
    """Write each exemplar's equations as one sentence: ``"6 * 4 = 24; 24 + 10 = 34."``.

    Raises:
        ValueError: an exemplar has none; names it.
    """
    per_exemplar = [equations(exemplar.rationale) for exemplar in exemplars]
    for number, (exemplar, texts) in enumerate(zip(exemplars, per_exemplar, strict=True), start=1):
        if not texts:
            raise ValueError(
                f"exemplar {number} ({exemplar.question[:60]!r}) works out no equation"
            )
    return tuple("; ".join(texts) + "." for texts in per_exemplar)


def with_rationales(exemplars: Sequence[Exemplar], rationales: Sequence[str]) -> list[Exemplar]:
    """Return the exemplars with these rationales in place of their own, in order."""
    return [replace(x, rationale=r) for x, r in zip(exemplars, rationales, strict=True)]


def _balanced(equation: str) -> str:
    """Remove the bracket of an aside that holds the equation: ``(3 * 4 = 12)``."""
    first, last = equation.split("=", 1)[0], equation.rsplit("=", 1)[1]
    opened = max(0, first.count("(") - first.count(")"))
    closed = max(0, last.count(")") - last.count("("))
    return equation[opened : len(equation) - closed]


def _closes(equation: str) -> bool:
    return all(side.count("(") == side.count(")") for side in equation.split("="))
