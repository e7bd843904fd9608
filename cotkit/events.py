"""What a run says while it works: a run emits these; a progress display, a log and trackers listen.

The fields of an event are its schema (``docs/observing.md``): names are added, never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from cotkit.types import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The first event of a run."""

    run_id: str
    """Identity of the run (12 hex characters)."""
    model: str
    """The model as reports name it."""
    bench: str
    """The benchmark as the user wrote it."""
    n_attempts: int
    """Attempts of the whole run, over all arms (the same number each), cached ones included."""
    n_cached: int
    """Of those, how many the store already holds."""
    arms: tuple[str, ...]
    """Canonical strategy specs, in the order asked."""
    title: str = ""
    """Which of several runs it is, e.g. ``"2 of 8, gemma3-270m on gsm8k"``; empty: the only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDone:
    """One attempt reached its outcome; said of cached attempts too."""

    arm: str
    """Which arm's attempt it was; one of ``RunStarted.arms``."""
    problem_id: str
    """Which problem it was of."""
    outcome: Outcome
    """What became of it."""
    cached: bool
    """Whether the store already held it, so that nothing was generated now."""
    n_prompt_tokens: int | None
    """Tokens of the prompts over all turns; None if the backend could not tell."""
    n_generated_tokens: int | None
    """Tokens generated over all turns; None likewise."""
    seconds: float
    """What the backend took for its completions, added up; they may have run side by side."""
    error: str | None
    """Why it failed, or what a reader of its row should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Something a user should read now, whatever the display."""

    text: str
    """One plain sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What the backend is waiting for; said now and then while that is unusual."""

    text: str
    """E.g. ``"12 waiting for an answer, 3 waiting to try again (429)"``; empty: no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """The last event of the generating of a run that was not cut off."""

    run_id: str
    """Identity of the run."""
    n_done: int
    """Attempts with an outcome other than ``failed``, cached ones included."""
    n_failed: int
    """Attempts to which the backend gave nothing; a resume tries them again."""
    n_generated: int
    """Completions that the backend made now; 0 when everything was in the store."""
    n_tokens: int
    """Tokens of those completions, prompts and answers, as far as the backend told."""
    usd: float | None
    """What those tokens cost at list prices; None: no price is known."""
    seconds: float
    """Wall time of the generating."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GainFound:
    """What a comparison came to, for one arm; said after its run ended."""

    run_id: str
    """Identity of the run."""
    arm: str
    """The arm."""
    control: str
    """What it was measured against."""
    n: int
    """Problems that both have."""
    gain: float
    """Solve rate of the arm less that of its control, -1..1."""
    low: float
    """Lower end of the simultaneous interval of the gain."""
    high: float
    """Its upper end."""
    verdict: str
    """E.g. ``"helps"``; as in the report."""


Event: TypeAlias = RunStarted | AttemptDone | Said | Waits | RunEnded | GainFound
"""Anything a run says."""


def printable(text: str) -> str:
    """Escape control characters: a name can neither move the cursor nor break a table row."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
