"""What the attempts of an arm cost at a list price."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from cotkit.store.rows import AttemptRow


class Costing(Protocol):
    """A price, such as ``models.prices.Price``: what so many tokens cost in US dollars."""

    def cost(
        self, n_prompt: float, n_shared: float, n_cache_write: float, n_generated: float
    ) -> float:
        """As ``Price.cost``."""
        ...


def cost_of(rows: Sequence[AttemptRow], price: Costing | None) -> float | None:
    """US dollars for all attempts that did not fail; None: unknown.

    That is what the arm costs on its own: a completion that it shares with another arm is paid in
    both, and one that the store held already is paid too. Unknown without a price, without an
    attempt, or if the tokens of one are: a partial sum would pass for a cheap arm.
    """
    done = [row for row in rows if row.outcome != "failed"]
    costs = [_cost(row, price) for row in done] if price is not None else []
    known = [cost for cost in costs if cost is not None]
    return math.fsum(known) if known and len(known) == len(done) else None


def _cost(row: AttemptRow, price: Costing) -> float | None:
    if row.n_prompt_tokens is None or row.n_generated_tokens is None:
        return None
    return price.cost(
        row.n_prompt_tokens,
        row.n_shared_tokens,
        row.n_cache_write_tokens,
        row.n_generated_tokens,
    )
