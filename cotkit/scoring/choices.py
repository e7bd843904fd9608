"""Answers that are one of the choices, named by letter, by place or by the choice's own words.

A piece says one choice, several (``A and C``), none, or that one is wrong (``not Paris``); only the
first is an answer. Words are compared as values, so that ``-12`` is not ``12``, ``1/3`` not ``3``
and ``New York`` not ``New York City``: of the choices that a piece holds, the longest counts.
"""

from __future__ import annotations

import re
import string
import unicodedata
from fractions import Fraction
from itertools import islice

from cotkit.scoring.candidates import Candidate, find_candidates, last_line
from cotkit.scoring.number_words import find_number_words
from cotkit.scoring.numbers import find_values, plain_text, read_number
from cotkit.scoring.scope import CLIP
from cotkit.scoring.texts import EDGES, normal_text, without_markup
from cotkit.types import Question, Reading

_UNCLEAR = "ambiguous"
"""In place of a letter: more than one choice is meant, or one is denied."""

_DRESS = r"[\s*_$`\"'“‘({\[<#>•-]*+"
_UNDRESS = r"[\s*_$`\"'”’)}\]>]*"
_NOUN = r"(?:option|choice|letter|answer|alternative|statement|candidate|item|case)s?"
_LEAD = re.compile(
    rf"{_DRESS}(?:(?:is|it'?s|it is|it must be|that|most likely|probably|clearly|definitely|simply"
    r"|therefore|thus|so|only|just|be|i(?:'d| would| will|'ll)?\s(?:choose|pick|select|go with|say)"
    r"|la|el|le|l['’]|die|der|das|option|lettre|letra|opci[oó]n|opzione|antwort)\s+)*"
    rf"(?:(?:the\s+)?(?:correct|right|best|final)?\s*{_NOUN}\s*(?:is|[:=])?\s*)?{_DRESS}",
    re.IGNORECASE,
)
_REASON = (
    r"because|since|as|though|although|while|whereas|which|is|was|would|from|given|where|due|so|for"
    r"|with|if|when|by|based|unlike|rather|instead|only|here|then|that|it|this|and|or|but|not|nor"
    r"|than|can|has|holds|matches|fits|follows|considering|despite|even|after|to|in|of|over|i"
)
_ALONE = r"(?![A-Za-z0-9]|['’][A-Za-z])"
_LETTER = re.compile(
    r"(?P<bracket>(?<=[(\[])[A-Za-z](?=\s?[)\]]))"
    rf"|(?P<sure>[B-HJ-Z]){_ALONE}(?![+#])(?=\W*\s[a-z]{{2}}|\s*[^\W\d_a-zA-Z])"
    rf"|(?P<upper>[A-Z]){_ALONE}(?={_UNDRESS}(?:[.,:;/&!?)\]}}>*_`\"'$\\—–。，；、：-]|\s*\Z"
    rf"|\s+(?:{_REASON})\b|\s*\())"
    rf"|(?P<lower>[a-z])(?={_UNDRESS}(?:[.:)\]]?{_UNDRESS}\Z|\)))"
    rf"|(?P<reason>[b-hj-z])(?=,?\s(?:{_REASON})\b)",
)
_MORE = re.compile(
    rf"(?:{_UNDRESS}(?:,|/|&|\+|、|，|和|或|,?\s*and/or\b|,?\s*\band\b|,?\s*\bor\b)\s*"
    rf"(?:(?:also|both|possibly|perhaps|maybe|even)\s+)?(?:{_NOUN}\s+)?{_DRESS}"
    r"|[)\]]\s*(?=[(\[][A-Z][)\]])[(\[])"
    r"(?P<letter>[A-Z])(?![A-Za-z0-9'’])",
)
_NEGATION = re.compile(
    r"\b(?:not|never|neither|none|nor|cannot|except|excluding|eliminate[sd]?|rule[sd]? out|wrong"
    r"|incorrect"
    r"|false|unlikely|rather than|instead of|reject(?:s|ed)?|other than|(?:all|any(?:thing)?"
    r"|every(?:thing)?) (?:but|except))\b|n['’]t\b|不是|并非",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    rf"{_UNDRESS}\s*(?:(?:can(?:not| not|['’]t)|could(?: not|n['’]t))\s+be\b"
    r"|(?:is|are|was|were|seems?|looks?|would be|must be|has to be|isn['’]t|aren['’]t|as)?\s*"
    r"(?:clearly |definitely |also )?"
    r"(?:not\b|incorrect|wrong|false|invalid|impossible|excluded|eliminated|ruled out|n['’]t\b))",
    re.IGNORECASE,
)
_DENIED = re.compile(r"not\b|neither\b", re.IGNORECASE)
_BUT = re.compile(r"\b(?:but(?: rather)?|(?:it|the answer)(?:'s| is))\b|;", re.IGNORECASE)
_CONTRAST = re.compile(r"\b(?:but(?: rather)?|so|therefore|thus|hence|it is|it's)\b", re.IGNORECASE)
_PICK = re.compile(
    r"\b(?:(?:i|we)(?:['’]d| would| will|['’]ll|['’]m| am)? (?:choose|pick|select|go(?:ing)? with)"
    r"|going with|my (?:choice|pick|selection)(?: is|:))\s",
    re.IGNORECASE,
)
_CORRECTION = re.compile(
    r"[,;.…—–-]+\s*(?:no,|(?:oh,? )?wait,|sorry,|i mean,?|or rather,?)\s(?:no,\s)?", re.IGNORECASE
)
_LAST_NAMED = re.compile(
    rf"\b{_NOUN}\s[(\[]?(?P<named>[A-Z])\b|\b(?:is|be)\s[*(\[]{{0,3}}(?P<last>[B-HJ-Z])"
    rf"{_UNDRESS}[.!]?\s*\Z",
    re.IGNORECASE,
)
_SQUASHED = re.compile(r"(?<=[\w)}\]])\s?([-+*/^])\s?(?=[\w({\[])")
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
    r"[-+±]?[$€£¥₹]?[0-9]+(?:,[0-9]{3}(?![0-9]))*(?:\.[0-9]+)?(?:/[0-9]+)?[%°]?|[-+]?[$€£¥₹]?\.[0-9]+"
    r"|[^\W\d_]+(?:['’][^\W\d_]+)*"
    r"|[^\w\s]"
)
_FRACTION = re.compile(r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_RAISED = re.compile(r"(?<=[A-Za-z0-9)])[⁻⁺]?[⁰¹²³⁴-⁹]+")
_SEPARATORS = frozenset(".,;:!?\"'`*_(){}[]“”‘’«»。，、！？；：$\\")
_AMOUNT = 60  # characters of a text that is a number with its unit
_BINDS = frozenset("+-−*/^=<>≤≥×·√%")
"""What stands beside a value makes it part of a longer one."""


def read_choice(text: str, question: Question, *, guess: bool) -> Reading:
    """Read the letter (A, B, ...) of a choice, named by letter, by place or by its text.

    ``guess`` also takes the last line. Where pieces name several choices or deny one, the rule is
    ``ambiguous``.
    """
    is_unclear = False
    picks = (_make_pick(text, pick) for pick in _PICK.finditer(text[-CLIP:]))
    for candidate in (*find_candidates(text), *picks, *(last_line(text) if guess else ())):
        letter = _settle_choice(candidate.piece, question, is_guess=candidate.rule == "last-line")
        if letter == _UNCLEAR:
            is_unclear = True
        elif letter is not None:
            return Reading(value=letter, rule=candidate.rule)
    return Reading(value=None, rule=_UNCLEAR if is_unclear else "none")


def _make_pick(text: str, pick: re.Match[str]) -> Candidate:
    return Candidate(rule="cue", piece=text[-CLIP:][pick.end() :].partition("\n")[0])


def equals_choice(value: str, gold: str, question: Question) -> bool:
    """Compare letters; the gold answer may be a letter or a choice's text."""
    if gold in question.choices:  # "-3" and "3" are one normalised text
        return value == string.ascii_uppercase[question.choices.index(gold)]
    by_text = {normal_text(c): string.ascii_uppercase[i] for i, c in _letter_choices(question)}
    return value == by_text.get(normal_text(gold), gold.strip(EDGES).upper())


def _settle_choice(piece: str, question: Question, *, is_guess: bool) -> str | None:
    """Return the one choice that a piece says."""
    verbatim = _split_values(piece)
    for i, choice in _letter_choices(question):
        if verbatim and verbatim == _split_values(choice):
            return string.ascii_uppercase[i]
    if (correction := _CORRECTION.search(piece)) is not None:
        return _settle_choice(piece[correction.end() :], question, is_guess=is_guess)
    if letter := _match_amount(piece, question):
        return letter
    plain = without_markup(piece[:CLIP])
    if not plain.isascii():
        plain = unicodedata.normalize("NFKC", plain)
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
    } or {
        letter
        for match in _LAST_NAMED.finditer(plain)
        if (letter := _valid_letter(match["named"] or match["last"], question)) is not None
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
    folded = _RAISED.sub(lambda run: "^" + unicodedata.normalize("NFKC", run[0]), folded)
    folded = unicodedata.normalize("NFKC", without_markup(folded)).casefold()
    folded = _SQUASHED.sub(r"\1", folded.replace("\u2212", "-").replace("\u2044", "/"))
    return [token for token in _TOKEN.findall(folded) if token not in _SEPARATORS]


def _match_amount(piece: str, question: Question) -> str | None:
    """Return the one choice that is the amount that a piece is: ``$5.00`` is ``$5``, ``½`` 1/2."""
    if (amount := _read_amount(piece)) is None:
        return None
    letters: list[str] = []
    for i, choice in _letter_choices(question):
        other = _read_amount(choice)
        if other is not None and amount[0] == other[0] and _are_units_equal(amount[1], other[1]):
            letters.append(string.ascii_uppercase[i])
    return letters[0] if len(letters) == 1 else None


def _read_amount(text: str) -> tuple[Fraction, frozenset[str]] | None:
    """Return the value of a text that is one number, with its unit; None: it is not."""
    text = text[:_AMOUNT]
    plain = plain_text(text)
    items = list(islice(find_values(plain), 2))
    if not items:
        items = find_number_words(plain)
        if len(items) != 1 or plain[: items[0].start].strip(EDGES):
            return None
    elif len(items) > 1 or read_number(text) is None:
        return None
    item = items[0]
    unit = " ".join(re.findall(r"[$€£¥₹]", plain[: item.start + 3])) + plain[item.end :]
    marks = ["%"] if plain[item.start : item.end].rstrip().endswith("%") else []
    return item.value, frozenset([*marks, *re.findall(r"[$€£¥₹°]|[^\W\d_]+", unit.casefold())])


def _are_units_equal(units: frozenset[str], others: frozenset[str]) -> bool:
    """Return whether two units do not contradict each other: one has none, or both are one."""
    names = {"percent": "%", "percents": "%", "dollars": "$", "dollar": "$", "euros": "€"}
    first, second = ({names.get(unit, unit) for unit in each} for each in (units, others))
    return not first or not second or first == second


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
