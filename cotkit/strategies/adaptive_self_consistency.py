"""Adaptive self-consistency: samples until the vote looks decided (Aggarwal et al. 2023)."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.strategies._base import Bounds, DecodingStrategy
from cotkit.strategies._samples import MOST_SAMPLES, answer_words, to_attempts, vote
from cotkit.strategies._talk import as_many_samples, cot_request
from cotkit.types import Completion, Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class AdaptiveSelfConsistency(DecodingStrategy):
    """``self-consistency`` that stops drawing once its leading answer will probably stay ahead.

    Source: arXiv:2305.11860, section 3 (the Beta criterion: the two commonest answers, a uniform
    prior). The samples are those of ``self-consistency``, so what stopping loses is measured on
    the same completions by its same-cost control, which draws all of them.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "samples and votes"
    prompts: ClassVar[tuple[str, ...]] = ("cot.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "cot"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"k": (1, MOST_SAMPLES)}
    draws_samples: ClassVar[bool] = True
    exemplars: tuple[Exemplar, ...]
    """Shown in this order, at least one."""
    max_tokens: int = 256
    temperature: float = 0.7
    """Above 0: greedy samples would all be the same."""
    k: int = 10
    """The most samples, 1 to 100 (the paper has 40)."""
    threshold: float = 0.95
    """Probability of staying ahead at which no more are drawn, above 0.5 and below 1."""

    def __post_init__(self) -> None:
        """Refuse what cannot be voted on.

        Raises:
            ValueError: names the field and its range.
        """
        DecodingStrategy.__post_init__(self)
        if not 0.5 < self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}, must be above 0.5 and below 1")

    def same_cost(self) -> str:
        """Return the control that draws all samples, decided or not."""
        return as_many_samples(self.k, self.max_tokens)

    def solve(self, question: Question) -> Flow:
        """Send one request for each sample; equal words behind the answer cue are one answer."""
        request = cot_request(self, self.exemplars, question)
        answers: list[Completion] = []
        votes: Counter[str] = Counter()
        for i in range(self.k):
            answers += yield replace(request, samples=(i,))
            if (words := answer_words(answers[-1])) is not None:
                votes[words] += 1
            (_, first), (_, second) = [*votes.most_common(2), ("", 0), ("", 0)][:2]
            if lead_probability(first, second) >= self.threshold:
                break
        return vote(to_attempts(answers))


def lead_probability(first: int, second: int) -> float:
    """Return the probability that an answer with ``first`` votes is likelier than the runner-up.

    That is 1 - I(1/2; first + 1, second + 1), written as the tail of a binomial distribution.
    """
    n = first + second + 1
    return sum(math.comb(n, i) for i in range(first + 1)) / 2**n
