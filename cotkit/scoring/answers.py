"""Read a number: scope, candidates, values, one answer (``docs/readers.md`` has the table).

The prompts ask for ONE last line, ``The answer is X.``, and generation stops there, so the FIRST
answer line that settles on a number is the answer; whatever follows was not asked for. A line that
offers two numbers, a negated number or an unworked sum does not settle: the next one is looked at,
and if none settles the reading is ``ambiguous`` rather than a guess.
"""

from __future__ import annotations

import functools
import re
from fractions import Fraction
from itertools import islice

from cotkit.scoring.candidates import find_candidates
from cotkit.scoring.numbers import NumberMatch, canonical_form, find_numbers, read_number
from cotkit.scoring.scope import clip_line
from cotkit.scoring.settle import settle_number
from cotkit.types import Reading

NO_READING = Reading(value=None, rule="none")

_LINES = 200  # lines from the end that the fallbacks look at
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*")
_CERTAINTY = re.compile(
    r"[0-9.]{1,8}\s?\\?%\s{1,3}(?:sure|certain|confident|correct|positive|accurate)", re.IGNORECASE
)


@functools.lru_cache(maxsize=8)  # two readers of the panel ask the same of each text
def read_marked(text: str) -> Reading:
    """Read completed markers: ``answer-line``, then ``boxed`` (last), then ``hash`` (first)."""
    unclear = False
    for candidate in find_candidates(text):
        settle = read_number if candidate.rule == "hash" else settle_number
        settled = settle(candidate.piece)
        if isinstance(settled, Fraction):
            return Reading(value=canonical_form(settled), rule=candidate.rule)
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
    text = _CERTAINTY.sub(" ", text)
    lines = (line for line in reversed(text.splitlines()) if line.strip())
    for line in map(clip_line, islice(lines, _LINES)):
        if numbers := list(find_numbers(line)):
            return _read_last_line(line, numbers)
    return NO_READING


def _read_last_line(line: str, numbers: list[NumberMatch]) -> Reading:
    bold = [value for m in _BOLD.finditer(line) if (value := read_number(m[1])) is not None]
    if bold:
        return Reading(value=canonical_form(bold[-1]), rule="bold-final")
    sentence = re.split(r"[.!?]\s", line[: numbers[-1].end])[-1]
    _, equals, right = sentence.rpartition("=")
    if equals and isinstance(value := settle_number(right), Fraction):
        return Reading(value=canonical_form(value), rule="final-equals")
    return Reading(value=canonical_form(numbers[-1].value), rule="last-number")
