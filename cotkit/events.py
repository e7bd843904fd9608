"""Events of a run: a progress display, a log and trackers listen to them.

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
    """Canonical strategy specs, in the order of the plan."""
    title: str = ""
    """Which of several runs it is, e.g. ``"2 of 8, gemma3-270m on gsm8k"``; empty: the only run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDone:
    """One attempt reached its outcome; sent for cached attempts too."""

    arm: str
    """The arm of the attempt; one of ``RunStarted.arms``."""
    problem_id: str
    """The problem of the attempt."""
    outcome: Outcome
    """Its outcome."""
    cached: bool
    """Whether the store already held it, so that nothing was generated now."""
    n_prompt_tokens: int | None
    """Tokens of the prompts over all turns; None: the backend does not count them."""
    n_generated_tokens: int | None
    """Tokens generated over all turns; None: the backend does not count them."""
    seconds: float
    """Seconds of its completions, added up; they may have run side by side."""
    error: str | None
    """Why it failed, or a note on its row; None: neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message that every display shows to the user."""

    text: str
    """One plain sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What the backend is waiting for; sent now and then while it waits unusually long."""

    text: str
    """E.g. ``"12 waiting for an answer, 3 waiting to try again (429)"``; empty: no more waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """All attempts of a run are made that this call will make; not sent where a run is cut off."""

    run_id: str
    """Identity of the run."""
    n_done: int
    """Attempts with an outcome other than ``failed``, cached ones included."""
    n_failed: int
    """Attempts for which the backend gave nothing; a resume tries them again."""
    n_generated: int
    """Completions that the backend made now; 0 when everything was in the store."""
    n_tokens: int
    """Tokens of those completions, prompts and answers, as far as the backend counts them."""
    usd: float | None
    """Dollars for those tokens at list prices; None: no price is known."""
    seconds: float
    """Wall time of the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GainFound:
    """The gain of one arm in a comparison; sent after its run ended."""

    run_id: str
    """Identity of the run."""
    arm: str
    """The arm."""
    control: str
    """Its control."""
    n: int
    """Problems that both completed."""
    gain: float
    """Solve rate of the arm less that of its control, -1..1."""
    low: float
    """Lower end of the simultaneous interval of the gain."""
    high: float
    """Its upper end."""
    verdict: str
    """E.g. ``"helps"``; as in the report."""


Event: TypeAlias = RunStarted | AttemptDone | Said | Waits | RunEnded | GainFound
"""Any event of a run."""
