"""The rows that the store hands out: what analysis and reports are made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from cotkit.errors import UsageError
from cotkit.types import Completion, Outcome, Reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


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
class StoredReply:
    """What of an attempt tells whether it reasons before the answer."""

    text: str
    """What the readers read."""
    reading: Reading | None
    """By the reader asked for; None: it has not read this attempt."""
    reasoned_apart: bool
    """Whether any completion came with reasoning, or tokens of it, kept apart."""


PERMANENT, CUT = "refused for good: ", "cut by the server: "
"""How the error of an attempt begins that is not tried again unasked: a server refuses its prompt,
or did not see all of it or had no room for its answer."""


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

    @property
    def is_permanent(self) -> bool:
        """Whether it failed and is not tried again unasked: a server refuses or cut its prompt."""
        return self.outcome == "failed" and (self.error or "").startswith((PERMANENT, CUT))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCall:
    """What of one completion of a run tells how its server behaved."""

    key: str
    """Completion key."""
    problem_id: str
    """The problem whose attempt used it; of several, the first."""
    created_utc: str
    """When it was stored."""
    prompt: str
    """The prompt, its messages joined."""
    max_tokens: int
    """The limit that was asked for."""
    completion: Completion
    """What came back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One resumable execution."""

    id: str
    """12 hex characters; see ``Plan.run_id``."""
    spec: str
    """The spec that first led to it, as JSON."""
    status: str
    """``running`` (or cut off), ``complete``, ``incomplete`` (attempts failed), ``failed`` (all of
    them), ``refused`` (it ended before there was any)."""
    created_utc: str
    """ISO 8601."""
    updated_utc: str
    """ISO 8601."""
    n_attempts: int
    """Attempts recorded so far, failed ones included."""


# The numbers of an arm as arrays: what an analysis of many attempts reads, without their texts.


COLUMNS_QUERY = """
SELECT problem_id, CASE outcome WHEN 'failed' THEN NULL ELSE outcome = 'correct' END,
       n_prompt_tokens, n_shared_tokens, n_cache_write_tokens, n_generated_tokens, seconds,
       n_steps, cluster, metrics
FROM attempt WHERE run = ? AND arm = ? ORDER BY problem_id, sample
"""
"""Of a run and an arm; in the order of the primary key, so that nothing is sorted."""


READINGS_QUERY = """
SELECT problem_id, sample, outcome, readings FROM attempt WHERE run = ? AND arm = ?
ORDER BY problem_id, sample
"""
"""Of a run and an arm."""


REPLIES_QUERY = """
SELECT text, readings, reasoned_apart + coalesce(n_reasoning_tokens, 0)
FROM attempt WHERE run = ? AND arm = ? AND outcome NOT IN ('failed', 'refused')
"""
"""Of a run and an arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """One arm of one run, one entry for each problem, in the order of the problems' ids.

    What is not known, and every number of an attempt that failed, is NaN.
    """

    problem_ids: tuple[str, ...]
    """Sorted, each once."""
    correct: Floats
    """1 or 0."""
    prompt_tokens: Floats
    """All prompt tokens."""
    shared_tokens: Floats
    """Of these, read from a cache."""
    cache_write_tokens: Floats
    """Of these, written to a provider's cache."""
    generated_tokens: Floats
    """Generated tokens."""
    seconds: Floats
    """Backend seconds."""
    n_steps: tuple[int | None, ...]
    """Steps of the problem."""
    clusters: tuple[str | None, ...]
    """Cluster of the problem."""
    metrics: Mapping[str, Floats]
    """Metric name -> its values; NaN where it does not apply."""


def as_columns(arm: str, rows: Sequence[tuple[Any, ...]]) -> Columns:
    """Make arrays of the rows of `COLUMNS_QUERY`.

    Raises:
        UsageError: several attempts at one problem.
    """
    import numpy as np

    ids, correct, *numbers, n_steps, clusters, metrics = zip(*rows, strict=True) if rows else _NONE
    if len(set(ids)) < len(ids):
        raise UsageError(f"{arm} has several attempts at one problem")
    is_correct = np.array(correct, dtype=np.float64)
    failed = np.isnan(is_correct)
    arrays = [np.where(failed, np.nan, np.array(values, dtype=np.float64)) for values in numbers]
    metrics_of: list[dict[str, float]] = json.loads(f"[{','.join(metrics)}]")
    names = dict.fromkeys(name for values in metrics_of for name in values)
    return Columns(
        problem_ids=ids,
        correct=is_correct,
        prompt_tokens=arrays[0],
        shared_tokens=arrays[1],
        cache_write_tokens=arrays[2],
        generated_tokens=arrays[3],
        seconds=arrays[4],
        n_steps=n_steps,
        clusters=clusters,
        metrics={
            name: np.array([values.get(name, np.nan) for values in metrics_of], dtype=np.float64)
            for name in sorted(names)
        },
    )


def as_reply(row: tuple[Any, ...], reader: str) -> StoredReply:
    """Make a reply, as a reader read it, of a row of `REPLIES_QUERY`."""
    text, readings, reasoned_apart = row
    entry = json.loads(readings).get(reader)
    return StoredReply(
        text=text,
        reading=None if entry is None else Reading(value=entry[0], rule=entry[1]),
        reasoned_apart=bool(reasoned_apart),
    )


_NONE: tuple[tuple[Any, ...], ...] = ((),) * 10
"""The columns of an arm without attempts."""
