"""JSON Lines as they come in, one object at a time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from cotkit.backends._hosted.policy import Malformed


async def json_lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The objects of a file; a line ends at a newline and nowhere else.

    Raises:
        Malformed: a line is not a JSON object.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, lines):
            yield _object(line)
    if rest:
        yield _object(rest)


def _object(line: bytes) -> dict[str, Any]:
    try:
        found: Any = json.loads(line)
    except ValueError as broken:
        raise Malformed(f"not JSON: {broken}") from broken
    if not isinstance(found, dict):
        raise Malformed(f"not an object but {type(found).__name__}")
    return found
