"""Reading a numbered list that a model wrote."""

from __future__ import annotations

import re

from cotkit.types import Completion

_LISTED = re.compile(r"^[ \t]*(?:[0-9]{1,2}[.)]|[-*•])[ \t]+(\S.*?)[ \t]*$", re.MULTILINE)


def read_list(reply: Completion) -> list[str]:
    """Return the lines of a list, each once, without one that was cut at the limit."""
    lines = [match[1] for match in _LISTED.finditer(reply.text)]
    return list(dict.fromkeys(lines[:-1] if reply.stop_reason == "length" else lines))
