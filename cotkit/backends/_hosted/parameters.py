"""Which parameters a hosted model takes: the table ``parameters.toml``, and what follows from it.

Dropping a parameter is allowed only where the meaning of the request stays: a stop string (cut on
our side too), a seed, the temperature of a greedy request. Anything else is refused in words.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cotkit.errors import BackendError
from cotkit.types import Decoding

_DATA = Path(__file__).with_name("parameters.toml")
_SAMPLERS = ("temperature", "top_p", "top_k")

_PENALTIES = ("min_p", "repetition_penalty", "repeat_penalty")

REFUSABLE = frozenset({*_SAMPLERS, *_PENALTIES, "stop", "seed", "n", "logprobs", "prefill"})
"""What a rule, or a user's ``without``, may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRule:
    """The parameters that one group of models takes."""

    models: str = ".*"
    """Regular expression for the whole of ``backend/model``."""
    refuses: frozenset[str] = frozenset()
    """Never sent: names of :data:`REFUSABLE`; ``prefill`` is a last message to be continued."""
    samples_at: frozenset[str] | None = None
    """Reasoning efforts (or ``unset``) at which temperature, top_p, top_k are taken; None: all."""
    max_tokens: str = "max_tokens"
    """What a chat request calls its limit."""
    max_stops: int | None = None
    """Most stop strings; None: no limit."""
    max_n: int = 128
    """Most choices of one call."""
    one_sampler: bool = False
    """Whether temperature and top_p are refused together."""
    thinks: str = "unknown"
    """When a model thinks before it answers: ``no``, ``if asked``, ``by default``, ``always``;
    ``unknown``: nobody knows, and what is asked for is sent."""
    form: str = "template"
    """How its wire is told so: a name of the table ``[thinking]``."""
    efforts: frozenset[str] = frozenset()
    """How much it may be told to think, in words."""
    min_budget: int | None = None
    """Least budget of thinking, in tokens; None: it takes no budgets."""
    window: int | None = None
    """Tokens of the largest window there is, which a budget lies below; None: not known."""
    api: str = "chat"
    """The interface that serves the model: ``chat``, ``completions`` or ``responses``."""
    without: frozenset[str] = frozenset()
    """Of those never sent, what the user named."""
    neutral: Mapping[str, float] = field(default_factory=dict[str, float])
    """Parameters sent although they change nothing: their defaults are the server's own choice."""


def rule_for(model: str, *, effort: str | None = None, without: str = "") -> ParameterRule:
    """Return the rule of ``backend/model`` at a reasoning effort, with more refusals: ``stop+n``.

    Raises:
        ValueError: ``without`` names something that is no parameter.
    """
    rule = next(
        (rule for rule in _load_rules() if re.fullmatch(rule.models, model)), ParameterRule()
    )
    more = frozenset(filter(None, without.split("+")))
    if unknown := more - REFUSABLE:
        refusable = ", ".join(sorted(REFUSABLE))
        raise ValueError(f"without={'+'.join(sorted(unknown))}: can be left out: {refusable}")
    of_user = more
    if rule.samples_at is not None and (effort or "unset") not in rule.samples_at:
        more |= {*_SAMPLERS, "logprobs"}
    return replace(rule, refuses=rule.refuses | more, without=of_user)


def rule_at(rule: ParameterRule, model: str, *, effort: str, before: str | None) -> ParameterRule:
    """Return a rule of :func:`rule_for` at another effort; what a server taught since then stays.

    Args:
        rule: As it is now.
        model: ``backend/model``.
        effort: What is asked for now: an effort, ``none``, or any other word for some thinking.
        before: At which effort the rule was looked up.
    """
    old, new = (rule_for(model, effort=each).refuses for each in (before, effort))
    return replace(rule, refuses=(rule.refuses - old) | new | rule.without)


def sampling_parameters(rule: ParameterRule, decoding: Decoding, *, model: str) -> dict[str, float]:
    """Return ``temperature``, ``top_p`` and ``top_k`` as they are to be sent.

    Greedy decoding of a model that takes no temperature is sent without one; so is temperature 1,
    which every provider means by leaving it out.

    Raises:
        BackendError: what is asked cannot be said to this model, and would change the answers.
    """
    if decoding.temperature == 0:
        return {} if "temperature" in rule.refuses else {"temperature": 0.0}
    parameters: dict[str, float] = {"temperature": decoding.temperature}
    if decoding.top_p < 1:
        parameters["top_p"] = decoding.top_p
    if decoding.top_k > 0:
        parameters["top_k"] = decoding.top_k
    if rule.one_sampler and {"temperature", "top_p"} <= parameters.keys():
        raise BackendError(
            f"{model} does not take temperature and top_p together",
            hint="leave top_p=1, or temperature=1 with another model",
        )
    for name in sorted(rule.refuses & parameters.keys()):
        if parameters[name] != 1 or name == "top_k":
            raise BackendError(
                f"{model} does not take {name}={parameters[name]:g}", hint=_find_hint(rule, name)
            )
        del parameters[name]
    return parameters


def stop_strings(rule: ParameterRule, decoding: Decoding) -> list[str]:
    """Return the stop strings to be sent; those left out are cut on our side."""
    return [] if "stop" in rule.refuses else list(decoding.stop[: rule.max_stops])


def describe_changes(rule: ParameterRule) -> str:
    """Return what the rule leaves out of requests, for the identity; empty: nothing.

    A seed is not part of it: a draw without one is a draw from the same distribution, greedy
    requests never have one, and calls for several choices do without it, too.
    """
    return ",".join(f"-{name}" for name in sorted(rule.refuses & {"temperature", "stop"}))


def _find_hint(rule: ParameterRule, name: str) -> str:
    if rule.samples_at is not None and "none" in rule.samples_at:
        return "it does without thinking: --thinking off"
    if name == "temperature":
        return "sample it with --gen-kwargs temperature=1, or vote with another model"
    return f"leave {name} out, or ask another model"


def load_forms() -> Mapping[str, Mapping[str, Any]]:
    """Return how settings of thinking are written: form -> kind of setting -> part of a body."""
    return _load_table()["thinking"]


@functools.cache
def _load_table() -> dict[str, Any]:
    return tomllib.loads(_DATA.read_text(encoding="utf-8"))


@functools.cache
def _load_rules() -> tuple[ParameterRule, ...]:
    return tuple(_read_rule(row) for row in _load_table()["rule"])


def _read_rule(row: dict[str, object]) -> ParameterRule:
    sets = {key: frozenset(value) for key, value in row.items() if isinstance(value, list)}
    return ParameterRule(**(row | sets))  # pyright: ignore[reportArgumentType] - a test reads every row
