"""What a run says while it works: a run emits these, a progress display shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from cotkit.types import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The first event of a run."""

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
    outcome: Outcome
    """What became of it."""
    cached: bool
    """Whether the store already held it, so that nothing was generated now."""
    n_generated_tokens: int | None
    """Tokens generated over all turns; None if the backend could not tell."""


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
    """The last event of a run that was not cut off."""

    n_done: int
    """Attempts with an outcome other than ``failed``, cached ones included."""
    n_failed: int
    """Attempts to which the backend gave nothing; a resume tries them again."""
    n_generated: int
    """Completions that the backend made now; 0 when everything was in the store."""


Event: TypeAlias = RunStarted | AttemptDone | Said | Waits | RunEnded
"""Anything a run says."""
