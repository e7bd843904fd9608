"""A server and a model behind OpenAI's protocol, and how it is asked. Holds no key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cotkit.backends._hosted.keys import holds_key
from cotkit.backends._hosted.parameters import (
    ParameterRule,
    describe_changes,
    rule_at,
    rule_for,
)
from cotkit.backends._hosted.thinking import ROOM, ROOM_BY_DEFAULT, thinking_room
from cotkit.errors import UsageError
from cotkit.types import BackendInfo, Capability, Decoding

Body = dict[str, Any]
"""A JSON object, as sent or as answered."""

Api = Literal["chat", "completions", "responses"]

_APIS: Mapping[str, Api] = {"chat": "chat", "completions": "completions", "responses": "responses"}
_NOT_IN_RESPONSES = frozenset({"stop", "seed", "n", "logprobs", "prefill"})
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSetup:
    """A server, one of its models, and how it is asked."""

    backend: str
    """Registry name: ``openai`` or ``openai-api``."""
    label: str
    """The model as reports name it."""
    model: str
    """The model as the server names it."""
    base_url: str
    """Address up to and with ``/v1``."""
    key_variable: str
    """Environment variable that holds the key."""
    needs_key: bool
    """Whether a missing key is an error; else none is sent."""
    api: Api
    """Which of the three interfaces."""
    rule: ParameterRule
    """What the model takes."""
    reasoning_effort: str | None = None
    """Sent where given."""
    continues: bool = False
    """Whether a chat goes on with a last message of the assistant (vLLM, SGLang)."""
    scores: bool = True
    """Whether the server may be asked for log-probabilities."""
    extra_body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further parameters of every request."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further headers; ``$VARIABLE`` stands for what an environment variable holds."""
    neutral: Mapping[str, float] = field(default_factory=dict[str, float])
    """Parameters sent at the value that means nothing, so that the server's own does not count."""
    streams: bool = False
    """Whether it answers in streams only."""
    streams_usage: bool = True
    """Whether a stream may be asked to count its tokens."""

    @property
    def name(self) -> str:
        """``backend/model``, as users write it."""
        return f"{self.backend}/{self.label}"

    @property
    def url_variable(self) -> str:
        """Environment variable that may hold the address."""
        return self.key_variable.removesuffix("_API_KEY") + "_BASE_URL"

    def at(self, decoding: Decoding) -> ServerSetup:
        """Return the setup of a request that says how the model should think."""
        setting = decoding.thinking
        if setting is None:
            return self
        word = "none" if setting == "off" else setting
        rule = rule_at(self.rule, self.name, effort=word, before=self.reasoning_effort)
        return replace(self, rule=rule)

    def thinking_room(self, decoding: Decoding) -> int:
        """Return how many tokens of thinking to allow beside the answer's.

        Raises:
            UsageError: the model cannot be told to think so; names what it can.
        """
        effort = self.reasoning_effort
        if decoding.thinking is not None and effort is not None:
            raise UsageError(
                f"thinking={decoding.thinking} and --model-args reasoning_effort={effort}",
                hint="leave reasoning_effort out",
            )
        if decoding.thinking not in {None, "off"} and self.api == "completions":
            raise UsageError(f"{self.name} thinks in chats only", hint="--model-args api=chat")
        if effort == "none":
            return decoding.max_thinking_tokens or 0
        if effort is not None:
            return decoding.max_thinking_tokens or ROOM.get(effort, ROOM_BY_DEFAULT)
        return thinking_room(self.rule, decoding, model=self.name)

    def n(self, n_wanted: int) -> int:
        """Return how many choices one call asks for."""
        return 1 if "n" in self.rule.refuses else min(n_wanted, self.rule.max_n)

    def info(self, max_connections: int) -> BackendInfo:
        """Return the identity: all of this that can change a completion."""
        settings = {"api": self.api, "base_url": self.base_url}
        if self.reasoning_effort is not None:
            settings["reasoning_effort"] = self.reasoning_effort
        if self.continues:
            settings["continues"] = "true"
        for name, extra in (("extra_body", self.extra_body), ("headers", self.headers)):
            if extra:
                settings[name] = json.dumps(extra, sort_keys=True, ensure_ascii=False)
        if changed := describe_changes(self.rule):
            settings["parameters"] = changed
        capabilities: set[Capability] = {"generate", "sampling"}
        if self.api != "completions":
            capabilities.add("chat")
        if self.scores:
            capabilities.add("loglikelihood")
        return BackendInfo(
            backend=self.backend,
            model=self.label,
            fingerprint=self.name,
            settings=settings,
            capabilities=frozenset(capabilities),
            max_concurrency=max_connections * 2,  # the policy holds the calls back, not the runner
        )


def make_setup(
    *,
    backend: str,
    label: str,
    model: str,
    base_url: str,
    key_variable: str,
    needs_key: bool,
    api: str,
    reasoning_effort: str | None,
    without: str,
    logprobs: bool,
    continues: bool = False,
    extra_body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ServerSetup:
    """Choose interface and rule, and refuse what does not go together.

    Raises:
        ValueError: an argument does not fit; says which values do.
    """
    if not model:
        raise ValueError(f"no model is named; write --model {backend}/NAME")
    if api not in {"auto", *_APIS}:
        raise ValueError(f"api={api} is not one of auto, {', '.join(_APIS)}")
    if reasoning_effort is not None and reasoning_effort not in _EFFORTS:
        raise ValueError(f"reasoning_effort={reasoning_effort} is not one of {', '.join(_EFFORTS)}")
    rule = rule_for(f"{backend}/{label}", effort=reasoning_effort, without=without)
    chosen = _APIS[rule.api if api == "auto" else api]
    if chosen == "completions" and reasoning_effort is not None:
        raise ValueError("api=completions takes no reasoning_effort")
    if continues and chosen != "chat":
        raise ValueError(f"continues=true is for api=chat, not {chosen}")
    if chosen == "responses":
        rule = replace(rule, refuses=rule.refuses | _NOT_IN_RESPONSES)
    return ServerSetup(
        backend=backend,
        label=label,
        model=model,
        base_url=base_url,
        key_variable=key_variable,
        needs_key=needs_key,
        api=chosen,
        rule=rule,
        reasoning_effort=reasoning_effort,
        continues=continues,
        scores=logprobs and "logprobs" not in rule.refuses,
        neutral={k: value for k, value in rule.neutral.items() if k not in rule.refuses},
        extra_body=extra_body or {},
        headers=headers or {},
    )


_OURS = frozenset({"model", "messages", "prompt", "input", "n", "stream", "echo", "logprobs"})
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|password|credential", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REFERENCE = re.compile(r"(?:Bearer )?\$[A-Za-z_]\w*")


def read_extra_body(text: str | None) -> dict[str, Any]:
    """Read further parameters of a body; they may replace ours, but not what is asked.

    Raises:
        UsageError: they are no JSON object, or hold a key or what cotkit must decide.
    """
    fields = _read_json_object("extra_body", text)
    if refused := sorted(_OURS & fields.keys()):
        raise UsageError(f"extra_body sets {', '.join(refused)}, which the strategy decides")
    if text is not None and holds_key(text):
        raise UsageError("extra_body holds a key, and is stored: send it as a header, by $VARIABLE")
    return fields


def read_headers(text: str | None) -> dict[str, str]:
    """Read further headers; what is secret stands in an environment variable.

    Raises:
        UsageError: they are no JSON object of texts, or a secret is written out.
    """
    headers = _read_json_object("headers", text)
    for name, value in headers.items():
        if not isinstance(value, str) or not _HEADER_NAME.fullmatch(name) or not _is_line(value):
            raise UsageError(f"headers: {name[:80]!r} is no header with a line of text")
        is_secret = _SECRET_HEADER.search(name) or holds_key(value)
        if is_secret and not _REFERENCE.fullmatch(value):
            raise UsageError(
                f"headers: {name} looks like a secret, and is stored: write $VARIABLE for its value"
            )
    return headers


def header_variables(headers: Mapping[str, str]) -> list[str]:
    """Return the variables whose values go out in headers."""
    return [value.partition("$")[2] for value in headers.values() if "$" in value]


def _is_line(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _read_json_object(name: str, text: str | None) -> dict[str, Any]:
    try:
        value: Any = json.loads(text) if text else {}
    except ValueError as broken:
        hint = f'{name}=\'{{"key":1,"other":2}}\', with single quotes around it'
        raise UsageError(f"{name} is no JSON: {broken}; write {hint}") from broken
    if not isinstance(value, dict):
        raise UsageError(f"{name} is no JSON object")
    return value
