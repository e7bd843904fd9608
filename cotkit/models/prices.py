"""What hosted models cost: a dated table, and the user's own file before it.

The tables are ``prices.toml`` and any file of its format (its head says what that is). A model that
no row names has no price: unknown is said, never guessed, and local models are unknown too.
"""

from __future__ import annotations

import functools
import os
from fnmatch import fnmatchcase
from pathlib import Path

from cotkit.models._price import Price
from cotkit.models._price_file import read_prices

__all__ = ["Price", "listed", "price_of"]

_DATA = Path(__file__).with_name("prices.toml")
_HOMES = ("https://api.openai.com", "https://api.anthropic.com")


def price_of(
    backend: str, model: str, overrides: Path | None = None, *, base_url: str | None = None
) -> Price | None:
    """The list price of a model; None: unknown.

    The user's file (``overrides``, else ``$COTKIT_PRICES``) is asked first, then our own table. In
    each the pattern with the most letters wins, so a name wins over any pattern. Our own says what
    the providers ask: at another ``base_url`` only the user's counts.

    Raises:
        BadInputError: the user's file cannot be read; names line and field.
    """
    named = os.environ.get("COTKIT_PRICES")
    own = overrides or (Path(named) if named else None)
    tables = [read_prices(own)] if own is not None else []
    if base_url is None or base_url.startswith(_HOMES):
        tables.append(listed())
    for table in tables:
        fits = [
            (sum(letter not in "*?" for letter in pattern), price)
            for price in table
            if price.backend == backend
            for pattern in price.models
            if fnmatchcase(model, pattern)
        ]
        if fits:
            return max(fits, key=lambda fit: fit[0])[1]
    return None


@functools.cache
def listed() -> tuple[Price, ...]:
    """Our own table, in its order."""
    return read_prices(_DATA)
