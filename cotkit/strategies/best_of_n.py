"""Best of n: samples scored by a judge, the best one kept (Cobbe et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.strategies._base import Bounds, DecodingStrategy, make_request
from cotkit.strategies._samples import MOST_SAMPLES, greedy, read_number, to_attempts
from cotkit.strategies._talk import as_many_samples, cot_request
from cotkit.types import Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class BestOfN(DecodingStrategy):
    """The samples of ``self-consistency``, each scored from 1 to 10 by itself; the best one counts.

    The judge is the model itself, or the one that ``--judge`` names. It sees no gold answer and no
    other sample. Of equal scores the first sample is kept; one without a score is below all others.
    Source: arXiv:2110.14168, section 4.2, with a prompted judge (arXiv:2306.05685) for the trained
    verifier.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "samples and votes"
    needs: ClassVar[str] = "a judge: the model itself, or --judge MODEL"
    prompts: ClassVar[tuple[str, ...]] = ("cot.v1.jinja", "best-of-n.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "cot"
    reasons: ClassVar[bool] = True
    asks_judge: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"n": (2, MOST_SAMPLES), "judge_tokens": (1, None)}
    draws_samples: ClassVar[bool] = True
    exemplars: tuple[Exemplar, ...]
    """Shown in this order, at least one."""
    max_tokens: int = 256
    temperature: float = 0.7
    """Above 0: greedy samples would all be the same."""
    n: int = 5
    """Samples to choose from, 2 to 100."""
    judge_tokens: int = 256
    """Of each judgement, which is greedy."""

    def same_cost(self) -> str:
        """Return the control with as many calls for fresh samples."""
        return as_many_samples(2 * self.n, self.max_tokens)

    def solve(self, question: Question) -> Flow:
        """Send one request of n samples, then one to the judge for each; the draft is the first."""
        request = cot_request(self, self.exemplars, question)
        answers = yield replace(request, samples=tuple(range(self.n)))
        decoding = greedy(self.decoding(stop=("\nQ:",), max_tokens=self.judge_tokens))
        words = format_question(question)
        scores: list[int] = []
        for answer in answers:
            prompt = render("best-of-n", 1, question=words, candidate=answer.text.strip())
            (judgement,) = yield replace(make_request(prompt, decoding), role="judge")
            scores.append(read_number("Score", judgement, 10) or 0)
        drafts = to_attempts(answers)
        return replace(drafts[scores.index(max(scores))], drafts=drafts[:1])
