"""A conversation of answers and reviews: what strategies that correct themselves share."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, fields
from typing import TypeAlias

from cotkit.stops import answer_line_end
from cotkit.strategies._base import Bounds, DecodingStrategy
from cotkit.strategies.cot import Cot
from cotkit.types import (
    Attempt,
    Completion,
    Decoding,
    Execute,
    Exemplar,
    Message,
    Question,
    Request,
)

ANSWER_STOP = ("\nQ:",)
"""Where an answer ends if not at its answer line; the same as in ``cot``."""
REVIEW_STOP = ("\nQ:", "\nA:")
"""Where a review ends: a raw-text model goes on to the next answer or question by itself."""
ROUNDS: Bounds = {"rounds": (1, 5), "review_tokens": (1, None)}
"""Bounds of a strategy of several rounds."""


def as_many_samples(calls: int, max_tokens: int) -> str:
    """Return the control with as many calls: fresh samples and a vote."""
    limit = "" if max_tokens == Cot.max_tokens else f",max_tokens={max_tokens}"
    return f"self-consistency:k={calls}{limit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A conversation up to a completion."""

    messages: tuple[Message, ...]
    """All turns; the last is the assistant's, in the very words of the completion."""
    attempt: Attempt
    """The last turn as readers read it."""


Saying: TypeAlias = Generator[Request | Execute, tuple[Completion, ...], Conversation]


def draft(
    strategy: DecodingStrategy, exemplars: tuple[Exemplar, ...], question: Question
) -> Saying:
    """Ask for the first answer by the request of ``cot``, so that both share a completion."""
    return (yield from say(cot_request(strategy, exemplars, question)))


def cot_request(
    strategy: DecodingStrategy, exemplars: tuple[Exemplar, ...], question: Question
) -> Request:
    """Return the request of ``cot`` with the decoding of a strategy."""
    decoding = {field.name: getattr(strategy, field.name) for field in fields(DecodingStrategy)}
    request = next(Cot(exemplars=exemplars, **decoding).solve(question))
    assert isinstance(request, Request)  # cot asks before it does anything else
    return request


def go_on(talk: Conversation, words: str, decoding: Decoding) -> Saying:
    """Say the user's next turn and get the reply."""
    messages = (*talk.messages, Message(role="user", content=words))
    return (yield from say(Request(messages=messages, decoding=decoding)))


def answering(strategy: DecodingStrategy, question: Question) -> Decoding:
    """Return the decoding of an improved answer: that of the first one."""
    return strategy.decoding(stop=ANSWER_STOP, stop_after=answer_line_end(question.answer_kind))


def say(request: Request) -> Saying:
    """Ask, and return the conversation with the reply."""
    (completion,) = yield request
    reply = Message(role="assistant", content=completion.text)
    return Conversation(
        messages=(*request.messages, reply),
        attempt=Attempt(text=completion.text, stop_reason=completion.stop_reason),
    )
