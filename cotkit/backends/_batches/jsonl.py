"""JSON Lines as they come in, one object at a time."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from cotkit.backends._hosted.reading import read_object


async def json_lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The objects of a file; a line ends at a newline and nowhere else.

    Raises:
        Malformed: a line is not a JSON object.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, lines):
            yield read_object(line)
    if rest:
        yield read_object(rest)
