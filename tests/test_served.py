"""Servers as they are, over a real socket: no shape of an answer ends a run or is scored unsaid."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import random
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from cotkit import compare
from cotkit.analysis.values import Comparison
from cotkit.backends._anthropic import faults as anthropic_faults
from cotkit.backends._anthropic.wire import read_completion
from cotkit.backends._hosted import policy
from cotkit.backends._hosted.faults import find_error
from cotkit.backends._hosted.policy import Malformed
from cotkit.backends._openai.faults import make_status_error, read_fault
from cotkit.backends._openai.services import load_services
from cotkit.backends._openai.stream import read_answer
from cotkit.backends._openai.wire import adapt
from cotkit.backends.anthropic import Anthropic
from cotkit.backends.openai_api import OpenaiApi
from cotkit.errors import (
    AccessError,
    BackendError,
    MissingDataError,
    MissingDependencyError,
    ModelLoadError,
    TransientError,
    UsageError,
)
from cotkit.identity import backend_key
from cotkit.report import render
from cotkit.run.backend import build_backend
from cotkit.run.budget import Resources
from cotkit.run.served import find_cut_prompts
from cotkit.run.spec import RunSpec
from cotkit.store import Store
from cotkit.types import Completion, Decoding, Message, Request
from cotkit.workflows.compare import perform
from tests.conftest import REPOSITORY, Sums
from tests.raw_server import Body, RawServer, Reply, chat, messages, response

pytest.importorskip("openai", reason="the openai extra is not installed")
pytest.importorskip("anthropic", reason="the anthropic extra is not installed")

Json = Any


def no_certificates(**_options: object) -> bool:
    return True


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] - pytest calls it
    monkeypatch.setattr(policy, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("httpx2.create_ssl_context", no_certificates)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")


def request(content: str = "Q: 6 * 7?\nA:", **decoding: Any) -> Request:  # noqa: ANN401 - fields
    fields: dict[str, Any] = {"max_tokens": 50, **decoding}
    return Request(messages=(Message(role="user", content=content),), decoding=Decoding(**fields))


def ask(
    server: RawServer,
    wire: str = "chat",
    asked: Request | None = None,
    **fields: Any,  # noqa: ANN401 - of the backend
) -> Completion:
    fields = {"max_tries": 3, "timeout_s": 5.0, **fields}
    backend: OpenaiApi | Anthropic
    if wire == "anthropic":
        backend = Anthropic(model="m", base_url=server.url, **fields)
    else:
        backend = OpenaiApi(model="srv/m", base_url=f"{server.url}/v1", api=wire, **fields)

    async def run() -> Completion:
        try:
            return (await backend.generate(asked or request()))[0]
        finally:
            await backend.close()

    return asyncio.run(run())


def always(body: Json, **about: str) -> Callable[[Body, int], Reply]:
    return lambda _body, _number: response(body, **about)


def statuses(completion: Completion) -> list[str]:
    return [one.status for one in completion.tries]


# The shape of an answer. -----------------------------------------------------------------------

TEXT, THOUGHT = "The answer is 42.", "maybe 40"
PARTS: dict[str, Json] = {
    "Mistral's": [
        {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]},
        {"type": "text", "text": TEXT},
    ],
    "plain strings": ["The answer ", "is 42."],
    "one part alone": {"type": "text", "text": TEXT},
    "of another kind beside": [
        {"type": "reasoning", "text": THOUGHT},
        {"type": "output_text", "text": TEXT},
        {"type": "reference", "reference_ids": [1]},
    ],
    "texts as objects": [{"type": "text", "text": {"value": TEXT, "annotations": []}}],
}


@pytest.mark.parametrize("content", PARTS.values(), ids=PARTS)
def test_content_as_parts_is_joined(content: Json) -> None:
    with RawServer(always(chat(content))) as server:
        completion = ask(server)
    assert completion.text == TEXT
    assert completion.reasoning == (THOUGHT if "maybe" in str(content) else None)


REASONED: dict[str, dict[str, Json]] = {
    "vLLM": {"reasoning_content": THOUGHT},
    "Ollama": {"reasoning": THOUGHT},
    "OpenRouter": {"reasoning_details": [{"type": "reasoning.text", "text": THOUGHT}]},
    "a summary": {"reasoning": {"summary": [{"type": "summary_text", "text": THOUGHT}]}},
}


@pytest.mark.parametrize("fields", REASONED.values(), ids=REASONED)
def test_reasoning_is_found_in_the_field_of_any_server(fields: dict[str, Json]) -> None:
    with RawServer(always(chat(TEXT, **fields))) as server:
        completion = ask(server)
    assert (completion.text, completion.reasoning) == (TEXT, THOUGHT)


FINISHES = [
    *[(word, "stop") for word in ("stop", "EOS", "end_turn", "STOP_TOKEN", "completed")],
    *[(word, "length") for word in ("length", "MAX_TOKENS", "model_context_window_exceeded", "max-length")],  # noqa: E501
    *[(word, "refusal") for word in ("sensitive", "SAFETY", "content_filter", "PROHIBITED_CONTENT", "RECITATION", "guardrail_intervened")],  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(("word", "expected"), FINISHES)
def test_other_words_for_the_end(word: str, expected: str) -> None:
    text = "" if expected == "refusal" else TEXT
    with RawServer(always(chat(text, word))) as server:
        completion = ask(server)
    assert (completion.stop_reason, statuses(completion)) == (expected, ["200"])


def test_an_unknown_word_for_the_end_is_one_if_it_is_said_twice() -> None:
    notes: list[str] = []
    with RawServer(always(chat(TEXT, "wibble"))) as server:
        completion = ask(server, notify=notes.append)
    assert (completion.text, statuses(completion)) == (TEXT, ["malformed", "200"])
    assert notes == ["openai-api/srv/m: finish_reason is 'wibble', which is taken for an end"]


CALL = {"type": "function", "function": {"name": "calc", "arguments": "{}"}}
TOOLS: dict[str, tuple[str, Json]] = {
    "chat": ("chat", chat(None, "tool_calls", tool_calls=[CALL])),
    "old": ("chat", chat("", "function_call", function_call=CALL["function"])),
    "parts": ("chat", chat([{"type": "tool_use", "name": "calc"}], "stop")),
    "responses": ("responses", {"status": "completed", "output": [{"type": "function_call", "name": "calc"}]}),  # noqa: E501
    "anthropic": ("anthropic", {**messages(), "content": [{"type": "tool_use", "name": "calc", "input": {}}], "stop_reason": "tool_use"}),  # noqa: E501
}  # fmt: skip


@pytest.mark.parametrize(("wire", "body"), TOOLS.values(), ids=TOOLS)
def test_a_called_tool_is_named_and_not_asked_for_again(wire: str, body: Json) -> None:
    with RawServer(always(body)) as server:
        completion = ask(server, wire)
    assert (completion.text, completion.why_empty) == ("", "tool: calc")
    assert len(server.bodies) == 1


# Errors inside a 200. --------------------------------------------------------------------------

INSIDE: dict[str, tuple[Json, str]] = {
    "as OpenAI's": ({"error": {"message": "overloaded", "code": 503}}, "503"),
    "a text": ({"error": "model is loading"}, "503"),
    "in a choice": ({"choices": [{"error": {"code": 502, "message": "bad gateway"}, "finish_reason": "error"}]}, "502"),  # noqa: E501
    "beside an empty choice": ({**chat(""), "error": {"message": "upstream", "code": 500}}, "500"),
    "MiniMax's": ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, "429"),  # noqa: E501
    "a detail": ({"detail": "Internal Server Error"}, "503"),
    "code and msg": ({"code": 1302, "msg": "Too many requests", "success": False}, "429"),
    "a list": ({"errors": [{"message": "engine restarting", "code": 500}]}, "500"),
    "vLLM's": ({"object": "error", "message": "engine dead", "code": 500}, "500"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "status"), INSIDE.values(), ids=INSIDE)
def test_an_error_inside_a_200_is_what_it_should_have_been(body: Json, status: str) -> None:
    with RawServer(lambda _body, i: response(body if i == 0 else chat())) as server:
        completion = ask(server)
    assert (completion.text, statuses(completion)) == (TEXT, [status, "200"])


DAYS: dict[str, bytes] = {
    "OpenRouter": response({"error": {"message": "Rate limit exceeded: free-models-per-day", "code": 429, "metadata": {"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1743292800000"}}}}),  # noqa: E501
    "Google": response({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded: GenerateRequestsPerDayPerProjectPerModel-FreeTier, limit: 50"}}, "429 Too Many Requests"),  # noqa: E501
    "Google's list": response([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota, please check your plan", "details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}, {"retryDelay": "17s"}]}}], "429 Too Many Requests"),  # noqa: E501
    "Groq": response({"error": {"message": "Rate limit reached on tokens per day (TPD)", "code": "rate_limit_exceeded"}}, "429 Too Many Requests"),  # noqa: E501
    "GitHub": response({"error": {"code": "RateLimitReached", "message": "Rate limit of 150 per 86400s exceeded for UserByModelByDay."}}, "429 Too Many Requests"),  # noqa: E501
    "a far reset": response({"error": {"message": "Rate limit exceeded"}}, "429 Too Many Requests", "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 4102444800\r\n"),  # noqa: E501
    "a monthly one": response({"error": {"message": "Monthly quota exceeded"}}, "429 Too Many Requests"),  # noqa: E501
}  # fmt: skip


@pytest.mark.parametrize("answer", DAYS.values(), ids=DAYS)
def test_the_quota_of_a_day_is_not_waited_for(answer: bytes) -> None:
    with RawServer(lambda _body, _i: answer) as server, pytest.raises(BackendError) as ended:
        ask(server)
    assert len(server.bodies) == 1
    assert not ended.value.retryable
    assert not ended.value.is_permanent
    assert "resume the run" in str(ended.value)


# What a server wants otherwise. ----------------------------------------------------------------

WANTED = [
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",  # noqa: E501
    "litellm.BadRequestError: max_tokens is not supported. Please use max_completion_tokens",
    "this model only accepts `max_completion_tokens`; `max_tokens` is deprecated",
    "Parameter max_tokens not allowed for reasoning models",
    "'max_tokens' cannot be used with this model",
    "please use max_completion_tokens",
    "参数max_tokens不支持，请使用max_completion_tokens",
]


@pytest.mark.parametrize("sentence", WANTED)
def test_a_server_that_names_the_limit_otherwise_is_obeyed(sentence: str) -> None:
    def reply(body: Body, _number: int) -> Reply:
        if "max_tokens" in body:
            return response({"error": {"message": sentence}}, "400 Bad Request")
        return response(chat())

    notes: list[str] = []
    with RawServer(reply) as server:
        completion = ask(server, notify=notes.append)
    assert completion.text == TEXT
    assert [body.get("max_completion_tokens") for body in server.bodies] == [None, 50]
    assert notes == ["openai-api/srv/m calls the limit max_completion_tokens"]


def test_a_limit_that_is_too_large_is_no_other_name() -> None:
    words = "max_tokens is too large: 50. This model supports at most 40 tokens"
    refused = always({"error": {"message": words}}, status="400 Bad Request")
    with RawServer(refused) as server, pytest.raises(BackendError, match="too large"):
        ask(server)
    assert len(server.bodies) <= 2


NEUTRAL = [
    ("top_k must be at least 1, got -1.", {"top_k"}),
    ("Unexpected keys in the request: {'top_k', 'min_p', 'repetition_penalty'}", {"top_k", "min_p", "repetition_penalty"}),  # noqa: E501
    ("Extra inputs are not permitted", {"top_p", "top_k", "min_p", "repetition_penalty"}),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "refused"), NEUTRAL)
def test_a_parameter_that_means_nothing_is_left_out_where_it_is_refused(
    sentence: str, refused: set[str]
) -> None:
    def reply(body: Body, _number: int) -> Reply:
        if refused & body.keys():
            return response({"error": {"message": sentence}}, "422 Unprocessable Entity")
        return response(chat())

    notes: list[str] = []
    with RawServer(reply) as server:
        backend = OpenaiApi(model="vllm/m", base_url=f"{server.url}/v1", notify=notes.append)

        async def run() -> None:
            await backend.generate(request(temperature=0.7, seed=1))
            await backend.generate(request(temperature=0.7, seed=2))
            await backend.close()

        asyncio.run(run())
    first, *others = server.bodies
    assert {"top_p", "top_k", "min_p", "repetition_penalty"} <= first.keys()
    assert len(others) == 2, "and it is remembered"
    assert all(refused.isdisjoint(body) for body in others)
    assert len(notes) == 1
    assert "the server's own choice" in notes[0]


# Streams. --------------------------------------------------------------------------------------

ONLY_STREAMS = [
    "This model only support stream mode, please enable the stream parameter to access the model.",
    "stream must be true for this model",
    "Non-streaming requests are not supported",
    "non-stream requests are unsupported",
    "Streaming is strongly recommended for operations that may take longer than 10 minutes",
]


def events(*chunks: Json) -> bytes:
    lines = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    return response(lines + b"data: [DONE]\n\n", kind="text/event-stream")


def chunk(finish: str | None = None, **delta: Json) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "x", "model": "m", "system_fingerprint": "fp", "choices": [choice]}


STREAM = [
    chunk(role="assistant", content=""),
    chunk(reasoning_content="may"),
    chunk(reasoning_content="be 40"),
    chunk(content="The answer "),
    chunk(content="is 42."),
    chunk("stop"),
    {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}},
]


@pytest.mark.parametrize("sentence", ONLY_STREAMS)
def test_a_server_that_only_streams_is_streamed_and_joined(sentence: str) -> None:
    def reply(body: Body, _number: int) -> Reply:
        if not body.get("stream"):
            return response({"error": {"message": sentence}}, "400 Bad Request")
        assert body["stream_options"] == {"include_usage": True}
        return events(*STREAM)

    with RawServer(reply) as server:
        completion = ask(server)
    assert (completion.text, completion.reasoning) == (TEXT, THOUGHT)
    assert (completion.n_prompt_tokens, completion.n_generated_tokens) == (11, 7)
    assert completion.served_by == "m fp"
    assert statuses(completion) == ["200"]


def test_a_stream_that_was_not_asked_for_is_joined_and_one_that_broke_off_is_not() -> None:
    broken = events(*STREAM[:4]).replace(b"data: [DONE]\n\n", b" " * 14)
    with RawServer(lambda _body, i: broken if i == 0 else events(*STREAM)) as server:
        completion = ask(server)
    assert (completion.text, statuses(completion)) == (TEXT, ["malformed", "200"])


@pytest.mark.parametrize("form", ["lines of JSON", "a mark of byte order", "carriage returns"])
def test_a_stream_of_another_form_is_joined(form: str) -> None:
    whole = events(*STREAM)
    head, _, body = whole.partition(b"\r\n\r\n")
    if form == "lines of JSON":
        body = (
            body.replace(b"data: [DONE]\n\n", b"").replace(b"data: ", b"").replace(b"\n\n", b"\n")
        )
    elif form == "carriage returns":
        body = body.replace(b"\n", b"\r\n")
    else:
        body = b"\xef\xbb\xbf" + body
    kind = head.partition(b"content-type: ")[2].partition(b"\r")[0].decode()
    with RawServer(lambda _body, _i: response(body, kind=kind)) as server:
        completion = ask(server)
    assert (completion.text, statuses(completion)) == (TEXT, ["200"])


def test_google_says_in_the_body_how_long_to_wait() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    details = [{"violations": [{"quotaId": "RequestsPerMinute"}]}, {"retryDelay": "17s"}]
    busy = response([{"error": {"code": 429, "message": "slow", "details": details}}], "429 Busy")
    with RawServer(lambda _body, i: busy if i == 0 else response(chat())) as server:
        backend = OpenaiApi(model="srv/m", base_url=f"{server.url}/v1", max_tries=3)
        backend.caller = policy.Caller(
            policy.Limits(), backend.read_fault, sleep=sleep, clock=lambda: sum(waits)
        )

        async def run() -> Completion:
            try:
                return (await backend.generate(request()))[0]
            finally:
                await backend.close()

        assert statuses(asyncio.run(run())) == ["429", "200"]
    assert 17 <= sum(waits) < 30


def test_a_stream_whose_usage_may_not_be_asked_for_and_one_of_responses() -> None:
    def reply(body: Body, _number: int) -> Reply:
        if not body.get("stream"):
            return response({"error": {"message": ONLY_STREAMS[0]}}, "400 Bad Request")
        if "stream_options" in body:
            return response({"error": {"message": "unknown field stream_options"}}, "400 Bad")
        return events(*STREAM[:-1])

    with RawServer(reply) as server:
        assert ask(server).text == TEXT
    whole = {
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": TEXT}]}],
    }
    last = {"type": "response.completed", "response": whole}
    with RawServer(lambda _body, _i: events({"type": "response.created"}, last)) as server:
        assert ask(server, "responses").text == TEXT


MESSAGE_EVENTS: list[Json] = [
    {
        "type": "message_start",
        "message": {"model": "m-1", "content": [], "usage": {"input_tokens": 9}},
    },
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
    {"type": "content_block_delta", "index": 0, "delta": {"thinking": "maybe "}},
    {"type": "content_block_delta", "index": 0, "delta": {"thinking": "40"}},
    {"type": "content_block_delta", "index": 0, "delta": {"signature": "x"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"text": "The answer "}},
    {"type": "content_block_delta", "index": 1, "delta": {"text": "is 42."}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 6}},
    {"type": "message_stop"},
]


def message_events(events_: list[Json], status: str = "200 OK") -> bytes:
    lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events_]
    return response("".join(lines).encode(), status, kind="text/event-stream")


@pytest.mark.parametrize("sentence", [*ONLY_STREAMS, None])
def test_a_server_of_messages_that_only_streams_is_streamed_and_joined(
    sentence: str | None,
) -> None:
    def reply(body: Body, _number: int) -> Reply:
        if sentence is None or body.get("stream"):
            return message_events(MESSAGE_EVENTS)
        error = {"type": "invalid_request_error", "message": sentence}
        return response({"type": "error", "error": error}, "400 Bad Request")

    with RawServer(reply) as server:
        completion = ask(server, "anthropic")
    assert (completion.text, completion.reasoning) == (TEXT, THOUGHT)
    assert (completion.n_prompt_tokens, completion.n_generated_tokens) == (9, 6)
    assert completion.served_by == "m-1"
    assert statuses(completion) == ["200"]


def test_a_stream_of_messages_that_broke_off_or_failed_is_asked_for_again() -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    replies = [
        message_events(MESSAGE_EVENTS[:-2]),
        message_events([*MESSAGE_EVENTS[:8], overloaded]),
        message_events(MESSAGE_EVENTS),
    ]
    with RawServer(lambda _body, number: replies[number]) as server:
        completion = ask(server, "anthropic")
    assert completion.text == TEXT
    assert statuses(completion) == ["malformed", "529", "200"]


def test_a_tool_called_in_a_stream_is_named() -> None:
    pieces = [chunk(tool_calls=[{"index": 0, **CALL}]), chunk("tool_calls")]
    with RawServer(lambda _body, _i: events(*pieces)) as server:
        assert ask(server).why_empty == "tool: calc"


# What no server should send: tried again, then failed alone. -----------------------------------


def big(header: str) -> bytes:
    return response(chat(), headers=header)


GOOD = {"anthropic": response(messages())}
BOMB = gzip.compress(b" " * (200 * 2**20))
GARBAGE: dict[str, Reply] = {
    "garbage status line": b"HTTP/1.1 two hundred OK\r\n\r\n{}",
    "a status of 4 digits": b"HTTP/1.1 2000 OK\r\n\r\n{}",
    "no HTTP": b"SSH-2.0-OpenSSH_9.9\r\n",
    "HTTP/0.9": json.dumps(chat()).encode(),
    "an unknown version": b"HTTP/9.9 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "NUL in a header": big("x-a: a\0b\r\n"),
    "newline alone in a header": b"HTTP/1.1 200 OK\ncontent-length: 2\nx: \r\r\n\r\n{}",
    "an oversized header": big(f"x-a: {'a' * 300_000}\r\n"),
    "100,000 headers": big("".join(f"x-{i}: 1\r\n" for i in range(100_000))),
    "two lengths": big("content-length: 5\r\n"),
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n{}",
    "a length that is none": b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n{}",
    "too short a body": b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{}",
    "broken chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a huge chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
    "a redirect to itself": b"HTTP/1.1 307 Temporary\r\nlocation: /v1/chat/completions\r\ncontent-length: 0\r\n\r\n",  # noqa: E501
    "a redirect to nowhere": response(b"", "302 Found"),
    "304": response(b"", "304 Not Modified"),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "status 999": response(b"{}", "999 Denied"),
    "a bomb of gzip": response(BOMB, headers="content-encoding: gzip\r\n"),
    "a bomb of deflate": response(zlib.compress(b" " * 2**27), headers="content-encoding: deflate\r\n"),  # noqa: E501
    "a packing that was not asked for": response(b"x", headers="content-encoding: br\r\n"),
    "gzip that is none": response(b"not packed", headers="content-encoding: gzip\r\n"),
    "gzip cut off": response(gzip.compress(json.dumps(chat()).encode())[:-12], headers="content-encoding: gzip\r\n"),  # noqa: E501
    "Latin-1": response(b'{"choices": "\xff\xfe"}'),
    "a number of 10,000 digits": response(b'{"choices": [{"index": ' + b"9" * 10_000 + b"}]}"),
    "deep JSON": response(b'{"choices": ' + b"[" * 200_000),
    "choices that are numbers": response({"choices": [1, 2]}),
    "a message that is a list": response({"choices": [{"message": [1], "finish_reason": "stop"}]}),
    "a body of 100 MB": [b"HTTP/1.1 200 OK\r\n\r\n", *[b" " * 2**20] * 100],
}  # fmt: skip


@pytest.mark.parametrize("wire", ["chat", "anthropic"])
@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_tried_again(wire: str, name: str) -> None:
    good = GOOD.get(wire, response(chat()))
    with RawServer(lambda _body, i: GARBAGE[name] if i == 0 else good) as server:
        completion = ask(server, wire, max_tries=4)
    assert completion.text == TEXT
    assert statuses(completion)[-1] == "200"
    lenient = {"newline alone in a header", "an unknown version"}  # some clients read these
    assert len(completion.tries) >= (1 if name in lenient else 2)


def test_a_bomb_is_unpacked_in_bounds() -> None:
    packed = response(BOMB, headers="content-encoding: gzip\r\n")
    tracemalloc.start()
    with RawServer(lambda _body, _i: packed) as server, pytest.raises(TransientError) as failed:
        ask(server, max_tries=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "an answer of more than 64 MB" in str(failed.value)
    assert peak < 150 * 2**20


PACKED = {
    "gzip": gzip.compress(json.dumps(chat()).encode()),
    "deflate": zlib.compress(json.dumps(chat()).encode()),
    "x-gzip": gzip.compress(json.dumps(chat()).encode()),
}
RAW_DEFLATE = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize("packing", PACKED)
def test_packed_answers_are_read(packing: str) -> None:
    answer = response(PACKED[packing], headers=f"content-encoding: {packing}\r\n")
    with RawServer(lambda _body, _i: answer) as server:
        assert ask(server).text == TEXT


COUNTS: list[Json] = [2**63, 10**400, -1, "many", None, True, 1e300, [1], float("nan")]


@pytest.mark.parametrize("count", COUNTS, ids=str)
@pytest.mark.parametrize("wire", ["chat", "anthropic"])
def test_a_count_that_is_none_is_unknown(wire: str, count: Json) -> None:
    names = {
        "chat": ("prompt_tokens", "completion_tokens"),
        "anthropic": ("input_tokens", "output_tokens"),
    }
    usage = dict.fromkeys(names[wire], count)
    body = {**(messages() if wire == "anthropic" else chat()), "usage": usage}
    with RawServer(always(body)) as server:
        completion = ask(server, wire)
    assert (completion.n_prompt_tokens, completion.n_generated_tokens) == (None, None)
    assert completion.text == TEXT


@pytest.mark.parametrize(
    "header", ["nan", "inf", "-3", "1e400", "soon", "Thu, 99 Foo 99999 99:99:99 GMT"]
)
def test_a_wait_that_is_none_is_none(header: str) -> None:
    busy = response(
        {"error": {"message": "slow"}}, "429 Too Many Requests", f"retry-after: {header}\r\n"
    )
    with RawServer(lambda _body, i: busy if i == 0 else response(chat())) as server:
        assert statuses(ask(server)) == ["429", "200"]


ODD: list[Json] = [
    {**chat(), "choices": [{**chat()["choices"][0], "index": "first"}]},
    {**chat(), "model": 7, "system_fingerprint": {"a": 1}, "usage": [1]},
    {**chat(), "usage": {"prompt_tokens": 9, "prompt_tokens_details": 4}},
    chat(TEXT, reasoning_content=7),
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_oddities_beside_the_text_do_not_matter(body: Json) -> None:
    with RawServer(always(body)) as server:
        assert (ask(server).text, len(server.bodies)) == (TEXT, 1)


# Addresses and proxies. ------------------------------------------------------------------------


def test_loopback_goes_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with RawServer(always(chat())) as server:
        assert ask(server).text == TEXT


def test_a_dead_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret9@127.0.0.1:9")
    backend = OpenaiApi(model="srv/m", base_url="http://llm.example/v1", max_tries=1)

    async def run() -> None:
        try:
            await backend.generate(request())
        finally:
            await backend.close()

    with pytest.raises(TransientError) as failed:
        asyncio.run(run())
    sentence = str(failed.value)
    assert "http://llm.example/v1 by way of the proxy http://127.0.0.1:9 (HTTP_PROXY)" in sentence
    assert "NO_PROXY" in sentence
    assert "secret9" not in sentence
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(UsageError, match="HTTP_PROXY is a socks5 proxy"):
        asyncio.run(run())


@pytest.mark.parametrize(
    "url",
    [
        "https://mine.openai.azure.com/openai/deployments/gpt4o?api-version=2025-03-01-preview",
        "https://mine.openai.azure.com/openai/deployments/gpt4o",
        "https://mine.services.ai.azure.com/models?api-version=2024-05-01-preview",
    ],
)
def test_an_old_address_of_azure_is_told_the_new_one(url: str) -> None:
    with pytest.raises(UsageError, match=r"/openai/v1.*azure/DEPLOYMENT") as refused:
        OpenaiApi(model="srv/m", base_url=url)
    assert "2025-03" not in str(refused.value)


# A whole run. ----------------------------------------------------------------------------------


def run(
    server: RawServer,
    folder: Path,
    n: int = 8,
    **options: Any,  # noqa: ANN401 - of compare
) -> Comparison:
    args = {"base_url": f"{server.url}/v1", "max_tries": "2", "max_connections": "4"}
    return compare("openai-api/srv/m", "cot", Sums(n=n), model_args=args, log_dir=folder, **options)


def outcomes(comparison: Comparison) -> Counter[str]:
    total = Counter[str]()
    for cell in comparison.cells:
        total.update(cell.outcomes)
    return +total


def has_question(body: Body, i: int) -> bool:
    return f"What is {i} plus" in body["messages"][-1]["content"]


FILTERS: dict[str, bytes] = {
    "Azure": response({"error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, "400 Bad Request"),  # noqa: E501
    "OpenAI": response({"error": {"message": "Invalid prompt: we've limited access", "code": "invalid_prompt", "type": "invalid_request_error"}}, "400 Bad Request"),  # noqa: E501
    "DashScope": response({"error": {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}}, "400 Bad Request"),  # noqa: E501
    "OpenRouter": response({"error": {"code": 403, "message": "Input was flagged", "metadata": {"reasons": ["violence"]}}}, "403 Forbidden"),  # noqa: E501
    "in a 200": response({"error": {"code": "content_filter", "message": "filtered"}}),
}  # fmt: skip


@pytest.mark.parametrize("filtered", FILTERS.values(), ids=FILTERS)
def test_a_prompt_that_a_filter_refuses_is_refused_and_stored(
    filtered: bytes, tmp_path: Path
) -> None:
    def reply(body: Body, _number: int) -> Reply:
        return filtered if has_question(body, 3) else response(chat())

    with RawServer(reply) as server:
        found = outcomes(run(server, tmp_path))
        n_asked = len(server.bodies)
        run(server, tmp_path)
    assert found["refused"] == 2
    assert "failed" not in found
    assert n_asked == len(server.bodies) == 16


def test_a_prompt_that_is_refused_for_good_fails_alone_and_is_left_until_it_is_asked_for(
    tmp_path: Path,
) -> None:
    is_mended = False

    def reply(body: Body, _number: int) -> Reply:
        if has_question(body, 3) and not is_mended:
            return response({"error": {"message": "cannot decode the prompt"}}, "400 Bad Request")
        return response(chat())

    with RawServer(reply) as server:
        first = run(server, tmp_path)
        assert outcomes(first)["failed"] == 2
        assert any("sums/3" in note and "cannot decode" in note for note in first.notes)
        assert any("--retry-failed" in note for note in first.notes)
        with Store(tmp_path / "cotkit.db") as store:
            (stored,) = store.runs()
            assert stored.status == "complete"
        n_asked = len(server.bodies)
        assert outcomes(run(server, tmp_path)) == outcomes(first)
        assert len(server.bodies) == n_asked, "it is not asked again"
        is_mended = True
        with Store(tmp_path / "cotkit.db") as store:
            spec = RunSpec.from_json(store.run(stored.id).spec)
        again = perform(spec, Sums(n=8), log_dir=tmp_path, resources=Resources(retry_failed=True))
    assert "failed" not in {row.outcome for row in again.execution.rows}
    assert len(server.bodies) == n_asked + 2


def test_what_every_first_prompt_meets_ends_the_run_and_marks_nothing(tmp_path: Path) -> None:
    refused = always({"error": {"message": "unknown field: messages"}}, status="400 Bad Request")
    with RawServer(refused) as server:
        with pytest.raises(BackendError, match="unknown field"):
            run(server, tmp_path, n=40)
        assert len(server.bodies) <= 10
    with RawServer(always(chat())) as server, Store(tmp_path / "cotkit.db") as store:
        assert store.attempts(store.runs()[0].id) == []


def test_an_end_waits_for_the_calls_under_way(tmp_path: Path) -> None:
    def reply(body: Body, number: int) -> Reply:
        if number == 3:
            time.sleep(0.2)
            return response({"error": {"message": "key revoked"}}, "401 Unauthorized")
        if number > 3:
            return response({"error": {"message": "key revoked"}}, "401 Unauthorized")
        time.sleep(0.6)
        return response(chat())

    with RawServer(reply) as server, pytest.raises(AccessError, match="key revoked"):
        run(server, tmp_path)
    with Store(tmp_path / "cotkit.db") as store:
        key, _ = store.run_backend(store.runs()[0].id)
        n = store._db.rows("SELECT count(*) FROM completion WHERE backend = ?", (key,))[0][0]
    assert n == 3
    assert len(server.bodies) == 4, "and nothing more is sent"


def test_empty_answers_are_asked_once_more_and_counted(tmp_path: Path) -> None:
    def reply(body: Body, _number: int) -> Reply:
        return response(chat("" if has_question(body, 3) else TEXT))

    with RawServer(reply) as server:
        comparison = run(server, tmp_path)
    assert len(server.bodies) == 16 + 2
    assert "2 of 16 answers were empty, when asked again, too" in comparison.notes


def test_an_empty_answer_that_is_not_so_again_counts_as_it_came() -> None:
    with RawServer(lambda _body, i: response(chat("" if i == 0 else TEXT))) as server:
        completion = ask(server)
    assert completion.text == TEXT
    assert statuses(completion) == ["200", "empty", "200"]


def test_answers_that_stand_only_in_the_reasoning_are_said(tmp_path: Path) -> None:
    with RawServer(always(chat(None, reasoning_content="6*7=42. The answer is 42."))) as server:
        comparison = run(server, tmp_path)
    assert [note for note in comparison.notes if "16 of 16 answers came with no text" in note]


def test_called_tools_are_said(tmp_path: Path) -> None:
    with RawServer(always(chat(None, "tool_calls", tool_calls=[CALL]))) as server:
        comparison = run(server, tmp_path)
    assert len(server.bodies) == 16
    assert [note for note in comparison.notes if "called a tool (calc)" in note]
    with Store(tmp_path / "cotkit.db") as store:
        rows = store.attempts(store.runs()[0].id)
    assert {row.outcome for row in rows} == {"unparsed"}
    assert all("called a tool (calc)" in (row.error or "") for row in rows)


def test_a_change_of_the_served_model_is_said_with_its_problem(tmp_path: Path) -> None:
    def reply(body: Body, number: int) -> Reply:
        return response({**chat(), "model": "m-2" if number >= 9 else "m-1"})

    with RawServer(reply) as server:
        args = {"base_url": f"{server.url}/v1", "max_connections": "1"}
        comparison = compare(
            "openai-api/srv/m", "cot", Sums(n=8), model_args=args, log_dir=tmp_path
        )
    (note,) = [note for note in comparison.notes if "several models" in note]
    assert "m-1 (9); m-2 (7)" in note
    assert "the first change came at problem sums/" in note


CUT: dict[str, tuple[list[tuple[int, int]], int, int]] = {
    "a window": ([(3300 + 40 * i, 800) for i in range(4)] + [(900, 220)], 4, 0),
    "a window that cuts all": ([(3300 + 40 * i, 800) for i in range(9)], 9, 0),
    "fewer than can be": ([(8000, 500), (1000, 250)], 1, 0),
    "older turns left out": ([(7000, 90), (1500, 350), (1900, 430)], 1, 0),
    "two longer ones": (
        [(1000 + 400 * i, 250 + 100 * i) for i in range(8)] + [(4900, 1050), (5300, 1050)],
        2,
        0,
    ),
    "none": ([(3300 + 40 * i, 800 + 9 * i) for i in range(40)], 0, 0),
    "sums of one length": ([(60 + i % 3, 14) for i in range(40)], 0, 0),
    "ties by chance": ([(2000 + 7 * i % 90, 500 + i % 11) for i in range(200)], 0, 0),
    "names of one token": ([(1200 + 5 * i, 300) for i in range(12)], 0, 12),
    "a count that is none": ([(3300 + 40 * i, 10) for i in range(9)], 0, 9),
    "cached tokens left out": ([(3300, 800), *((3310 + i, 30 + i) for i in range(9))], 0, 0),
    "unknown": ([], 0, 0),
}


@pytest.mark.parametrize(("counts", "n_certain", "n_suspected"), CUT.values(), ids=CUT)
def test_cut_prompts_are_found_by_their_counts(
    counts: list[tuple[int, int]], n_certain: int, n_suspected: int
) -> None:
    cut = find_cut_prompts(counts)
    assert (len(cut.certain), len(cut.suspected)) == (n_certain, n_suspected)


def test_a_window_that_the_server_names_decides_alone() -> None:
    counts = [(9000, 2048), (3000, 700)]
    assert find_cut_prompts(counts).certain == ()
    assert find_cut_prompts(counts, window=2048).certain == ((9000, 2048),)


class LongSums(Sums):
    """Sums, the later the longer."""

    def problems(self) -> Any:  # noqa: ANN401 - as the parent's
        return [
            replace(p, question=replace(p.question, text=p.question.text + " So so." * 90 * i))
            for i, p in enumerate(super().problems())
        ]


def test_what_a_window_cuts_is_no_failure_of_the_model_and_is_asked_again_with_a_larger_one(
    tmp_path: Path,
) -> None:
    window = [1200]

    def reply(body: Body, _number: int) -> Reply:
        n = min(window[0], len(body["messages"][-1]["content"]) // 4)
        text = "The answer is 1." if n == window[0] else TEXT
        usage = {"prompt_tokens": n, "completion_tokens": 6}
        return response({**chat(text), "usage": usage})

    with RawServer(reply) as server:
        args = {"base_url": f"{server.url}/v1"}

        def run_it(*, retry_failed: bool = False) -> Comparison:
            return compare(
                "openai-api/srv/m",
                "cot",
                LongSums(n=8),
                model_args=args,
                log_dir=tmp_path,
                resources=Resources(retry_failed=retry_failed),
            )

        comparison = run_it()
        counts = outcomes(comparison)
        assert 5 <= counts["failed"] <= 12
        assert counts["wrong"] + counts["correct"] == 16 - counts["failed"]
        (note,) = [note for note in comparison.notes if "has cut" in note]
        assert "num_ctx" in note
        (note,) = [note for note in comparison.notes if "left out as failed" in note]
        assert "sums/7" in note
        assert {"failed counted for the arm", "failed counted for the control"} <= {
            variant.name for verdict in comparison.verdicts for variant in verdict.variants
        }
        n_asked = len(server.bodies)
        assert outcomes(run_it()) == counts
        assert len(server.bodies) == n_asked, "and nothing is asked again unasked"
        window[0] = 9999
        mended = run_it(retry_failed=True)
    assert len(server.bodies) == n_asked + counts["failed"]
    assert outcomes(mended)["failed"] == 0
    assert not [note for note in mended.notes if "left out" in note]


FULL: dict[str, tuple[Callable[[int], tuple[int, int]], str, int]] = {
    "the window": (lambda n: (n, 440 - n), "length", 16),
    "a limit of its own": (lambda n: (n, 12), "length", 16),
    "by its word": (lambda n: (n, 3 + n % 7), "model_context_window_exceeded", 16),
    "counts that say nothing": (lambda n: (3 * n, 5 + n % 7), "length", 0),
}


@pytest.mark.parametrize(("count", "finish", "n_failed"), FULL.values(), ids=FULL)
def test_an_answer_that_the_server_had_no_room_for_is_no_truncation(
    count: Callable[[int], tuple[int, int]], finish: str, n_failed: int, tmp_path: Path
) -> None:
    def reply(body: Body, number: int) -> Reply:
        n_prompt, n_generated = count(420 + number)
        usage = {"prompt_tokens": n_prompt, "completion_tokens": n_generated}
        return response({**chat("We take", finish), "usage": usage})

    with RawServer(reply) as server:
        args = {"base_url": f"{server.url}/v1"}
        comparison = compare(
            "openai-api/srv/m", "cot", Sums(n=8), model_args=args, log_dir=tmp_path
        )
    counts = outcomes(comparison)
    assert (counts["failed"], counts["truncated"]) == (n_failed, 16 - n_failed)
    assert [note for note in comparison.notes if "server" in note]


CUT_THOUGHT = "Let me see, maybe the answer is 40. But wait, the rows are"


@pytest.mark.parametrize("first", [0, 15], ids=["known at first", "known at last"])
def test_a_thought_that_the_template_opened_is_no_answer_where_it_is_cut(
    first: int, tmp_path: Path
) -> None:
    def reply(_body: Body, number: int) -> Reply:
        is_whole = number == first
        text = (
            "Maybe the answer is 40. No.\n</think>\nThe answer is 42." if is_whole else CUT_THOUGHT
        )
        return response(chat(text, "stop" if is_whole else "length"))

    with RawServer(reply) as server:
        args = {"base_url": f"{server.url}/v1", "max_connections": "1"}
        compare("openai-api/srv/m", "cot", Sums(n=8), model_args=args, log_dir=tmp_path)
        assert len(server.bodies) == 16
        again = compare("openai-api/srv/m", "cot", Sums(n=8), model_args=args, log_dir=tmp_path)
    assert len(server.bodies) == 16
    counts = outcomes(again)
    assert counts["truncated"] == 15
    assert counts["wrong"] == 1, "what the whole one says"


# Services by name, further parameters and headers. ---------------------------------------------


def build(model: str, **args: str) -> OpenaiApi:
    return cast(
        "OpenaiApi", build_backend(model, args, problems=(), store=None, notify=lambda _text: None)
    )


def test_every_service_of_the_table_has_an_address_and_a_key() -> None:
    services = load_services()
    assert {"openrouter", "groq", "together", "fireworks", "deepseek", "mistral", "xai"} < set(
        services
    )
    for name, service in services.items():
        assert service.keys, name
        if service.base_url is None:
            continue
        starts_itself = name in {"vllm", "sglang"}  # without an address, a server of their own
        backend = build(f"{'openai-api/' * starts_itself}{name}/some/model")
        assert backend.info.settings["base_url"] == service.base_url
        assert (backend.info.backend, backend.info.model) == ("openai-api", f"{name}/some/model")
        assert backend.wire.setup.model == "some/model"
        assert backend.wire.setup.needs_key is not service.is_local


def test_a_key_of_a_service_goes_to_the_service_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "google-key-1")
    assert build("gemini/m").wire.setup.key_variable == "GOOGLE_API_KEY"
    with RawServer(always(chat())) as server:
        other = build("gemini/m", base_url=f"{server.url}/v1")
    assert other.wire.setup.key_variable == "GEMINI_API_KEY"
    assert not other.wire.setup.needs_key


def test_names_that_mean_two_things_are_told_apart() -> None:
    with pytest.raises(UsageError, match=r"gemini/gemini-2\.5-flash.*weights are google/gemma"):
        build("google/gemini-2.5-flash")
    with pytest.raises(UsageError, match="AZURE_BASE_URL"):
        build("azure/gpt-4o")


@pytest.mark.parametrize(
    ("model", "hosted"),
    [
        ("google/gemma-9-nothing", "gemini/gemma-9-nothing"),
        ("mistralai/mistral-large-latest", "mistral/mistral-large-latest"),
        ("deepseek-ai/deepseek-chat", "deepseek/deepseek-chat"),
        ("x-ai/grok-4", "xai/grok-4"),
        ("Qwen/qwen-max", "dashscope/qwen-max"),
    ],
)
def test_a_name_of_the_hub_that_is_not_there_says_who_else_may_have_it(
    model: str, hosted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch_nothing(name: str, **_options: object) -> Path:
        raise MissingDataError(f"{name} is not on this machine", hint="a folder works offline")

    monkeypatch.setattr("cotkit.models.fetch.fetch_snapshot", fetch_nothing)
    with pytest.raises(MissingDataError, match=f"works offline; hosted.*--model {hosted}"):
        _ = build(model).info


def test_a_service_without_the_model_says_how_the_weights_of_its_owner_are_named() -> None:
    missing = response({"error": {"message": "no such model"}}, "404 Not Found")
    with RawServer(lambda _body, _number: missing) as server:
        backend = build("nvidia/nemotron-1", base_url=f"{server.url}/v1", max_tries="1")
        with pytest.raises(
            ModelLoadError, match="weights of the hub: --model hf/nvidia/nemotron-1"
        ):
            asyncio.run(backend.generate(request()))


def test_further_parameters_and_headers_are_sent_and_part_of_the_identity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEAM_SECRET", "team-secret-77")
    heads: list[bytes] = []

    class Recording(RawServer):
        def record(self, head: bytes) -> None:
            heads.append(head)

    with Recording(always(chat())) as server:
        backend = build(
            "openai-api/srv/m",
            base_url=f"{server.url}/v1",
            extra_body='{"chat_template_kwargs": {"enable_thinking": false}}',
            headers='{"X-Team-Key": "$TEAM_SECRET", "X-Where": "here"}',
        )

        async def run() -> None:
            await backend.generate(request())
            await backend.close()

        asyncio.run(run())
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert b"team-secret-77" in heads[0]
    settings = str(backend.info.settings)
    assert "$TEAM_SECRET" in settings
    assert "team-secret-77" not in settings + repr(backend)
    plain = build("openai-api/srv/m", base_url=f"{server.url}/v1")
    assert backend_key(plain.info) != backend_key(backend.info)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"extra_body": "{a: 1}"}, "extra_body is no JSON"),
        ({"extra_body": "[1]"}, "extra_body is no JSON object"),
        ({"extra_body": '{"messages": []}'}, "the strategy decides"),
        ({"extra_body": '{"key": "sk-abcdefgh1234"}'}, "holds a key"),
        ({"headers": '{"X-Api-Key": "abc-secret-1"}'}, r"write \$VARIABLE"),
        ({"headers": '{"X-A": "a\\nb"}'}, "no header with a line"),
    ],
)
def test_what_may_not_be_sent_is_refused_and_not_repeated(args: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        build("openai-api/srv/m", base_url="http://127.0.0.1:1/v1", **args)
    assert "secret-1" not in str(refused.value)
    assert "abcdefgh" not in str(refused.value)


SELVES: dict[str, tuple[dict[str, Json], dict[str, str]]] = {
    "vLLM": (
        {
            "/v1/models": {
                "data": [{"id": "m", "owned_by": "vllm", "max_model_len": 4096}, {"id": "x"}]
            }
        },
        {"engine": "vllm", "model": "m", "window": "4096"},
    ),
    "llama.cpp": (
        {
            "/v1/models": {"data": [{"id": "m.gguf", "owned_by": "llamacpp", "meta": {}}]},
            "/props": {
                "default_generation_settings": {"n_ctx": 2048},
                "total_slots": 4,
                "build_info": "b7000",
            },
        },
        {
            "engine": "llamacpp",
            "model": "m",
            "slots": "4",
            "version": "b7000",
            "window": "2048",
        },
    ),
    "nothing": ({"/v1/models": {"data": "none"}}, {"model": "m"}),
    "garbage": ({"/v1/models": [1]}, {"model": "m"}),
}


@pytest.mark.parametrize(("pages", "says"), SELVES.values(), ids=SELVES)
def test_what_a_server_says_of_itself_is_in_the_report(
    pages: dict[str, Json], says: dict[str, str], tmp_path: Path
) -> None:
    class Telling(RawServer):
        def look(self, path: str) -> bytes:
            return response(pages[path]) if path in pages else response({}, "404 Not Found")

    def reply(_body: Body, _number: int) -> Reply:
        time.sleep(0.05)
        return response(chat())

    with Telling(reply) as server:
        comparison = run(server, tmp_path)
    assert comparison.server == says
    for form in ("table", "markdown", "json", "csv"):
        text = render(comparison, form)
        assert all(value in text for value in says.values()), form


@pytest.mark.parametrize("name", ["inspect", "litellm"])
def test_a_provider_of_another_package_is_planned_without_it_and_named_when_it_is_missing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    monkeypatch.setitem(sys.modules, "litellm", None)
    backend = build(f"{name}/openai/gpt-4o")
    assert (backend.info.backend, backend.info.model) == (name, "openai/gpt-4o")
    with pytest.raises(MissingDependencyError, match=rf"pip install 'cotkit\[{name}\]'"):
        asyncio.run(backend.generate(request()))


ASK_BY_NAME = """
import asyncio, sys
from cotkit.report import render
from cotkit.run.backend import build_backend
from cotkit.types import Decoding, Message, Request
model, url = sys.argv[1:]
backend = build_backend(model, {"base_url": url}, problems=(), store=None, notify=print)
message = Message(role="user", content="Q: 6 * 7?")
asked = Request(messages=(message,), decoding=Decoding(max_tokens=20), samples=(0,))
print(asyncio.run(backend.generate(asked))[0].text)
"""


@pytest.mark.interop
@pytest.mark.parametrize("name", ["inspect", "litellm"])
def test_a_provider_of_another_package_answers(name: str) -> None:
    python = os.environ.get(f"COTKIT_{name.upper()}_PYTHON")
    if python is None:
        pytest.skip(f"COTKIT_{name.upper()}_PYTHON names no Python that has {name}")
    usage = {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}
    body = {**chat(), "object": "chat.completion", "created": 1, "usage": usage}
    with RawServer(always(body)) as server:
        done = subprocess.run(
            [python, "-c", ASK_BY_NAME, f"{name}/openai/gpt-4o", f"{server.url}/v1"],
            env={**os.environ, "OPENAI_API_KEY": "k", "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.splitlines()[-1] == TEXT
    assert server.bodies[0]["messages"] == [{"role": "user", "content": "Q: 6 * 7?"}]


# The table of docs/hosted.md, played. ----------------------------------------------------------


def documented() -> dict[str, list[str]]:
    text = (REPOSITORY / "docs" / "hosted.md").read_text(encoding="utf-8")
    lines = text.partition("## What servers do")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    return {row[0]: row[1:] for row in rows[2:]}


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", documented())
def test_a_server_of_the_table_is_asked_as_the_table_says(
    name: str, is_streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_API_KEY", "azure-key-1")  # the one address that wants a key anywhere
    n_row, logprobs, seed, _, field, parts = documented()[name]

    def reply(body: Body, _number: int) -> Reply:
        if is_streamed and not body.get("stream"):
            return response({"error": {"message": ONLY_STREAMS[0]}}, "400 Bad Request")
        if seed == "refused" and "seed" in body:
            return response({"error": {"message": "Unknown name seed"}}, "422 Unprocessable")
        assert n_row != "not sent" or "n" not in body
        content: Json = [{"type": "text", "text": TEXT}] if parts == "yes" else TEXT
        if field == "in the parts":
            content = [{"type": "thinking", "thinking": THOUGHT}, *content]
        message: dict[str, Json] = {"content": content}
        if field == "reasoning_details":
            message[field] = [{"type": "reasoning.text", "text": THOUGHT}]
        elif field.startswith("reasoning"):
            message[field] = THOUGHT
        n = body.get("n", 1) if n_row == "yes" else 1
        usage = {"prompt_tokens": 9, "completion_tokens": 6 * n}
        key = "delta" if is_streamed else "message"
        choices = [{"index": i, "finish_reason": "stop", key: message} for i in range(n)]
        whole: Json = {"model": "m", "choices": choices, "usage": usage}
        return events(whole) if is_streamed else response(whole)

    with RawServer(reply) as server:
        backend = build(f"openai-api/{name}/m", base_url=f"{server.url}/v1")
        if name == "groq":
            assert "loglikelihood" not in backend.info.capabilities
        assert logprobs in {"yes", "dropped", "not sent"}

        async def run_all() -> tuple[Completion, ...]:
            try:
                return await backend.generate(
                    replace(request(temperature=0.7, seed=1), samples=(0, 1, 2))
                )
            finally:
                await backend.close()

        completions = asyncio.run(run_all())
    assert [one.text for one in completions] == [TEXT] * 3
    assert {one.reasoning for one in completions} == {None if field == "none" else THOUGHT}
    assert sum(one.n_generated_tokens or 0 for one in completions) == 18
    final = [body for body in server.bodies if not is_streamed or body.get("stream")]
    assert ("seed" in final[-1]) is (n_row != "yes" and seed == "yes")


# Answers at random. ----------------------------------------------------------------------------

KEYS = [
    "error",
    "errors",
    "detail",
    "message",
    "code",
    "type",
    "choices",
    "text",
    "content",
    "usage",
    "prompt_tokens",
    "status",
    "output",
    "base_resp",
    "metadata",
    "headers",
    "innererror",
    "delta",
    "finish_reason",
    "index",
    "reasoning",
    "tool_calls",
    "function",
    "name",
    "prompt_tokens_details",
    "model",
    "stop_reason",
    "thinking",
    "msg",
    "param",
    "response",
    "summary",
]
WORDS: list[Json] = [
    *["", "stop", "429", "text", "thinking", "tool_use", "rate limit", "refusal", "output_text"],
    *["message", "max_tokens is not supported", "\ud800", None, 0, -1, 2**63, True, 1.5],
]  # fmt: skip


def random_value(rng: random.Random, depth: int = 0) -> Json:
    kind = rng.randrange(6 if depth < 4 else 3)
    if kind <= 2:
        return rng.choice(WORDS)
    if kind == 3:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(3))]
    return {rng.choice(KEYS): random_value(rng, depth + 1) for _ in range(rng.randrange(5))}


def test_no_json_of_a_server_is_an_error_of_ours() -> None:
    setup = build("openai-api/srv/m", base_url="http://127.0.0.1:1/v1").wire.setup
    for seed in range(600):
        rng = random.Random(seed)
        answer: Json = {rng.choice(KEYS): random_value(rng) for _ in range(rng.randrange(1, 6))}
        if seed % 2:
            first = {"message": random_value(rng), "finish_reason": rng.choice(["stop", "wibble"])}
            answer["choices"] = [{**first, "index": random_value(rng, 4)}]
        raw = json.dumps(answer).encode()
        with contextlib.suppress(Malformed):
            body = read_answer(b"data: " + raw + b"\n\n" if seed % 5 == 0 else raw)
            fault = find_error(body)
            for status in (200, 400, 403, 429, 500):
                is_inside = status == 200 and fault is not None
                raised = make_status_error(
                    fault if is_inside else answer, None if is_inside else status
                )
                assert read_fault(raised, setup) is not None
                adapt(setup, raised, {"max_tokens": 5, "top_p": 1.0, "seed": 3})
            anthropic_faults.read_fault(
                anthropic_faults.make_status_error(answer), model="m", base_url="http://x"
            )
            read_completion(answer, {})
