"""Read the number that a text gives as its answer: markers by rank, then ranked guesses.

The prompts ask for ONE last line, ``The answer is X.``, and generation stops there, so the FIRST
answer line that settles on a number is the answer; whatever follows was not asked for. A piece that
offers two numbers, a negated number or an expression does not settle: the next one is looked at,
and if none settles the reading is ``ambiguous`` rather than a guess. ``docs/readers.md`` has the
ranks with their reasons.
"""

from __future__ import annotations

import functools
import re
from itertools import islice

from cotkit.scoring.candidates import Candidate, find_candidates
from cotkit.scoring.number_words import find_number_words
from cotkit.scoring.numbers import (
    NumberMatch,
    canonical_form,
    find_values,
    has_decimal_comma,
    plain_text,
    read_number,
)
from cotkit.scoring.scope import CLIP, clip_line
from cotkit.scoring.settle import Settled, settle_number
from cotkit.types import Reading

NO_READING = Reading(value=None, rule="none")

_LINES = 200  # lines from the end that the fallbacks look at
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*")
_CERTAINTY = re.compile(
    r"[0-9.]{1,8}\s?\\?%\s{1,3}(?:sure|certain|confident|correct|positive|accurate)", re.IGNORECASE
)
_DIGIT = re.compile(r"\d")
_DENIED = re.compile(r"\b(?:not|never|neither|cannot)\b|n['’]t\b", re.IGNORECASE)


@functools.lru_cache(maxsize=8)  # two readers of the panel ask the same of each text
def read_marked(text: str) -> Reading:
    """Read the first candidate that settles on a number; ``ambiguous`` where one is unclear."""
    comma, is_unclear, explained = has_decimal_comma(text), False, NO_READING
    for candidate in find_candidates(text):
        if explained.value is not None and candidate.rule != explained.rule:
            return explained
        settled = _settle(candidate, comma=comma)
        if settled.value is not None and settled.is_explained and candidate.rule == "label":
            if explained.value is None:  # another label may say it plainly
                explained = Reading(value=canonical_form(settled.value), rule=candidate.rule)
        elif settled.value is not None:
            return Reading(value=canonical_form(settled.value), rule=candidate.rule)
        is_unclear = is_unclear or settled.why in {"ambiguous", "expression"}
    if explained.value is not None:
        return explained
    return Reading(value=None, rule="ambiguous") if is_unclear else NO_READING


def _settle(candidate: Candidate, *, comma: bool) -> Settled:
    if candidate.rule == "hash":
        value = read_number(candidate.piece)
        return Settled(value=value)
    if candidate.rule == "json" and candidate.piece == "null":
        return Settled(why="ambiguous")
    is_label = candidate.rule in {"label", "cue"}
    settled = settle_number(candidate.piece, after=candidate.after, is_label=is_label, comma=comma)
    if is_label and not settled.is_plain and _DIGIT.search(candidate.after):
        return Settled()  # the label opens an explanation, which goes on
    return settled


def read_anything(text: str) -> Reading:
    """Read the markers, then ``bold-final``, ``final-equals`` and ``last-number``.

    The fallbacks look at the last line that holds a number, with phrases such as "100% sure" left
    out. An ambiguous answer line is not overruled by them, and an expression at the end of that
    line is not read as one of its digits.
    """
    marked = read_marked(text)
    if marked != NO_READING:
        return marked
    comma = has_decimal_comma(text)
    text = _CERTAINTY.sub(" ", text)
    lines = (line for line in reversed(text.splitlines()) if line.strip())
    for line in map(clip_line, islice(lines, _LINES)):
        if items := list(find_values(plain_text(line, comma=comma))):
            return _read_last_line(line, items, comma=comma)
    return _read_last_words(text)


def _read_last_words(text: str) -> Reading:
    """Read the one number in words of the last line of a text without digits."""
    *_, line = text[-CLIP:].rstrip().rpartition("\n")
    values = {word.value for word in find_number_words(line)}
    if len(values) != 1 or _DENIED.search(line):
        return NO_READING
    return Reading(value=canonical_form(values.pop()), rule="last-number")


def _read_last_line(line: str, items: list[NumberMatch], *, comma: bool) -> Reading:
    bold = [value for m in _BOLD.finditer(line) if (value := read_number(m[1])) is not None]
    if bold:
        return Reading(value=canonical_form(bold[-1]), rule="bold-final")
    if not items[-1].is_number:
        return Reading(value=None, rule="ambiguous")
    sentence = re.split(r"[.!?]\s", line[: items[-1].end])[-1]
    _, equals, right = sentence.rpartition("=")
    if equals and (value := settle_number(right, comma=comma).value) is not None:
        return Reading(value=canonical_form(value), rule="final-equals")
    return Reading(value=canonical_form(items[-1].value), rule="last-number")
