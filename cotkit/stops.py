"""Where a text ends: one rule for engines, servers and readers.

A local engine calls :func:`cut` on the text so far, after each token; the driver calls it again on
whatever a backend returned, so a server that ignores stop strings changes cost and nothing else.
"""

from __future__ import annotations

import functools
import re

from cotkit.reasoning import find_answer_start
from cotkit.types import AnswerKind, Decoding

# Atomic groups and bounds keep the search linear in the text, whatever a model writes.
_CUE = "the answer is"
_LINE_END = r"(?>[^\n]{0,300}?(?:\.(?=\s)|(?=\n)))"


def answer_line_end(kind: AnswerKind, *, cue_spoken: bool = False, cue: str = _CUE) -> str:
    r"""Return the pattern for ``Decoding.stop_after`` that ends with a completed answer line.

    The line is complete at a full stop before white space or at the newline, once an answer has
    begun (a digit for numbers, any word otherwise, or ∅ and ∞ for expressions) within 200
    characters of the cue.
    ``cue_spoken``: the prompt ends in the cue, so the completion starts inside the line; ``cue``:
    what the line begins with, in whatever case.
    """
    first = {"number": r"\d", "expression": r"[\w∅∞]"}.get(kind, r"\w")
    begin = first if cue_spoken else rf"(?i:{_escape(cue)})(?>[^\n]{{0,200}}?{first})"
    return begin + _LINE_END


def _escape(cue: str) -> str:
    """Escape as little as can be: the pattern of the English cue is in stored keys."""
    return re.sub(r"[.^$*+?{}\[\]\\|()]", r"\\\g<0>", cue)


def cut(text: str, decoding: Decoding, *, opened: bool = False) -> str | None:
    """Return the text up to its first stop, or None if no stop rule has fired yet.

    ``stop`` strings are dropped; the match of ``stop_after`` is kept; the earliest end wins. Stops
    inside reasoning do not count (``opened``: the prompt ended inside it).
    """
    start = find_answer_start(text, opened=opened)
    if start is None:
        return None
    ends = [end for end in (text.find(stop, start) for stop in decoding.stop) if end >= 0]
    if decoding.stop_after is not None and (
        match := _compile(decoding.stop_after).search(text, start)
    ):
        ends.append(match.end())
    return text[: min(ends)] if ends else None


@functools.lru_cache(maxsize=64)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
