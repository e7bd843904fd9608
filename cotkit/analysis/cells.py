"""One arm on its own: outcomes, solve rate, and what it cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from cotkit.analysis.cost import Costing, cost_of
from cotkit.analysis.intervals import wilson
from cotkit.analysis.results import Cell
from cotkit.store.rows import AttemptRow
from cotkit.types import OUTCOMES


def cell(arm: str, rows: Sequence[AttemptRow], level: float, price: Costing | None = None) -> Cell:
    """Summary of one arm's rows. Failed rows are counted as failed and enter nothing else.

    Means over no rows are NaN. The order of ``rows`` does not matter: sums are exact (``fsum``).
    """
    found = Counter(row.outcome for row in rows)
    done = [row for row in rows if row.outcome != "failed"]
    n, n_correct = len(done), found["correct"]
    prompt = _total([row.n_prompt_tokens for row in done])
    generated = _total([row.n_generated_tokens for row in done])
    usd = cost_of(rows, price)
    seconds = math.fsum(row.seconds for row in done)
    return Cell(
        arm=arm,
        n=n,
        outcomes={outcome: found[outcome] for outcome in OUTCOMES},
        n_correct=n_correct,
        solve_rate=n_correct / n if n else math.nan,
        interval=wilson(n_correct, n, level),
        prompt_tokens=prompt / n if prompt is not None else None,
        shared_tokens=sum(row.n_shared_tokens for row in done) / n if n else math.nan,
        generated_tokens=generated / n if generated is not None else None,
        generated_per_correct=generated / n_correct
        if generated is not None and n_correct
        else None,
        usd=usd / n if usd is not None else None,
        usd_per_correct=usd / n_correct if usd is not None and n_correct else None,
        seconds=seconds / n if n else math.nan,
        seconds_per_correct=seconds / n_correct if n_correct else None,
    )


def _total(counts: Sequence[int | None]) -> int | None:
    """Sum, or None if one is unknown or there is none: a partial sum would pass for a cheap arm."""
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None
