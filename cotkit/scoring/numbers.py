"""Exact numbers in running text, as fractions: no float, no tolerance, no guess.

Covers signs (``-``, U+2212 and an en dash where it is a sign), thousands separators, currency,
percent (``25%`` reads 25), LaTeX, fractions, mixed numbers, powers of ten and scale words. Dates,
clock times, dotted versions, exponents and subscripts (``x^2``, ``H2O``) are not numbers here.
Every scan is linear in the length of the text.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

MAX_DIGITS = 400
"""Numbers that need more digits than this are refused: nobody writes them as an answer."""

_LOOKALIKE: dict[int, str] = {0xFF10 + digit: str(digit) for digit in range(10)} | {
    ord(mark): plain
    for mark, plain in zip("\uff0e\uff0c\uff05\uff0d\u2212\u2013\u2044", ".,%---/", strict=True)
}
_MARKUP = re.compile(
    r"\\(?:text|textbf|textrm|mathrm|mathbf|boxed|fbox|left|right|quad|approx)\b\s?\{?"
    r"|\^\s?\{?\s?\\circ\s?\}?|\\[()\[\]$%;: ]"
)
_SEPARATOR = r"(?:,\\!|,|\{,\}|\\,|[_\u00a0\u2009\u202f])"
_DIGITS = rf"[0-9]{{1,{MAX_DIGITS}}}"
_VULGAR = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_FRAC = rf"\\[dtc]?frac\s?(?:\{{\s?(-?{_DIGITS})\s?\}}\s?\{{\s?({_DIGITS})\s?\}}|([0-9])\s?([0-9]))"
_CORE = re.compile(
    # dates, versions and clock times come first, so that no part of them is taken for a number
    r"(?P<skip>[0-9]++(?:(?:/[0-9]++){2,}+|(?:\.[0-9]++){2,}+|(?::[0-9]{2}(?![0-9]))++))"
    rf"|(?P<run>[0-9]++(?:{_SEPARATOR}[0-9]++)*+)(?P<decimals>\.[0-9]++)?+"
    r"|(?<![.0-9])(?P<bare>\.[0-9]++)"
    rf"|(?P<frac>{_FRAC})|(?P<vulgar>[{_VULGAR}])"
)
_MIXED = re.compile(
    rf"\s?(?:(?P<vulgar>[{_VULGAR}])|(?P<frac>{_FRAC}))"
    rf"|\s(?P<top>{_DIGITS})/(?P<bottom>{_DIGITS})(?![0-9/]|\.[0-9])"
)
_OVER = re.compile(rf"/({_DIGITS})(?![0-9/]|\.[0-9])")
_TIMES_TEN = re.compile(
    r"[eE](?P<e>[-+]?[0-9]++)(?![0-9A-Za-z])"
    r"|\s?(?:\\times|\\cdot|[\u00d7*x])\s?10"
    r"(?:\s?\^\s?(?:\{\s?(?P<braced>[-+]?[0-9]++)\s?\}|(?P<caret>[-+]?[0-9]++))"
    r"|(?P<raised>[⁻⁺]?[⁰¹²³⁴-⁹]++))"
)
_POWER = re.compile(
    r"\s?\^\s?(?:\{\s?(?P<braced>[-+]?[0-9]++)\s?\}|(?P<caret>[-+]?[0-9]++))"
    r"|(?P<raised>[⁻⁺]?[⁰¹²³⁴-⁹]++)|\s?\^"
)
_SCALE = re.compile(r"\s?(hundred|thousand|million|billion|trillion)\b|([kK])(?![A-Za-z])")
_SCALES = {"hundred": 2, "thousand": 3, "k": 3, "million": 6, "billion": 9, "trillion": 12}
_PERCENT = re.compile(r"\s?%")
_LEFT = re.compile(
    r"(?:(?<![0-9A-Za-z)\]}%.\-])(?P<sign>[-+]))?"
    r"(?:(?:(?:US|CA|A|C|R)?[$€£¥₹]|(?<![A-Za-z])(?:USD|EUR|GBP|Rs\.?))\s?(?P<inner>-)?)?\Z"
)
_MINUS_WORD = re.compile(r"(?<![0-9A-Za-z]\s)\b(?:minus|negative)\s\Z", re.IGNORECASE)
_PREFIX = re.compile(r"[\s*_$(\"'\[{≈~]*")
_SUFFIX = re.compile(
    r"[\s*_}$°\\-]*+(?:[^\W\d_]++['\u2019.]?[\s/}*_$²³-]*+){0,4}+[\s.!,;:*_)\]}$\"'\\]*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberMatch:
    """A number and where it stands."""

    value: Fraction
    """Its exact value; a percentage keeps its figure (``25%`` is 25)."""
    start: int
    """Offset of its first character, sign and currency included."""
    end: int
    """Offset after its last character, percent sign and scale word included."""


def find_numbers(text: str) -> Iterator[NumberMatch]:
    """Yield every number of a text, from left to right, in linear time.

    Digits with commas that are no thousands grouping are a list: ``1,2`` gives 1 and 2.
    """
    plain = _plain_text(text)
    offset = 0
    while core := _CORE.search(plain, offset):
        offset = core.end()
        if core["skip"]:
            continue
        if core["run"]:
            if (digits := _join_digit_groups(core["run"])) is None:
                yield from _list_items(core)
                continue
            value = _parse_decimal(digits + (core["decimals"] or ""))
        elif core["bare"]:
            value = _parse_decimal("0" + core["bare"])
        else:
            value = _parse_fraction(core)
        value, offset = _extend_number(
            plain, offset, value, is_whole=bool(core["run"] and not core["decimals"])
        )
        start, negative = _find_start(plain, core.start())
        if value is not None and not _is_attached(plain, start):
            yield NumberMatch(value=-value if negative else value, start=start, end=offset)


def read_number(text: str) -> Fraction | None:
    """Return the value of ONE number expression, with markup around it and a unit after it.

    The unit has up to four words. None if there is no number, more than one, other words before it,
    or over ``MAX_DIGITS``.
    """
    plain = _plain_text(text)
    numbers = list(islice(find_numbers(text), 2))
    if len(numbers) != 1 or not _PREFIX.fullmatch(plain, 0, numbers[0].start):
        return None
    return numbers[0].value if _SUFFIX.fullmatch(plain, numbers[0].end) else None


def canonical_form(value: Fraction) -> str:
    """Return the one spelling of a value: integer, else exact terminating decimal, else ``n/d``."""
    cofactor, twos, fives = value.denominator, 0, 0
    while cofactor % 2 == 0:
        cofactor, twos = cofactor // 2, twos + 1
    while cofactor % 5 == 0:
        cofactor, fives = cofactor // 5, fives + 1
    if cofactor != 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    if places == 0:
        return str(value.numerator)
    digits = str(abs(value.numerator) * 10**places // value.denominator).zfill(places + 1)
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


@functools.lru_cache(maxsize=256)  # every reader of the panel compares with the same gold answer
def parse_gold(text: str) -> Fraction:
    """Return a gold answer as a number.

    Raises:
        ValueError: it is not one readable number.
    """
    value = read_number(text)
    if value is None:
        raise ValueError(f"gold answer {text!r} is not a number")
    return value


def _plain_text(text: str) -> str:
    """Blank markup and replace look-alike characters; every offset stays."""

    def blank(match: re.Match[str]) -> str:
        last = match[0][-1]
        return (last if last in "$%" else " ").ljust(len(match[0]))  # "-\\$5" keeps its sign

    return _MARKUP.sub(blank, text.translate(_LOOKALIKE))


def _join_digit_groups(run: str) -> str | None:
    """Return the digits of a run if it is one number; None if it is a list."""
    first, *others = re.split(_SEPARATOR, run)
    if not others:
        return first
    is_number = first[0] != "0" and len(first) <= 3 and all(len(group) == 3 for group in others)
    return first + "".join(others) if is_number else None


def _list_items(core: re.Match[str]) -> Iterator[NumberMatch]:
    offset, end = core.start("run"), core.end("run")
    for item in re.finditer(r"[0-9]+", core["run"]):
        is_last = offset + item.end() == end
        value = _parse_decimal(item[0] + ((core["decimals"] or "") if is_last else ""))
        if value is not None:
            stop = core.end() if is_last else offset + item.end()
            yield NumberMatch(value=value, start=offset + item.start(), end=stop)


def _parse_decimal(digits: str) -> Fraction | None:
    return Fraction(digits) if len(digits) <= MAX_DIGITS else None


def _parse_fraction(match: re.Match[str]) -> Fraction | None:
    """Parse a match with groups ``vulgar`` or ``frac``; None if the denominator is zero."""
    if match["vulgar"]:
        return Fraction(unicodedata.normalize("NFKC", match["vulgar"]).replace("\u2044", "/"))
    parts: list[str] = re.findall(r"-?[0-9]+", match["frac"])
    top, bottom = (int(part) for part in (parts if len(parts) == 2 else parts[0]))
    return Fraction(top, bottom) if bottom else None


def _extend_number(
    plain: str, offset: int, value: Fraction | None, *, is_whole: bool
) -> tuple[Fraction | None, int]:
    """Take in what follows the digits: a fraction, a power of ten, a scale word, a percent sign."""
    if is_whole and value is not None and (mixed := _MIXED.match(plain, offset)):
        part = _proper_fraction(mixed)
        if part is not None:
            value, offset, is_whole = value + part, mixed.end(), False
    if is_whole and value is not None and (over := _OVER.match(plain, offset)):
        value, offset = (value / int(over[1]) if int(over[1]) else None), over.end()
    if power := _TIMES_TEN.match(plain, offset):
        value, offset = _shift_exponent(value, _parse_exponent(power)), power.end()
    elif power := _POWER.match(plain, offset):
        value, offset = (
            (_shift_exponent(Fraction(1), _parse_exponent(power)) if value == 10 else None),
            power.end(),
        )
    if scale := _SCALE.match(plain, offset):
        value, offset = _shift_exponent(value, _SCALES[(scale[1] or scale[2]).lower()]), scale.end()
    if percent := _PERCENT.match(plain, offset):
        offset = percent.end()
    return value, offset


def _proper_fraction(mixed: re.Match[str]) -> Fraction | None:
    if mixed["top"] is None:
        part = _parse_fraction(mixed)
    else:
        bottom = int(mixed["bottom"])
        part = Fraction(int(mixed["top"]), bottom) if bottom else None
    return part if part is not None and 0 < part < 1 else None


def _parse_exponent(power: re.Match[str]) -> int | None:
    groups = power.groupdict()
    text = groups.get("e") or groups["braced"] or groups["caret"] or groups["raised"]
    return int(text.translate(_SUPERSCRIPT)) if text and len(text) <= 5 else None


def _shift_exponent(value: Fraction | None, exponent: int | None) -> Fraction | None:
    """Return ``value * 10**exponent``; None if that is too long to be an answer."""
    if value is None or exponent is None or abs(exponent) > MAX_DIGITS:
        return None
    shifted = value * Fraction(10) ** exponent
    # 2**3.33 > 10: an upper bound on the digits without writing them out
    bits = max(shifted.numerator.bit_length(), shifted.denominator.bit_length())
    return shifted if bits <= MAX_DIGITS * 3.33 else None


def _find_start(plain: str, start: int) -> tuple[int, bool]:
    """Find where the expression begins, and whether a minus belongs to it."""
    window = max(0, start - 8)
    match = _LEFT.search(plain[window:start])
    assert match is not None  # every part is optional: it matches at the end at least
    first = window + match.start()
    negative = match["sign"] == "-" or match["inner"] == "-"
    window = max(0, first - 12)
    if word := _MINUS_WORD.search(plain[window:first]):
        return window + word.start(), not negative
    return first, negative


def _is_attached(plain: str, start: int) -> bool:
    """Return whether the digits are part of a name, an exponent or a subscript."""
    before = plain[max(0, start - 2) : start]
    if not before:
        return False
    last = before[-1]
    if last == "_":
        return before[:-1].isalnum()
    return (last.isascii() and last.isalpha()) or last == "^" or before in {"^{", "_{"}
