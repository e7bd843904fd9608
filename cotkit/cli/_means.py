"""The options that say what one call may spend, shared by every command that generates.

No ``from __future__ import annotations`` here, for the reason that ``_options`` gives.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.errors import UsageError

if TYPE_CHECKING:
    from cotkit.running import Means

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def read_means(
    budget_usd: float | None = typer.Option(
        None, "--budget-usd", help="Stop, arms balanced, before list prices pass this many dollars."
    ),
    budget_tokens: int | None = typer.Option(
        None, "--budget-tokens", help="The same for tokens, prompt and generated together."
    ),
    budget_time: str | None = typer.Option(
        None, "--budget-time", help="The same for wall time: 90s, 30m, 2h."
    ),
    prices: Path | None = typer.Option(
        None, "--prices", help="Your own price file (TOML), asked before the list prices."
    ),
) -> "Means":
    """What the options allow.

    Raises:
        UsageError: an option cannot be read.
    """
    from cotkit.run.budget import Budget
    from cotkit.running import Means

    seconds = None if budget_time is None else _seconds(budget_time)
    return Means(
        budget=Budget(usd=budget_usd, tokens=budget_tokens, seconds=seconds), prices=prices
    )


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if found is None:
        raise UsageError(f"--budget-time {text!r} is no length of time", hint="90s, 30m or 2h")
    return float(found[1]) * _UNITS[found[2]]
