"""Self-refine: feedback and rewriting, until its own verdict is correct (Madaan et al. 2023)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.prompting import render
from cotkit.strategies._base import Bounds, DecodingStrategy
from cotkit.strategies._talk import (
    REVIEW_STOP,
    ROUNDS,
    answering,
    as_many_samples,
    draft,
    go_on,
)
from cotkit.types import Attempt, Decoding, Exemplar, Flow, Question

# Chat models set a line bold or end it with a full stop; raw-text models begin with a space.
_LINE = r"(?im)^[ \t]{0,9}[*]{0,2}VERDICT: %s[*.]{0,3}[ \t]{0,9}"
_VERDICT = _LINE % "(?:correct|wrong)" + r"(?=\n)"
_CORRECT = re.compile(_LINE % "correct" + "$")


@dataclass(frozen=True, kw_only=True)
class SelfRefine(DecodingStrategy):
    """The answer of ``cot``, then feedback and rewriting in the same conversation.

    It stops when the feedback holds the completed line ``VERDICT: correct``; other praise does not
    count, and nothing else sees whether the answer is right. Source: arXiv:2303.17651, section 2.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "several turns"
    prompts: ClassVar[tuple[str, ...]] = (
        "cot.v1.jinja",
        "self-refine.feedback.v1.jinja",
        "self-refine.refine.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "cot"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = ROUNDS
    exemplars: tuple[Exemplar, ...]
    """Shown before the first answer, as in ``cot``; at least one."""
    max_tokens: int = 256
    """Of each answer, first and rewritten."""
    review_tokens: int = 192
    """Of each feedback, at least 1."""
    rounds: int = 3
    """How often the answer is rewritten at most, 1 to 5."""

    def same_cost(self) -> str:
        """Return the control with as many calls for fresh samples, if no verdict stops this one."""
        return as_many_samples(1 + 2 * self.rounds, self.max_tokens)

    def solve(self, question: Question) -> Flow:
        """Send one request, then at most two a round; the drafts are all answers but the last."""
        judging = verdict_decoding(self, self.review_tokens)
        talk = yield from draft(self, self.exemplars, question)
        answers: list[Attempt] = [talk.attempt]
        for _ in range(self.rounds):
            talk = yield from go_on(talk, render("self-refine.feedback", 1), judging)
            if says_correct(talk.attempt):
                break
            again = render("self-refine.refine", 1, kind=question.answer_kind)
            talk = yield from go_on(talk, again, answering(self, question))
            answers.append(talk.attempt)
        return replace(answers[-1], drafts=tuple(answers[:-1]))


def verdict_decoding(strategy: DecodingStrategy, max_tokens: int) -> Decoding:
    """Return the decoding of a turn that ends in its verdict line."""
    return strategy.decoding(stop=REVIEW_STOP, stop_after=_VERDICT, max_tokens=max_tokens)


def says_correct(feedback: Attempt) -> bool:
    """Return whether the feedback holds its whole verdict line; one cut by the limit may go on."""
    return feedback.stop_reason == "stop" and _CORRECT.search(feedback.text) is not None
