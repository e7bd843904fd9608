"""Measure one attempt by every metric that applies: the same output, seen in several ways.

What is written and what is weighed stand apart. *Written*: the answer that the run's reader read;
one that it could not read counts as an empty answer, so that every metric has the same
denominator as the solve rate. *Weighed*: the log-probabilities of given options.
"""

from __future__ import annotations

import functools
import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean
from typing import Literal

from cotkit.errors import UsageError
from cotkit.scoring.choices import equals_choice
from cotkit.scoring.metrics import (
    OptionWeights,
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
from cotkit.scoring.texts import normal_text
from cotkit.types import Attempt, Problem, Reading

_INTEGER = re.compile(r"-?[0-9]+")
_STEP = r"-?[0-9]+ [-+*/] (?:[0-9]+|\(-[0-9]+\)) = -?[0-9]+"
_GOLD_CHAIN = re.compile(rf"(?:First )?{_STEP}\.(?: Then {_STEP}\.)*")


def measure_attempt(
    attempt: Attempt,
    problem: Problem,
    reading: Reading,
    logprobs: tuple[float, ...] = (),
    *,
    n_tokens: tuple[int | None, ...] = (),
    chain: str | None = None,
    samples_right: Sequence[bool] = (),
) -> dict[str, float]:
    """Return metrics by name (of ``METRICS``, or ``pass_at_<k>``); only those that apply.

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
    metrics = _measure_answer(problem, reading)
    if chain is not None and not attempt.is_vote:
        metrics |= _measure_chain(chain, problem.rationale or "")
    if len(samples_right) > 1:
        n, c = len(samples_right), sum(samples_right)
        metrics |= {f"pass_at_{k}": pass_at_k(n, c, k) for k in _sample_sizes(n)}
    if logprobs:
        metrics |= _measure_options(problem, logprobs, n_tokens)
    return metrics


def answer_length(problem: Problem) -> int | None:
    """Return in how many tokens the metrics of edits cut the gold answer; None: in none.

    Digits of a number, words of a text: the L of ``p^L``.
    """
    match problem.question.answer_kind:
        case "number":
            return sum(map(str.isdigit, problem.gold)) or None
        case "text":
            return len(normal_text(problem.gold).split()) or None
        case _:
            return None


def options_of(problem: Problem) -> tuple[str, ...]:
    """Return the options of a problem that can be weighed beside its gold answer; may be empty."""
    options = problem.options or problem.question.choices
    return options if len(options) > 1 else ()


def scores_of(problem: Problem) -> tuple[float, ...]:
    """Return the score of each of :func:`options_of`.

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
    """Return the preferred score of a BIG-bench task, its value by chance, and its best value.

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
        return "multiple_choice_grade", fmean(fmean(values) for values in scores), 1.0
    return None


def show_options(problems: Sequence[Problem]) -> bool:
    """Return whether the questions show the options: a guess among them is right at times."""
    return any(
        all(option in problem.question.text for option in options_of(problem))
        for problem in problems
        if options_of(problem)
    )


def _measure_answer(problem: Problem, reading: Reading) -> dict[str, float]:
    golds = (problem.gold, *problem.also)
    if problem.question.answer_kind == "number":
        return _measure_number(reading.value or "", golds)
    value = reading.value
    is_right = value is not None and any(
        equals_exactly(value, gold, problem.question) for gold in golds
    )
    metrics = {"exact_match": float(is_right)}
    if problem.question.answer_kind == "text":
        words, targets = (value or "").split(), [normal_text(gold).split() for gold in golds]
        metrics |= _measure_edits(words, targets)
    return metrics


def _measure_number(value: str, golds: Sequence[str]) -> dict[str, float]:
    metrics = {
        "exact_match": float(value in golds),
        "numeric_match": float(any(numeric_match(value, gold) for gold in golds)),
        **_measure_edits(value, golds),
    }
    if all(_INTEGER.fullmatch(gold) for gold in golds):
        shares = [digit_accuracy(value, gold) for gold in golds] if value else [0.0]
        metrics["digit_accuracy"] = max(shares)
    return metrics


def _measure_edits(output: Sequence[str], golds: Sequence[Sequence[str]]) -> dict[str, float]:
    """Measure the distance to the nearest of the golds."""
    return {
        "edit_distance": float(min(edit_distance(gold, output) for gold in golds)),
        "edit_similarity": max(edit_similarity(gold, output) for gold in golds),
    }


def _measure_chain(text: str, gold: str) -> dict[str, float]:
    """Measure a chain; ``steps_right`` is the share of gold steps before the first wrong one.

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


def _measure_options(
    problem: Problem, logprobs: tuple[float, ...], n_tokens: tuple[int | None, ...]
) -> Mapping[str, float]:
    options, gold = options_of(problem), 0
    metrics: dict[str, float] = {}
    if options and len(logprobs) > 1:
        ballot = OptionWeights(log_probs=logprobs, scores=scores_of(problem))
        best = max(ballot.scores)
        gold = ballot.scores.index(best)
        metrics = {
            "multiple_choice_grade": multiple_choice_grade([ballot]),
            "choice_right": float(ballot.scores[ballot.chosen] == best),
            "brier_per_option": brier_per_option([ballot]),
            "brier": brier([ballot]),
            "confidence": ballot.probabilities[ballot.chosen],
        }
    elif len(logprobs) > 1:
        raise ValueError(f"{len(logprobs)} log-probabilities and no options")
    metrics["gold_log_prob"] = logprobs[gold]
    if n_tokens and (n := n_tokens[gold]) is not None:
        metrics["gold_log_prob_per_token"] = gold_log_prob_per_token(logprobs[gold], n)
    return metrics


def _sample_sizes(n: int) -> list[int]:
    """Return 1, 2, 4, ... below n, and n."""
    return [*(k for k in (2**i for i in range(n.bit_length())) if k < n), n]


# Metrics for exact arithmetic: digits that are right, the first wrong step of a chain.
#
# Answers come in the canonical form of the readers (``"-1204"``). An answer that could not be read
# has no digits: it stays out here, and is counted where outcomes are.


NoChain = Literal["no-chain"]
"""What :func:`first_wrong_step` says of a text without a single step."""

_LOOKALIKE = str.maketrans("\u2212\u2013\u00d7\u2715\u00b7\u22c5\u00f7\u2215", "--****//")
_SPELLED = (  # (what a text in small letters must hold to be tried, pattern, plain)
    ("frac", r"\\[dt]?frac\s?\{([^{}]{1,40})\}\s?\{([^{}]{1,40})\}", r"\1 / \2"),
    ("\\", r"\\(?:times|cdot)\b", "*"),
    ("\\div", r"\\div\b", "/"),
    ("", r"\\[()\[\]]|\\[,!]|\*\*|[$`]", ""),
    ("plus", r"(?i:\bplus\b)", "+"),
    ("minus", r"(?i:\bminus\b)", "-"),
    ("times", r"(?i:\btimes\b)", "*"),
    ("multiplied by", r"(?i:\bmultiplied by\b)", "*"),
    ("divided by", r"(?i:\bdivided by\b)", "/"),
    ("", r"(?i:\b(?:equals|is equal to|is|gives|makes)\b)", "="),
    ("x", r"(?<=[0-9)\s])[xX](?=[\s0-9(-])", "*"),
    ("", r"(?<=[0-9])(?:\{,\}|[,\u00a0\u2009\u202f])(?=[0-9]{3}(?![0-9]))", ""),
    ("", r"(?m)^[ \t]*(?:[-+*\u2022]|[0-9]{1,2}[.)])[ \t]+", ""),  # bullets
)
_PLAIN = tuple((hint, re.compile(pattern), plain) for hint, pattern, plain in _SPELLED)
_NUMBER = r"-?[0-9]{1,400}+(?:\.[0-9]{1,400}+)?+"
_TERM = rf"(?:{_NUMBER}|\( ?{_NUMBER} ?\))"
_WRITTEN_STEP = re.compile(
    rf"(?<![\w.)])(?P<a>{_TERM}) {{0,3}}(?P<sign>[-+*/]) {{0,3}}(?P<b>{_TERM})"
    rf"(?P<closed> ?\))? {{0,3}}= {{0,3}}(?P<c>{_TERM})(?!\.?[0-9])"
)
_GOES_ON = re.compile(r"[-+*/^][ (]{0,3}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class EquationStep:
    """One equation ``a sign b = c``, as it stands; it may be false."""

    a: Fraction
    sign: str
    """``+ - * /``."""
    b: Fraction
    c: Fraction

    def normal(self) -> EquationStep:
        """Return the same step with the terms of a sum or product in order of size."""
        if self.sign in "-/" or self.a <= self.b:
            return self
        return EquationStep(a=self.b, sign=self.sign, b=self.a, c=self.c)


def digit_accuracy(value: str, gold: str) -> float:
    """Return the share of columns that agree, right-aligned at the units; 1 is best, 0 worst.

    Columns are the digits of the longer number; one more is the sign, where either is negative; one
    more each are decimals. A column in which one number has nothing differs: ``42`` against ``142``
    is 2/3, ``-7`` against ``7`` is 1/2. A fraction (``1/3``) has no columns and agrees in none.

    Source: the token metric of arXiv:2304.15004 on digits; alignment and sign are cotkit's.

    Raises:
        ValueError: the gold answer is not an integer.
    """
    gold_digits = str(abs(int(gold)))[::-1]
    integer, _, decimals = value.lstrip("-").partition(".")
    digits = integer[::-1]
    if "/" in value:
        return 0.0
    is_signed = "-" in {value[0], gold[0]}
    n_agree = sum(a == b for a, b in zip(digits, gold_digits, strict=False))
    n_agree += is_signed and value[0] == gold[0]
    return n_agree / (max(len(digits), len(gold_digits)) + is_signed + len(decimals))


def first_wrong_step(chain: str, gold: str) -> int | NoChain | None:
    """Return the number, from 1, of the first step of a chain that the gold chain does not have.

    None: every gold step is there (best). ``"no-chain"``: the text states no step at all. Steps are
    compared by value, in any order (brackets can be worked in several), with the terms of sums and
    products either way round. A step said twice counts once, and what follows the last gold step
    is not looked at. A chain that stops early is wrong at the step it lacks. A higher number means
    that more was right: of chains with as many gold steps, later is better.

    Args:
        chain: What the model wrote; see :func:`read_steps` for what is read.
        gold: The rationale of the problem.
    """
    steps = list(read_steps(chain))
    if not steps:
        return "no-chain"
    missing = Counter(gold_steps(gold))
    right_steps: set[EquationStep] = set()
    n_right = 0
    for step in (step.normal() for step in steps):
        if not missing.total():
            return None
        if missing[step]:
            missing[step] -= 1
        elif step in right_steps:
            continue
        else:
            return n_right + 1
        right_steps.add(step)
        n_right += 1
    return n_right + 1 if missing.total() else None


@functools.lru_cache(maxsize=4096)
def gold_steps(gold: str) -> tuple[EquationStep, ...]:
    """Return the steps of a gold chain, terms in order of size; read once for all attempts."""
    return tuple(step.normal() for step in read_steps(gold))


def read_steps(text: str) -> Iterator[EquationStep]:
    """Yield the steps ``a op b = c`` of a text, in order, true or not.

    Signs may be ``* x × ·``, ``/ ÷``, ``- − –``, their LaTeX or words (``plus``, ``divided by``;
    ``is``, ``equals`` for ``=``); numbers may have thousands separators, decimals and brackets.
    ``3 + 5 = 8 - 2 = 6`` is two steps. Expressions of more than one operation are not steps.
    """
    plain = _write_plainly(text)
    offset = 0
    while match := _WRITTEN_STEP.search(plain, offset):
        opened = plain[: match.start()].endswith(("(", "( "))
        goes_on = _GOES_ON.search(plain[max(0, match.start() - 6) : match.start()])
        if goes_on or (match["closed"] and not opened):
            offset = match.end("a")
            continue
        offset = match.start("c")
        a, b, c = (_to_fraction(match[name].strip("() ")) for name in "abc")
        yield EquationStep(a=a, sign=match["sign"], b=b, c=c)


@functools.lru_cache(maxsize=4)  # a text is asked for its steps more than once
def _write_plainly(text: str) -> str:
    """Return a text with the signs of its equations in one dress."""
    plain = text.translate(_LOOKALIKE)
    small = plain.lower()
    for hint, pattern, replacement in _PLAIN:
        if hint in small:
            plain = pattern.sub(replacement, plain)
    return plain


def _to_fraction(number: str) -> Fraction:
    return Fraction(number) if "." in number else Fraction(int(number))  # int() is much faster
