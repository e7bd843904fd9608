"""Our own exemplars: one released file feeds both ``few-shot`` and ``cot``."""

from __future__ import annotations

import json

from cotkit.errors import UsageError
from cotkit.prompting.lock import read_locked
from cotkit.types import Exemplar


def read_exemplars(k: int, *, domain: str = "math", version: int = 1) -> tuple[Exemplar, ...]:
    """The first k of the released exemplars, in their released order.

    Raises:
        UsageError: k is below 1 or above what the file holds.
    """
    lines = read_locked(f"exemplars.{domain}.v{version}.jsonl").splitlines()
    if not 1 <= k <= len(lines):
        raise UsageError(
            f"{k} built-in exemplars asked, there are 1 to {len(lines)}",
            hint="--exemplars train:K draws from the benchmark's train split",
        )
    return tuple(Exemplar(**json.loads(line)) for line in lines[:k])
