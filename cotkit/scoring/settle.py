"""Stage 4, is it one answer: a piece that offers two numbers or denies one does not settle.

``3 * 4 = 12`` states 12, ``72 = 48 + 24`` 72, ``18 because 3 * 6 = 18`` 18; ``5 or 6``, ``not 5``
and ``3 hours 30 minutes`` state nothing that is one number.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Literal, TypeAlias

from cotkit.scoring.number_words import find_number_words
from cotkit.scoring.numbers import NumberMatch, find_values, plain_text

Unsettled: TypeAlias = Literal["ambiguous", "expression", "rejected", "nothing"]
"""More than one thing, or denied; no number (``3√2``); taken back; says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a piece of text says."""

    value: Fraction | None = None
    """The one number that it states; None: see ``why``."""
    why: Unsettled = "nothing"
    """Why it states no number."""
    is_plain: bool = True
    """Whether the number comes first and alone, not at the end of a sum or within a sentence."""
    is_explained: bool = False
    """Whether other numbers of its sentence explain it (``6 with 7 jars each``)."""


_NEGATION = re.compile(
    r"\b(?:not|never|neither|wrong|incorrect|cannot)\b|n['\u2019]t\b|不是|并非", re.IGNORECASE
)
_BOUND = re.compile(r"(?:^|\s)[<>≤≥≠]=?\s*[$\\]?\Z|\\(?:leq?|geq?|neq?|lt|gt)\b|[±]")
_SPACED_DASH = re.compile(r"[\s*_$(]*[-\u2212\u2013]\s+[$€£¥]?")
_NEW_SENTENCE = re.compile(r"[.!?][\s*_]+[A-Z]|[。！？]")
_SENTENCE_END = re.compile(r"[.!?](?=[\s*_\"')\]}$]|$)|[。！？]")
_RETRACTION = re.compile(
    r"[\s\"”'.!?…)*_,;]*(?:[-—–(]+\s*)?(?:(?:hmm+|wait|oh|hold on|but wait|actually)[,.!… ]+)*"
    r"(?:no\b[,.! ]|scratch that|oops|correction\b|(?:but )?actually,? (?:the|it)\b"
    r"|(?:but |which |and )?(?:that|this|it|which)?(?:'s| is| was| would be) (?:wrong|incorrect"
    r"|not (?:right|correct|true)|a mistake|too (?:many|much|few|little|high|low|big|small|large))"
    r"|(?:wrong|incorrect)\b)",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"\b(?:because|since|as|where|which|so|if|when|while|after|for|from|given|but|not|with|instead"
    r"|rather|unlike|than|using|over|i\.e|e\.g|namely|that is|assuming|rounded|es decir|c'est"
    r"|compared|against|versus|vs|in place|(?:up|down) from|having|including|consisting|comprising"
    r"|considering|despite)\b"
    r"|;|:\s|——?|…"
    r"|\s--\s|(?<=[^\W\d])\s[-–]\s|[,，]?(?:因为|而不是|不是|即)",
    re.IGNORECASE,
)
_CORRECTION = re.compile(
    r"[,;.…—–-]+\s*(?:no,|(?:oh,? )?wait,|sorry,|i mean,?|or rather,?|correction:)\s*(?:no,\s)?"
    r"(?:(?:it|that)(?:['’]s| is)\s|make that\s)?(?=[$*(]*[0-9])",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"[^\w(]*(?:\(\s*(?:wrong|incorrect|not (?:right|correct|true))\b"
    r"|(?:is|was|would be) (?:wrong|incorrect|false|not|a mistake)\b)",
    re.IGNORECASE,
)
_EQUALS = re.compile(r"[=≈]|\b(?:equals?|is equal to|gives|makes|yields)\b", re.IGNORECASE)
_OPERAND = re.compile(r"[A-Za-z0-9)}\]]\s?(?:[+*×·÷^]|\s[-−]|(?<=[A-Za-z])-(?=\s?\Z))\s?[$(]*\Z")
_FUNCTION = re.compile(
    r"\b(?:root|square|cube|factorial|log(?:arithm)?|(?:co)?sine?|tan(?:gent)?) of\s?\Z",
    re.IGNORECASE,
)
_OPERATOR = re.compile(
    r"[-+*/×·÷−]|\bx\b|\\(?:times|cdot|div)|\b(?:plus|minus|times|over|divided|of|by)\b",
    re.IGNORECASE,
)
_EXPLAINS = re.compile(r"[-–—→{]|\b(?:consisting|being)\b")
_SPACED_GROUP = re.compile(r"[\W_]{0,8}[1-9][0-9]{0,2} [0-9]{3}(?![0-9]|[ .,][0-9])")
_PARENTHESIS = re.compile(r"\([^()]*\)|（[^（）]*）|\[[^\[\]]*\]")
_UNIT = (
    r"(?:hours?|hrs?|h|minutes?|mins?|seconds?|secs?|s|days?|weeks?|months?|years?|feet|foot|ft"
    r"|inch(?:es)?"
    r"|yards?|yds?|miles?|mi|kilometers?|kilometres?|km|met(?:er|re)s?|m|centimet(?:er|re)s?"
    r"|cm|mm|kg"
    r"|kilograms?|grams?|g|pounds?|lbs?|ounces?|oz|stones?|dollars?|cents?|euros?|pence|quarters?"
    r"|dimes?|nickels?|penn(?:y|ies)|gallons?|quarts?|pints?|cups?|tablespoons?|tbsp|teaspoons?|tsp"
    r"|dozen|degrees?|lit(?:er|re)s?|ml|['′’\"″°])"
)
_JOIN = re.compile(
    r"[^\w(]*(?:"
    r"(?:[^\W\d_]+\W+){0,2}?(?:or|and|to|of|by|over|plus|minus|times|divided by|x|y|o|ou|et|und"
    r"|oder|和|或)\W+"
    r"|\\(?:times|cdot|div|pm)[^\w(]*|[或和至到]"
    rf"|{_UNIT}[^\w(]*(?:and\W+)?"
    r")?",
    re.IGNORECASE,
)
_PRECISION = re.compile(
    r"(?:\b(?:rounded |correct )?to |\bwith )?(?:the nearest [$£€]?[0-9.]+\b|[0-9]+ ?(?:decimal"
    r"|significant|sig\b|d\.?p\b|s\.?f\b)"
    r"(?:\.?[ -]?(?:places?|digits?|figures?|figs?|point))?)",
    re.IGNORECASE,
)
_HAS_PRECISION = re.compile(r"nearest|[0-9] ?(?:decimal|sig|d\.?p|s\.?f)", re.IGNORECASE)
_ENDS = re.compile(r"[.*_`$\"'”’)}\]\s]*\Z")
_INDEX = re.compile(
    r"\b(?:step|day|part|case|question|problem|method|example|equation|eq|figure|table|week|year"
    r"|round|line"
    r"|stage|phase|option|chapter|page|grade|exercise|item|number|no|vol|level)s?\.? ?#?\Z",
    re.IGNORECASE,
)
_LIST_MARK = re.compile(r"[\s*_(]*[0-9]{1,2}[.)][*_]*\s+[*_]*[^\W\d]")
_LEAD_WORDS = re.compile(
    r"(?:[\W_]|\b(?:about|approx|approximately|roughly|around|nearly|almost|exactly|only|just"
    r"|simply|equal|to|the"
    r"|an?|thus|so|therefore|then|total|sum|number|value|of|is|are|be|still|at|least|most|up|more"
    r"|less|fewer|than"
    r"|be|likely|probably|clearly|obviously|hence|also|currently|now|he|she|they|it|we|there|has"
    r"|have|had|x|y|z|n|k"
    r"|found|calculated|computed|estimated|determined|easily|obtained|usd|us|eur|gbp|rs|minus|negative|plus|approximate|precisely|indeed|again|given|by|answer"
    r"|option|day|number"
    r"|是|为|約|约)\b|[A-Za-z](?=\s*=)|\\[a-z]+)*+",
    re.IGNORECASE,
)
_COPULA = re.compile(
    r"(?:\b(?:is|are|be|was|were|equals?|has|have|makes?|gives?|total(?:s|l?ing)?|giving|making"
    r"|yielding|equal to|comes? to|for a total of|namely|so|thus|hence|therefore)|[:=≈→⇒>])"
    r"[\s,*_$£€\\(]*\Z",
    re.IGNORECASE,
)
_SHORT_TAIL = re.compile(r"[^\w\n]*(?:[^\W\d_]+(?:\W+|\Z)){0,4}[^\w\n]*")
_SECOND_NAME = re.compile(r"(?:[,;]|\bor\b|\band\b)\s*[A-Za-z]\w?\s*\Z", re.IGNORECASE)
_DANGLING = re.compile(r"(?:[-+/×·÷=]|\s\*)\s*\Z")  # a sum that was cut
_ITEMS = 32
_NEAR = 200  # characters in which an answer is taken back
_SIZES = {  # in the smallest unit of each kind
    name: (kind, size)
    for kind, names in {
        "time": {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800},
        "years": {"month": 1, "year": 12, "decade": 120},
        "money": {"cent": 1, "dollar": 100, "euro": 100, "penny": 1, "pound": 100},
        "length": {"mm": 1, "cm": 10, "m": 1000, "meter": 1000, "km": 10**6, "kilometer": 10**6},
        "feet": {"inch": 1, "inche": 1, "foot": 12, "feet": 12, "yard": 36, "mile": 63360},
        "weight": {"gram": 1, "g": 1, "kg": 1000, "kilogram": 1000},
        "volume": {"ml": 1, "milliliter": 1, "liter": 1000, "l": 1000},
        "part": {"percent": 1, "%": 1, "": 100},
    }.items()
    for name, size in names.items()
}
_UNIT_NAME = re.compile(r"\s?(%|[a-z]*?)s?(?![a-z])", re.IGNORECASE)


def settle_number(  # noqa: C901, PLR0911, PLR0912 - one answer to each way of not settling
    piece: str, *, after: str = "", is_label: bool = False, comma: bool = False
) -> Settled:
    """Decide which one number a piece of text states, if it is one.

    Args:
        piece: The text behind a cue, or inside the marks.
        after: How the text goes on.
        is_label: Whether the piece follows a label: a sentence with several numbers explains.
        comma: Whether a comma is the decimal mark of the text.
    """
    if (group := _SPACED_GROUP.match(piece)) is not None:
        piece = group[0][:-4] + "\u202f" + piece[group.end() - 3 :]
    plain = plain_text(piece, comma=comma)
    items = _find_items(plain, after)
    if not items:
        return Settled()
    first = items[0]
    lead = plain[: first.start]
    if len(items) == 1 and not lead and first.is_number and _ENDS.match(plain, first.end):
        if _RETRACTION.match(plain[first.end :] + after[:_NEAR]):
            return Settled(why="rejected")
        return Settled(value=first.value)
    if _NEW_SENTENCE.search(lead):
        return Settled()
    if _NEGATION.search(lead) or _SPACED_DASH.fullmatch(lead):
        return Settled(why="ambiguous")
    if (correction := _CORRECTION.search(plain, first.end)) is not None:
        return settle_number(piece[correction.end() :], after=after, is_label=is_label, comma=comma)
    if _TAKEN_BACK.match(plain, first.end):
        return Settled(why="rejected")
    if _BOUND.search(lead) or (_OPERAND.search(lead) and "=" not in plain[first.end :]):
        return Settled(why="expression")
    end = _SENTENCE_END.search(plain, first.end)
    sentence = plain[: end.start()] if end else plain
    if (end and end[0] == "?") or _RETRACTION.match(plain[len(sentence) :][:_NEAR] + after[:_NEAR]):
        return Settled(why="rejected")
    items = [item for item in items if item.end <= len(sentence)]
    if not items or _DANGLING.search(sentence):
        return Settled(why="ambiguous")
    if not _LEAD_WORDS.fullmatch(lead):
        return _settle_sentence(sentence, items, is_label=is_label)
    settled = _settle_first(sentence, items)
    if settled.why == "ambiguous" and settled.value is None and len(items) > 2:
        return _settle_result(sentence, items)
    return settled


def _find_items(plain: str, after: str) -> list[NumberMatch]:
    """Return the numbers and expressions, without those that count steps or decimal places."""
    items: list[NumberMatch] = []
    for item in find_values(plain):
        items.append(item)
        if len(items) == _ITEMS:
            break
    spelled = find_number_words(plain)
    if spelled:
        items = [
            *(i for i in items if not any(w.start <= i.start < w.end for w in spelled)),
            *(w for w in spelled if not any(i.start <= w.start < i.end for i in items)),
        ]
        items.sort(key=lambda item: item.start)
    if not items:
        return items
    masks = [m.span() for m in _PRECISION.finditer(plain)] if _HAS_PRECISION.search(plain) else []
    items = [
        item
        for item in items
        if not any(start <= item.start < end for start, end in masks)
        and not (
            item is not items[-1] and _INDEX.search(plain[max(0, item.start - 12) : item.start])
        )
    ]
    if items and _LIST_MARK.match(plain) and items[0].start < 6:
        following = re.search(r"\n[\s*_(]*2[.)]\s", after) if items[0].value == 1 else None
        if following or (len(items) > 1 and items[0].value == 1):
            del items[0]
    return items


def _settle_sentence(sentence: str, items: list[NumberMatch], *, is_label: bool) -> Settled:
    """Settle a sentence whose number does not come first: one number, or what a copula states."""
    last = items[-1]
    if len({(item.value, item.is_number) for item in items}) == 1:
        if _FUNCTION.search(sentence[: items[0].start]):
            return Settled(why="expression")
        return _settled(items[0], is_plain=False)
    if _SHORT_TAIL.fullmatch(sentence, last.end) and _COPULA.search(sentence[: last.start]):
        return _settled(last, is_plain=False)
    return Settled(why="nothing" if is_label else "ambiguous")


def _settle_result(sentence: str, items: list[NumberMatch]) -> Settled:
    """Settle what does not settle by its first number: by what is said to come of it, or make it.

    ``the sum of 48 and 24, which is 72`` states 72, ``72 - 48 in April, 24 in May`` 72.
    """
    first, second, *_, last = items
    before = sentence[: last.start]
    if _SHORT_TAIL.fullmatch(sentence, last.end) and _COPULA.search(before) and "or" not in before:
        return _settled(last, is_plain=False)
    between = sentence[first.end : second.start]
    values = [item.value for item in items[1:] if item.is_number]
    is_made = first.value in {sum(values), math.prod(values)}
    if _EXPLAINS.search(between) and is_made:
        return _settled(first, is_plain=True)
    return Settled(why="ambiguous")


def _are_one_amount(text: str, this: NumberMatch, following: NumberMatch) -> bool:
    """Return whether two numbers are one amount in two units: ``90 minutes, or 1.5 hours``."""
    sizes: list[tuple[str, Fraction]] = []
    for item in (this, following):
        unit = _UNIT_NAME.match(text, item.end - 1 if text[item.end - 1] == "%" else item.end)
        size = _SIZES.get(unit[1].lower()) if unit else None
        if size is None:
            return False
        sizes.append((size[0], item.value * size[1]))
    return sizes[0] == sizes[1]


def _settle_first(  # noqa: PLR0911 - one answer to each way of not settling
    sentence: str, items: list[NumberMatch]
) -> Settled:
    first = items[0]
    asides = [p.span() for p in _PARENTHESIS.finditer(sentence, first.end)]
    items = [item for item in items if not any(a <= item.start < b for a, b in asides)]
    masked = sentence
    for start, end in asides:
        masked = masked[:start] + " " * (end - start) + masked[end:]
    aside = _ASIDE.search(masked, first.end)
    if aside:
        masked = masked[: aside.start()]
        is_explained = any(item.start >= len(masked) for item in items)
        items = [item for item in items if item.end <= len(masked)]
        if is_explained and not _DANGLING.search(masked) and not _EQUALS.search(masked, first.end):
            return replace(_settle_side(masked, items), is_explained=True)
    if _DANGLING.search(masked):
        return Settled(why="ambiguous")
    signs = [sign.start() for sign in _EQUALS.finditer(masked, first.end)]
    if not signs:
        return _settle_side(masked, items)
    bounds = [0, *signs, len(masked)]
    sides = [
        [item for item in items if start <= item.start < end] for start, end in pairwise(bounds)
    ]
    if any(_SECOND_NAME.search(masked[a:b]) for a, b in pairwise(bounds[:-1])):
        return Settled(why="ambiguous")
    if len(signs) > 1 and not any(sides[1:]):
        return Settled(why="ambiguous")
    end_side = _settle_side(masked, sides[-1]) if sides[-1] else Settled(why="ambiguous")
    if end_side.value is not None or end_side.why == "expression":
        return Settled(value=end_side.value, why=end_side.why, is_plain=False)
    start_side = _settle_side(masked[: signs[0]], sides[0])
    return start_side if start_side.value is not None else Settled(why="ambiguous")


def _settle_side(text: str, items: list[NumberMatch]) -> Settled:
    first = items[0]
    for this, following in pairwise(items):
        if not _JOIN.fullmatch(text, this.end, following.start):
            break
        if _OPERATOR.search(text, this.end, following.start):
            return Settled(why="ambiguous")
        if _are_one_amount(text, first, following):
            continue
        if (following.value, following.is_number) != (first.value, first.is_number):
            return Settled(why="ambiguous")
    return _settled(first, is_plain=_SHORT_TAIL.fullmatch(text, first.end) is not None)


def _settled(item: NumberMatch, *, is_plain: bool) -> Settled:
    if not item.is_number:
        return Settled(why="expression")
    return Settled(value=item.value, is_plain=is_plain)
