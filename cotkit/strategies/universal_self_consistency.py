"""Universal self-consistency: the model picks the commonest of k answers (Chen et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.strategies._base import Bounds, DecodingStrategy, make_request
from cotkit.strategies._samples import MOST_SAMPLES, greedy, read_number, to_attempts
from cotkit.strategies._talk import as_many_samples, cot_request
from cotkit.types import Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class UniversalSelfConsistency(DecodingStrategy):
    """The samples of ``self-consistency``; no reader votes, the model says which one agrees most.

    So it works where answers are free text. Source: arXiv:2311.17311, section 3. A choice that
    names none of the answers leaves the first.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "samples and votes"
    prompts: ClassVar[tuple[str, ...]] = (
        "cot.v1.jinja",
        "universal-self-consistency.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "cot"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"k": (2, MOST_SAMPLES), "choice_tokens": (1, None)}
    draws_samples: ClassVar[bool] = True
    exemplars: tuple[Exemplar, ...]
    """Shown in this order, at least one."""
    max_tokens: int = 256
    temperature: float = 0.7
    """Above 0: greedy samples would all be the same."""
    k: int = 5
    """Samples to choose from, 2 to 100."""
    choice_tokens: int = 64
    """Of the choice."""

    def same_cost(self) -> str:
        """Return the control with as many calls for fresh samples."""
        return as_many_samples(self.k + 1, self.max_tokens)

    def solve(self, question: Question) -> Flow:
        """Send one request of k samples, and a greedy one to choose; the draft is the first."""
        request = cot_request(self, self.exemplars, question)
        answers = yield replace(request, samples=tuple(range(self.k)))
        prompt = render(
            "universal-self-consistency",
            1,
            question=format_question(question),
            answers=tuple(answer.text.strip() for answer in answers),
        )
        choosing = self.decoding(stop=("\nQ:",), max_tokens=self.choice_tokens)
        (choice,) = yield make_request(prompt, greedy(choosing))
        drafts = to_attempts(answers)
        chosen = drafts[(read_number("Choice", choice, self.k) or 1) - 1]
        return replace(chosen, drafts=drafts[:1])
