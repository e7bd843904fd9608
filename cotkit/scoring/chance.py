"""What guessing solves: the exact control of ``--baseline chance``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from cotkit.scoring.measure import options_of, scores_of
from cotkit.scoring.texts import normal_text
from cotkit.types import Problem

CHANCE = "chance"
"""Name of guessing where arms are named: a control that nobody runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """What a guesser solves that knows how answers look and how often each is right."""

    rates: Mapping[str, float]
    """Problem -> chance that the guess is right, 0..1."""
    how: str
    """The guess in a few words, with its rate in percent."""


def find_chance(problems: Sequence[Problem]) -> Chance:
    """Return what guessing solves, without a look at any question; it is exact.

    Of options that a problem shows, and that differ from problem to problem, each is as likely:
    the right ones over all. Everywhere else the guess is the answer that is right most often in
    these problems (labels, numbers, texts), and its rate is how often; 0 where no answer is right
    twice, for a guesser that has seen all the other problems has then nothing to go by.

    Args:
        problems: All that the benchmark has, so that a draw of them changes nothing.
    """
    options = {problem.question.id: _shown_options(problem) for problem in problems}
    are_labels = len(set(map(frozenset, options.values()))) == 1
    by_options = {
        problem.question.id: _share_right(problem)
        for problem in problems
        if options[problem.question.id] and not are_labels
    }
    others = [problem for problem in problems if problem.question.id not in by_options]
    golds = Counter(answer for problem in others for answer in _right_answers(problem))
    answer, n = max(golds.items(), key=lambda item: (item[1], item[0]), default=("", 0))
    rate = n / len(others) if n > 1 else 0.0
    parts: list[str] = []
    if by_options:
        percent = 100 * fmean(by_options.values())
        parts.append(f"one of the options shown at random is right in {percent:.3g} %")
    if others and rate:
        parts.append(f"the commonest answer, {answer[:40]!r}, is right in {100 * rate:.3g} %")
    elif others:
        parts.append("no answer is right twice, so a guess solves nothing")
    return Chance(
        rates=by_options | dict.fromkeys((problem.question.id for problem in others), rate),
        how="; ".join(parts),
    )


def _shown_options(problem: Problem) -> tuple[str, ...]:
    """Return the options that the question shows; empty: it asks openly."""
    if problem.question.choices:
        return problem.question.choices
    options = options_of(problem)
    return options if all(option in problem.question.text for option in options) else ()


def _share_right(problem: Problem) -> float:
    scores = scores_of(problem)
    return scores.count(max(scores)) / len(scores)


def _right_answers(problem: Problem) -> set[str]:
    """Return the answers that count as right, each in one form."""
    golds = {problem.gold, *problem.also}
    is_text = problem.question.answer_kind in {"text", "choice"}
    return {normal_text(gold) for gold in golds} if is_text else golds
