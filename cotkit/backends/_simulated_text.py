"""What a simulated model makes of a prompt: question, kind of turn, the answer before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Literal

from cotkit.types import Message, Problem, Question

_REASONS = re.compile(r"^A: (?!The answer is)\S", re.MULTILINE)
_QUESTION = re.compile(r"^Q: (.*?)\nA:", re.MULTILINE | re.DOTALL)
_CHAIN_RESULT = re.compile(r"gives (.+?)\.(?= The answer is|$)")
_ANSWER_LINE = re.compile(r"[Tt]he answer is ([^\n]+?)\.(?=\s|$)")
_CUE = re.compile(r"[Tt]he answer is$")
_REVIEW = re.compile(r"\n(?:Problems|Feedback):$")  # how our review prompts end
_IMPROVE = re.compile(r"\nA:$")
_VERDICT = re.compile(r"VERDICT: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A request as the simulator understands it."""

    kind: Literal["answer", "extract", "review", "improve"]
    """First answer; answer to the reasoning before it; review of an answer; answer after that."""
    question: str | None
    """The words of the last question of the first message; None if it asks none."""
    reasons: bool
    """Whether the prompt shows or begins reasoning."""
    cued: bool
    """Whether the prompt ends in ``The answer is``."""
    before: str | None
    """The answer being extracted, reviewed or improved; None if there is none to be read."""
    round: int
    """Which round of correction, from 1; 0 outside of corrections."""
    wants_verdict: bool
    """Whether a review has to end in a line ``VERDICT: ...``."""


def read_turn(messages: Sequence[Message]) -> Turn:
    """Understand a conversation by who speaks in which order and by how the last prompts end."""
    asked = _QUESTION.findall(messages[0].content)
    kind = _kind(messages)
    last = messages[-1].content
    return Turn(
        kind=kind,
        question=asked[-1] if asked else None,
        reasons=_REASONS.search("".join(m.content for m in messages[:2])) is not None,
        cued=_CUE.search(last) is not None,
        before=_before(messages, kind),
        round=len(messages) // 4 + (kind == "review") if kind in {"review", "improve"} else 0,
        wants_verdict=_VERDICT.search(last) is not None,
    )


def shown(question: Question) -> str:
    """A question as our prompts show it (``prompting.shown``, which backends may not import)."""
    lines = [f"({x}) {c}" for x, c in zip(ascii_uppercase, question.choices, strict=False)]
    return "\n".join([question.text, *lines])


def answers(problem: Problem, wrong: str) -> tuple[str, ...]:
    """What a model may answer, the right one first: letters, or gold and ``wrong``."""
    choices = problem.question.choices
    if problem.gold not in choices:
        return problem.gold, wrong
    letters = [f"({x})" for x, _ in zip(ascii_uppercase, choices, strict=False)]
    right = letters.pop(choices.index(problem.gold))
    return right, *letters


def _kind(messages: Sequence[Message]) -> Literal["answer", "extract", "review", "improve"]:
    users = [message.content for message in messages[::2]]
    takes_turns = all(m.role == ("user", "assistant")[i % 2] for i, m in enumerate(messages))
    if not messages[2:]:
        return "answer"
    if takes_turns and len(users) % 2 == 0 and _REVIEW.search(users[-1]):
        return "review"
    if takes_turns and len(users) % 2 and _REVIEW.search(users[-2]) and _IMPROVE.search(users[-1]):
        return "improve"
    return "extract"


def _before(messages: Sequence[Message], kind: str) -> str | None:
    if kind == "extract":
        found = _CHAIN_RESULT.search(messages[1].content)
        return found[1] if found else None
    if kind == "answer":
        return None
    said = messages[-2 if kind == "review" else -4].content
    answers = _ANSWER_LINE.findall(said)
    return answers[-1] if answers else None
