"""Server-sent events, and servers that answer in nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator

_IS_STREAM = re.compile(rb"(\xef\xbb\xbf)?(\s*(data|event|id|retry)\s*:|\s*:[^\n]*\n)")
_JSON_LINES = re.compile(rb"\s*\{.*\}[ \t\r]*\n\s*\{")
_STREAM_ONLY = re.compile(
    r"only\b.{0,30}\bstream|stream\w*\b.{0,40}\b(only|required|must|enable|true|mandatory)"
    r"|stream\w* is strongly recommended"
    r"|(must|enable|require\w*|use|need\w*)\b.{0,30}\bstream|non-?stream\w*\b.{0,40}\b(not|un)"
    r"|not support\w*\b.{0,20}\bnon-?stream|仅支持流|只支持流|流式",
    re.IGNORECASE,
)
_OTHER_REFUSALS = frozenset({401, 402, 403, 404, 429})


def is_stream(raw: bytes) -> bool:
    """Return whether an answer is made of events."""
    return bool(_IS_STREAM.match(raw[:1000]) or _JSON_LINES.match(raw))


def asks_for_stream(status: int, words: str) -> bool:
    """Return whether a refusal says that a server answers in streams only."""
    is_refusal = 400 <= status < 500 and status not in _OTHER_REFUSALS
    return is_refusal and bool(_STREAM_ONLY.search(words))


def event_data(raw: bytes) -> Iterator[bytes]:
    """Yield the data of each event; its lines are joined by newlines, as the standard says.

    Lines of bare JSON are events, too.
    """
    if _JSON_LINES.match(raw):
        yield from filter(None, map(bytes.strip, raw.split(b"\n")))
        return
    lines: list[bytes] = []
    for line in (*re.split(rb"\r\n|\n|\r", raw.removeprefix(b"\xef\xbb\xbf")), b""):
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
        elif not line and lines:
            yield b"\n".join(lines).strip()
            lines = []
