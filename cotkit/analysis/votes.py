"""maj@k: the solve rate of a vote of 1, 2, ... samples, all from one set (Wang et al. 2022)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from cotkit.analysis.results import VoteCurve
from cotkit.store.rows import AttemptRow, DraftRow

Ballot: TypeAlias = tuple[str | None, bool]
"""What was read in a sample (None: nothing), and whether it equals gold."""


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
    voted = [row.drafts for row in rows if row.is_vote and row.outcome != "failed"]
    if not voted:
        return None
    k = min(map(len, voted))
    ballots = [[_ballot(draft, reader) for draft in drafts[:k]] for drafts in voted]
    won = [sum(counts) for counts in zip(*map(windows_won, ballots), strict=True)]
    n = len(voted)
    return VoteCurve(arm=rows[0].arm, rates=tuple(count / (k * n) for count in won), n=n)


def windows_won(ballots: Sequence[Ballot]) -> list[int]:
    """At j - 1: how many windows of j neighbouring samples of one problem vote for the truth.

    For every j there are as many windows as samples. Takes time in the square of the samples.
    """
    won = [0] * len(ballots)
    for start in range(len(ballots)):
        for i, is_right in enumerate(_growing_vote(ballots, start)):
            won[i] += is_right
    return won


def _ballot(draft: DraftRow, reader: str) -> Ballot:
    return draft.readings[reader].value, draft.correct_by[reader]


def _growing_vote(ballots: Sequence[Ballot], start: int) -> list[bool]:
    """Whether the vote is right after 1, 2, ... samples, beginning with sample ``start``."""
    votes = Counter[str]()
    seen_at: dict[str, int] = {}
    best: str | None = None
    is_right = False
    found: list[bool] = []
    for i in (*range(start, len(ballots)), *range(start)):
        value, is_correct = ballots[i]
        if value is not None:
            votes[value] += 1
            seen_at[value] = min(i, seen_at.get(value, i))
            # Only the value that was just read can overtake the best one.
            if best is None or (votes[value], -seen_at[value]) > (votes[best], -seen_at[best]):
                best, is_right = value, is_correct
        found.append(is_right)
    return found
