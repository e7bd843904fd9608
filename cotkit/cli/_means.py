"""The options that say how fast one call may go and what it may spend; they change no answer.

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
        None,
        "--budget-usd",
        help="Stop near so many dollars (list prices), the same problems done in every arm.",
    ),
    budget_tokens: int | None = typer.Option(
        None, "--budget-tokens", help="The same for tokens, prompts and answers together."
    ),
    budget_time: str | None = typer.Option(
        None, "--budget-time", help="The same for the time the run takes: 90s, 30m, 2h."
    ),
    prices: Path | None = typer.Option(
        None, "--prices", help="Your own prices (TOML file), asked first. (default: $COTKIT_PRICES)"
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


def read_pace(
    max_connections: int | None = typer.Option(
        None, "--max-connections", help="Hosted models: most calls at once (default: 32)."
    ),
    requests_per_minute: float | None = typer.Option(
        None,
        "--requests-per-minute",
        help="Hosted models: most calls a minute (default: no limit).",
    ),
    tokens_per_minute: float | None = typer.Option(
        None,
        "--tokens-per-minute",
        help="Hosted models: most tokens a minute, prompt and generated (default: no limit).",
    ),
    timeout: float | None = typer.Option(
        None,
        "--timeout",
        help="Hosted models: seconds that one try of a call may take (default: 120).",
    ),
    max_tries: int | None = typer.Option(
        None,
        "--max-tries",
        help="Hosted models: tries of a call before its attempt counts as failed (default: 8).",
    ),
) -> dict[str, str]:
    """Backend settings, as ``--model-args`` would give them."""
    given = {
        "max_connections": max_connections,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "timeout_s": timeout,
        "max_tries": max_tries,
    }
    return {name: str(value) for name, value in given.items() if value is not None}


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if found is None:
        raise UsageError(f"--budget-time {text!r} is no length of time", hint="90s, 30m or 2h")
    return float(found[1]) * _UNITS[found[2]]
