"""What strategies share that draw several answers: the vote, and what a model says in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from cotkit.types import Attempt, Completion, Decoding

MOST_SAMPLES = 100

_ANSWER = re.compile(r"(?i)the answer is[:\s]*([^\n]{1,200})")
_MARKS = re.compile(r"[\s*_$,()\[\]\"'`]+|\.0*(?=\W*$)")


def to_attempts(answers: Iterable[Completion]) -> tuple[Attempt, ...]:
    """Return completions as readers read them."""
    return tuple(Attempt(text=answer.text, stop_reason=answer.stop_reason) for answer in answers)


def vote(drafts: tuple[Attempt, ...]) -> Attempt:
    """Return the vote over some answers; the readers count, who know what an answer is."""
    first = drafts[0]
    return Attempt(text=first.text, stop_reason=first.stop_reason, drafts=drafts, is_vote=True)


def answer_words(completion: Completion) -> str | None:
    """Return the words of the last answer line, without marks: equal ones are one answer.

    Only a strategy that must know while it runs whether samples agree needs it. None: it has none.
    """
    lines = _ANSWER.findall(completion.text)
    return _MARKS.sub("", lines[-1]).casefold() or None if lines else None


def read_number(label: str, reply: Completion, most: int) -> int | None:
    """Read the number from 1 to ``most`` behind the last ``label:``, with which the prompt ended.

    The first number is meant where the reply begins with it. None: it names none, or was cut at its
    limit within it.
    """
    text = f"{label}:{reply.text}{'.' if reply.stop_reason == 'stop' else ''}"
    matches = list(re.finditer(rf"(?i){label}:[\s*_(#]{{0,9}}(\d{{1,3}})(?=[^\d])", text))
    if not matches:
        return None
    number = int(matches[0 if matches[0].start() == 0 else -1][1])
    return number if 1 <= number <= most else None


def greedy(decoding: Decoding) -> Decoding:
    """Return the decoding of a judgement: no draw of it is wanted."""
    return replace(decoding, temperature=0.0, seed=None)
