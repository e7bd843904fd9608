"""What each round of correction did to an arm's answers: fixed, broken, or left as they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cotkit.analysis.results import Transition
from cotkit.store.rows import AttemptRow


def transitions(rows: Sequence[AttemptRow]) -> tuple[Transition, ...]:
    """One transition for each round of one arm, by the outcomes of the run's reader.

    Failed rows and votes (whose drafts are no rounds) count nowhere. An arm may stop early: a
    problem is in the ``n`` of the rounds that it went through.
    """
    chains = [
        [draft.outcome == "correct" for draft in row.drafts] + [row.outcome == "correct"]
        for row in rows
        if row.drafts and not row.is_vote and row.outcome != "failed"
    ]
    n_rounds = max(map(len, chains), default=1) - 1
    return tuple(
        _transition(rows[0].arm, i, Counter((c[i], c[i + 1]) for c in chains if len(c) > i + 1))
        for i in range(n_rounds)
    )


def _transition(arm: str, i: int, seen: Counter[tuple[bool, bool]]) -> Transition:
    return Transition(
        arm=arm,
        step=f"{f'round {i}' if i else 'draft'} to round {i + 1}",
        n=seen.total(),
        fixed=seen[False, True],
        broken=seen[True, False],
        kept_right=seen[True, True],
        kept_wrong=seen[False, False],
    )
