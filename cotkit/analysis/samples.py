"""maj@k: the solve rate of a vote of 1, 2, ... samples, all from one set (Wang et al. 2022)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from cotkit.analysis.values import Repeats, Transition, VoteCurve
from cotkit.scoring.metrics import pass_at_k
from cotkit.stats.intervals import Interval, wilson
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
    ballots = [[_make_ballot(draft, reader) for draft in drafts[:k]] for drafts in voted]
    won = [sum(counts) for counts in zip(*map(count_winning_windows, ballots), strict=True)]
    n = len(voted)
    return VoteCurve(arm=rows[0].arm, rates=tuple(count / (k * n) for count in won), n=n)


def count_winning_windows(ballots: Sequence[Ballot]) -> list[int]:
    """At j - 1: how many windows of j neighbouring samples of one problem vote for the truth.

    For every j there are as many windows as samples. Takes time in the square of the samples.
    """
    won = [0] * len(ballots)
    for start in range(len(ballots)):
        for i, is_right in enumerate(_growing_vote(ballots, start)):
            won[i] += is_right
    return won


def _make_ballot(draft: DraftRow, reader: str) -> Ballot:
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


# Rates over problems that were each tried several times: K samples are not K problems.


def rate_interval(values: Sequence[float], most: float, level: float) -> Interval:
    """Interval of the mean over problems of a rate within each problem.

    Wilson's interval (1927) at the effective number of trials, ``p(1-p)`` over the variance of the
    mean between problems (Korn and Graubard 1998, there for the exact interval). With one sample of
    each problem these are the problems; never fewer.

    Args:
        values: One for each problem, 0..1, in any order.
        most: Most trials it may count as, where the problems hardly differ: all their samples.
        level: Coverage, strictly between 0 and 1.

    Raises:
        ValueError: ``level`` is out of range.
    """
    n = len(values)
    if n == 0:
        return wilson(0, 0, level)
    p = math.fsum(values) / n
    spread = math.fsum((value - p) ** 2 for value in values) / n
    trials = min(n * p * (1 - p) / spread, most) if spread > 0 else most
    if p in {0.0, 1.0}:  # nothing shows that the samples of a problem tell anything apart
        trials = n
    trials = max(trials, n)
    return wilson(p * trials, trials, level)


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
    fewest, n_samples = min(map(len, ballots)), sum(map(len, ballots))
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
                pass_interval=rate_interval(passed, n_draws, level),
                maj_at_k=sum(voted) / len(voted),
                maj_interval=rate_interval(voted, n_draws, level),
            )
        )
    return tuple(repeats)


# What each round of correction did to an arm's answers: fixed, broken, or left as they were.


def count_transitions(rows: Sequence[AttemptRow]) -> tuple[Transition, ...]:
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
        _make_transition(
            rows[0].arm, i, Counter((c[i], c[i + 1]) for c in chains if len(c) > i + 1)
        )
        for i in range(n_rounds)
    )


def _make_transition(arm: str, i: int, seen: Counter[tuple[bool, bool]]) -> Transition:
    return Transition(
        arm=arm,
        step=f"{f'round {i}' if i else 'draft'} to round {i + 1}",
        n=seen.total(),
        fixed=seen[False, True],
        broken=seen[True, False],
        kept_right=seen[True, True],
        kept_wrong=seen[False, False],
    )
