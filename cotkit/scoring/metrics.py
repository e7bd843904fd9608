"""Metrics beside the solve rate: pure functions, each documented with range, unit and direction.

:data:`METRICS` says the same for tables. Sources: BIG-bench 1.0.0 (Srivastava et al. 2022,
arXiv:2206.04615), Schaeffer et al. 2023 (arXiv:2304.15004), Chen et al. 2021 (arXiv:2107.03374).
A NaN never becomes a number: every function refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType

from cotkit.scoring.numbers import read_number

N_BINS = 15
"""Equal bins of the expected calibration error, as BIG-bench has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a metric's number means."""

    low: float
    """Smallest value it can have; ``-inf``: no bound."""
    high: float
    """Largest value it can have; ``inf``: no bound."""
    unit: str
    """E.g. ``"share of items"``."""
    higher_is_better: bool | None
    """Direction; None: neither way is better by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionWeights:
    """A multiple-choice item as a model weighed it.

    Raises:
        ValueError: fewer than two options, different lengths, a score that is not finite, no score
            above 0, a negative one, or a log-probability that is NaN, above 0, or -inf for all.
    """

    log_probs: tuple[float, ...]
    """Natural log-probability of each option; need not sum to 1. ``-inf`` is impossible."""
    scores: tuple[float, ...]
    """What each option is worth, at least 0 (``target_scores``; ``Problem.option_scores``)."""

    def __post_init__(self) -> None:
        """Refuse what no metric can be computed of."""
        n = len(self.log_probs)
        if n < 2 or n != len(self.scores):
            raise ValueError(f"{n} log-probabilities and {len(self.scores)} scores")
        for index, value in enumerate(self.log_probs):
            if not value <= 0:
                raise ValueError(f"log-probability of option {index} is {value}")
        if max(self.log_probs) == -math.inf:
            raise ValueError("every option has log-probability -inf")
        for index, score in enumerate(self.scores):
            if not 0 <= score < math.inf:
                raise ValueError(f"score of option {index} is {score}")
        if not any(self.scores):
            raise ValueError("every option scores 0")

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Softmax over the options."""
        best = max(self.log_probs)
        weights = [math.exp(value - best) for value in self.log_probs]
        total = math.fsum(weights)
        return tuple(weight / total for weight in weights)

    @property
    def targets(self) -> tuple[float, ...]:
        """The scores as shares of their sum."""
        total = math.fsum(self.scores)
        return tuple(score / total for score in self.scores)

    @property
    def chosen(self) -> int:
        """The likeliest option; of equals the first (BIG-bench picks one by a hash)."""
        return self.log_probs.index(max(self.log_probs))


def multiple_choice_grade(ballots: Sequence[OptionWeights]) -> float:
    """Return the mean score of the likeliest option: 0..1 where scores are, higher is better."""
    return _mean([ballot.scores[ballot.chosen] for ballot in ballots])


def brier_per_option(ballots: Sequence[OptionWeights]) -> float:
    """Return BIG-bench's Brier, ``t(p-1)^2 + (1-t)p^2`` by *option*; 0..1, lower is better.

    Of one right option among K, a uniform guess has ``(K-1)/K^2``: 0.25 of 2, 0.16 of 5. All
    options of all items weigh the same, so items with more options weigh more; the mean over items
    of their own values (what reports print) is the same where all have as many.
    """
    return _mean([loss for ballot in ballots for loss in _brier_losses(ballot)])


def brier(ballots: Sequence[OptionWeights]) -> float:
    """Return the Brier score (1950): summed over options, mean over *items*; 0..2, lower is better.

    :func:`brier_per_option` times the number of options, where that is the same for all items.
    """
    return _mean([math.fsum(_brier_losses(ballot)) for ballot in ballots])


def calibration_error(
    confidence: Sequence[float], right: Sequence[float], n_bins: int = N_BINS
) -> float:
    """Return the mean distance of confidence and accuracy by bin; 0..1, lower is better.

    Bins of equal width by confidence (Naeini et al. 2015); a value on an edge belongs to the upper
    bin, 1 to the last. Biased upwards where there are few items: accuracy by bin is noise then.

    Args:
        confidence: Of each item, the probability of what was chosen, 0..1.
        right: Of each item, 1 if that was right, else 0.
        n_bins: At least 1.

    Raises:
        ValueError: no items, not as many of both, or no bins.
    """
    _check(n_bins >= 1, f"{n_bins} bins")
    _check(bool(confidence), "no items")
    gaps = [0.0] * n_bins
    for sure, hit in zip(confidence, right, strict=True):
        bin_index = next((j for j in range(n_bins) if sure < (j + 1) / n_bins), n_bins - 1)
        gaps[bin_index] += hit - sure
    return math.fsum(map(abs, gaps)) / len(confidence)


def numeric_match(answer: str, gold: str) -> bool:
    """Return whether both are the same number, exactly: ``$1,234.50`` is ``1234.5``.

    Its mean is 0..1, a share of items, higher is better. No tolerance, and a sign counts: a
    relative tolerance on signed values (BIG-bench's) lets every negative target pass.
    """
    if answer == gold and answer.isascii() and answer.isdecimal():
        return True  # most are, and reading takes time
    number, gold_number = read_number(answer), read_number(gold)
    return isinstance(number, Fraction) and number == gold_number


def edit_distance(target: Sequence[Hashable], output: Sequence[Hashable]) -> int:
    """Count insertions, deletions and substitutions (Levenshtein); tokens, 0.., lower is better.

    Use digits, words or one tokeniser's ids as tokens: models' own tokens are not comparable.
    """
    if target == output:
        return 0
    row = list(range(len(output) + 1))
    for i, target_token in enumerate(target, start=1):
        new = [i]
        for j, (output_token, (corner, above)) in enumerate(
            zip(output, pairwise(row), strict=True)
        ):
            new.append(min(new[j] + 1, above + 1, corner + (target_token != output_token)))
        row = new
    return row[-1]


def edit_similarity(target: Sequence[Hashable], output: Sequence[Hashable]) -> float:
    """Return ``1 - distance / longer length``: 0..1, higher is better; 1 for two empty ones."""
    longest = max(len(target), len(output))
    return 1 - edit_distance(target, output) / longest if longest else 1.0


def gold_log_prob_per_token(log_prob: float, n_tokens: int) -> float:
    """Return the gold answer's natural log-probability per token: nats, -inf..0, higher is better.

    Raises:
        ValueError: NaN, above 0, or no tokens.
    """
    _check(log_prob <= 0, f"log-probability is {log_prob}")
    _check(n_tokens >= 1, f"{n_tokens} tokens")
    return log_prob / n_tokens


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the chance that k of n samples hold one of the c correct; 0..1, higher is better.

    ``1 - C(n-c, k) / C(n, k)``: unbiased (Chen et al. 2021, equation 1); ``1-(1-c/n)^k`` is not.

    Raises:
        ValueError: not ``1 <= k <= n`` and ``0 <= c <= n``.
    """
    _check(1 <= k <= n and 0 <= c <= n, f"k {k}, n {n}, c {c}")
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def normalise_score(raw: float, low: float, high: float) -> float:
    """Return BIG-bench's normalised preferred metric, ``100 (raw - low) / (high - low)``.

    0 is chance, 100 perfect, below 0 worse than chance; no bound; higher is better, also
    where it is not for ``raw`` (then ``high`` is the smaller one).

    Raises:
        ValueError: not finite, or ``low`` equals ``high``.
    """
    _check(all(map(math.isfinite, (raw, low, high))), f"raw {raw}, low {low}, high {high}")
    _check(low != high, f"low and high are both {low}")
    return 100 * (raw - low) / (high - low)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "exact_match": Metric(low=0, high=1, unit="share of items", higher_is_better=True),
        "numeric_match": Metric(low=0, high=1, unit="share of items", higher_is_better=True),
        "edit_distance": Metric(low=0, high=math.inf, unit="tokens", higher_is_better=False),
        "edit_similarity": Metric(low=0, high=1, unit="share of tokens", higher_is_better=True),
        "digit_accuracy": Metric(low=0, high=1, unit="share of digits", higher_is_better=True),
        "chain_written": Metric(low=0, high=1, unit="share of items", higher_is_better=None),
        "chain_right": Metric(low=0, high=1, unit="share of items", higher_is_better=True),
        "steps_right": Metric(low=0, high=1, unit="share of steps", higher_is_better=True),
        "multiple_choice_grade": Metric(low=0, high=1, unit="mean score", higher_is_better=True),
        "brier_per_option": Metric(low=0, high=1, unit="per option", higher_is_better=False),
        "brier": Metric(low=0, high=2, unit="per item", higher_is_better=False),
        "choice_right": Metric(low=0, high=1, unit="share of items", higher_is_better=True),
        "confidence": Metric(low=0, high=1, unit="probability", higher_is_better=None),
        "expected_calibration_error": Metric(
            low=0, high=1, unit="probability", higher_is_better=False
        ),
        "gold_log_prob": Metric(low=-math.inf, high=0, unit="nats", higher_is_better=True),
        "gold_log_prob_per_token": Metric(
            low=-math.inf, high=0, unit="nats per token", higher_is_better=True
        ),
        "pass_at_k": Metric(low=0, high=1, unit="share of items", higher_is_better=True),
        "normalised": Metric(
            low=-math.inf,
            high=math.inf,
            unit="0 chance, 100 best",
            higher_is_better=True,
        ),
    }
)
"""Name -> what its number, or its mean over items, means. Most are functions here or in
:mod:`cotkit.scoring.measure`; the means of a run are made in ``analysis``."""


def find_metric(name: str) -> Metric:
    """Return the entry of :data:`METRICS` for a metric of an attempt.

    That of ``pass_at_5`` is ``pass_at_k``.

    Raises:
        KeyError: there is no such metric.
    """
    return METRICS["pass_at_k" if name.startswith("pass_at_") else name]


def _brier_losses(ballot: OptionWeights) -> list[float]:
    both = zip(ballot.targets, ballot.probabilities, strict=True)
    return [t * (p - 1) ** 2 + (1 - t) * p**2 for t, p in both]


def _mean(values: Sequence[float]) -> float:
    _check(bool(values), "no items")
    return math.fsum(values) / len(values)


def _check(holds: bool, what: str) -> None:  # noqa: FBT001  # reads as the condition it is given
    if not holds:
        raise ValueError(f"no such metric: {what}")
