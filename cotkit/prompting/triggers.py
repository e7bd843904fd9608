"""Trigger sentences of zero-shot chain-of-thought: paraphrases, and controls that invite nothing.

Names that begin with ``control-`` are off topic or ask for no reasoning.
"""

from __future__ import annotations

import json

from cotkit.errors import UnknownNameError
from cotkit.prompting.lock import read_locked


def read_triggers(*, version: int = 1) -> dict[str, str]:
    """Every released trigger, name -> sentence, in the released order."""
    rows = map(json.loads, read_locked(f"triggers.v{version}.jsonl").splitlines())
    return {row["name"]: row["text"] for row in rows}


def trigger_text(name: str, *, version: int = 1) -> str:
    """The sentence of one trigger.

    Raises:
        UnknownNameError: there is none of this name; says which come close.
    """
    known = read_triggers(version=version)
    if name not in known:
        raise UnknownNameError("trigger", name, known)
    return known[name]
