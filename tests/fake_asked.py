"""What a request asks, whichever of the four APIs it was sent to."""

from __future__ import annotations

import re
from typing import Any, cast

Body = dict[str, Any]


def last_user(body: Body) -> str:
    """The text that is asked: the last message of the user, or the whole raw prompt."""
    turns: Any = body.get("messages") or body.get("input")
    if isinstance(turns, list):
        said = [turn["content"] for turn in turns if turn.get("role") == "user"]
        return _text(said[-1]) if said else ""
    return _text(turns or body.get("prompt") or "")


def n_words(body: Body) -> int:
    """Words of everything asked: the server's prompt tokens."""
    parts = [body.get(name) for name in ("system", "instructions", "prompt", "input")]
    turns: Any = body.get("messages") or []
    return sum(len(_text(part).split()) for part in [*parts, [turn["content"] for turn in turns]])


def n_choices(body: Body) -> int:
    """How many choices are asked: ``n`` for each prompt."""
    prompt = body.get("prompt")
    return (body.get("n") or 1) * (len(prompt) if isinstance(prompt, list) else 1)


def tokens(text: str) -> list[str]:
    """Words with the space before them: joined again they are the text."""
    return re.findall(r"\s*\S+|\s+$", text)


def limit(body: Body) -> int:
    """The most tokens that one choice may have."""
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    return min((body[name] for name in names if body.get(name) is not None), default=10**9)


def _text(content: object) -> str:
    """A string, or the text parts of a list."""
    if isinstance(content, list):
        return " ".join(_text(part) for part in cast("list[object]", content))
    if isinstance(content, dict):
        return _text(cast("Body", content).get("text"))
    return content if isinstance(content, str) else ""
