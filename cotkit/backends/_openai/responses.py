"""Responses, the interface that some reasoning models need: ``/responses``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cotkit.backends._hosted.faults import server_sentence
from cotkit.backends._hosted.policy import Malformed
from cotkit.backends._openai.protocol import (
    cache_parameters,
    chat_messages,
    make_completions,
    request_parameters,
)
from cotkit.backends._openai.setup import Body, ServerSetup
from cotkit.types import Completion, Request, StopReason

PATH = "/responses"


def body(setup: ServerSetup, request: Request) -> Body:
    """What is posted. The interface knows neither stops, nor seeds, nor several choices.

    Raises:
        BackendError: the model cannot be asked this.
    """
    posted: Body = {
        "model": setup.model,
        "input": chat_messages(setup, request),
        "max_output_tokens": request.decoding.max_tokens,
        "store": False,  # nothing of a benchmark stays with the provider
        **request_parameters(setup, request),
        **cache_parameters(setup, request),
    }
    if setup.reasoning_effort is not None:
        posted["reasoning"] = {"effort": setup.reasoning_effort}
    return posted


def read(answer: Body, posted: Body) -> tuple[Completion, ...]:
    """The one completion.

    Raises:
        Malformed: the server says that it failed, or the answer holds no text though complete.
    """
    status, output = answer.get("status"), answer.get("output")
    if status not in {"completed", "incomplete", None}:
        why = server_sentence(str(_nested_field(answer, "error", "message") or status))
        raise Malformed(f"the server gave up: {why}")
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        raise Malformed("the answer has no output")
    parts = [
        part for item in _items_of_kind(output, "message") for part in _object_list(item, "content")
    ]
    refusal = "".join(_collect_texts(_items_of_kind(parts, "refusal"), "refusal"))
    text = "".join(_collect_texts(_items_of_kind(parts, "output_text"), "text"))
    thoughts = [
        thought
        for item in _items_of_kind(output, "reasoning")
        for thought in _collect_texts(
            [*_object_list(item, "summary"), *_object_list(item, "content")], "text"
        )
    ]
    ended: StopReason = "refusal" if refusal else "stop"
    if status == "incomplete":
        cause = _nested_field(answer, "incomplete_details", "reason")
        ended = "refusal" if cause == "content_filter" else "length"
    elif not parts and not thoughts:
        raise Malformed("the answer has no message")
    found = (text or refusal, ended, "\n".join(thoughts) or None)
    return make_completions(answer, posted, [found])


def _items_of_kind(items: Iterable[Body], kind: str) -> list[Body]:
    return [item for item in items if item.get("type") == kind]


def _object_list(item: Body, name: str) -> list[Body]:
    found: Any = item.get(name)
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def _collect_texts(parts: Iterable[Body], name: str) -> list[str]:
    return [part[name] for part in parts if isinstance(part.get(name), str)]


def _nested_field(answer: Body, outer: str, name: str) -> object:
    found: Any = answer.get(outer)
    return found.get(name) if isinstance(found, dict) else None
