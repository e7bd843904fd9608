"""Exact numbers in running text, as fractions: no float, no tolerance, no guess.

Stage 3 of reading, the grammar of values: a numeral (digits of any script, grouped, with decimals;
a fraction), then what may extend it (a mixed fraction, a power of ten, scale words, percent), then
what makes it an expression (a root, a variable, a factorial, a base), which is no number at all.
A percentage keeps its figure. Dates, clock times, dotted versions and the digits of names (``x^2``,
``H2O``) are skipped. Every scan is linear in the length of the text.
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

_LOOKALIKE: dict[int, str] = {
    ord(mark): plain for mark, plain in zip("．％－−–⁄٫٬٪‐‑", ".%---/.,%--", strict=True)
}
_WIDE_COMMA = re.compile(r"(?<=[0-9])，(?=[0-9]{3}(?![0-9]))")
_SPACE_GROUPS = re.compile(r"(?<![0-9.,])[1-9][0-9]{0,2}(?: [0-9]{3}){2,}(?![0-9])")
_MARKUP = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|mathrm|mathbf|mathit|mathsf|operatorname|mbox|hbox|bf"
    r"|rm"
    r"|boxed|fbox|bold|boldsymbol|left|right|big[lr]?|displaystyle|quad|qquad|approx"
    r"|simeq)\b\*?\s?\{?"
    r"|\^\s?\{?\s?\\(?:circ|degree)\b\s?\}?|\\[()\[\]$%;:! ]"
    r"|</?(?:b|i|u|em|p|br|strong|span|mark|code|div|center|h[1-6])(?:\s[^<>]{0,60})?/?>"
)
_SEPARATOR = r"(?:,\\!|,|\{,\}|\\,|[_\u00a0\u2009\u202f]|['\u2019](?=[0-9]{3}(?![0-9])))"
_INDIAN = re.compile(r"[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}")
_DIGITS = rf"[0-9]{{1,{MAX_DIGITS}}}"
_VULGAR = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_FRAC = rf"\\[dtc]?frac\s?(?:\{{\s?(-?{_DIGITS})\s?\}}\s?\{{\s?({_DIGITS})\s?\}}|([0-9])\s?([0-9]))"
_GROUP = r"\{(?:[^{}]|\{[^{}]*+\})*+\}"  # braces, one pair of them inside
_CORE = re.compile(
    # dates, versions and clock times come first, so that no part of them is taken for a number
    r"(?P<skip>[0-9]{1,2}h[0-9]{2}(?![0-9A-Za-z])|[0-9]++(?:(?:/[0-9]++){2,}+|(?:\.[0-9]++){2,}+|(?::[0-9]{2}(?![0-9]))++))"
    r"|(?P<prefix>0[xX][0-9A-Fa-f]++|0[bBoO][0-9]++)"
    rf"|(?P<run>[0-9]++(?:{_SEPARATOR}[0-9]++)*+)(?P<decimals>\.[0-9]++)?+"
    r"|(?<![.0-9])(?P<bare>\.[0-9]++)"
    rf"|(?P<frac>{_FRAC})|(?P<vulgar>[{_VULGAR}])"
    rf"|(?P<opaque>\\[dtc]?frac\s?{_GROUP}\s?{_GROUP}|\\binom\s?{_GROUP}\s?{_GROUP}"
    rf"|\\sqrt\s?(?:\[[^\]\n]{{0,9}}\])?\s?(?:{_GROUP}|[0-9a-z])"
    r"|\\(?:log|ln|sin|cos|tan|pi|infty|theta|phi"
    r"|exp)(?![A-Za-z])(?:_\{?[0-9a-z]{1,9}\}?)?\s?(?:\{[^{}\n]{0,40}\}"
    r"|\([^()\n]{0,40}\)|[0-9]++)?"
    r"|[√∛∜]\s?(?:\([^()\n]{0,40}\)|[0-9]++(?:\.[0-9]++)?|[a-z])?"
    r"|\b(?:sqrt|log|ln|sin|cos|tan)\s?\([^()\n]{0,40}\)"
    r"|(?:±|\\pm)\s?[0-9]++(?:\.[0-9]++)?|\|-[0-9.]{1,20}\||π)"
)
_MIXED = re.compile(
    rf"(?:\s?|\sand\s)(?:(?P<vulgar>[{_VULGAR}])|(?P<frac>{_FRAC}))"
    rf"|\s(?:and\s|&\s)?(?P<top>{_DIGITS})/(?P<bottom>{_DIGITS})(?![0-9/]|\.[0-9])"
    r"|\s(?:and\s|&\s)(?:(?:an?|one)[\s-](?P<part>half|third|quarter|fourth|fifth|sixth|eighth"
    r"|tenth)"
    r"|(?P<count>two|three|four|five|seven)[\s-](?P<parts>thirds|quarters|fourths|fifths"
    r"|eighths))\b",
    re.IGNORECASE,
)
_PARTS = {
    part: n + 2
    for n, part in enumerate(
        ["half", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
    )
} | {"quarter": 4}
_PART_COUNTS = {"two": 2, "three": 3, "four": 4, "five": 5, "seven": 7}
_OVER = re.compile(
    rf"(?:/|\sover\s(?=[0-9]+(?![0-9]|\s*[A-Za-z])))({_DIGITS})(?![0-9/]|\.[0-9])"
    r"|[\s-](half|halves|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth)(s?)\b"
)
_TIMES_TEN = re.compile(
    r"[eE](?P<e>[-+]?[0-9]++)(?![0-9A-Za-z])"
    r"|\s?(?:\\times|\\cdot|[\u00d7\u00b7*x])\s?10"
    r"(?:\s?(?:\^|\*\*)\s?(?:[{(]\s?(?P<braced>[-+]?[0-9]++)\s?[})]|(?P<caret>[-+]?[0-9]++))"
    r"|(?P<raised>[⁻⁺]?[⁰¹²³⁴-⁹]++))"
)
_POWER = re.compile(
    r"\s?(?:\^|\*\*)\s?(?:[{(]\s?(?P<braced>[-+]?[0-9]++)\s?[})]|(?P<caret>[-+]?[0-9]++))"
    r"|(?P<raised>[⁻⁺]?[⁰¹²³⁴-⁹]++)|\s?\^|<sup>"
)
_SCALES: dict[str, Fraction] = {
    word: Fraction(value)
    for value, words in {
        10**2: "hundred hundreds 百",
        10**3: "thousand thousands tsd mil 千 천 mille тыс тысяч тысячи tausend",
        10**4: "万 萬 만",
        10**5: "lakh lakhs lac lacs",
        10**6: "million millions mn mln mio millionen millón millones milhão milhões milioni"
        " millionen млн миллион миллиона миллионов",
        10**7: "crore crores",
        10**8: "亿 億 억",
        10**9: "billion billions bn bln mrd milliard milliards milliarde milliarden миллиард"
        " миллиарда миллиардов млрд",
        10**12: "trillion trillions tn trn 兆 조",
        10**15: "quadrillion quadrillions",
        12: "dozen dozens",
    }.items()
    for word in words.split()
}
_LETTER_SCALES = {"k": 3, "K": 3, "M": 6, "B": 9, "T": 12}
_MONEY_SCALES = {**_LETTER_SCALES, "m": 6, "mm": 6, "MM": 6, "mil": 6, "b": 9, "t": 12}
_SIGNS = "百千천万萬만亿億억兆조"
_SCALE = re.compile(
    r"[^\S\n]?[\s}$*]{0,24}-?(?P<word>"
    + "|".join(sorted((word for word in _SCALES if word not in _SIGNS), key=len, reverse=True))
    + rf")\b|\s?(?P<sign>[{_SIGNS}])(?!(?<=千)[克米瓦卡焦帕赫伏安字])(?!(?<=百)分)",
    re.IGNORECASE,
)
_SMALLER = re.compile(
    r",?\s(?:and\s)?([0-9]+(?:\.[0-9]+)?)\s(hundred|thousand|lakh|million|billion)\b"
    rf"|\s?([0-9]+)([{_SIGNS}])|(?:\sand\s(?=[0-9]{{1,2}}(?![0-9/]|[.,\s][0-9])))?([0-9]+)",
    re.IGNORECASE,
)
_LETTER_SCALE = re.compile(r"(?:\s{6,24}(?=[kKMBT]\}))?([kKMBT])(?![A-Za-z0-9^²³])")
_MONEY_SCALE = re.compile(r"\s?([kKMBTbmt]|mm|MM|mil)(?![A-Za-z0-9^²³])")
_REST = re.compile(r"\s?(?:\{[^{}]*\}|[0-9]++)?[^\s.,;=≈]*+(?:\.[0-9][^\s.,;=≈]*+)*+")
_HAS_MONEY = re.compile(r"[$€£¥₹₩₽]|USD|EUR|GBP|Rs")
_BLANK = frozenset({"", " ", "\n"})
_TAIL = 100_000  # characters at the end that decide what a comma is
_LETTERS = frozenset("abcdfghijklmnopqrtuvwxyz")  # no sign and no currency ends so: minus, negative
_DIGIT = re.compile(r"(?![0-9])\d")
_POINT_GROUPS = re.compile(r"(?<![0-9.,])[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}(?![0-9]|\.[0-9])")
_COMMA_RUN = re.compile(r"(?<![0-9.,])[0-9]++(?:[.,\u00a0\u202f ][0-9]++)++")
_COMMA_GROUPED = re.compile(r"[0-9]{1,3}(?:[.\u00a0\u202f '\u2019][0-9]{3})+(?:,[0-9]+)?")
_MARKED_DIGITS = re.compile(r"[0-9][.,\u00a0\u202f ][0-9]")
_SURE_COMMA = re.compile(
    r"(?<![0-9.,])[0-9]{1,3}(?:[.\u00a0\u202f ][0-9]{3})+,[0-9]{1,9}(?![0-9,.])"
)
_SURE_POINT = re.compile(
    r"(?<![0-9.,])(?:[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]|[0-9]+\.(?:[0-9]{1,2}|[0-9]{4,9})(?![0-9.,]))"
)
_COMMA_LANGUAGE = re.compile(
    r"\b(?:r[ée]ponse|r[ée]sultat|est|avec|co[ûu]te|sont|donc|respuesta|resultado|entonces|cuesta|igual|antwort|kostet|ergebnis|ist|sind|lautet"
    r"|betr[äa]gt|risposta|risultato|sono|quindi|resposta|então|portanto|antwoord|svar(?:et)?|vastaus"
    r"|odpowied[źz]|cevap|jawaban(?:nya)?|c[âa]u tr[ảa] l[ờo]i|đáp án|ответ|итого|відповідь|odpověď"
    r"|v[áa]lasz|răspuns(?:ul)?|απάντηση)\b",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"\s?%")
_EXPRESSION = re.compile(
    r"\s?(?:[√∛π∞]|\\(?:sqrt|pi|theta|phi|alpha|beta|lambda|log|ln|sin|cos|tan|infty|binom"
    r"|mathbb)\b"
    r"|\\[dtc]?frac\b(?!\{\s{4,}[A-Za-z]))"
    r"|\.?[0-9]*\s?\\(?:overline|dot|bar)\b|\.[0-9]*\([0-9]+\)"
    r"|\s(?:choose\s[0-9]|mod(?:ulo)?\s[0-9]|factorial\b|(?:raised )?to the power\b|raised to\b"
    r"|to the [0-9]+(?:st|nd|rd|th)\b(?! [a-z])|pi\b|log\b|ln\b|sqrt|i\b(?=\s*[.$)]|\s*$)"
    r"|(?:squared|cubed)\b(?! (?:units?|inch|feet|f?t\b|met|c?m\b|centi|kilo|yard|mile)))"
    r"|(?:\s?|\\,)(?:[xyzn]|[xyz]{2,3})(?=\s?\^)|\s?\^"
    r"|(?:[xyznijabeqruv]|[xyzab]{2,3})(?![A-Za-z'\u2019/])"
    r"|[0-9A-F]{0,20}_\s?\{?\s?(?!(?:\\text\{)?(?:10|ten)\b)[0-9a-z]{1,9}|[₀-₉]"
    r"|\s?\(?\s?(?:in\s)?\bbase[\s-](?!10\b|ten\b)(?:[0-9]|two|three|four|five|six|seven|eight"
    r"|nine|twelve|sixteen)"
    r"|!+(?=[ \t]*(?:[.,;}$)\\*/=]|[-+][ \t]?[0-9]))"
    r"|\s?[-+*/]\s?[0-9]*(?:√|π|\\sqrt|\\pi|\\log|\\ln|pi\b|sqrt|[xyzn](?![A-Za-z]))"
)
_LEFT = re.compile(
    r"(?:(?<![0-9A-Za-z)\]}%.\-])(?P<sign>[-+]))?"
    r"(?:(?:(?:US|CA|AU|HK|NZ|A|C|R)?[$€£¥₹₩₽]|(?<![A-Za-z])(?:USD|EUR|GBP|CHF|INR|JPY|Rs\.?))\s?"
    r"(?P<inner>-)?)?\Z"
)
_MINUS_WORD = re.compile(r"(?<![0-9A-Za-z]\s)\b(?:minus|negative)\s\Z", re.IGNORECASE)
_PREFIX = re.compile(r"[\s*_$(\"'\[{≈~`]*")
_SUFFIX = re.compile(
    r"[\s*_}$°€£¥₹₩₽\\-]*+(?:[^\W\d_]++['\u2019.]?[\s/}*_$²³-]*+){0,4}+[\s.!,;:*_)\]}$\"'\\`。]*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberMatch:
    """A number and where it stands, or an expression that is none (``3√2``, ``2x``, ``5!``)."""

    value: Fraction
    """Its exact value; a percentage keeps its figure (``25%`` is 25); 0 for an expression."""
    start: int
    """Offset of its first character, sign and currency included."""
    end: int
    """Offset after its last character, percent sign and scale word included."""
    is_number: bool = True
    """Whether it is a number; False: an expression, never read as one of its digits."""


def find_numbers(text: str) -> Iterator[NumberMatch]:
    """Yield every number of a text, from left to right, in linear time.

    Digits with commas that are no thousands grouping are a list: ``1,2`` gives 1 and 2.
    """
    return (match for match in find_values(plain_text(text)) if match.is_number)


def find_values(plain: str) -> Iterator[NumberMatch]:  # noqa: C901 - one branch a numeral
    """Yield every number and every expression of a plain text, from left to right."""
    offset = 0
    while core := _CORE.search(plain, offset):
        offset = core.end()
        if core["skip"]:
            continue
        if core["opaque"] or core["prefix"]:
            offset = _end_expression(plain, offset)
            yield _make_expression(core.start(), offset)
            continue
        if core["run"]:
            if (digits := _join_digit_groups(core["run"])) is None:
                if "_" in core["run"]:  # a subscript names the base
                    yield _make_expression(core.start(), _end_expression(plain, offset))
                    continue
                yield from _list_items(core)
                continue
            value = _parse_decimal(digits + (core["decimals"] or ""))
        elif core["bare"]:
            value = _parse_decimal("0" + core["bare"])
        else:
            value = _parse_fraction(core)
        start, negative = _find_start(plain, core.start())
        value, offset, is_number = _extend_number(
            plain,
            offset,
            value,
            is_whole=bool(core["run"] and not core["decimals"]),
            is_money=_HAS_MONEY.search(plain, start, core.start()) is not None,
        )
        if _is_attached(plain, start):
            continue
        if not is_number:
            yield _make_expression(start, offset)
        elif value is not None:
            yield NumberMatch(value=-value if negative else value, start=start, end=offset)


def read_number(text: str) -> Fraction | None:
    """Return the value of ONE number expression, with markup around it and a unit after it.

    The unit has up to four words. None if there is no number, more than one, other words before it,
    or over ``MAX_DIGITS``.
    """
    plain = plain_text(text)
    numbers = list(islice(find_values(plain), 2))
    if (
        len(numbers) != 1
        or not numbers[0].is_number
        or not _PREFIX.fullmatch(plain, 0, numbers[0].start)
    ):
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


def plain_text(text: str, *, comma: bool = False) -> str:
    """Blank markup, write every digit as 0 to 9; every offset stays.

    Args:
        text: What a model wrote.
        comma: Whether a comma is the decimal mark (see :func:`has_decimal_comma`).
    """
    if not text.isascii():
        text = _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)
        text = _WIDE_COMMA.sub(",", text.translate(_LOOKALIKE))
    if text.count(".") > 1:
        text = _POINT_GROUPS.sub(lambda run: run[0].replace(".", "_"), text)
    text = _SPACE_GROUPS.sub(lambda run: run[0].replace(" ", "_"), text)
    if comma:
        text = _COMMA_RUN.sub(_swap_marks, text)
    return _MARKUP.sub(_blank, text) if "\\" in text or "<" in text else text


@functools.lru_cache(maxsize=8)
def has_decimal_comma(text: str) -> bool:
    """Return whether a text writes decimals with a comma: by its numbers, else by its language."""
    text = text[-_TAIL:]
    if not text.isascii():
        text = _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)
    if not _MARKED_DIGITS.search(text):
        return False
    if _SURE_COMMA.search(text):
        return not _SURE_POINT.search(text)
    return not _SURE_POINT.search(text) and _COMMA_LANGUAGE.search(text) is not None


def _swap_marks(run: re.Match[str]) -> str:
    """Write a number of a comma country with a point; "1,234" could be either: no number."""
    number = run[0]
    if _COMMA_GROUPED.fullmatch(number):
        return re.sub(r"[.\u00a0\u202f ]", "_", number).replace(",", ".")
    if number.count(",") != 1 or "." in number:
        return number
    if re.fullmatch(r"[0-9]{1,3},[0-9]{3}", number):  # nobody writes a decimal's last zero
        return number if number[-1] == "0" else number.replace(",", "±")
    return number.replace(",", ".")


def _blank(markup: re.Match[str]) -> str:
    last = markup[0][-1]
    return (last if last in "$%" else " ").ljust(len(markup[0]))  # "-\\$5" keeps its sign


def _join_digit_groups(run: str) -> str | None:
    """Return the digits of a run if it is one number; None if it is a list."""
    first, *others = re.split(_SEPARATOR, run)
    if not others:
        return first
    if _INDIAN.fullmatch(run):
        return run.replace(",", "")
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
    if len(digits) > MAX_DIGITS:
        return None
    return Fraction(int(digits)) if digits.isdigit() else Fraction(digits)


def _parse_fraction(match: re.Match[str]) -> Fraction | None:
    """Parse a match with groups ``vulgar`` or ``frac``; None if the denominator is zero."""
    if match["vulgar"]:
        return Fraction(unicodedata.normalize("NFKC", match["vulgar"]).replace("\u2044", "/"))
    parts: list[str] = re.findall(r"-?[0-9]+", match["frac"])
    top, bottom = (int(part) for part in (parts if len(parts) == 2 else parts[0]))
    return Fraction(top, bottom) if bottom else None


def _extend_number(  # noqa: C901 - one branch for each extension
    plain: str, offset: int, value: Fraction | None, *, is_whole: bool, is_money: bool
) -> tuple[Fraction | None, int, bool]:
    """Take in what follows the digits: a fraction, a power of ten, scale words, a percent sign.

    Returns:
        The value (None: too long, or divided by zero), the end, and whether it is a number.
    """
    if _ends_plainly(plain, offset):
        return value, offset, True
    if is_whole and value is not None and (mixed := _MIXED.match(plain, offset)):
        part = _proper_fraction(mixed)
        if part is not None:
            value, offset, is_whole = value + part, mixed.end(), False
    if is_whole and value is not None and (over := _OVER.match(plain, offset)):
        if over[1]:
            value, offset = (value / int(over[1]) if int(over[1]) else None), over.end()
        elif (value == 1) != bool(over[3] or over[2] == "halves"):
            value, offset = value / _PARTS.get(over[2].lower(), 2), over.end()
    if power := _TIMES_TEN.match(plain, offset):
        value, offset = _shift_exponent(value, _parse_exponent(power)), power.end()
    elif power := _POWER.match(plain, offset):
        if value != 10 or _parse_exponent(power) is None:
            return value, _end_expression(plain, power.end()), False
        value, offset = _shift_exponent(Fraction(1), _parse_exponent(power)), power.end()
    value, offset = _scale_number(plain, offset, value, is_money=is_money)
    if expression := _EXPRESSION.match(plain, offset):
        return value, _end_expression(plain, expression.end()), False
    if percent := _PERCENT.match(plain, offset):
        offset = percent.end()
    return value, offset, True


def _ends_plainly(plain: str, offset: int) -> bool:
    """Return whether nothing that follows can extend a number: most numbers end so."""
    following = plain[offset : offset + 2]
    return not following or (following[0] in ".,;)" and following[1:] in _BLANK)


def _scale_number(
    plain: str, offset: int, value: Fraction | None, *, is_money: bool
) -> tuple[Fraction | None, int]:
    """Multiply by the scale words that follow, and add what a smaller scale counts."""
    smallest: Fraction | None = None
    if is_money and (letter := _MONEY_SCALE.match(plain, offset)) and value is not None:
        return _shift_exponent(value, _MONEY_SCALES[letter[1]]), letter.end()
    while value is not None and (scale := _SCALE.match(plain, offset)):
        smallest = _SCALES[(scale["word"] or scale["sign"]).lower()]
        value, offset = _limit_length(value * smallest), scale.end()
    if smallest is None:
        letter = _LETTER_SCALE.match(plain, offset)
        if letter and value is not None:
            return _shift_exponent(value, _MONEY_SCALES[letter[1]]), letter.end()
        return value, offset
    while value is not None and (more := _SMALLER.match(plain, offset)):
        unit = _SCALES[(more[2] or more[4]).lower()] if more[2] or more[4] else Fraction(1)
        part = Fraction((more[1] or more[3] or more[5])[:MAX_DIGITS]) * unit
        if part >= smallest:
            break
        value, offset, smallest = value + part, more.end(), unit
        if unit == 1:
            break
    return value, offset


def _make_expression(start: int, end: int) -> NumberMatch:
    return NumberMatch(value=Fraction(0), start=start, end=end, is_number=False)


def _end_expression(plain: str, offset: int) -> int:
    """Return where an expression ends that is known up to ``offset``."""
    rest_of_it = _REST.match(plain, offset)
    assert rest_of_it is not None  # it can match nothing
    return rest_of_it.end()


def _proper_fraction(mixed: re.Match[str]) -> Fraction | None:
    if mixed["part"] or mixed["parts"]:
        name = mixed["part"] or mixed["parts"].removesuffix("s")
        part = Fraction(_PART_COUNTS.get((mixed["count"] or "").lower(), 1), _PARTS[name.lower()])
    elif mixed["top"] is None:
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
    return _limit_length(value * Fraction(10) ** exponent)


def _limit_length(value: Fraction) -> Fraction | None:
    # 2**3.33 > 10: an upper bound on the digits without writing them out
    bits = max(value.numerator.bit_length(), value.denominator.bit_length())
    return value if bits <= MAX_DIGITS * 3.33 else None


def _find_start(plain: str, start: int) -> tuple[int, bool]:
    """Find where the expression begins, and whether a minus belongs to it."""
    before = plain[max(0, start - 2) : start]
    if not before or (before[-1] == " " and before[0] in _LETTERS):
        return start, False
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
