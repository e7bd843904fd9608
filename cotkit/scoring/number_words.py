"""Stage 3, numbers in words: English from zero to trillions with halves and thirds, and Chinese."""

from __future__ import annotations

import re
from fractions import Fraction

from cotkit.scoring.numbers import NumberMatch

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS: dict[str, int] = {word: n for n, word in enumerate(_ONES.split())} | {
    word: 20 + 10 * n for n, word in enumerate(_TENS.split())
}
_BIG = {
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "lakh": 10**5,
    "crore": 10**7,
    "dozen": 12,
}
_PARTS = {
    "half": 2,
    "halves": 2,
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
    "twelfth": 12,
    "fifteenth": 15,
    "sixteenth": 16,
    "twentieth": 20,
    "hundredth": 100,
    "thousandth": 1000,
}
_NUMERAL = "|".join(sorted([*_WORDS, *_BIG, "hundred"], key=len, reverse=True))
_PART = "|".join(f"{part}s?" for part in _PARTS)
_SCALE = "|".join(_BIG)
_RUN = re.compile(
    rf"\b(?:(?P<sign>minus|negative)\s)?(?P<run>(?:an?\s(?=hundred|thousand|million|billion|dozen)"
    rf"|(?:one\s)?half\san?\s(?=hundred|thousand|million|billion|dozen))?(?:{_NUMERAL})"
    rf"(?:(?:\s|-|\sand\s)(?:{_NUMERAL}))*(?:\spoint(?:\s(?:{_NUMERAL}))+)?"
    rf"(?:\sand\s(?:an?|one|two|three|four|five|seven)[\s-](?:{_PART})(?:\s(?:{_SCALE})\b)?"
    rf"|[\s-](?:{_PART}))?"
    rf"|an?[\s-](?:{_PART})(?!-)|(?:half|third|quarter)(?!-))\b(?!-|['’]s\b)",
    re.IGNORECASE,
)
_NO_NUMBER = re.compile(
    r"\b(?:the|that|this|no|any|every|each|some|which|another|only|other)\s\Z", re.IGNORECASE
)
_ORDINARY = re.compile(
    r"\s?(?:of|by|thing|who|that|which|more|such|way|person|can|day)\b", re.IGNORECASE
)
_CHINESE = re.compile(
    r"(?<![第唯统同0-9])(?!一[共样起些般定直旦致切])(?!十分)[负負]?[零〇一二两兩三四五六七八九十百千万萬亿億]++(?:点[零〇一二三四五六七八九]++|分之[零〇一二两三四五六七八九十百千]++)?"
    r"(?![角边邊])"
)
_CHINESE_DIGITS = {
    **{sign: n for n, sign in enumerate("零一二三四五六七八九")},
    "〇": 0,
    "两": 2,
    "兩": 2,
}
_CHINESE_TENS = {"十": 10, "百": 100, "千": 1000}
_CHINESE_BIG = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_QUICK = re.compile(rf"(?:{_NUMERAL}|half|third|quarter)", re.IGNORECASE)


def find_number_words(text: str) -> list[NumberMatch]:
    """Return the numbers in words of a short text, from left to right."""
    matches: list[NumberMatch] = []
    if _QUICK.search(text):
        for run in _RUN.finditer(text):
            words = re.findall(r"[a-z]+", run["run"].lower())
            value = _parse_english(words)
            is_pronoun = words == ["one"] and (
                _NO_NUMBER.search(text[max(0, run.start() - 10) : run.start()])
                or _ORDINARY.match(text, run.end())
            )
            if value is not None and not is_pronoun:
                sign = -1 if run["sign"] else 1
                matches.append(NumberMatch(value=sign * value, start=run.start(), end=run.end()))
    if not text.isascii():
        for run in _CHINESE.finditer(text):
            value = _parse_chinese(run[0].lstrip("负負"))
            if value is not None:
                sign = -1 if run[0][0] in "负負" else 1
                matches.append(NumberMatch(value=sign * value, start=run.start(), end=run.end()))
        matches.sort(key=lambda match: match.start)
    return matches


def _parse_english(words: list[str]) -> Fraction | None:  # noqa: PLR0911 - one form each
    """Return the value of ``three hundred and five``, ``two thirds``, ``half a million``."""
    if words[-1] in _BIG and "and" in words and _part_size(words[-2]):
        value = _parse_english(words[:-1])
        return value * _BIG[words[-1]] if value is not None else None
    if words[:2] == ["one", "half"] or words[:1] == ["half"]:
        rest_of_words = words[words.index("half") + 1 :]
        scale = _parse_integer(
            [word for word in rest_of_words if word not in {"a", "an"}] or ["one"]
        )
        return Fraction(scale, 2) if scale is not None else None
    if size := _part_size(words[-1]):
        if len(words) == 1 or words[0] in {"a", "an"}:
            return Fraction(1, size)
        if "and" in words:
            at_and = len(words) - 1 - words[::-1].index("and")
            count = words[at_and + 1]
            integer_part = _parse_integer(words[:at_and])
            top = 1 if count in {"a", "an"} else _WORDS.get(count)
            return (
                integer_part + Fraction(top, size)
                if integer_part is not None and top is not None
                else None
            )
        top = _parse_integer(words[:-1])
        is_plural = words[-1].endswith("s")
        return Fraction(top, size) if top is not None and (top == 1) != is_plural else None
    if "point" in words:
        point = words.index("point")
        integer_part, places = _parse_integer(words[:point]), words[point + 1 :]
        if integer_part is None or any(_WORDS.get(place, 10) > 9 for place in places):
            return None
        return Fraction(f"{integer_part}.{''.join(str(_WORDS[place]) for place in places)}")
    integer = _parse_integer(words)
    return Fraction(integer) if integer is not None else None


def _part_size(word: str) -> int | None:
    return _PARTS.get(word) or _PARTS.get(word.removesuffix("s"))


def _parse_integer(words: list[str]) -> int | None:
    """Return the integer that words from zero to trillions spell; None where they spell several."""
    total, group, room = 0, 0, 10**15
    limit = 10**15
    for i, article in enumerate(words):
        word = "one" if article in {"a", "an"} else article
        if word == "and":
            if i == 0 or words[i - 1] not in {"hundred", *_BIG}:
                return None
            continue
        if word == "hundred":
            if group >= 100:
                return None
            group, room = (group or 1) * 100, 100
        elif word in _BIG:
            if _BIG[word] >= limit:
                return None
            total, group, limit = total + (group or 1) * _BIG[word], 0, _BIG[word]
            room = 10**15
        else:
            value = _WORDS.get(word)
            if value is None or value >= room or (group and value == 0):
                return None
            group += value
            room = 10 if value >= 20 else 1
    return total + group


def _parse_chinese(run: str) -> Fraction | None:
    """Return the value of ``四十二``, ``三千五百``, ``一百二十万``, ``三点五``."""
    bottom, is_part, top = run.partition("分之")
    if is_part:
        parts = _parse_chinese(top), _parse_chinese(bottom)
        if bottom == "百":  # a percentage keeps its figure
            return parts[0]
        return parts[0] / parts[1] if parts[0] is not None and parts[1] else None
    run, _, places = run.partition("点")
    if not run:
        return None
    if all(sign in _CHINESE_DIGITS for sign in run):
        value = int("".join(str(_CHINESE_DIGITS[sign]) for sign in run))
    else:
        total = group = digit = 0
        for sign in run:
            if sign in _CHINESE_DIGITS:
                digit = _CHINESE_DIGITS[sign]
            elif sign in _CHINESE_TENS:
                group, digit = group + (digit or 1) * _CHINESE_TENS[sign], 0
            else:
                total = (total + group + digit) * _CHINESE_BIG[sign]
                group = digit = 0
        value = total + group + digit
    if places:
        return Fraction(f"{value}.{''.join(str(_CHINESE_DIGITS[sign]) for sign in places)}")
    return Fraction(value)
