"""Where a text ends: one rule for engines, servers and readers.

A local engine calls :func:`cut` on the text so far, after each token; the driver calls it again on
whatever a backend returned, so a server that ignores stop strings changes cost and nothing else.
"""

from __future__ import annotations

import functools
import re

from cotkit.types import AnswerKind, Decoding

_TAGS = ("think", "thinking", "reasoning")
_THINK_OPEN = re.compile(rf"<({'|'.join(_TAGS)})>")
_THINK_CLOSE = re.compile(rf"</({'|'.join(_TAGS)})>")

# Atomic groups and bounds keep the search linear in the text, whatever a model writes.
_CUE = r"(?i:the answer is)(?>[^\n]{0,200}?"
_LINE_END = r"(?>[^\n]{0,300}?(?:\.(?=\s)|(?=\n)))"


def answer_line_end(kind: AnswerKind, *, cue_spoken: bool = False) -> str:
    r"""Return the pattern for ``Decoding.stop_after`` that ends with a completed answer line.

    The line is complete at a full stop before white space or at the newline, once an answer has
    begun (a digit for numbers, any word otherwise, or ∅ and ∞ for expressions) within 200
    characters of the cue.
    ``cue_spoken``: the prompt ends in ``The answer is``, so the completion starts inside the line.
    """
    first = {"number": r"\d", "expression": r"[\w∅∞]"}.get(kind, r"\w")
    return (first if cue_spoken else f"{_CUE}{first})") + _LINE_END


def cut(text: str, decoding: Decoding) -> str | None:
    """Return the text up to its first stop, or None if no stop rule has fired yet.

    ``stop`` strings are dropped; the match of ``stop_after`` is kept; the earliest end wins. Stops
    inside ``<think>`` reasoning do not count.
    """
    start = _find_answer_start(text)
    if start is None:
        return None
    ends = [end for end in (text.find(stop, start) for stop in decoding.stop) if end >= 0]
    if decoding.stop_after is not None and (
        match := _compile(decoding.stop_after).search(text, start)
    ):
        ends.append(match.end())
    return text[: min(ends)] if ends else None


def split_reasoning(text: str) -> tuple[str | None, str]:
    """Split ``<think>...</think>`` off: (reasoning or None, the rest).

    Everything before the last closing tag is reasoning (templates may open the tag in the prompt).
    An unclosed ``<think>`` is all reasoning: the answer never began.
    """
    closes = list(_THINK_CLOSE.finditer(text))
    start = closes[-1].end() if closes else 0
    opened = _THINK_OPEN.search(text, start)
    end = opened.start() if opened else len(text)
    thoughts = [text[: closes[-1].start()]] if closes else []
    if opened:
        thoughts.append(text[opened.end() :])
    cleaned = [_THINK_OPEN.sub("", _THINK_CLOSE.sub("", thought)).strip() for thought in thoughts]
    return ("\n".join(cleaned) if cleaned else None), text[start:end]


def _find_answer_start(text: str) -> int | None:
    """Return where reasoning ends and the answer begins; None while ``<think>`` is open."""
    closes = [text.rfind(f"</{tag}>") + len(tag) + 3 for tag in _TAGS if f"</{tag}>" in text]
    start = max(closes, default=0)
    return None if _THINK_OPEN.search(text, start) else start


@functools.lru_cache(maxsize=64)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
