"""Stage 2, candidates: the pieces of a text that may say the answer, the best rank first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cotkit.scoring.scope import CLIP, clip_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A piece of text that may say the answer."""

    rule: str
    """The name of the rule that points to it, e.g. ``"answer-line"``."""
    piece: str
    """The text after the cue, or inside the marks; at most ``CLIP`` characters."""


_CUE = re.compile(
    r"(?:\b(?:the|my|our)\s{1,3}(?:(?:final|correct|right)\s{1,3})?|\bfinal\s{1,3}"
    r"|(?:^|[\n.!?*#>:_])[ \t*_#>]{0,6})answer[*_]{0,3}\s{0,3}(?:is\b|=|:)",
    re.IGNORECASE,
)
_LEAD = re.compile(r"(?:[\s:*_=]|\$\$\s|\\\[\s)*+")
_BRACE = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{|\\[{}]|[{}]")
_HASH = re.compile(r"(?<!#)#{4}(?!#)[ \t]{0,8}([^\s#][^\n#]*)")


def find_candidates(text: str) -> Iterator[Candidate]:
    """Yield what the markers of a text point to: answer lines, the last box, hash lines."""
    for segment in filter(None, answer_segments(text)):
        yield Candidate(rule="answer-line", piece=segment)
    if (box := last_boxed(text)) is not None:
        yield Candidate(rule="boxed", piece=clip_line(box))
    for line in _HASH.finditer(text):
        yield Candidate(rule="hash", piece=line[1][:CLIP])


def last_line(text: str) -> Iterator[Candidate]:
    """Yield the last line that is not blank: the guess where no marker says anything."""
    lines = [line for line in text.splitlines() if line.strip()]
    yield from (Candidate(rule="last-line", piece=line[-CLIP:]) for line in lines[-1:])


def answer_segments(text: str) -> Iterator[str]:
    """Yield what follows each answer cue: the rest of its line, or the next, up to a new cue."""
    cues = list(_CUE.finditer(text))
    ends = [*(cue.start() for cue in cues), len(text)][1:]
    for cue, end in zip(cues, ends, strict=True):
        lead = _LEAD.match(text, cue.end(), end)
        assert lead is not None  # it can match nothing
        yield text[lead.end() : min(end, lead.end() + CLIP)].partition("\n")[0]


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
