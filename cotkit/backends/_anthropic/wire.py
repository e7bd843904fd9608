"""The SDK's client, and what goes over it: a request as a body, an answer as a completion."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import groupby
from typing import TYPE_CHECKING, cast

from cotkit.backends._anthropic.faults import make_status_error
from cotkit.backends._hosted import keys
from cotkit.backends._hosted.base import PerLoop
from cotkit.backends._hosted.faults import read_object
from cotkit.backends._hosted.keys import scrub
from cotkit.backends._hosted.parameters import (
    ParameterRule,
    rule_at,
    sampling_parameters,
    stop_strings,
)
from cotkit.backends._hosted.policy import Malformed
from cotkit.backends._hosted.stream import asks_for_stream, event_data, is_stream
from cotkit.backends._hosted.thinking import ROOM, ROOM_BY_DEFAULT, thinking_parameters
from cotkit.backends._hosted.thinking import thinking_room as hosted_room
from cotkit.errors import BackendError, CotkitError, MissingDependencyError
from cotkit.types import Completion, Decoding, Message, Notify, Request, StopReason, say_nothing

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic


Body = dict[str, object]


class AnthropicClient:
    """The connections to one server. Neither retries nor times out: the policy does both."""

    def __init__(self, base_url: str, notify: Notify = say_nothing) -> None:
        self._url, self._notify = base_url, notify
        self._sdks = PerLoop(self._open)
        self._streams = False  # once the server said that it answers in nothing else

    async def open(self) -> AsyncAnthropic:
        """Return the SDK's client for the running event loop; the first call opens it.

        Raises:
            AccessError: there is no key.
            MissingDependencyError: the SDK or its transport is not installed.
        """
        return await self._sdks.open()

    async def post(self, body: Mapping[str, object]) -> Mapping[str, object]:
        """Make one call, ``POST /v1/messages``, and return its JSON.

        Raises:
            Malformed: what came back with status 200 is not a JSON object.
            anthropic.APIError: every other fault; an error that came with status 200, too.
        """
        from anthropic import APIError, APIStatusError

        sdk = await self.open()
        posted = {**body, "stream": True} if self._streams else body
        try:
            raw = await sdk.post("/v1/messages", cast_to=bytes, body=posted)
        except APIStatusError as refused:
            words = json.dumps(refused.body, ensure_ascii=False) if refused.body else str(refused)
            if posted is not body or not asks_for_stream(refused.status_code, words):
                raise
            if not self._streams:  # else another call was told the same
                self._streams = True
                self._notify(f"{self._url} answers in streams only: they are joined")
            return await self.post(body)
        except (APIError, CotkitError, OSError):
            raise
        except Exception as broken:  # of the transport: what it cannot read is no error of ours
            raise Malformed(str(broken) or type(broken).__name__) from broken
        answer = join_events(raw) if is_stream(raw) else read_object(raw)
        if answer.get("error") and "content" not in answer:
            raise make_status_error(answer)
        return answer

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._sdks.close()

    def _open(self) -> AsyncAnthropic:
        key = keys.read_api_key("ANTHROPIC_API_KEY")
        for package in ("anthropic", "aiohttp", "tenacity"):
            if find_spec(package) is None:
                raise MissingDependencyError(package, "anthropic")
        from anthropic import AsyncAnthropic, DefaultAioHttpClient

        from cotkit.backends._hosted.transport import client_options

        return AsyncAnthropic(
            api_key=key,
            base_url=self._url,
            max_retries=0,
            timeout=None,
            http_client=DefaultAioHttpClient(**client_options(self._url)),
        )


def join_events(raw: bytes) -> Body:
    """Join the events of a streamed answer to the one that would have come whole.

    Raises:
        Malformed: an event is no JSON object, or the stream ended before its last event.
    """
    message: Body = {}
    blocks: dict[object, Body] = {}
    is_ended = False
    for data in event_data(raw):
        event = read_object(data)
        kind, part = event.get("type"), event.get("delta")
        if kind == "error" or event.get("error"):
            return event
        if kind == "message_start" and isinstance(event.get("message"), dict):
            message = dict(event["message"])
        elif kind == "content_block_start" and isinstance(event.get("content_block"), dict):
            blocks[str(event.get("index"))] = dict(event["content_block"])
        elif kind == "content_block_delta" and isinstance(part, dict):
            block = blocks.setdefault(str(event.get("index")), {})
            for name in ("text", "thinking"):
                if isinstance(words := part.get(name), str):
                    block["type"] = block.get("type", name)
                    block[name] = f"{block.get(name) or ''}{words}"
        elif kind == "message_delta":
            usage = [fields.get("usage") for fields in (message, event)]
            message |= {
                k: v for k, v in (part if isinstance(part, dict) else {}).items() if v is not None
            }
            message["usage"] = {
                name: count
                for counts in usage
                if isinstance(counts, dict)
                for name, count in counts.items()
                if count is not None
            }
        is_ended = is_ended or kind == "message_stop"
    if not message or not (is_ended or message.get("stop_reason")):
        raise Malformed("a streamed answer broke off")
    return {**message, "content": list(blocks.values())}


# Bodies and answers of the Messages API.


THINKING = frozenset({"adaptive", "enabled"})
"""Types of ``thinking`` with which a model reasons before it answers."""

_CACHE: Body = {"cache_control": {"type": "ephemeral"}}
_MIN_PREFIX = 2000  # characters: 512 tokens, the least that any model caches; less is ignored, free
_NEXT_QUESTION = "\n\nQ:"
_MOST_TOKENS = 10**9  # of one answer: a larger count is no count
_MAX_SHOWN = 80  # characters of a value that an error repeats
_STOP_REASONS: Mapping[str, StopReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "tool_use": "stop",
    "refusal": "refusal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTerms:
    """What all requests to one model have in common."""

    model: str
    """As Anthropic names it."""
    rule: ParameterRule
    """Which parameters it takes."""
    thinking: Mapping[str, str | int] | None
    """The ``thinking`` object; None: not sent."""
    effort: str | None
    """``output_config.effort``; None: not sent."""
    caches: bool
    """Whether repeated prefixes are marked for the provider's cache."""

    def at(self, decoding: Decoding) -> RequestTerms:
        """Return the terms of a request that says how the model should think."""
        if decoding.thinking is None:
            return self
        parameters = thinking_parameters(self.rule, decoding)
        thinking = parameters.get("thinking")
        effort = parameters.get("output_config", {}).get("effort")
        word = "any" if thinking and thinking["type"] in THINKING else "none"
        rule = rule_at(self.rule, f"anthropic/{self.model}", effort=word, before=None)
        return replace(self, rule=rule, thinking=thinking, effort=effort)


def thinking_room(terms: RequestTerms, decoding: Decoding) -> int:
    """Return how many tokens of thinking to allow: here they are part of ``max_tokens``.

    Raises:
        UsageError: the model cannot be told to think so; names what it can.
    """
    own = terms.thinking or {}
    if decoding.thinking is not None or own.get("type") not in THINKING:
        rule = replace(terms.rule, thinks="no") if decoding.thinking is None else terms.rule
        return hosted_room(rule, decoding, model=f"anthropic/{terms.model}")
    habit = ROOM.get(terms.effort or "", ROOM_BY_DEFAULT)
    return int(own.get("budget_tokens", 0)) or decoding.max_thinking_tokens or habit


def write_body(request: Request, terms: RequestTerms) -> Body:
    """Return the body of ``POST /v1/messages`` for one completion.

    Raises:
        BackendError: the model does not take what the request needs.
    """
    decoding = request.decoding
    room, terms = thinking_room(terms, decoding), terms.at(decoding)
    body: Body = {"model": terms.model, "max_tokens": decoding.max_tokens + room}
    system = [m.content.strip() for m in request.messages if m.role == "system"]
    if any(system):
        body["system"] = "\n\n".join(filter(None, system))
    body["messages"] = _merge_turns(request.messages, terms)
    body |= sampling_parameters(terms.rule, decoding, model=f"anthropic/{terms.model}")
    # The API takes no stop of white space alone; we cut again, so leaving one out is only dearer.
    if words := [stop for stop in stop_strings(terms.rule, decoding) if stop.strip()]:
        body["stop_sequences"] = words
    if terms.thinking is not None:
        body["thinking"] = dict(terms.thinking)
    if terms.effort is not None:
        body["output_config"] = {"effort": terms.effort}
    return body


def sent_parameters(body: Mapping[str, object]) -> dict[str, str | int | float | bool | list[str]]:
    """Return the parameters of a body without its texts; nested ones as ``thinking.type``."""
    flat: dict[str, object] = {}
    for name, value in body.items():
        if isinstance(value, dict):
            inner = cast("Body", value)
            flat |= {f"{name}.{key}": inner_value for key, inner_value in inner.items()}
        elif name not in {"messages", "system"}:
            flat[name] = value
    return cast("dict[str, str | int | float | bool | list[str]]", flat)


def read_completion(answer: Mapping[str, object], body: Mapping[str, object]) -> Completion:
    """Read the completion of an answer to ``body``.

    Raises:
        Malformed: it holds none.
    """
    try:
        return _read_completion(answer, body)
    except Malformed:
        raise
    except Exception as broken:  # whatever is wrong with an answer, that is no error of ours
        raise Malformed(f"it cannot be read ({type(broken).__name__}: {broken})") from broken


def _read_completion(answer: Mapping[str, object], body: Mapping[str, object]) -> Completion:
    stop_reason = answer.get("stop_reason")
    if not isinstance(stop_reason, str) or stop_reason not in _STOP_REASONS:
        raise Malformed(f"stop_reason is {scrub(repr(stop_reason))[:_MAX_SHOWN]}")
    blocks = answer.get("content")
    if not isinstance(blocks, list):
        raise Malformed("content is no list")
    text = _join_blocks(cast("list[object]", blocks), "text")
    usage = answer.get("usage")
    counts = cast("Mapping[str, object]", usage) if isinstance(usage, dict) else {}
    fresh = _read_count(counts, "input_tokens")  # apart from what was cached and written
    cached = _read_count(counts, "cache_read_input_tokens") or 0
    cache_write = _read_count(counts, "cache_creation_input_tokens") or 0
    details = counts.get("output_tokens_details")
    kinds = cast("Mapping[str, object]", details) if isinstance(details, dict) else {}
    served_by = answer.get("model")
    tools = [
        scrub(str(block.get("name") or block["type"]))[:_MAX_SHOWN]
        for block in cast("list[Body]", blocks)
        if str(block.get("type")).endswith("tool_use")
    ]
    return Completion(
        text=text,
        why_empty=f"tool: {', '.join(tools)}" if tools and not text.strip() else None,
        stop_reason=_STOP_REASONS[stop_reason],
        n_prompt_tokens=None if fresh is None else fresh + cached + cache_write,
        n_shared_tokens=cached,
        n_cache_write_tokens=cache_write,
        n_generated_tokens=_read_count(counts, "output_tokens"),
        n_reasoning_tokens=_read_count(kinds, "thinking_tokens"),
        reasoning=_join_blocks(cast("list[object]", blocks), "thinking") or None,
        cut="answer" if stop_reason == "model_context_window_exceeded" else None,
        served_by=served_by if isinstance(served_by, str) else None,
        sent=sent_parameters(body),
    )


def _merge_turns(messages: Sequence[Message], terms: RequestTerms) -> list[Body]:
    """Return turns that alternate; neighbours of one role are joined with nothing between."""
    spoken = [m for m in messages if m.role != "system" and m.content.strip()]
    turns = [
        (role, "".join(m.content for m in same).strip())
        for role, same in groupby(spoken, key=lambda m: m.role)
    ]
    thinks = terms.thinking is not None and terms.thinking["type"] in THINKING
    if turns and turns[-1][0] == "assistant" and (thinks or "prefill" in terms.rule.refuses):
        raise BackendError(
            f"anthropic/{terms.model} cannot continue a text that the strategy began",
            hint="ask a model before Claude 4.6 without thinking, or leave the strategy out",
        )
    size, last_reply = (
        0,
        max((i for i, (role, _) in enumerate(turns[:-1]) if role == "assistant"), default=None),
    )
    merged: list[Body] = []
    for i, (role, text) in enumerate(turns):
        size += len(text)
        blocks: list[Body] = [{"type": "text", "text": text}]
        if i == 0 and terms.caches and (split := text.rfind(_NEXT_QUESTION)) >= _MIN_PREFIX:
            blocks = [
                {"type": "text", "text": text[:split], **_CACHE},
                {"type": "text", "text": text[split:]},
            ]
        if i == last_reply and terms.caches and size >= _MIN_PREFIX:
            blocks[-1] |= _CACHE
        is_plain = len(blocks) == 1 and "cache_control" not in blocks[0]
        merged.append({"role": role, "content": text if is_plain else blocks})
    return merged


def _join_blocks(blocks: Sequence[object], kind: str) -> str:
    """Join the texts of all blocks of a kind; their field has the name of the kind."""
    texts: list[str] = []
    for block in blocks:
        fields = cast("Mapping[str, object]", block) if isinstance(block, dict) else {}
        if fields.get("type") == kind:
            words = fields.get(kind)
            if not isinstance(words, str):
                raise Malformed(f"a {kind} block without {kind}")
            texts.append(words)
    return "".join(texts) if kind == "text" else "\n".join(filter(None, texts))


def _read_count(usage: Mapping[str, object], name: str) -> int | None:
    value = usage.get(name)
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None
