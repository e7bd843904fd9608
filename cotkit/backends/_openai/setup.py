"""A server and a model behind OpenAI's protocol, and how it is asked. Holds no key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cotkit.backends._hosted.parameters import ParameterRule, describe_changes, rule_for
from cotkit.types import BackendInfo, Capability

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
    )
