"""Answers that are one of the choices, named by letter or by the choice's text."""

from __future__ import annotations

import re
import string

from cotkit.scoring.candidates import find_candidates, last_line
from cotkit.scoring.texts import EDGES, normal_text
from cotkit.types import Question, Reading

_LETTER = re.compile(
    r"[\s*_$\"'{]*(?:\\(?:boxed|text|mathrm)\{)*"
    r"(?:\((?P<paren>[A-Za-z])\)|(?P<bare>[A-Z])(?=[).:,*_}$\"']|\s*$))"
)
_WORD = re.compile(r"[^\W_]+")
_PAREN = re.compile(r"\(([A-Z])\)")


def read_choice(text: str, question: Question, *, guess: bool) -> Reading:
    """Read the letter (A, B, ...) of a choice, named by letter or by its text.

    ``guess`` also takes the last line: a letter in brackets, a lone letter, or one choice's text.
    """
    for candidate in (*find_candidates(text), *(last_line(text) if guess else ())):
        rule, piece = candidate.rule, candidate.piece
        letter = _read_letter(piece, question) or _match_choice_text(piece, question)
        if letter is None and rule == "last-line" and (letters := _PAREN.findall(piece)):
            letter = _valid_letter(letters[-1], question)
        if letter is not None:
            return Reading(value=letter, rule=rule)
    return Reading(value=None, rule="none")


def equals_choice(value: str, gold: str, question: Question) -> bool:
    """Compare letters; the gold answer may be a letter or a choice's text."""
    if gold in question.choices:  # "-3" and "3" are one normalised text
        return value == string.ascii_uppercase[question.choices.index(gold)]
    by_text = {normal_text(c): string.ascii_uppercase[i] for i, c in _letter_choices(question)}
    return value == by_text.get(normal_text(gold), gold.strip(EDGES).upper())


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
