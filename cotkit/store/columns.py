"""The numbers of an arm as arrays: what an analysis of many attempts reads, without their texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from cotkit.errors import UsageError
from cotkit.store.rows import Reply
from cotkit.types import Reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

COLUMNS_QUERY = """
SELECT problem_id, CASE outcome WHEN 'failed' THEN NULL ELSE outcome = 'correct' END,
       n_prompt_tokens, n_shared_tokens, n_cache_write_tokens, n_generated_tokens, seconds,
       n_steps, cluster, metrics
FROM attempt WHERE run = ? AND arm = ? ORDER BY problem_id, sample
"""
"""Of a run and an arm; in the order of the primary key, so that nothing is sorted."""


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
    """Arrays of what `COLUMNS_QUERY` found.

    Raises:
        UsageError: several attempts at one problem.
    """
    import numpy as np

    ids, correct, *numbers, n_steps, clusters, metrics = zip(*rows, strict=True) if rows else _NONE
    if len(set(ids)) < len(ids):
        raise UsageError(f"{arm} has several attempts at one problem")
    done = np.array(correct, dtype=np.float64)
    failed = np.isnan(done)
    taken = [np.where(failed, np.nan, np.array(one, dtype=np.float64)) for one in numbers]
    found: list[dict[str, float]] = json.loads(f"[{','.join(metrics)}]")
    names = dict.fromkeys(name for one in found for name in one)
    return Columns(
        problem_ids=ids,
        correct=done,
        prompt_tokens=taken[0],
        shared_tokens=taken[1],
        cache_write_tokens=taken[2],
        generated_tokens=taken[3],
        seconds=taken[4],
        n_steps=n_steps,
        clusters=clusters,
        metrics={
            name: np.array([one.get(name, np.nan) for one in found], dtype=np.float64)
            for name in sorted(names)
        },
    )


def as_reply(row: tuple[Any, ...], reader: str) -> Reply:
    """What a row of `REPLIES_QUERY` says, as a reader read it."""
    text, readings, reasoned_apart = row
    found = json.loads(readings).get(reader)
    return Reply(
        text=text,
        reading=None if found is None else Reading(value=found[0], rule=found[1]),
        reasoned_apart=bool(reasoned_apart),
    )


_NONE: tuple[tuple[Any, ...], ...] = ((),) * 10
"""The columns of an arm without attempts."""
