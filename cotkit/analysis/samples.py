"""maj@k: the solve rate of a vote of 1, 2, ... samples, all from one set (Wang et al. 2022)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeAlias

from cotkit.analysis.values import Repeats, Transition, VoteCurve
from cotkit.scoring.metrics import pass_at_k
from cotkit.stats.intervals import Interval, wilson
from cotkit.store.rows import AttemptRow, DraftRow

Ballot: TypeAlias = tuple[str | None, bool]
"""What was read in a sample (None: nothing), and whether it equals gold."""


def vote_curve(rows: Sequence[AttemptRow], reader: str) -> VoteCurve | None:
    """Return the vote curve of one arm; None if none of its rows is a completed vote.

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
    ballots = [[_make_ballot(draft, reader) for draft in drafts[:k]] for drafts in voted]
    won = [sum(counts) for counts in zip(*map(count_winning_windows, ballots), strict=True)]
    n = len(voted)
    return VoteCurve(arm=rows[0].arm, rates=tuple(count / (k * n) for count in won), n=n)


def count_winning_windows(ballots: Sequence[Ballot]) -> list[int]:
    """Count the windows of j neighbouring samples of one problem that vote for the truth.

    The count for j stands at index j - 1. For every j there are as many windows as samples. Takes
    time in the square of the samples.
    """
    won = [0] * len(ballots)
    for start in range(len(ballots)):
        for i, is_right in enumerate(_growing_vote(ballots, start)):
            won[i] += is_right
    return won


def _make_ballot(draft: DraftRow, reader: str) -> Ballot:
    return draft.readings[reader].value, draft.correct_by[reader]


def _growing_vote(ballots: Sequence[Ballot], start: int) -> list[bool]:
    """Return whether the vote is right after 1, 2, ... samples, beginning with ``start``."""
    votes = Counter[str]()
    seen_at: dict[str, int] = {}
    best: str | None = None
    is_right = False
    votes_right: list[bool] = []
    for i in (*range(start, len(ballots)), *range(start)):
        value, is_correct = ballots[i]
        if value is not None:
            votes[value] += 1
            seen_at[value] = min(i, seen_at.get(value, i))
            # Only the value that was just read can overtake the best one.
            if best is None or (votes[value], -seen_at[value]) > (votes[best], -seen_at[best]):
                best, is_right = value, is_correct
        votes_right.append(is_right)
    return votes_right


# Rates over problems that were each tried several times: K samples are not K problems.


def rate_interval(
    scores: Sequence[float],
    most: float,
    level: float,
    clusters: Sequence[Hashable] | None = None,
) -> Interval:
    """Return the interval of a solve rate: Wilson's, at the trials that the scores are worth.

    That number is ``p (1 - p)`` over the variance of the mean (Korn and Graubard 1998, there for
    the exact interval): of independent problems ``sum (x - p)² / n²``, of clusters
    ``G/(G-1) sum (T - p m)² / n²`` for G of them with total T over m problems (Liang and Zeger
    1986). Zeros and ones of independent problems are worth as many trials as there are problems;
    clusters in which all scores are equal, one each.

    Args:
        scores: One for each problem, 0..1; the mean where it has several attempts.
        most: Most trials that it may count as, where the problems hardly differ: all the attempts.
        level: Coverage, strictly between 0 and 1.
        clusters: Cluster of each problem; None: every problem stands alone.

    Raises:
        ValueError: ``level`` is out of range.
    """
    n = len(scores)
    p = math.fsum(scores) / n if n else 0.0
    if clusters is not None and n:
        trials = min(_worth_of_clusters(scores, p, clusters), most)
    elif n == 0 or p in {0.0, 1.0} or all(score in {0.0, 1.0} for score in scores):
        # Nothing shows that the attempts at a problem tell anything apart.
        return wilson(round(p * n), n, level)
    else:
        spread = math.fsum((score - p) ** 2 for score in scores) / n
        trials = min(n * p * (1 - p) / spread, most) if spread > 0 else most
        trials = max(trials, n)
    return wilson(p * trials, trials, level)


def _worth_of_clusters(scores: Sequence[float], p: float, clusters: Sequence[Hashable]) -> float:
    """Return the trials that problems in clusters are worth."""
    sums: dict[Hashable, tuple[float, int]] = {}
    for score, cluster in zip(scores, clusters, strict=True):
        total, size = sums.get(cluster, (0.0, 0))
        sums[cluster] = total + score, size + 1
    n_clusters = len(sums)
    squares = math.fsum((total - p * size) ** 2 for total, size in sums.values())
    if not 0 < p < 1 or n_clusters < 2 or squares < 1e-18:
        return n_clusters
    return p * (1 - p) * len(scores) ** 2 / (n_clusters / (n_clusters - 1) * squares)


def cluster_names(rows: Sequence[AttemptRow]) -> list[Hashable] | None:
    """Return the cluster of each problem, itself where it has none; None: none is shared.

    Args:
        rows: One for each problem.
    """
    names = [row.cluster or (row.problem_id,) for row in rows]
    return list(names) if len(set(names)) < len(names) else None


def count_repeats(
    arm: str, attempts: Sequence[Sequence[AttemptRow]], reader: str, level: float
) -> tuple[Repeats, ...]:
    """Return pass@k and maj@k of one arm for k = 1, 2, 4, ... and the fewest samples of a problem.

    Args:
        arm: Its name.
        attempts: Of each problem its samples, in their order; none failed.
        reader: Whose readings are voted on.
        level: Coverage of the intervals.
    """
    ballots = [
        [(row.readings[reader].value, row.correct_by[reader]) for row in samples]
        for samples in attempts
    ]
    clusters = cluster_names([samples[0] for samples in attempts])
    fewest, n_samples = min(map(len, ballots), default=0), sum(map(len, ballots))
    if not fewest:
        return ()
    wins = [count_winning_windows(of_problem[:fewest]) for of_problem in ballots]
    repeats: list[Repeats] = []
    for k in [*(2**i for i in range(fewest.bit_length()) if 2**i < fewest), fewest]:
        passed = [
            pass_at_k(len(of_problem), sum(right for _, right in of_problem), k)
            for of_problem in ballots
        ]
        voted = [windows[k - 1] / fewest for windows in wins]
        n_draws = n_samples / k  # so many times k samples were drawn
        repeats.append(
            Repeats(
                arm=arm,
                k=k,
                n=len(ballots),
                pass_at_k=sum(passed) / len(passed),
                pass_interval=rate_interval(passed, n_draws, level, clusters),
                maj_at_k=sum(voted) / len(voted),
                maj_interval=rate_interval(voted, n_draws, level, clusters),
            )
        )
    return tuple(repeats)


# What each round of correction did to an arm's answers: fixed, broken, or left as they were.


def count_transitions(rows: Sequence[AttemptRow]) -> tuple[Transition, ...]:
    """Count the transitions of each round of one arm, by the outcomes of the run's reader.

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
        _make_transition(
            rows[0].arm, i, Counter((c[i], c[i + 1]) for c in chains if len(c) > i + 1)
        )
        for i in range(n_rounds)
    )


def _make_transition(arm: str, i: int, counts: Counter[tuple[bool, bool]]) -> Transition:
    return Transition(
        arm=arm,
        step=f"{f'round {i}' if i else 'draft'} to round {i + 1}",
        n=counts.total(),
        fixed=counts[False, True],
        broken=counts[True, False],
        kept_right=counts[True, True],
        kept_wrong=counts[False, False],
    )
