"""Where a model's reasoning ends and its answer begins: one table for every family of models.

Local engines, hosted services, files of completions and logs of other tools all use this table, so
a block that one door splits off is split off by each. Stops (``cotkit/stops.py``) and readers
(``cotkit/scoring``) look at what follows the reasoning only.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningFamily:
    """How some models mark their reasoning in text."""

    name: str
    """Whose format it is."""
    open: str
    """Pattern of the marker before the reasoning; a chat template may have spoken it."""
    close: str
    """Pattern of the marker after it; the answer follows."""
    is_first: bool = False
    """Whether the open marker counts at the start of a text only."""


_TAG = (
    r"(?:[a-z]{1,12}[:_])?(?:(?:deep[_-]?|inner[_-]?)?(?:think(?:ing)?|thoughts?|monologue)"
    r"|reason(?:ing|s)?|reflect(?:ion)?|scratch[_-]?pad|analysis|rationale|deliberation|cot"
    r"|chain[_-]of[_-]thoughts?)(?:[_-](?:process|block|reflect))?"
)

FAMILIES: tuple[ReasoningFamily, ...] = (
    ReasoningFamily(  # DeepSeek, Qwen, GLM, Phi, Seed, EXAONE, LongCat, and prompts that ask for it
        name="tags",
        open=rf"(?:<|&lt;)\s?(?i:{_TAG})(?:\s[^<>\n]{{0,80}})?(?:>|&gt;)",
        close=rf"(?:<|&lt;)\s?/\s?(?i:{_TAG})\s?(?:>|&gt;)",
    ),
    ReasoningFamily(
        name="Magistral", open=r"\[(?i:think(?:ing)?)\]", close=r"\[/(?i:think(?:ing)?)\]"
    ),
    ReasoningFamily(name="Kimi", open=r"◁think▷", close=r"◁/think▷"),
    ReasoningFamily(
        name="OpenThoughts",
        open=r"<\|(?:begin|start)_of_(?:thought|reasoning)\|>",
        close=r"<\|end_of_(?:thought|reasoning)\|>",
    ),
    ReasoningFamily(name="Command", open=r"<\|START_THINKING\|>", close=r"<\|END_THINKING\|>"),
    ReasoningFamily(
        name="special tokens",
        open=r"<\|(?:think(?:ing)?|inner_prefix|thought_start|reasoning_start)\|>",
        close=r"<\|(?:/think(?:ing)?|inner_suffix|thought_end|reasoning_end)\|>",
    ),
    ReasoningFamily(  # gpt-oss: analysis and commentary, then the final channel
        name="harmony",
        open=r"<\|channel\|>\s?(?:analysis|commentary)\b[^<>\n]{0,80}"
        r"(?:<\|constrain\|>[^<>\n]{0,40})?<\|message\|>",
        close=r"<\|channel\|>\s?final\b[^<>\n]{0,80}"
        r"(?:<\|constrain\|>[^<>\n]{0,40})?<\|message\|>",
    ),
    ReasoningFamily(  # the same after its special tokens decoded to nothing
        name="harmony, bare",
        open=r"(?:assistant)?(?:analysis|commentary)(?=\w|[\"'(\[“‘$\\*#<])",
        close=r"\A\s*+final(?=[A-Z0-9\"'(\[“‘$\\*#<])|assistantfinal",
        is_first=True,
    ),
    ReasoningFamily(
        name="Gemma channels",
        open=r"<\|channel>\s?(?:thought|thinking|analysis)\b",
        close=r"<channel\|>(?:\s?<\|channel>\s?(?:final|answer|response)\b)?",
    ),
    ReasoningFamily(name="MedGemma", open=r"<unused94>(?:thought\b)?", close=r"<unused95>"),
    ReasoningFamily(
        name="Ollama's terminal",
        open=r"Thinking\.\.\.\s*\n",
        close=r"\.\.\.done thinking\.",
        is_first=True,
    ),
    ReasoningFamily(
        name="Granite",
        open=r"Here(?:'s|’s| is) my thought process:",
        close=r"Here(?:'s|’s| is) my response:",
        is_first=True,
    ),
)
"""Every family; a format that is not listed is read as part of the answer."""

MARKS: tuple[tuple[str, str], ...] = (
    ("<think>", "</think>"),
    ("<seed:think>", "</seed:think>"),
    ("<thinking>", "</thinking>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)
"""(open, close) as models write them, where a thought can be ended for them."""

_OPEN = "|".join(rf"(?:\A\s*+)(?:{f.open})" if f.is_first else f.open for f in FAMILIES)
_MARK = re.compile(rf"(?P<close>{'|'.join(f.close for f in FAMILIES)})|{_OPEN}")
_TAG_HINT = re.compile(r"<\s?/?\s?[A-Za-z|]")
_HINTS = ("[t", "[T", "[/", "◁", "&lt;", "assistantfinal", "my response:", "done thinking")
_FIRST_HINTS = ("analysis", "commentary", "assistant", "final", "Here", "Thinking")
_PROMPT_END = re.compile(rf"(?:{'|'.join(f.open for f in FAMILIES if not f.is_first)})\s*\Z")


@functools.lru_cache(maxsize=4)  # a text is split for the readers and for the count of run-ons
def split_reasoning(text: str, *, opened: bool = False) -> tuple[str | None, str]:
    """Split the reasoning off a reply: (reasoning or None, the answer's text).

    A closing marker without an opening one ends reasoning that began before the text, or closes the
    answer where it is the last thing in it. A block that is not closed runs to the end of the text:
    the answer never began. Of several texts outside the
    blocks the last that is not blank is the answer's.

    Args:
        text: What the model wrote.
        opened: Whether the prompt ended inside a block (see :func:`opens_reasoning`).
    """
    inside, outside = _split_blocks(text, opened=opened)
    if not inside:
        return None, text
    thoughts = "\n".join(filter(None, (text[block].strip() for block in inside)))
    answers = (text[block] for block in reversed(outside))
    return thoughts, next((answer for answer in answers if answer.strip()), "")


def find_answer_start(text: str, *, opened: bool = False) -> int | None:
    """Return where the text after the last block of reasoning begins; None inside a block."""
    inside, outside = _split_blocks(text, opened=opened)
    if not inside:
        return 0
    if not outside or outside[-1].start < inside[-1].start:
        return None
    return outside[-1].start


def is_marker(token: str) -> bool:
    """Return whether a special token is a marker of reasoning, or part of one."""
    escaped = re.escape(token)
    return any(
        escaped in family.open + family.close
        or re.fullmatch(rf"{family.open}|{family.close}", token) is not None
        for family in FAMILIES
        if not family.is_first
    )


def closes_unopened(text: str) -> bool:
    """Return whether a text ends a block that it did not open: the chat template opened it."""
    inside, _ = _split_blocks(text, opened=False)
    return bool(inside) and inside[0].start == 0 and inside[0].stop < len(text)


def opens_reasoning(prompt: str) -> bool:
    """Return whether a rendered prompt ends with the opening marker of a family."""
    return _PROMPT_END.search(prompt, max(0, len(prompt) - 300)) is not None


def _may_hold_marks(text: str) -> bool:
    """Return whether a mark may stand in a text: most have none, and this is quick."""
    return (
        text.lstrip().startswith(_FIRST_HINTS)
        or any(hint in text for hint in _HINTS)
        or ("<" in text and _TAG_HINT.search(text) is not None)
    )


def _split_blocks(text: str, *, opened: bool) -> tuple[list[slice], list[slice]]:
    """Return the blocks of reasoning and the texts outside them, each in order."""
    inside: list[slice] = []
    outside: list[slice] = []
    if not opened and not _may_hold_marks(text):
        return inside, [slice(0, len(text))]
    start, is_open = 0, opened
    for mark in _MARK.finditer(text):
        if mark["close"] is not None:
            is_end = inside and not is_open and not text[mark.end() :].strip()
            (outside if is_end else inside).append(slice(start, mark.start()))
        elif is_open:
            continue
        else:
            outside.append(slice(start, mark.start()))
        start, is_open = mark.end(), mark["close"] is None
    (inside if is_open else outside).append(slice(start, len(text)))
    return inside, outside
