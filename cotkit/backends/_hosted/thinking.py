"""How a hosted model is told to think, and how much room that takes: the table's rows, read.

A rule of ``parameters.toml`` says what a group of models can (``thinks``, ``efforts``,
``min_budget``) and in which form its wire wants it; the forms stand there, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from cotkit.backends._hosted.parameters import ParameterRule, load_forms
from cotkit.backends._thinking import decide_room
from cotkit.types import Decoding

ROOM: Mapping[str, int] = {
    "minimal": 2048,
    "low": 4096,
    "medium": 16384,
    "high": 32768,
    "xhigh": 65536,
    "max": 65536,
}
"""Effort -> tokens of thinking allowed where the user sets no limit."""
ROOM_BY_DEFAULT = ROOM["medium"]
"""The same of a model that thinks as it likes."""


def thinking_room(rule: ParameterRule, decoding: Decoding, *, model: str) -> int:
    """Return how many tokens of thinking to allow beside ``decoding.max_tokens``; 0: none.

    Raises:
        UsageError: the model cannot be told to think so; names what it can.
    """
    return decide_room(
        decoding,
        ROOM,
        partial(_can, rule),
        thinks=rule.thinks in {"always", "by default"},
        budgets=_say_budgets(rule),
        model=model,
    )


def thinking_parameters(rule: ParameterRule, decoding: Decoding) -> dict[str, Any]:
    """Return what a body says of thinking; empty: nothing need be said."""
    setting = decoding.thinking
    if setting is None or rule.thinks == "no":
        return {}
    form = load_forms()[rule.form]
    if setting in {"off", "on"}:
        return _fill(form[setting], "", setting)
    is_budget = setting.isdecimal()
    kind, word = ("budget", "BUDGET") if is_budget else ("effort", "EFFORT")
    return _fill(form[kind], word, int(setting) if is_budget else setting)


def _say_budgets(rule: ParameterRule) -> str | None:
    if rule.min_budget is None:
        return None
    below = "" if rule.window is None else f", below the window of {rule.window:,}"
    return f"a budget from {rule.min_budget} tokens{below}"


def _can(rule: ParameterRule, setting: str) -> bool:
    if setting == "off":
        return rule.thinks != "always"
    if rule.thinks == "no":
        return False
    if setting == "on":
        return "on" in load_forms()[rule.form]
    if setting.isdecimal():
        most = math.inf if rule.window is None else rule.window - 1
        return rule.min_budget is not None and rule.min_budget <= int(setting) <= most
    return setting in rule.efforts


def _fill(template: Mapping[str, Any], word: str, value: str | int) -> dict[str, Any]:
    """Return a part of a body with the value in place of the word."""

    def fill(inner: object) -> object:
        if isinstance(inner, dict):
            return {key: fill(each) for key, each in cast("dict[str, object]", inner).items()}
        return value if inner == word else inner

    return cast("dict[str, Any]", fill(dict(template)))
