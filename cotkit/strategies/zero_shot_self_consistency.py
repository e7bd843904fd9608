"""Zero-shot self-consistency: k samples of zero-shot-cot and a vote (Wang et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.strategies._base import Bounds, ask_answer
from cotkit.strategies._samples import MOST_SAMPLES, vote
from cotkit.strategies.zero_shot_cot import ZeroShotCot
from cotkit.types import Attempt, Flow, Question, Request


@dataclass(frozen=True, kw_only=True)
class ZeroShotSelfConsistency(ZeroShotCot):
    """``zero-shot-cot`` asked k times; the readers vote. Also a same-cost control of others.

    Source: arXiv:2203.11171, with the prompt of arXiv:2205.11916. Sample 0 is the reasoning of
    ``zero-shot-cot`` at the same temperature and seed.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "samples and votes"
    control: ClassVar[str] = "zero-shot-cot"
    bounds: ClassVar[Bounds] = {**ZeroShotCot.bounds, "k": (1, MOST_SAMPLES)}
    draws_samples: ClassVar[bool] = True
    temperature: float = 0.7
    """Above 0: greedy samples would all be the same."""
    k: int = 5
    """Samples that vote, of two calls each; 1 to 100."""

    def solve(self, question: Question) -> Flow:
        """Send one request of k samples, and one for the answer to each."""
        request = next(ZeroShotCot.solve(self, question))
        assert isinstance(request, Request)  # it asks before it does anything else
        chains = yield replace(request, samples=tuple(range(self.k)))
        prompt = request.messages[0].content
        drafts: list[Attempt] = []
        for i, chain in enumerate(chains):
            asking = ask_answer(self, prompt, chain.text, question, self.answer_tokens, sample=i)
            drafts.append((yield from asking))
        return vote(tuple(drafts))
