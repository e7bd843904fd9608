"""Self-consistency: sample k chains of thought, take the commonest answer (Wang et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar

from cotkit.strategies._base import DecodingStrategy
from cotkit.strategies.cot import Cot
from cotkit.types import Attempt, Exemplar, Flow, Question, Request

MAX_K = 100


@dataclass(frozen=True, kw_only=True)
class SelfConsistency(DecodingStrategy):
    """``cot`` asked k times; the readers vote, because only they know what an answer is.

    Source: arXiv:2203.11171, section 2 (there k = 40; temperature 0.7 with top_k 40 for PaLM).
    Sample 0 is the completion of ``cot`` at the same temperature, top_p, top_k and seed.
    """

    version: ClassVar[int] = 1
    prompts: ClassVar[tuple[str, ...]] = ("cot.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "cot"
    reasons: ClassVar[bool] = True
    exemplars: tuple[Exemplar, ...]
    """Shown in this order, at least one."""
    max_tokens: int = 256
    temperature: float = 0.7
    """Above 0: greedy samples would all be the same."""
    k: int = 5
    """Samples that vote, 1 to 100."""

    def __post_init__(self) -> None:
        """Refuse what cannot be voted on.

        Raises:
            ValueError: names the field and its range.
        """
        DecodingStrategy.__post_init__(self)
        if not 1 <= self.k <= MAX_K:
            raise ValueError(f"k is {self.k}, must be 1 to {MAX_K}")
        if self.temperature == 0:
            raise ValueError("temperature is 0, must be above 0: greedy samples are all the same")

    def solve(self, question: Question) -> Flow:
        """Send one request of k samples: the request of ``cot``."""
        decoding = {field.name: getattr(self, field.name) for field in fields(DecodingStrategy)}
        request = next(Cot(exemplars=self.exemplars, **decoding).solve(question))
        assert isinstance(request, Request)  # cot asks before it does anything else
        answers = yield replace(request, samples=tuple(range(self.k)))
        drafts = tuple(
            Attempt(text=answer.text, stop_reason=answer.stop_reason) for answer in answers
        )
        first = drafts[0]
        return Attempt(text=first.text, stop_reason=first.stop_reason, drafts=drafts, is_vote=True)
