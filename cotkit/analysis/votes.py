"""maj@k: the solve rate of a vote of 1, 2, ... samples, all from one set (Wang et al. 2022)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cotkit.analysis.results import VoteCurve
from cotkit.store.rows import AttemptRow, DraftRow


def vote_curve(rows: Sequence[AttemptRow], reader: str) -> VoteCurve | None:
    """The curve of one arm; None if none of its rows is a completed vote.

    The rate at j is the mean over problems and over the k windows of j neighbouring samples (the
    first follows the last). Each window is a vote as scored: the plurality of what ``reader``
    read, of equals the value of the lowest sample index; the unreadable have no vote. So the
    first rate is the mean solve rate of a sample and the last is that of the arm.

    Args:
        rows: Of one arm, in any order. k is the fewest samples of any of them.
        reader: The reader that the run chose.
    """
    ballots = [row.drafts for row in rows if row.is_vote and row.outcome != "failed"]
    if not ballots:
        return None
    k = min(map(len, ballots))
    won = [0] * k  # at j - 1: windows of j samples whose vote is right, over all problems
    for drafts in ballots:
        for start in range(k):
            for i, is_right in enumerate(_growing_vote(drafts[:k], start, reader)):
                won[i] += is_right
    n = len(ballots)
    return VoteCurve(arm=rows[0].arm, rates=tuple(count / (k * n) for count in won), n=n)


def _growing_vote(drafts: Sequence[DraftRow], start: int, reader: str) -> list[bool]:
    """Whether the vote is right after 1, 2, ... samples, beginning with sample ``start``."""
    votes = Counter[str]()
    seen_at: dict[str, int] = {}
    best: str | None = None
    is_right = False
    found: list[bool] = []
    for i in (*range(start, len(drafts)), *range(start)):
        value = drafts[i].readings[reader].value
        if value is not None:
            votes[value] += 1
            seen_at[value] = min(i, seen_at.get(value, i))
            # Only the value that was just read can overtake the best one.
            if best is None or (votes[value], -seen_at[value]) > (votes[best], -seen_at[best]):
                best, is_right = value, drafts[i].correct_by[reader]
        found.append(is_right)
    return found
