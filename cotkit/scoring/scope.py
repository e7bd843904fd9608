"""Stage 1, where the answer may stand: a reply without its reasoning and what it ran on into."""

from __future__ import annotations

import re

from cotkit.reasoning import split_reasoning

CLIP = 1000
"""Characters of a line that are looked at; keeps every rule linear."""

_NEXT_QUESTION = re.compile(r"(?<!\S)\*{0,3}(?:Q|Question)\*{0,3}:")


def answer_scope(text: str) -> str:
    """Return the part of a reply in which its answer may stand."""
    return before_next_question(split_reasoning(text)[1])


def before_next_question(text: str) -> str:
    """Cut the text where a model runs on into a next ``Q:``, if a number came before that."""
    digit = re.search(r"\d", text)
    match = _NEXT_QUESTION.search(text, digit.end()) if digit else None
    return text[: match.start()] if match else text


def clip_line(line: str) -> str:
    """Return the end of a line, starting at a white space if it had to be cut."""
    if len(line) <= CLIP:
        return line
    end = line[-CLIP:]
    return end.partition(" ")[2] or end
