"""Debate: several answers, each revised in the light of the others, and a vote (Du et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.prompting import render
from cotkit.strategies._base import Bounds, DecodingStrategy
from cotkit.strategies._samples import to_attempts, vote
from cotkit.strategies._talk import answering, as_many_samples, cot_request
from cotkit.types import Completion, Exemplar, Flow, Message, Question, Request


@dataclass(frozen=True, kw_only=True)
class Debate(DecodingStrategy):
    """Samples of ``cot``, each shown the others' answers for some rounds; the readers vote.

    Source: arXiv:2305.14325, section 2. Its same-cost control votes over as many fresh samples,
    none of which has seen another.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "several turns"
    prompts: ClassVar[tuple[str, ...]] = ("cot.v1.jinja", "debate.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "cot"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"agents": (2, 10), "rounds": (1, 5)}
    draws_samples: ClassVar[bool] = True
    exemplars: tuple[Exemplar, ...]
    """Shown before the first answers, as in ``cot``; at least one."""
    max_tokens: int = 256
    """Of each answer."""
    temperature: float = 0.7
    """Above 0: greedy agents would all say the same."""
    agents: int = 3
    """Who answer, 2 to 10."""
    rounds: int = 2
    """How often each revises its answer, 1 to 5."""

    def same_cost(self) -> str:
        """Return the control with as many calls for fresh samples."""
        return as_many_samples(self.agents * (1 + self.rounds), self.max_tokens)

    def solve(self, question: Question) -> Flow:
        """Send one request of a sample for each agent, then one for each agent a round."""
        request = cot_request(self, self.exemplars, question)
        answers = yield replace(request, samples=tuple(range(self.agents)))
        talks = [request.messages] * self.agents
        decoding = answering(self, question)
        for _ in range(self.rounds):
            revised: list[Completion] = []
            for agent, answer in enumerate(answers):
                others = tuple(x.text.strip() for x in (*answers[:agent], *answers[agent + 1 :]))
                words = render("debate", 1, kind=question.answer_kind, others=others)
                reply = Message(role="assistant", content=answer.text)
                talks[agent] = (*talks[agent], reply, Message(role="user", content=words))
                step = Request(messages=talks[agent], decoding=decoding, samples=(agent,))
                revised += yield step
            answers = tuple(revised)
        return vote(to_attempts(answers))
