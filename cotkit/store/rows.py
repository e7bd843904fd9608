"""The rows that the store hands out: what analysis and reports are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cotkit.types import Outcome, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRow:
    """One of the other answers of an attempt: an earlier round, or one sample of a vote."""

    text: str
    """What the readers read."""
    outcome: Outcome
    """By the reader that the run chose, as if this were the attempt."""
    readings: Mapping[str, Reading]
    """Reader name -> what it read."""
    correct_by: Mapping[str, bool]
    """Reader name -> whether it equals gold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What of an attempt tells whether it reasons before the answer."""

    text: str
    """What the readers read."""
    reading: Reading | None
    """By the reader asked for; None: it has not read this attempt."""
    reasoned_apart: bool
    """Whether any completion came with reasoning, or tokens of it, kept apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One attempt of one arm at one problem, scored."""

    arm: str
    """Canonical strategy spec, e.g. ``"cot"`` or ``"self-consistency:k=5"``."""
    problem_id: str
    """``Question.id``; arms of one run hold the same ids."""
    sample: int = 0
    """Which independent attempt at this problem, from 0."""
    outcome: Outcome
    """By the reader that the run chose; ``failed`` if the backend gave nothing."""
    text: str = ""
    """What the readers read; empty if failed."""
    gold: str = ""
    """The gold answer in canonical form."""
    readings: Mapping[str, Reading] = field(default_factory=dict[str, Reading])
    """Reader name -> what it read; empty if failed."""
    correct_by: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """Reader name -> whether it equals gold; empty if failed."""
    truncated: bool = False
    """Whether any completion of the attempt ended at its token limit."""
    n_calls: int = 0
    """Completions used, shared ones included."""
    n_prompt_tokens: int | None = None
    """Prompt tokens over all turns; None if the backend could not tell for one of them."""
    n_shared_tokens: int = 0
    """Of the prompt tokens, how many came from a shared prefix or a provider's cache."""
    n_cache_write_tokens: int = 0
    """Of the prompt tokens, how many a provider wrote to its cache at an extra price."""
    n_generated_tokens: int | None = None
    """Generated tokens over all turns; None if the backend could not tell for one of them."""
    n_reasoning_tokens: int | None = None
    """Of those, reasoning kept apart; None if the backend could not tell for one of them."""
    reasoned_apart: bool = False
    """Whether any completion came with reasoning kept apart (``<think>`` or a provider's field)."""
    served_by: str = ""
    """Every model and version that a server said had answered, sorted, comma-separated."""
    seconds: float = 0.0
    """Backend seconds over all turns; measured, so not the same on a second run."""
    n_steps: int | None = None
    """``Problem.n_steps``."""
    cluster: str | None = None
    """``Problem.cluster``."""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    """Metric name (``scoring.metrics.METRICS``) -> its value for this attempt alone; a metric that
    does not apply is not there."""
    error: str | None = None
    """One sentence: why it failed, or why it holds no answer."""
    drafts: tuple[DraftRow, ...] = ()
    """``Attempt.drafts``, scored; empty for strategies of one answer."""
    is_vote: bool = False
    """``Attempt.is_vote``."""
    scorer_version: str = ""
    """``scoring.SCORER_VERSION`` when it was scored; empty if it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One resumable execution."""

    id: str
    """12 hex characters; see ``Plan.run_id``."""
    spec: str
    """The spec that first led to it, as JSON."""
    status: str
    """``running`` (or cut off), ``complete``, ``incomplete`` (attempts failed)."""
    created_utc: str
    """ISO 8601."""
    updated_utc: str
    """ISO 8601."""
    n_attempts: int
    """Attempts recorded so far, failed ones included."""
