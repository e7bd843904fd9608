"""Stage 4, is it one answer: a piece that offers two numbers or denies one does not settle.

``3 * 4 = 12`` states 12; ``18 because 3 * 6 = 18`` states 18; ``5 or 6`` and ``not 5`` nothing.
"""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import islice, pairwise
from typing import Literal, TypeAlias

from cotkit.scoring.numbers import find_numbers

SettledNumber: TypeAlias = Fraction | Literal["ambiguous"] | None
"""What a piece of text says: a number; more than one thing; nothing."""

_NEGATION = re.compile(r"\b(?:not|never|neither|wrong|incorrect)\b|n['\u2019]t\b", re.IGNORECASE)
_SPACED_DASH = re.compile(r"[\s*_$(]*[-\u2212\u2013]\s+[$€£¥]?")
_NEW_SENTENCE = re.compile(r"[.!?][\s*_]+[A-Z]")
_SENTENCE_END = re.compile(r"[.!?](?=[\s*_\"')\]}$]|$)")
_ASIDE = re.compile(
    r"\b(?:because|since|as|where|which|so|if|when|while|after|for|from|given|and|or|but|not|with)"
    r"\b|;|\w\s+\(",
    re.IGNORECASE,
)
_JOIN = re.compile(
    r"[^\w(]*(?:"
    r"(?:[^\W\d_]+\W+){0,2}?(?:or|and|to|of|by|over|plus|minus|times|x)\W+"
    r"|\\(?:times|cdot|div|pm)[^\w(]*"
    r"|(?:hours?|hrs?|h|minutes?|feet|foot|ft|dollars?|pounds?|weeks?|days?|years?|dozen)[^\w(]*"
    r")?",
    re.IGNORECASE,
)
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS: dict[str, int] = {
    **{word: n for n, word in enumerate(_SMALL.split())},
    **{word: 20 + 10 * n for n, word in enumerate(_TENS.split())},
}
_NOT_A_UNIT = frozenset(
    {
        *(
            "hundred",
            "thousand",
            "million",
            "dozen",
            "half",
            "halves",
            "third",
            "thirds",
            "quarter",
        ),
        *("quarters", "point", "over", "of", "or", "and", "to", "more", "less"),
    }
)
_SPELLED = re.compile(
    r"[\s*_\"']*(?P<sign>(?:minus|negative)\s)?(?P<first>[a-z]+)(?:[- ](?P<second>[a-z]+))?"
    r"(?:\s[a-z]+)?[\s*_\"']*(?:[.!,;]|$)",
    re.IGNORECASE,
)


def settle_number(sentence: str) -> SettledNumber:
    """Return the one number that a piece of text states, by the rules of the module docstring.

    ``3 * 4 = 12`` states 12; ``18 because 3 * 6 = 18`` and ``18 (of 20)`` state 18.
    """
    if (spelled := _read_number_words(sentence)) is not None:
        return spelled
    numbers = list(islice(find_numbers(sentence), 32))
    gap = sentence[: numbers[0].start] if numbers else ""
    if not numbers or _NEW_SENTENCE.search(gap):
        return None
    if _NEGATION.search(gap) or _SPACED_DASH.fullmatch(gap):
        return "ambiguous"
    if end := _SENTENCE_END.search(sentence, numbers[0].end):
        sentence = sentence[: end.start()]
    equals = max(sentence.rfind("="), sentence.rfind("≈"))
    if equals > numbers[0].end and not _ASIDE.search(sentence[numbers[0].end : equals]):
        numbers = [number for number in numbers if number.start > equals]
    numbers = [number for number in numbers if number.end <= len(sentence)]
    if not numbers:
        return "ambiguous"
    value = numbers[0].value
    for this, following in pairwise(numbers):
        if not _JOIN.fullmatch(sentence, this.end, following.start):
            break
        if following.value != value:
            return "ambiguous"
    return value


def _read_number_words(sentence: str) -> Fraction | None:
    """Read a small number in words at the start: ``eighteen``, ``minus forty-two apples``."""
    if not (match := _SPELLED.match(sentence)):
        return None
    first, second = _WORDS.get(match["first"].lower()), (match["second"] or "").lower()
    if first is None or second in _NOT_A_UNIT:
        return None
    if first >= 20 and 1 <= _WORDS.get(second, 0) <= 9:
        first += _WORDS[second]
    return Fraction(-first if match["sign"] else first)


# Answers that are not numbers: one of the choices, or free text.
