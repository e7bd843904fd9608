"""Where a text ends: the one cut that every engine and every reader agrees on.

A local engine calls :func:`cut` on the text so far, after each token; the driver calls it again on
whatever a backend returned, so a server that ignores stop strings changes cost and nothing else.
"""

from __future__ import annotations

import functools
import re

from cotkit.types import Decoding

ANSWER_LINE = r"(?i:the answer is)[^\n]*?\d[^\n]*?(?:\.(?=\s)|(?=\n))"
"""Ends a numeric answer line: cue, a digit, then a full stop before white space, or a newline."""

_THINK_OPEN = re.compile(r"<(think|thinking|reasoning)>")


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def cut(text: str, decoding: Decoding) -> str | None:
    """The text up to its first stop, or None if no stop rule has fired yet.

    ``stop`` strings are dropped; the match of ``stop_after`` is kept. The earliest end wins.
    """
    ends = [at for at in (text.find(s) for s in decoding.stop) if at >= 0]
    if decoding.stop_after is not None and (found := _compiled(decoding.stop_after).search(text)):
        ends.append(found.end())
    return text[: min(ends)] if ends else None


def split_reasoning(text: str) -> tuple[str | None, str]:
    """Split ``<think>...</think>`` off: (reasoning or None, the rest).

    An unclosed ``<think>`` is all reasoning: the answer never began. A lone ``</think>`` (templates
    that open it in the prompt) ends reasoning that began at the start.
    """
    reasoning: list[str] = []
    rest = text
    while found := _THINK_OPEN.search(rest):
        close = f"</{found[1]}>"
        body, closed, after = rest[found.end() :].partition(close)
        reasoning.append(body)
        rest = rest[: found.start()] + (after if closed else "")
    for tag in ("think", "thinking", "reasoning"):
        before, closed, after = rest.rpartition(f"</{tag}>")
        if closed:
            reasoning.insert(0, before)
            rest = after
    return ("\n".join(reasoning) if reasoning else None), rest
