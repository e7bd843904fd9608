"""All metrics of one attempt that apply to it: the same output, measured in several ways.

What is written and what is weighed stand apart. *Written*: the answer that the run's reader read;
one that it could not read counts as an empty answer, so that every metric has the same
denominator as the solve rate. *Weighed*: the log-probabilities of given options.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from statistics import fmean

from cotkit.errors import UsageError
from cotkit.scoring.arithmetic import digit_accuracy, first_wrong_step, gold_steps
from cotkit.scoring.kinds import equals_choice, normal_text
from cotkit.scoring.metrics import (
    Ballot,
    brier,
    brier_per_option,
    edit_distance,
    edit_similarity,
    gold_log_prob_per_token,
    multiple_choice_grade,
    numeric_match,
    pass_at_k,
)
from cotkit.scoring.readers import equals_exactly
from cotkit.types import Attempt, Problem, Reading

_INTEGER = re.compile(r"-?[0-9]+")
_STEP = r"-?[0-9]+ [-+*/] (?:[0-9]+|\(-[0-9]+\)) = -?[0-9]+"
_GOLD_CHAIN = re.compile(rf"(?:First )?{_STEP}\.(?: Then {_STEP}\.)*")


def measure(
    attempt: Attempt,
    problem: Problem,
    reading: Reading,
    logprobs: tuple[float, ...] = (),
    *,
    n_tokens: tuple[int | None, ...] = (),
    chain: str | None = None,
    samples_right: Sequence[bool] = (),
) -> dict[str, float]:
    """Metric name (of ``METRICS``, or ``pass_at_<k>``) to value; what does not apply is not there.

    Args:
        attempt: Scored; of a vote only ``samples_right`` and the answer voted for count.
        problem: With its gold answer.
        reading: By the reader that the run chose.
        logprobs: Of :func:`options_of` the problem, in their order, or of the gold answer alone;
            empty: nothing was weighed.
        n_tokens: Tokens of each of these; empty: unknown.
        chain: The text that holds the reasoning; None: there is none to judge. Judged where the
            rationale is a chain of equations; a text without a single step has none right.
        samples_right: Of a vote, whether each sample is correct.

    Raises:
        UsageError: none of the options is the gold answer.
        ValueError: what :class:`Ballot` refuses, or not as many log-probabilities as options.
    """
    found = _written(problem, reading)
    if chain is not None and not attempt.is_vote:
        found |= _chain(chain, problem.rationale or "")
    if len(samples_right) > 1:
        n, c = len(samples_right), sum(samples_right)
        found |= {f"pass_at_{k}": pass_at_k(n, c, k) for k in _sizes(n)}
    if logprobs:
        found |= _weighed(problem, logprobs, n_tokens)
    return found


def options_of(problem: Problem) -> tuple[str, ...]:
    """What can be weighed of a problem beside its gold answer; empty: nothing."""
    options = problem.options or problem.question.choices
    return options if len(options) > 1 else ()


def scores_of(problem: Problem) -> tuple[float, ...]:
    """What each of :func:`options_of` is worth.

    Raises:
        UsageError: none of them is the gold answer.
    """
    if problem.option_scores:
        return problem.option_scores
    golds, options = (problem.gold, *problem.also), options_of(problem)
    if problem.options:
        right = [normal_text(o) in {normal_text(gold) for gold in golds} for o in options]
    else:
        letters = string.ascii_uppercase[: len(options)]
        right = [any(equals_choice(x, gold, problem.question) for gold in golds) for x in letters]
    if not any(right):
        raise UsageError(f"{problem.question.id}: none of its options is the gold answer")
    return tuple(map(float, right))


def preferred_scale(problems: Sequence[Problem]) -> tuple[str, float, float] | None:
    """The preferred score of a BIG-bench task, what chance gets of it, and what a perfect model.

    Args:
        problems: All of the task; each tells its ``preferred_score``.

    Returns:
        None where they prefer none, several, or one that is not measured here.
    """
    names = {problem.tags.get("preferred_score") for problem in problems}
    if names == {"exact_str_match"}:
        return "exact_match", 0.0, 1.0
    if names == {"multiple_choice_grade"} and all(map(options_of, problems)):
        scores = [scores_of(problem) for problem in problems]
        return "multiple_choice_grade", fmean(fmean(one) for one in scores), 1.0
    return None


def _written(problem: Problem, reading: Reading) -> dict[str, float]:
    golds = (problem.gold, *problem.also)
    if problem.question.answer_kind == "number":
        return _number(reading.value or "", golds)
    value = reading.value
    is_right = value is not None and any(
        equals_exactly(value, gold, problem.question) for gold in golds
    )
    found = {"exact_match": float(is_right)}
    if problem.question.answer_kind == "text":
        words, wanted = (value or "").split(), [normal_text(gold).split() for gold in golds]
        found |= _edits(words, wanted)
    return found


def _number(value: str, golds: Sequence[str]) -> dict[str, float]:
    found = {
        "exact_match": float(value in golds),
        "numeric_match": float(any(numeric_match(value, gold) for gold in golds)),
        **_edits(value, golds),
    }
    if all(_INTEGER.fullmatch(gold) for gold in golds):
        shares = [digit_accuracy(value, gold) for gold in golds] if value else [0.0]
        found["digit_accuracy"] = max(shares)
    return found


def _edits(output: Sequence[str], golds: Sequence[Sequence[str]]) -> dict[str, float]:
    """To the nearest of the golds."""
    return {
        "edit_distance": float(min(edit_distance(gold, output) for gold in golds)),
        "edit_similarity": max(edit_similarity(gold, output) for gold in golds),
    }


def _chain(text: str, gold: str) -> dict[str, float]:
    """``steps_right``: of the gold steps, the share that stands before the first wrong one.

    So both are numbers for every chain: a step's index has no value where no step is wrong.
    """
    if not _GOLD_CHAIN.fullmatch(gold):
        return {}
    wrong = first_wrong_step(text, gold)
    if wrong is None:
        return {"chain_written": 1.0, "chain_right": 1.0, "steps_right": 1.0}
    if wrong == "no-chain":
        return {"chain_written": 0.0, "chain_right": 0.0, "steps_right": 0.0}
    share = (wrong - 1) / len(gold_steps(gold))
    return {"chain_written": 1.0, "chain_right": 0.0, "steps_right": share}


def _weighed(
    problem: Problem, logprobs: tuple[float, ...], n_tokens: tuple[int | None, ...]
) -> Mapping[str, float]:
    options, gold = options_of(problem), 0
    found: dict[str, float] = {}
    if options and len(logprobs) > 1:
        ballot = Ballot(log_probs=logprobs, scores=scores_of(problem))
        best = max(ballot.scores)
        gold = ballot.scores.index(best)
        found = {
            "multiple_choice_grade": multiple_choice_grade([ballot]),
            "choice_right": float(ballot.scores[ballot.chosen] == best),
            "brier_per_option": brier_per_option([ballot]),
            "brier": brier([ballot]),
            "confidence": ballot.probabilities[ballot.chosen],
        }
    elif len(logprobs) > 1:
        raise ValueError(f"{len(logprobs)} log-probabilities and no options")
    found["gold_log_prob"] = logprobs[gold]
    if n_tokens and (n := n_tokens[gold]) is not None:
        found["gold_log_prob_per_token"] = gold_log_prob_per_token(logprobs[gold], n)
    return found


def _sizes(n: int) -> list[int]:
    """1, 2, 4, ... below n, and n."""
    return [*(k for k in (2**i for i in range(n.bit_length())) if k < n), n]
