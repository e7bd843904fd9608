"""Answers that are not numbers: one of the choices, or free text. Kept small on purpose."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator

from cotkit.scoring.answers import NOTHING, answer_segments, before_next_question, last_boxed
from cotkit.types import Question, Reading

_LETTER = re.compile(
    r"[\s*_$\"'{]*(?:\\(?:boxed|text|mathrm)\{)*"
    r"(?:\((?P<paren>[A-Za-z])\)|(?P<bare>[A-Z])(?=[).:,*_}$\"']|\s*$))"
)
_WORD = re.compile(r"[^\W_]+")
_PAREN = re.compile(r"\(([A-Z])\)")
_EDGES = string.whitespace + string.punctuation
_CLIP = 1000  # characters of a line that are looked at


def read_choice(text: str, question: Question, *, guess: bool) -> Reading:
    """The letter (A, B, ...) of a choice, named by letter or by its text.

    ``guess`` also takes the last line: a letter in brackets, a lone letter, or one choice's text.
    """
    for rule, piece in _pieces(before_next_question(text), guess=guess):
        letter = _letter(piece, question) or _named(piece, question)
        if letter is None and rule == "last-line" and (found := _PAREN.findall(piece)):
            letter = _valid(found[-1], question)
        if letter is not None:
            return Reading(value=letter, rule=rule)
    return NOTHING


def equals_choice(value: str, gold: str, question: Question) -> bool:
    """Letters compared; the gold answer may be a letter or a choice's text."""
    if gold in question.choices:  # "-3" and "3" are one normalised text
        return value == string.ascii_uppercase[question.choices.index(gold)]
    by_text = {normal_text(c): string.ascii_uppercase[i] for i, c in _lettered(question)}
    return value == by_text.get(normal_text(gold), gold.strip(_EDGES).upper())


def read_text(text: str, _question: Question, *, guess: bool) -> Reading:
    """Free text after a marker, normalised; ``guess`` also takes the last line."""
    for rule, piece in _pieces(before_next_question(text), guess=guess):
        if normal := normal_text(piece):
            return Reading(value=normal, rule=rule)
    return NOTHING


def equals_text(value: str, gold: str, _question: Question) -> bool:
    """Equal after :func:`normal_text`."""
    return value == normal_text(gold)


def normal_text(text: str) -> str:
    """Compatibility forms folded, case folded, white space single, punctuation off the ends."""
    folded = unicodedata.normalize("NFKC", text[:_CLIP]).casefold()
    return " ".join(folded.split()).strip(_EDGES)


def _pieces(text: str, *, guess: bool) -> Iterator[tuple[str, str]]:
    for segment in answer_segments(text):
        yield "answer-line", segment
    if box := last_boxed(text):
        yield "boxed", box[:_CLIP]
    if guess:
        lines = [line for line in text.splitlines() if line.strip()]
        yield from (("last-line", line[-_CLIP:]) for line in lines[-1:])


def _lettered(question: Question) -> list[tuple[int, str]]:
    return list(enumerate(question.choices[: len(string.ascii_uppercase)]))


def _valid(letter: str, question: Question) -> str | None:
    letter = letter.upper()
    return letter if string.ascii_uppercase.index(letter) < len(question.choices) else None


def _letter(piece: str, question: Question) -> str | None:
    found = _LETTER.match(piece)
    return _valid(found["paren"] or found["bare"], question) if found else None


def _named(piece: str, question: Question) -> str | None:
    """The only choice whose text stands in the piece as whole words; None if none or several."""
    words = _spaced(piece)
    named = [string.ascii_uppercase[i] for i, c in _lettered(question) if _spaced(c) in words]
    return named[0] if len(named) == 1 else None


def _spaced(text: str) -> str:
    """Words only, a space around each, so that ``in`` compares whole words."""
    return f" {' '.join(_WORD.findall(normal_text(text)))} "
