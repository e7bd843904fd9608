"""Upper bound, sees the gold: self-review that stops at the right answer (Huang et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.strategies._base import Bounds, DecodingStrategy
from cotkit.strategies._talk import ROUNDS, draft
from cotkit.strategies.self_review import improve
from cotkit.types import Attempt, Exemplar, Flow, IsCorrect, Question


@dataclass(frozen=True, kw_only=True)
class OracleReview(DecodingStrategy):
    """``self-review`` told when to stop: how far a perfect judge of its answers would carry it.

    No method to use and none to rank: at test time nobody knows the gold answer.
    Source: "self-correction with oracle labels" of arXiv:2310.01798, section 3.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "several turns"
    needs: ClassVar[str] = "the gold answers"
    prompts: ClassVar[tuple[str, ...]] = (
        "cot.v1.jinja",
        "self-review.review.v1.jinja",
        "self-review.improve.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "cot"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = ROUNDS
    is_upper_bound: ClassVar[bool] = True
    exemplars: tuple[Exemplar, ...]
    """Shown before the first answer, as in ``cot``; at least one."""
    max_tokens: int = 256
    """Of each answer, first and improved."""
    review_tokens: int = 192
    """Of each turn that looks for problems, at least 1."""
    rounds: int = 1
    """How often a wrong answer is reviewed and improved at most, 1 to 5."""

    def solve_with_oracle(self, question: Question, is_correct: IsCorrect) -> Flow:
        """Solve as ``self-review``, but ask for no round once the answer is right."""
        talk = yield from draft(self, self.exemplars, question)
        answers: list[Attempt] = [talk.attempt]
        while len(answers) <= self.rounds and not _is_right(answers[-1], is_correct):
            talk = yield from improve(self, talk, question, review_tokens=self.review_tokens)
            answers.append(talk.attempt)
        return replace(answers[-1], drafts=tuple(answers[:-1]))


def _is_right(answer: Attempt, is_correct: IsCorrect) -> bool:
    """Return whether an answer is right; one cut at its limit is not: "12" may be of "123"."""
    return answer.stop_reason == "stop" and is_correct(answer.text)
