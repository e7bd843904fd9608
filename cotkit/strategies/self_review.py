"""Self-review: answer, look for problems, improve; no outside help (Huang et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.prompting import render
from cotkit.strategies._base import Bounds, DecodingStrategy
from cotkit.strategies._talk import (
    REVIEW_STOP,
    ROUNDS,
    Conversation,
    Saying,
    answering,
    as_many_samples,
    draft,
    go_on,
)
from cotkit.types import Attempt, Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class SelfReview(DecodingStrategy):
    """The answer of ``cot``, then rounds of two turns in the same conversation.

    Source: "intrinsic self-correction" of arXiv:2310.01798, section 3.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "several turns"
    prompts: ClassVar[tuple[str, ...]] = (
        "cot.v1.jinja",
        "self-review.review.v1.jinja",
        "self-review.improve.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "cot"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = ROUNDS
    exemplars: tuple[Exemplar, ...]
    """Shown before the first answer, as in ``cot``; at least one."""
    max_tokens: int = 256
    """Of each answer, first and improved."""
    review_tokens: int = 192
    """Of each turn that looks for problems, at least 1."""
    rounds: int = 1
    """How often the answer is reviewed and improved, 1 to 5."""

    def same_cost(self) -> str:
        """Return the control with as many calls for fresh samples."""
        return as_many_samples(1 + 2 * self.rounds, self.max_tokens)

    def solve(self, question: Question) -> Flow:
        """Send one request, then two a round; the drafts are all answers but the last."""
        talk = yield from draft(self, self.exemplars, question)
        answers: list[Attempt] = [talk.attempt]
        for _ in range(self.rounds):
            talk = yield from improve(self, talk, question, review_tokens=self.review_tokens)
            answers.append(talk.attempt)
        return replace(answers[-1], drafts=tuple(answers[:-1]))


def improve(
    strategy: DecodingStrategy, talk: Conversation, question: Question, *, review_tokens: int
) -> Saying:
    """Go one round: find problems, then answer again."""
    reviewing = strategy.decoding(stop=REVIEW_STOP, max_tokens=review_tokens)
    talk = yield from go_on(talk, render("self-review.review", 1), reviewing)
    again = render("self-review.improve", 1, kind=question.answer_kind)
    return (yield from go_on(talk, again, answering(strategy, question)))
