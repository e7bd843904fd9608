"""Self-consistency: sample k chains of thought, take the commonest answer (Wang et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.strategies._base import Bounds, DecodingStrategy
from cotkit.strategies._samples import MOST_SAMPLES, to_attempts, vote
from cotkit.strategies._talk import cot_request
from cotkit.types import Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class SelfConsistency(DecodingStrategy):
    """``cot`` asked k times; the readers vote, because only they know what an answer is.

    Source: arXiv:2203.11171, section 2 (there k = 40; temperature 0.7 with top_k 40 for PaLM).
    Sample 0 is the completion of ``cot`` at the same temperature, top_p, top_k and seed.
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
    k: int = 5
    """Samples that vote, 1 to 100."""

    def solve(self, question: Question) -> Flow:
        """Send one request of k samples: the request of ``cot``."""
        request = cot_request(self, self.exemplars, question)
        answers = yield replace(request, samples=tuple(range(self.k)))
        return vote(to_attempts(answers))
