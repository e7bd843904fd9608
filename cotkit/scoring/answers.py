"""Find the answer that a text states: answer lines, boxes, hashes, and the ranked fallbacks.

The prompts ask for ONE last line, ``The answer is X.``, and generation stops there, so the FIRST
answer line that settles on a number is the answer; whatever follows was not asked for. A line that
offers two numbers, a negated number or an unworked sum does not settle: the next one is looked at,
and if none settles the reading is ``ambiguous`` rather than a guess.
"""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise
from typing import Literal, TypeAlias

from cotkit.scoring.expressions import guess_piece
from cotkit.scoring.numbers import NumberMatch, canonical_form, find_numbers, read_number
from cotkit.types import Question, Reading

SettledNumber: TypeAlias = Fraction | Literal["ambiguous"] | None
"""What a piece of text says: a number; more than one thing; nothing."""

NO_READING = Reading(value=None, rule="none")

_CLIP = 1000  # characters of a line that are looked at; keeps every rule linear
_LINES = 200  # lines from the end that the fallbacks look at
_CUE = re.compile(
    r"(?:\b(?:the|my|our)\s{1,3}(?:(?:final|correct|right)\s{1,3})?|\bfinal\s{1,3}"
    r"|(?:^|[\n.!?*#>:_])[ \t*_#>]{0,6})answer[*_]{0,3}\s{0,3}(?:is\b|=|:)",
    re.IGNORECASE,
)
_LEAD = re.compile(r"(?:[\s:*_=]|\$\$\s|\\\[\s)*+")
_NEXT_QUESTION = re.compile(r"(?<!\S)\*{0,3}(?:Q|Question)\*{0,3}:")
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
_BRACE = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{|\\[{}]|[{}]")
_HASH = re.compile(r"(?<!#)#{4}(?!#)[ \t]{0,8}([^\s#][^\n#]*)")
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*")
_CERTAINTY = re.compile(
    r"[0-9.]{1,8}\s?\\?%\s{1,3}(?:sure|certain|confident|correct|positive|accurate)", re.IGNORECASE
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


@functools.lru_cache(maxsize=8)  # two readers of the panel ask the same of each text
def read_marked(text: str) -> Reading:
    """Read completed markers: ``answer-line``, then ``boxed`` (last), then ``hash`` (first)."""
    text = before_next_question(text)
    unclear = False
    for rule, settled in _find_markers(text):
        if isinstance(settled, Fraction):
            return Reading(value=canonical_form(settled), rule=rule)
        unclear = unclear or settled == "ambiguous"
    return Reading(value=None, rule="ambiguous") if unclear else NO_READING


def read_anything(text: str) -> Reading:
    """Read the markers, then ``bold-final``, ``final-equals`` and ``last-number``.

    The fallbacks look at the last line that holds a number, with phrases such as "100% sure" and
    anything from a next ``Q:`` on left out. An ambiguous answer line is not overruled by them.
    """
    marked = read_marked(text)
    if marked != NO_READING:
        return marked
    text = _CERTAINTY.sub(" ", before_next_question(text))
    lines = (line for line in reversed(text.splitlines()) if line.strip())
    for line in map(_clip_line, islice(lines, _LINES)):
        if numbers := list(find_numbers(line)):
            return _read_last_line(line, numbers)
    return NO_READING


def answer_segments(text: str) -> Iterator[str]:
    """Yield what follows each answer cue: the rest of its line, or the next, up to a new cue."""
    cues = list(_CUE.finditer(text))
    ends = [*(cue.start() for cue in cues), len(text)][1:]
    for cue, end in zip(cues, ends, strict=True):
        lead = _LEAD.match(text, cue.end(), end)
        assert lead is not None  # it can match nothing
        yield text[lead.end() : min(end, lead.end() + _CLIP)].partition("\n")[0]


def last_boxed(text: str) -> str | None:
    r"""Return the contents of the last closed ``\boxed{}``; None if there is none."""
    open_at: list[int] = []
    box: slice | None = None
    for brace in _BRACE.finditer(text):
        if brace[0].endswith("{") and brace[0] != r"\{":
            open_at.append(brace.end() if len(brace[0]) > 1 else -1)
        elif brace[0] == "}" and open_at and (start := open_at.pop()) >= 0:
            box = slice(start, brace.start())
    return text[box] if box else None


def before_next_question(text: str) -> str:
    """Cut the text where a model runs on into a next ``Q:``, if a number came before that."""
    digit = re.search(r"\d", text)
    match = _NEXT_QUESTION.search(text, digit.end()) if digit else None
    return text[: match.start()] if match else text


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


def _find_markers(text: str) -> Iterator[tuple[str, SettledNumber]]:
    for segment in filter(None, answer_segments(text)):
        yield "answer-line", settle_number(segment)
    if (box := last_boxed(text)) is not None:
        yield "boxed", settle_number(_clip_line(box))
    for line in _HASH.finditer(text):
        yield "hash", read_number(line[1][:_CLIP])


def _read_last_line(line: str, numbers: list[NumberMatch]) -> Reading:
    bold = [value for m in _BOLD.finditer(line) if (value := read_number(m[1])) is not None]
    if bold:
        return Reading(value=canonical_form(bold[-1]), rule="bold-final")
    sentence = re.split(r"[.!?]\s", line[: numbers[-1].end])[-1]
    _, equals, right = sentence.rpartition("=")
    if equals and isinstance(value := settle_number(right), Fraction):
        return Reading(value=canonical_form(value), rule="final-equals")
    return Reading(value=canonical_form(numbers[-1].value), rule="last-number")


def _clip_line(line: str) -> str:
    """Return the end of a line, starting at a white space if it had to be cut."""
    if len(line) <= _CLIP:
        return line
    end = line[-_CLIP:]
    return end.partition(" ")[2] or end


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


_LETTER = re.compile(
    r"[\s*_$\"'{]*(?:\\(?:boxed|text|mathrm)\{)*"
    r"(?:\((?P<paren>[A-Za-z])\)|(?P<bare>[A-Z])(?=[).:,*_}$\"']|\s*$))"
)
_WORD = re.compile(r"[^\W_]+")
_PAREN = re.compile(r"\(([A-Z])\)")
_EDGES = string.whitespace + string.punctuation


def read_choice(text: str, question: Question, *, guess: bool) -> Reading:
    """Read the letter (A, B, ...) of a choice, named by letter or by its text.

    ``guess`` also takes the last line: a letter in brackets, a lone letter, or one choice's text.
    """
    for rule, piece in _answer_pieces(before_next_question(text), guess=guess):
        letter = _read_letter(piece, question) or _match_choice_text(piece, question)
        if letter is None and rule == "last-line" and (letters := _PAREN.findall(piece)):
            letter = _valid_letter(letters[-1], question)
        if letter is not None:
            return Reading(value=letter, rule=rule)
    return NO_READING


def equals_choice(value: str, gold: str, question: Question) -> bool:
    """Compare letters; the gold answer may be a letter or a choice's text."""
    if gold in question.choices:  # "-3" and "3" are one normalised text
        return value == string.ascii_uppercase[question.choices.index(gold)]
    by_text = {normal_text(c): string.ascii_uppercase[i] for i, c in _letter_choices(question)}
    return value == by_text.get(normal_text(gold), gold.strip(_EDGES).upper())


def read_text(text: str, _question: Question, *, guess: bool) -> Reading:
    """Read free text after a marker, normalised; ``guess`` also takes the last line."""
    for rule, piece in _answer_pieces(before_next_question(text), guess=guess):
        if normal := normal_text(piece):
            return Reading(value=normal, rule=rule)
    return NO_READING


def equals_text(value: str, gold: str, _question: Question) -> bool:
    """Return whether both are equal after :func:`normal_text`."""
    return value == normal_text(gold)


def normal_text(text: str) -> str:
    """Normalise a text: fold compatibility forms and case, single spaces, no outer punctuation."""
    folded = unicodedata.normalize("NFKC", text[:_CLIP]).casefold()
    return " ".join(folded.split()).strip(_EDGES)


def expression_pieces(text: str, *, guess: bool) -> Iterator[tuple[str, str]]:
    """Yield (rule, text) of every place where an expression may stand, the best first."""
    text = before_next_question(text)
    yield from _answer_pieces(text, guess=False)
    for line in _HASH.finditer(text):
        yield "hash", line[1][:_CLIP]
    lines = [line for line in text.splitlines() if line.strip()]
    if guess and lines and (piece := guess_piece(_clip_line(lines[-1]))) is not None:
        yield "last-line", piece


def _answer_pieces(text: str, *, guess: bool) -> Iterator[tuple[str, str]]:
    for segment in answer_segments(text):
        yield "answer-line", segment
    if box := last_boxed(text):
        yield "boxed", box[:_CLIP]
    if guess:
        lines = [line for line in text.splitlines() if line.strip()]
        yield from (("last-line", line[-_CLIP:]) for line in lines[-1:])


def _letter_choices(question: Question) -> list[tuple[int, str]]:
    return list(enumerate(question.choices[: len(string.ascii_uppercase)]))


def _valid_letter(letter: str, question: Question) -> str | None:
    letter = letter.upper()
    return letter if string.ascii_uppercase.index(letter) < len(question.choices) else None


def _read_letter(piece: str, question: Question) -> str | None:
    match = _LETTER.match(piece)
    return _valid_letter(match["paren"] or match["bare"], question) if match else None


def _match_choice_text(piece: str, question: Question) -> str | None:
    """Return the only choice whose text stands in the piece as whole words, if it is one alone."""
    words = _spaced_words(piece)
    letters = [
        string.ascii_uppercase[i] for i, c in _letter_choices(question) if _spaced_words(c) in words
    ]
    return letters[0] if len(letters) == 1 else None


def _spaced_words(text: str) -> str:
    """Return the words with a space around each, so that ``in`` compares whole words."""
    return f" {' '.join(_WORD.findall(normal_text(text)))} "
