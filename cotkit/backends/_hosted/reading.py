"""What a server wrote: a JSON object, or something else in its place, told in one line."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from cotkit.backends._hosted.keys import scrub
from cotkit.backends._hosted.policy import Malformed

_MAX_SAID = 300  # characters of a server's words that an error repeats
_MAX_SEEN = 80  # characters of a web page
_MAX_PAGE = 20_000  # characters in which they are looked for
_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")  # one or both halves of a surrogate pair
_PAGE = re.compile(r"\s*<(!doctype html|html|head|body)\b", re.IGNORECASE)
_MARKUP = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL)


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object of an answer; half a surrogate pair, which no file can hold, becomes ``?``.

    Raises:
        Malformed: it is none; says what it is.
    """
    try:
        answer: Any = json.loads(raw)
        if _HALF.search(raw):
            answer = json.loads(json.dumps(answer, ensure_ascii=False).encode(errors="replace"))
    except RecursionError:
        raise Malformed("JSON that is nested too deeply") from None
    except ValueError as broken:
        text = raw.decode(errors="replace")
        raise Malformed(_foreign(text) or f"not JSON: {broken}") from broken
    if not isinstance(answer, dict):
        raise Malformed(f"not an object but {type(answer).__name__}")
    return answer


def sentence(text: str, *, is_page: bool = False) -> str:
    """What a server said, for an error: its first line, or what it is if no words; no key in it.

    ``is_page``: the server called it a web page.
    """
    lines = (line.strip() for line in scrub(text).splitlines())
    return _foreign(text, is_page=is_page) or next(filter(None, lines), "")[:_MAX_SAID]


def _foreign(text: str, *, is_page: bool = False) -> str | None:
    """What a text is that does not speak the protocol; None: nothing known."""
    if is_page or _PAGE.match(text):
        words = " ".join(html.unescape(_MARKUP.sub(" ", text[:_MAX_PAGE])).split())
        return (
            f"a web page, not an API: a proxy, or a wrong base_url ({scrub(words)[:_MAX_SEEN]!r})"
        )
    if text.lstrip().startswith(("data:", "event:")):
        return "a streamed answer, which was not asked for"
    return None
