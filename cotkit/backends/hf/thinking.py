"""How a local model is told to think: by variables of its chat template; no torch."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from cotkit.backends._thinking import decide_room
from cotkit.backends.hf import template
from cotkit.backends.hf.source import read_template
from cotkit.errors import UsageError
from cotkit.identity import canonical_json
from cotkit.reasoning import MARKS
from cotkit.types import EFFORTS, Decoding

ROOM: Mapping[str, int] = {
    "minimal": 512,
    "low": 1024,
    "medium": 4096,
    "high": 8192,
    "xhigh": 16384,
    "max": 16384,
}
"""Effort -> tokens of thinking allowed where the user sets no limit, if the window has them."""

_SWITCHES = frozenset({"enable_thinking", "thinking"})
_EFFORT, _BUDGET = "reasoning_effort", "thinking_budget"


def closing_mark(folder: Path, kwargs_json: str) -> str | None:
    """Return what ends a thought of a model, in its own marks; None: they are not known.

    Args:
        folder: Of the model.
        kwargs_json: Variables of its chat template.
    """
    prompt = template.generation_prompt(folder, json.loads(kwargs_json)).rstrip()
    for opening, closing in MARKS:
        if prompt.endswith(opening):
            return closing
    texts = (read_template(folder) or "", *template.added_tokens(folder))
    return next((c for o, c in MARKS if any(o in text or c in text for text in texts)), None)


def template_variables(folder: Path, decoding: Decoding) -> dict[str, Any]:
    """Return the variables by which the chat template says how to think; empty: none."""
    setting, names = decoding.thinking, _variables(folder)
    if setting is None:
        return {}
    if setting.isdecimal():
        budget = {_BUDGET: int(setting)} if _BUDGET in names else {}
        return budget | dict.fromkeys(_SWITCHES & names, setting != "0")
    switched = dict.fromkeys(_SWITCHES & names, setting != "off")
    return switched | ({_EFFORT: setting} if setting in EFFORTS else {})


def thinking_room(
    folder: Path, decoding: Decoding, *, chat: bool, kwargs: Mapping[str, Any], model: str
) -> int:
    """Return how many tokens of thinking a completion may have beside its answer; 0: none.

    Raises:
        UsageError: the model cannot be told to think so; names what it can.
    """
    setting = decoding.thinking
    if not chat:
        if setting not in {None, "off"}:
            raise UsageError(
                f"{model} is asked in raw text, where nothing switches thinking on",
                hint="--apply-chat-template, or --thinking off",
            )
        return decoding.max_thinking_tokens or 0
    if decoding.n_waits and closing_mark(folder, canonical_json(kwargs)) is None:
        raise UsageError(f"{model} marks the end of a thought in no way that is known")
    conflicts = sorted({*_SWITCHES, _EFFORT, _BUDGET} & kwargs.keys())
    if conflicts and setting is not None:
        raise UsageError(
            f"thinking={setting} and chat_template_kwargs with {conflicts[0]}", hint="leave one out"
        )
    return decide_room(
        decoding,
        ROOM,
        functools.partial(_can, folder),
        thinks=_thinks_by_default(folder, canonical_json(kwargs)),
        budgets="a budget in tokens" if _can(folder, "1") else None,
        model=model,
        why_not=": its chat template has no such switch",
    )


def _can(folder: Path, setting: str) -> bool:
    names = _variables(folder)
    if setting in {"off", "on"}:
        is_plain = setting == "off" and not _thinks_by_default(folder, "{}")
        return bool(_SWITCHES & names) or is_plain
    if setting.isdecimal():  # where the template has no such variable, the engine ends the thought
        return _BUDGET in names or closing_mark(folder, "{}") is not None
    return _EFFORT in names


@functools.lru_cache(maxsize=16)
def _thinks_by_default(folder: Path, kwargs_json: str) -> bool:
    """Return whether a model thinks where nothing tells it to.

    Its template opens the reasoning, or writes another prompt where thinking is switched off, or
    knows efforts only.
    """
    kwargs = json.loads(kwargs_json)
    if "opened" in template.reasoning_form(folder, chat=True, kwargs=kwargs):
        return True
    names = _variables(folder)
    switches = dict.fromkeys(_SWITCHES & names, False)
    if not switches:
        return _EFFORT in names
    own, off = (template.generation_prompt(folder, each) for each in (kwargs, kwargs | switches))
    return own != off


@functools.lru_cache(maxsize=16)
def _variables(folder: Path) -> frozenset[str]:
    """Return the names that the chat template looks up and does not set itself."""
    text = read_template(folder)
    if text is None:
        return frozenset()
    try:
        return frozenset(template.undeclared_variables(text))
    except jinja2.TemplateError:  # the prompter says what is wrong with it
        return frozenset()
