"""Reflexion: new attempts with notes on why the last ones failed (Shinn et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.strategies._base import Bounds, DecodingStrategy, make_request
from cotkit.strategies._talk import (
    ROUNDS,
    answering,
    as_many_samples,
    draft,
    go_on,
    say,
)
from cotkit.strategies.self_refine import says_correct, verdict_decoding
from cotkit.types import Attempt, Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class Reflexion(DecodingStrategy):
    """The answer of ``cot``; while its own verdict is wrong, a note and a fresh attempt with it.

    Source: arXiv:2303.11366, section 3, without an oracle: the verdict is the model's. Unlike
    ``self-refine`` a new attempt sees the notes of all earlier ones, and none of their answers.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "several turns"
    prompts: ClassVar[tuple[str, ...]] = (
        "cot.v1.jinja",
        "reflexion.reflect.v1.jinja",
        "reflexion.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "cot"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = ROUNDS
    exemplars: tuple[Exemplar, ...]
    """Shown before each attempt, as in ``cot``; at least one."""
    max_tokens: int = 256
    """Of each attempt."""
    review_tokens: int = 192
    """Of each verdict with its note, at least 1."""
    rounds: int = 2
    """The most attempts after the first, 1 to 5."""

    def same_cost(self) -> str:
        """Return the control with as many calls for fresh samples, if no verdict stops this one."""
        return as_many_samples(1 + 2 * self.rounds, self.max_tokens)

    def solve(self, question: Question) -> Flow:
        """Send one request, then at most two a round; the drafts are all attempts but the last."""
        talk = yield from draft(self, self.exemplars, question)
        judging = verdict_decoding(self, self.review_tokens)
        attempts: list[Attempt] = [talk.attempt]
        memory: list[str] = []
        for _ in range(self.rounds):
            judged = yield from go_on(talk, render("reflexion.reflect", 1), judging)
            if says_correct(judged.attempt):
                break
            note = judged.attempt.text.partition("VERDICT:")[0]
            memory.append(" ".join(note.split()))
            prompt = render(
                "reflexion",
                1,
                question=format_question(question),
                kind=question.answer_kind,
                exemplars=self.exemplars,
                memory=tuple(memory),
            )
            talk = yield from say(make_request(prompt, answering(self, question)))
            attempts.append(talk.attempt)
        return replace(attempts[-1], drafts=tuple(attempts[:-1]))
