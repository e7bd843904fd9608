"""Streamed answers: their events joined to the answer that would have come whole."""

from __future__ import annotations

import json
from typing import Any

from cotkit.backends._hosted.faults import read_object
from cotkit.backends._hosted.policy import Malformed
from cotkit.backends._hosted.stream import event_data, is_stream
from cotkit.backends._openai.setup import Body

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal", "text")
_ENDS = ("response.completed", "response.incomplete", "response.failed")


def read_answer(raw: bytes) -> Body:
    """Read the JSON object of an answer, or join the events of a stream to one.

    Raises:
        Malformed: it is neither, or the stream broke off.
    """
    return join_events(raw) if is_stream(raw) else read_object(raw)


def join_events(raw: bytes) -> Body:
    """Join server-sent events: texts of each choice, why they ended, usage.

    Raises:
        Malformed: an event is no JSON object, or the stream ended before its last event.
    """
    answer: Body = {}
    choices: dict[int, Body] = {}
    is_ended = False
    for data in event_data(raw):
        if data == b"[DONE]":
            is_ended = True
            continue
        event = read_object(data)
        if event.get("error"):
            return {"error": event["error"]}
        if event.get("type") in _ENDS and isinstance(event.get("response"), dict):
            return event["response"]
        for name, value in event.items():
            if name not in {"choices", "object"} and value is not None:
                answer[name] = value
        chunks: Any = event.get("choices")
        pieces: list[Any] = chunks if isinstance(chunks, list) else []
        for i, chunk in enumerate(pieces):
            if not isinstance(chunk, dict):
                raise Malformed("a choice is no object")
            index = chunk.get("index")
            _add_chunk(choices.setdefault(index if type(index) is int else i, {}), chunk)
    if not choices or not (
        is_ended or all(choice.get("finish_reason") for choice in choices.values())
    ):
        raise Malformed("a streamed answer broke off")
    return {**answer, "choices": [{**choices[i], "index": i} for i in sorted(choices)]}


def _add_chunk(choice: Body, chunk: Body) -> None:
    """Add one chunk of a choice to what came before."""
    for name in ("finish_reason", "logprobs", "error"):
        if chunk.get(name) is not None:
            choice[name] = chunk[name]
    if isinstance(chunk.get("text"), str):
        choice["text"] = choice.get("text", "") + chunk["text"]
    delta: Any = chunk.get("delta", chunk.get("message"))
    if not isinstance(delta, dict):
        return
    message = choice.setdefault("message", {"content": None})
    for name, value in delta.items():
        if name in _TEXTS and isinstance(value, str):
            message[name] = (message.get(name) or "") + value
        elif isinstance(value, list):
            message.setdefault(name, [])
            message[name] = [*_as_list(message[name]), *value]
        elif value is not None and not isinstance(value, str):
            message[name] = value
    calls = message.get("tool_calls")
    if isinstance(calls, list):  # only the first piece of a call holds its name
        message["tool_calls"] = [call for call in calls if '"name": "' in json.dumps(call)]


def _as_list(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None or value == "" else [{"type": "text", "text": value}]
