"""Answers that are free text, compared after normalising both sides."""

from __future__ import annotations

import string
import unicodedata

from cotkit.scoring.candidates import find_candidates, last_line
from cotkit.scoring.scope import CLIP
from cotkit.types import Question, Reading

EDGES = string.whitespace + string.punctuation
"""What is stripped from both ends of a text."""


def read_text(text: str, _question: Question, *, guess: bool) -> Reading:
    """Read free text after a marker, normalised; ``guess`` also takes the last line."""
    for candidate in (*find_candidates(text), *(last_line(text) if guess else ())):
        rule, piece = candidate.rule, candidate.piece
        if normal := normal_text(piece):
            return Reading(value=normal, rule=rule)
    return Reading(value=None, rule="none")


def equals_text(value: str, gold: str, _question: Question) -> bool:
    """Return whether both are equal after :func:`normal_text`."""
    return value == normal_text(gold)


def normal_text(text: str) -> str:
    """Normalise a text: fold compatibility forms and case, single spaces, no outer punctuation."""
    folded = unicodedata.normalize("NFKC", text[:CLIP]).casefold()
    return " ".join(folded.split()).strip(EDGES)
