"""Stage 1, where the answer may stand: a reply without its reasoning and what it ran on into."""

from __future__ import annotations

import re

from cotkit.reasoning import split_reasoning

CLIP = 1000
"""Characters of a line that are looked at; keeps every rule linear."""

_MARKER = (  # what chat templates put between turns, written out as text
    r"(?:<\|(?!(?:channel|message|constrain|begin_of_box|end_of_box)\|>)[/A-Za-z][\w ▁/-]{0,30}\|>"
    r"|<｜[^<>｜\n]{1,30}｜>|</?s>|<(?:end|start)_of_turn>|<(?:eos|bos|pad|eot|eod|unk)>"
    r"|\[/?INST\]|<</?SYS>>)"
)
_LEADING = re.compile(
    rf"(?:\s*(?:{_MARKER}(?:\s*(?:assistant|model)\b)?"
    r"|[#*]{0,4}\s?(?:assistant|model|response)[*]{0,3}\s?:))*",
    re.IGNORECASE,
)
_TURN = re.compile(
    rf"{_MARKER}|^[^\S\n]{{0,4}}[#*_<\[]{{0,6}}\s?(?:human|user"
    rf"|assistant)[*_>\]]{{0,3}}[ \t]{{0,2}}:",
    re.IGNORECASE | re.MULTILINE,
)
_TASK = re.compile(
    r"(?<!\S)\*{0,3}(?:Q|Question)\*{0,3}:"
    r"|^[^\S\n]{0,4}[#*_]{0,6}[ \t]{0,2}(?:(?:next|new|another)[ \t])?(?:question|problem"
    r"|instruction"
    r"|exercise|example|input|task|query)s?[ \t]{0,2}(?:#?[0-9]{1,4})?[*_]{0,3}[ \t]{0,2}:",
    re.IGNORECASE | re.MULTILINE,
)
_WORD = re.compile(r"[^\W_]")
_SAYS_SOMETHING = re.compile(r"\d|\banswer\b|\([A-Z]\)", re.IGNORECASE)


def answer_scope(text: str) -> str:
    """Return the part of a reply in which its answer may stand."""
    return before_run_on(split_reasoning(text)[1])


def before_run_on(text: str) -> str:
    """Cut a text where the model runs on into another turn or another problem.

    A marker of a turn counts once a word stands before it, a new problem (``Q:``, ``Instruction:``)
    only behind what may be an answer: a text may also begin by restating its own problem.
    """
    leading = _LEADING.match(text)
    assert leading is not None  # it can match nothing
    text = text[leading.end() :]
    if (word := _WORD.search(text)) and (turn := _TURN.search(text, word.end())):
        text = text[: turn.start()]
    something = _SAYS_SOMETHING.search(text)
    task = _TASK.search(text, something.end()) if something else None
    return text[: task.start()] if task else text


def clip_line(line: str) -> str:
    """Return the end of a line, starting at a white space if it had to be cut."""
    if len(line) <= CLIP:
        return line
    end = line[-CLIP:]
    return end.partition(" ")[2] or end
