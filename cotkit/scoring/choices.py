"""Answers that are one of the choices, named by letter, by place or by the choice's own words.

A piece says one choice, several (``A and C``), none, or that one is wrong (``not Paris``); only the
first is an answer. Words are compared as values, so that ``-12`` is not ``12``, ``1/3`` not ``3``
and ``New York`` not ``New York City``: of the choices that a piece holds, the longest counts.
"""

from __future__ import annotations

import re
import string
import unicodedata

from cotkit.scoring.candidates import find_candidates, last_line
from cotkit.scoring.numbers import read_number
from cotkit.scoring.scope import CLIP
from cotkit.scoring.texts import EDGES, normal_text, without_markup
from cotkit.types import Question, Reading

_UNCLEAR = "ambiguous"
"""In place of a letter: more than one choice is meant, or one is denied."""

_DRESS = r"[\s*_$`\"'“‘({\[<#]*+"
_UNDRESS = r"[\s*_$`\"'”’)}\]>]*"
_NOUN = r"(?:option|choice|letter|answer|alternative|statement|candidate|item|case)s?"
_LEAD = re.compile(
    rf"{_DRESS}(?:(?:is|it'?s|it is|it must be|that|most likely|probably|clearly|definitely|simply"
    r"|therefore|thus|so|only|just|be|i(?:'d| would| will|'ll)?\s(?:choose|pick|select|go with|say)"
    r"|la|el|le|die|der|das|option|lettre|letra|opci[oó]n|opzione|antwort)\s+)*"
    rf"(?:(?:the\s+)?(?:correct|right|best|final)?\s*{_NOUN}\s*(?:is|[:=])?\s*)?{_DRESS}",
    re.IGNORECASE,
)
_REASON = (
    r"because|since|as|though|although|while|whereas|which|is|was|would|from|given|where|due|so|for"
    r"|with|if|when|by|based|unlike|rather|instead|only|here|then|that|it|this|and|or|but|not|nor"
    r"|than|can|has|holds|matches|fits|follows"
)
_LETTER = re.compile(
    r"(?P<bracket>(?<=[(\[])[A-Za-z](?=\s?[)\]]))"
    r"|(?P<upper>[A-Z])(?![A-Za-z0-9'’])(?=" + _UNDRESS + r"(?:[.,:;/&!?)\]}>*_`\"$\\—–-]|\s*\Z"
    rf"|\s+(?:{_REASON})\b|\s*\())"
    r"|(?P<lower>[a-z])(?=" + _UNDRESS + r"(?:[.:)\]]?" + _UNDRESS + r"\Z|\)))",
)
_MORE = re.compile(
    rf"{_UNDRESS}(?:,|/|&|\+|\band\b|\bor\b|,\s*and\b|,\s*or\b)\s*(?:also\s+"
    rf"|both\s+)?(?:{_NOUN}\s+)?{_DRESS}"
    r"(?P<letter>[A-Z])(?![A-Za-z0-9'’])",
)
_NEGATION = re.compile(
    r"\b(?:not|never|neither|none|nor|cannot|except|excluding|eliminate[sd]?|rule[sd]? out|wrong"
    r"|incorrect"
    r"|false|unlikely|rather than|instead of|reject(?:s|ed)?)\b|n['’]t\b",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    rf"{_UNDRESS}\s*(?:is|are|was|were|seems?|looks?|would be|can(?:not| not|'t|’t) be|must be"
    rf"|has to be|isn['’]t"
    r"|aren['’]t|as)?\s*(?:clearly |definitely |also )?"
    r"(?:not\b|incorrect|wrong|false|invalid|impossible|excluded|eliminated|ruled out|n['’]t\b)",
    re.IGNORECASE,
)
_DENIED = re.compile(r"not\b|neither\b", re.IGNORECASE)
_BUT = re.compile(r"\b(?:but(?: rather)?|(?:it|the answer)(?:'s| is))\b|;", re.IGNORECASE)
_CONTRAST = re.compile(r"\b(?:but(?: rather)?|so|therefore|thus|hence|it is|it's)\b", re.IGNORECASE)
_ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
]
_PLACE_LEAD = re.compile(
    rf"{_DRESS}(?:(?:it|that|is|was|be|must|would|the answer)\s+)*",
    re.IGNORECASE,
)
_PLACE = re.compile(
    rf"(?:the\s+)?(?P<ordinal>{'|'.join(_ORDINALS)}|last|[1-9](?:st|nd|rd|th))(?:\s+(?:one"
    rf"|{_NOUN}))?{_UNDRESS}[.!,;]?\s*\Z"
    rf"|(?:the\s+)?(?P<named>{'|'.join(_ORDINALS)}|last)\s+(?:one|{_NOUN})\b",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"[-+±]?[$€£¥₹]?[0-9][0-9,]*(?:\.[0-9]+)?(?:/[0-9]+)?[%°]?|[-+]?[$€£¥₹]?\.[0-9]+"
    r"|[^\W\d_]+(?:['’][^\W\d_]+)*"
    r"|[^\w\s]"
)
_FRACTION = re.compile(r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_SEPARATORS = frozenset(".,;:!?\"'`*_(){}[]“”‘’«»。，、！？；：$\\")
_BINDS = frozenset("+-−*/^=<>≤≥×·√%")
"""What stands beside a value makes it part of a longer one."""


def read_choice(text: str, question: Question, *, guess: bool) -> Reading:
    """Read the letter (A, B, ...) of a choice, named by letter, by place or by its text.

    ``guess`` also takes the last line. Where pieces name several choices or deny one, the rule is
    ``ambiguous``.
    """
    is_unclear = False
    for candidate in (*find_candidates(text), *(last_line(text) if guess else ())):
        letter = _settle_choice(candidate.piece, question, is_guess=candidate.rule == "last-line")
        if letter == _UNCLEAR:
            is_unclear = True
        elif letter is not None:
            return Reading(value=letter, rule=candidate.rule)
    return Reading(value=None, rule=_UNCLEAR if is_unclear else "none")


def equals_choice(value: str, gold: str, question: Question) -> bool:
    """Compare letters; the gold answer may be a letter or a choice's text."""
    if gold in question.choices:  # "-3" and "3" are one normalised text
        return value == string.ascii_uppercase[question.choices.index(gold)]
    by_text = {normal_text(c): string.ascii_uppercase[i] for i, c in _letter_choices(question)}
    return value == by_text.get(normal_text(gold), gold.strip(EDGES).upper())


def _settle_choice(piece: str, question: Question, *, is_guess: bool) -> str | None:
    """Return the one choice that a piece says."""
    verbatim = _split_values(piece)
    for same in (list[str].__eq__, _are_equal_numbers):
        for i, choice in _letter_choices(question):
            if verbatim and same(verbatim, _split_values(choice)):
                return string.ascii_uppercase[i]
    plain = without_markup(piece[:CLIP])
    letter = _read_letter(plain, question)
    if letter is None and is_guess:
        letter = _read_last_letter(plain, question)
    if letter is not None:
        return letter
    return _match_words(plain, question) or _read_place(plain, question)


def _read_letter(plain: str, question: Question) -> str | None:
    """Read the letter at the start of a piece: ``B``, ``(b)``, ``option B because ...``."""
    lead = _LEAD.match(plain)
    assert lead is not None  # it can match nothing
    match = _LETTER.match(plain, lead.end())
    if match is None:
        if _DENIED.match(plain, lead.end()) and (contrast := _BUT.search(plain, lead.end())):
            return _read_letter(plain[contrast.end() :], question)
        return None
    letter = _valid_letter(match[0], question)
    if letter is None:
        return None
    if _DENIED_AFTER.match(plain, match.end()):
        contrast = _CONTRAST.search(plain, match.end())
        other = _read_letter(plain[contrast.end() :], question) if contrast else None
        return other or _UNCLEAR
    more = _MORE.match(plain, match.end())
    is_other = more and _valid_letter(more["letter"], question) not in {None, letter}
    if more and is_other and not _DENIED_AFTER.match(plain, more.end()):
        return _UNCLEAR
    return letter


def _read_last_letter(plain: str, question: Question) -> str | None:
    """Read the one letter in brackets of a last line; several, or a denied one, are no answer."""
    letters = {
        letter
        for match in re.finditer(r"[(\[]([A-Z])[)\]]|\*\*([A-Z])\*\*", plain)
        if (letter := _valid_letter(match[1] or match[2], question)) is not None
    }
    if not letters:
        return None
    return letters.pop() if len(letters) == 1 and not _NEGATION.search(plain) else _UNCLEAR


def _read_place(plain: str, question: Question) -> str | None:
    """Read ``the second``, ``the last option``."""
    lead = _PLACE_LEAD.match(plain)
    assert lead is not None  # it can match nothing
    match = _PLACE.match(plain, lead.end())
    if match is None:
        return None
    word = (match["ordinal"] or match["named"]).lower()
    n = len(_letter_choices(question))
    place = (
        n - 1
        if word == "last"
        else int(word[0]) - 1
        if word[0].isdigit()
        else _ORDINALS.index(word)
    )
    return string.ascii_uppercase[place] if place < n else None


def _match_words(plain: str, question: Question) -> str | None:
    """Return the choice whose words a piece holds: the one at its start, else the only one."""
    values = _split_values(plain)
    matches: list[tuple[int, int, str]] = []  # start, end, letter
    for i, choice in _letter_choices(question):
        choice_values = _split_values(choice)
        n = len(choice_values)
        matches += [
            (start, start + n, string.ascii_uppercase[i])
            for start in range(len(values) - n + 1)
            if n
            and values[start : start + n] == choice_values
            and _is_bounded(values, start, start + n)
        ]
    longest = [
        (start, end, letter)
        for start, end, letter in matches
        if not any(a <= start and end <= b and b - a > end - start for a, b, _ in matches)
    ]
    if not longest:
        return None
    before = plain[: _offset_of(plain, min(start for start, _, _ in longest))]
    if _NEGATION.search(before):
        contrast = _BUT.search(plain, len(before))
        return (_match_words(plain[contrast.end() :], question) if contrast else None) or _UNCLEAR
    letters = {letter for _, _, letter in longest}
    if len(letters) == 1:
        _, end, letter = longest[0]
        tail = plain[_offset_of(plain, end) :]
        return _UNCLEAR if _DENIED_AFTER.match(tail) else letter
    results = [
        (start, letter) for start, _, letter in longest if start and values[start - 1] == "="
    ]
    if results and results[-1][0] == max(start for start, _, _ in longest):
        return results[-1][1]
    first = min(longest)
    if first[0] == 0 and _starts_reason(values, first[1]):
        return first[2]
    return _UNCLEAR


def _starts_reason(values: list[str], end: int) -> bool:
    """Return whether what follows a choice at the start of a piece explains it."""
    following = values[end] if end < len(values) else ""
    return re.fullmatch(_REASON, following) is not None and following not in {"and", "or", "nor"}


def _is_bounded(values: list[str], start: int, end: int) -> bool:
    """Return whether the values stand on their own, not in a longer expression."""
    before = values[start - 1] if start else ""
    after = values[end] if end < len(values) else ""
    is_result = before == "="
    return (before not in _BINDS or is_result) and after not in _BINDS


def _split_values(text: str) -> list[str]:
    """Return words, numbers with their signs, and symbols, folded, without separators."""
    folded = _FRACTION.sub(r"\1/\2", text[:CLIP])
    folded = unicodedata.normalize("NFKC", without_markup(folded)).casefold().replace("\u2212", "-")
    return [token for token in _TOKEN.findall(folded) if token not in _SEPARATORS]


def _are_equal_numbers(values: list[str], others: list[str]) -> bool:
    """Return whether both are one number, of any form, where only one names its currency."""
    if len(values) != 1 or len(others) != 1:
        return False
    numbers = [read_number(text) for text in (values[0], others[0])]
    marks = [set(text) & set("$€£¥₹%°") for text in (values[0], others[0])]
    return numbers[0] is not None and numbers[0] == numbers[1] and not (marks[0] and marks[1])


def _offset_of(plain: str, index: int) -> int:
    """Return about where the value of an index stands in a text."""
    offset = 0
    for n, match in enumerate(m for m in _TOKEN.finditer(plain) if m[0] not in _SEPARATORS):
        if n == index:
            return match.start()
        offset = match.end()
    return offset


def _letter_choices(question: Question) -> list[tuple[int, str]]:
    return list(enumerate(question.choices[: len(string.ascii_uppercase)]))


def _valid_letter(letter: str, question: Question) -> str | None:
    letter = letter.upper()
    return letter if string.ascii_uppercase.index(letter) < len(question.choices) else None
