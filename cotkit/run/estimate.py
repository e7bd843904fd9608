"""What an arm will take, as a range, before anything is asked.

Both ends of every range are what would have to happen for it, not a guess at what will: few-shot
prompts mostly come from a cache, and answers mostly end long before their limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cotkit.models.prices import Price
from cotkit.run.survey import ArmSurvey
from cotkit.types import Request

MOST_CHARACTERS = 5.0
"""Of a token, in English prose; see `LEAST_CHARACTERS`."""
LEAST_CHARACTERS = 2.5
"""Of a token, in digits, signs and other scripts, the tokens around each message included."""

Range = tuple[float, float]
"""(low, high)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What holds a backend back."""

    connections: int | None = None
    """Calls at once; None: no limit."""
    requests_per_minute: float | None = None
    """None: no limit of ours."""
    tokens_per_minute: float | None = None
    """Prompt and generated tokens; None: no limit of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Ranges, each (low, high)."""

    prompt_tokens: Range
    """Low: the certain requests only, each sent once for all its samples. High: one prompt for
    each completion, later turns included; each of those has the first prompt, all answers before
    it at their longest, and new words as long as the first prompt. A token is 5 characters at the
    low end and 2.5 at the high one, unless the backend counts."""
    generated_tokens: Range
    """Low: the certain completions only, each of the stored mean, or of 1 token without one.
    High: later turns too, and all of them as long as they may be."""
    usd: Range | None
    """Low: the low counts, every prompt read from the provider's cache. High: the high counts,
    every prompt written to it. None: the price is unknown. Tries that fail are in neither."""
    seconds: Range | None
    """Low: the low counts at the pace of the tightest limit, completions as quick as stored ones.
    High: the high counts, completions slower as they are longer; infinite without stored ones.
    None: no limit and no stored completion, so nothing to tell by. Waiting after a fault is in
    neither."""


def estimate(
    arm: ArmSurvey,
    price: Price | None,
    *,
    prompt_tokens: float | None = None,
    pace: Pace | None = None,
) -> Estimate:
    """What the completions that an arm still has to make will take.

    Args:
        arm: Its requests, counted; sizes are means over its first requests, ``max_tokens`` too.
        price: Of the model; None: unknown.
        prompt_tokens: Mean tokens of the first prompts, where the backend counts them.
        pace: Limits of the backend; None: none known.
    """
    stored = arm.stored
    n_certain, n_all = arm.n_to_make, arm.n_to_make + arm.n_later
    longest = _mean([0 if one.options else one.decoding.max_tokens for one in arm.first])
    mean = stored.generated_tokens if stored else min(1.0, longest)
    generated = (n_certain * min(mean, longest), n_all * longest)
    samples = max(_mean([len(one.samples) for one in arm.first]), 1.0)
    low, high = _prompt(arm.first) if prompt_tokens is None else (prompt_tokens, prompt_tokens)
    n_turns = arm.n_later / arm.n_attempts if arm.n_attempts else 0.0
    later = 2 * high + longest * (n_turns + 1) / 2  # turn t = 1..n comes after t answers: the mean
    prompt = (n_certain / samples * low, n_certain * high + arm.n_later * later)
    return Estimate(
        prompt_tokens=prompt,
        generated_tokens=generated,
        usd=None if price is None else _usd(price, prompt, generated),
        seconds=_seconds(
            (n_certain / samples, n_all),
            (prompt[0] + generated[0], prompt[1] + generated[1]),
            pace or Pace(),
            None
            if stored is None
            else (stored.seconds, stored.seconds * max(longest / (mean or 1.0), 1.0)),
        ),
    )


def total(estimates: Sequence[Estimate]) -> Estimate:
    """All arms of a run; dollars or seconds of the whole are unknown if those of one are."""
    usd = [one.usd for one in estimates if one.usd is not None]
    seconds = [one.seconds for one in estimates if one.seconds is not None]
    return Estimate(
        prompt_tokens=_sum([one.prompt_tokens for one in estimates]),
        generated_tokens=_sum([one.generated_tokens for one in estimates]),
        usd=_sum(usd) if len(usd) == len(estimates) else None,
        seconds=_sum(seconds) if len(seconds) == len(estimates) else None,
    )


def _prompt(first: Sequence[Request]) -> Range:
    characters = _mean([sum(len(one.content) for one in request.messages) for request in first])
    return characters / MOST_CHARACTERS, characters / LEAST_CHARACTERS


def _usd(price: Price, prompt: Range, generated: Range) -> Range:
    low, high = prompt
    cheapest = low if price.cached_input < price.input else 0.0
    dearest = high if price.cache_write > price.input else 0.0
    return (
        price.cost(low, cheapest, 0, generated[0]),
        price.cost(high, 0, dearest, generated[1]),
    )


def _seconds(requests: Range, tokens: Range, pace: Pace, each: Range | None) -> Range | None:
    """``each``: of one completion, in seconds."""
    limits = ((requests, pace.requests_per_minute), (tokens, pace.tokens_per_minute))
    paced = [(n, 60 / a_minute) for n, a_minute in limits if a_minute is not None]
    if not paced and each is None:
        return None
    n_lanes = requests[1] if pace.connections is None else min(pace.connections, requests[1])
    low, high = each or (0.0, math.inf)
    worked = [
        (math.ceil(n / n_lanes) * one if n_lanes else 0.0)
        for n, one in zip(requests, (low, high), strict=True)
    ]
    return (
        max([worked[0], *(n[0] * seconds for n, seconds in paced)]),
        max([worked[1], *(n[1] * seconds for n, seconds in paced)]),
    )


def _sum(ranges: Sequence[Range]) -> Range:
    return math.fsum(low for low, _ in ranges), math.fsum(high for _, high in ranges)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
