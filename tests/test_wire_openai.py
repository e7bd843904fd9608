"""OpenAI's protocol over a real socket: what leaves the process, what becomes of answers."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from cotkit.api import compare
from cotkit.backends._hosted import policy
from cotkit.backends._hosted.faults import read_connection_fault
from cotkit.backends._hosted.parameters import REFUSABLE, rule_for
from cotkit.backends._hosted.thinking import ROOM
from cotkit.backends.openai import Openai
from cotkit.backends.openai_api import OpenaiApi
from cotkit.errors import (
    AccessError,
    BackendError,
    ModelLoadError,
    PromptTooLongError,
    TransientError,
    UnknownNameError,
    UsageError,
)
from cotkit.identity import request_key, sample_seed
from cotkit.run.backend import build_backend
from cotkit.types import Completion, Decoding, Message, Request, Role
from tests.fake_api import Answer, FakeApi, Script
from tests.fake_wire import logprob

KEY = "sk-proj-planted0123456789"
PLAIN = "gpt-4.1-mini"
ASK = Message(role="user", content="  Q: 1 + 1?\nA:\n")
SAID = [{"role": "user", "content": "Q: 1 + 1?\nA:"}]

Backend = Openai | OpenaiApi


def _no_certificates(**_options: object) -> bool:
    return True


@pytest.fixture(autouse=True)
def _own_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # pyright: ignore[reportUnusedFunction] - pytest calls it
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "LOCAL_API_KEY", "LOCAL_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(policy, "_FIRST_WAIT_S", 0.01)
    # Every client reads all certificates, 60 ms; plain http on loopback needs none.
    monkeypatch.setattr("httpx2.create_ssl_context", _no_certificates)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeApi]:
    with FakeApi() as api:
        yield api


@pytest.fixture
def api(server: FakeApi) -> FakeApi:
    server.seen.clear()
    server._counts.clear()
    server.script = None
    return server


def request(
    *messages: Message,
    samples: tuple[int, ...] = (0,),
    options: tuple[str, ...] = (),
    **decoding: Any,  # noqa: ANN401 - the fields of Decoding
) -> Request:
    given: dict[str, Any] = {"max_tokens": 50, "stop": ("\nQ:",), **decoding}
    chosen = Decoding(**given)
    return Request(messages=messages or (ASK,), decoding=chosen, samples=samples, options=options)


SAMPLED: Mapping[str, Any] = {"temperature": 0.7, "seed": 3}


def openai(api: FakeApi, model: str = PLAIN, /, **fields: Any) -> Openai:  # noqa: ANN401 - its fields
    return Openai(model=model, base_url=f"{api.url}/v1", **fields)


def local(api: FakeApi, /, **fields: Any) -> OpenaiApi:  # noqa: ANN401 - its fields
    return OpenaiApi(model="local/m", base_url=f"{api.url}/v1", **fields)


def ask(backend: Backend, wanted: Request) -> tuple[Completion, ...]:
    async def run() -> tuple[Completion, ...]:
        try:
            if wanted.options:
                return await backend.loglikelihood(wanted)
            return await backend.generate(wanted)
        finally:
            await backend.close()

    return asyncio.run(run())


def always(**fields: Any) -> Script:  # noqa: ANN401 - the fields of Answer
    return lambda _body, _n: Answer(**fields)


# What leaves the process: model, decoding -> path, body. ---------------------------------------

NEW, OLD = "max_completion_tokens", "max_tokens"
GREEDY: Mapping[str, Any] = {}
HOT: Mapping[str, Any] = {"temperature": 1.0, "seed": 3}
PROMPT = "  Q: 1 + 1?\nA:\n"
STOP = {"stop": ["\nQ:"]}
NEUTRAL = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
Fields = Mapping[str, Any]
Body = tuple[str, Fields, Fields, str, Fields]
BODIES: list[Body] = [
    ("openai/gpt-4o", {}, GREEDY, "chat", {NEW: 50, "temperature": 0.0, **STOP}),
    ("openai/gpt-4o", {}, SAMPLED, "chat", {NEW: 50, "temperature": 0.7, "seed": ..., **STOP}),
    ("openai/gpt-4o", {}, {**HOT, "top_p": 0.9}, "chat", {NEW: 50, "temperature": 1.0, "top_p": 0.9, "seed": ..., **STOP}),  # noqa: E501 - a row of the table
    ("openai/gpt-4o", {}, {"stop": ("a", "b", "c", "d", "e")}, "chat", {NEW: 50, "temperature": 0.0, "stop": ["a", "b", "c", "d"]}),  # noqa: E501 - a row of the table
    ("openai/gpt-4o", {"without": "stop+seed"}, SAMPLED, "chat", {NEW: 50, "temperature": 0.7}),
    ("openai/o3-mini", {}, GREEDY, "chat", {NEW: 50 + ROOM["medium"]}),
    ("openai/o3-mini", {}, HOT, "chat", {NEW: 50 + ROOM["medium"], "seed": ...}),
    ("openai/gpt-5-mini", {"reasoning_effort": "low"}, GREEDY, "chat", {NEW: 50 + ROOM["low"], "reasoning_effort": "low"}),  # noqa: E501 - a row of the table
    ("openai/gpt-5.4", {}, SAMPLED, "chat", {NEW: 50, "temperature": 0.7, "seed": ...}),
    ("openai/gpt-5.4", {"reasoning_effort": "high"}, GREEDY, "chat", {NEW: 50 + ROOM["high"], "reasoning_effort": "high"}),  # noqa: E501 - a row of the table
    ("openai/gpt-5.6-luna", {}, GREEDY, "chat", {NEW: 50 + ROOM["medium"]}),
    ("openai/gpt-5.6-luna", {"reasoning_effort": "none"}, SAMPLED, "chat", {NEW: 50, "temperature": 0.7, "seed": ..., "reasoning_effort": "none"}),  # noqa: E501 - a row of the table
    ("openai/o3-pro", {"reasoning_effort": "low"}, GREEDY, "responses", {"max_output_tokens": 50 + ROOM["low"], "store": False, "reasoning": {"effort": "low"}}),  # noqa: E501 - a row of the table
    ("openai/gpt-4o", {"api": "responses"}, SAMPLED, "responses", {"max_output_tokens": 50, "store": False, "temperature": 0.7}),  # noqa: E501 - a row of the table
    ("openai/gpt-3.5-turbo-instruct", {}, GREEDY, "completions", {OLD: 50, "temperature": 0.0, **STOP}),  # noqa: E501 - a row of the table
    ("openai-api/local/m", {}, {**SAMPLED, "top_k": 40}, "chat", {OLD: 50, "temperature": 0.7, "top_p": 1.0, "top_k": 40, "seed": ..., **STOP}),  # noqa: E501 - a row of the table
    ("openai-api/my-vllm/m", {}, SAMPLED, "chat", {OLD: 50, "temperature": 0.7, **NEUTRAL, "seed": ..., **STOP}),  # noqa: E501 - a row of the table
    ("openai-api/sglang/m", {}, {**SAMPLED, "top_p": 0.9, "top_k": 40}, "chat", {OLD: 50, "temperature": 0.7, **NEUTRAL, "top_p": 0.9, "top_k": 40, "seed": ..., **STOP}),  # noqa: E501 - a row of the table
    ("openai-api/vllm/m", {"api": "completions"}, GREEDY, "completions", {OLD: 50, "temperature": 0.0, "repetition_penalty": 1.0, **STOP}),  # noqa: E501 - a row of the table
    ("openai-api/vllm/m", {"without": "top_k+min_p+repetition_penalty"}, SAMPLED, "chat", {OLD: 50, "temperature": 0.7, "top_p": 1.0, "seed": ..., **STOP}),  # noqa: E501 - a row of the table
    ("openai-api/llama-cpp/m", {}, SAMPLED, "chat", {OLD: 50, "temperature": 0.7, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, "seed": ..., **STOP}),  # noqa: E501 - a row of the table
    ("openai-api/local/m", {"api": "completions"}, GREEDY, "completions", {OLD: 50, "temperature": 0.0, **STOP}),  # noqa: E501 - a row of the table
    ("openai-api/azure-eu/gpt-5", {"without": "temperature"}, GREEDY, "chat", {NEW: 50, **STOP}),
]  # fmt: skip
PATHS = {"chat": "chat/completions", "completions": "completions", "responses": "responses"}


@pytest.mark.parametrize("row", BODIES, ids=[f"{row[0]}-{i}" for i, row in enumerate(BODIES)])
def test_what_is_sent(api: FakeApi, row: Body) -> None:
    name, fields, decoding, interface, expected = row
    wanted = request(**decoding)
    backend_name, _, model = name.partition("/")
    cls = {"openai": Openai, "openai-api": OpenaiApi}[backend_name]
    backend = cls(model=model, base_url=f"{api.url}/v1", **fields)
    (completion,) = ask(backend, wanted)
    whole = dict(expected)
    if "seed" in whole:
        whole["seed"] = sample_seed(wanted.decoding, request_key(wanted), 0) & 0x7FFFFFFF
    words = {"chat": {"messages": SAID}, "responses": {"input": SAID}}
    served = model.partition("/")[2] if backend_name == "openai-api" else model
    assert [seen.path for seen in api.seen] == [f"/v1/{PATHS[interface]}"]
    assert api.seen[0].body == {
        "model": served,
        **words.get(interface, {"prompt": PROMPT}),
        **whole,
    }
    flat = {k: v for k, v in whole.items() if not isinstance(v, dict)}
    flat |= {f"{k}.{i}": x for k, v in whole.items() if isinstance(v, dict) for i, x in v.items()}
    assert completion.sent == flat
    assert backend.info.settings["api"] == interface


REFUSED: list[tuple[str, Fields, Fields, str, str]] = [
    (PLAIN, {}, {"temperature": 0.7, "top_k": 5}, "does not take top_k=5", "leave top_k out"),
    ("o3", {}, SAMPLED, "openai/o3 does not take temperature=0.7", "temperature=1"),
    ("o3", {}, {**HOT, "top_p": 0.5}, "does not take top_p=0.5", "leave top_p out"),
    ("gpt-5.6-sol", {}, SAMPLED, "does not take temperature", "--thinking off"),
    (PLAIN, {"without": "temperature"}, SAMPLED, "does not take temperature", "temperature=1"),
]


@pytest.mark.parametrize("row", REFUSED, ids=[f"{row[0]} {row[3]}" for row in REFUSED])
def test_what_would_change_the_meaning_is_refused_and_nothing_is_sent(
    api: FakeApi, row: tuple[str, Fields, Fields, str, str]
) -> None:
    model, fields, decoding, says, way_out = row
    with pytest.raises(BackendError, match=says) as refused:
        ask(openai(api, model, **fields), request(**decoding))
    assert way_out in str(refused.value)
    assert not refused.value.retryable
    assert api.seen == []


def test_what_a_rule_drops_is_part_of_the_identity(api: FakeApi) -> None:
    assert "parameters" not in openai(api).info.settings
    assert openai(api, "o3").info.settings["parameters"] == "-stop,-temperature"
    shouted = Openai(model=PLAIN, base_url="HTTP://LocalHost:1/V1/").info
    assert shouted.settings["base_url"] == "http://localhost:1/V1"
    assert openai(api, without="seed").info == openai(api).info, "greedy requests never have one"
    effort = openai(api, "gpt-5.6", reasoning_effort="none").info
    assert effort.settings["reasoning_effort"] == "none"
    assert effort.settings["parameters"] == "-stop"
    assert effort.fingerprint == "openai/gpt-5.6"
    assert openai(api, "o3").info.capabilities == {"generate", "sampling", "chat"}


def test_the_exemplars_name_their_cache(api: FakeApi) -> None:
    shots = "Q: some exemplar. " * 100
    for question in ("1?", "2?"):
        ask(openai(api), request(Message(role="user", content=shots + question)))
    ask(local(api), request(Message(role="user", content=shots)))
    first, second, other = (seen.body.get("prompt_cache_key") for seen in api.seen)
    assert first == second != None  # noqa: E711 - both are there, and the same
    assert other is None


def test_a_conversation_is_one_message_each_and_empty_ones_are_left_out(api: FakeApi) -> None:
    turns: list[tuple[Role, str]] = [
        ("system", "Be brief. "),
        ("user", "Q: 1?\n"),
        ("assistant", " 1. "),
        ("user", "\n"),
        ("user", "Sure?"),
    ]
    ask(local(api), request(*(Message(role=role, content=words) for role, words in turns)))
    assert api.seen[0].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Q: 1?"},
        {"role": "assistant", "content": "1."},
        {"role": "user", "content": "Sure?"},
    ]


def test_a_begun_reply_is_continued_only_where_that_is_possible(api: FakeApi) -> None:
    begun = request(ASK, Message(role="assistant", content="Let me think. The answer is"))
    with pytest.raises(BackendError, match=r"cannot continue .*api=completions\)"):
        ask(openai(api), begun)
    with pytest.raises(BackendError, match="continues=true"):
        ask(local(api), begun)
    assert api.seen == []
    backend = local(api, continues=True)
    ask(backend, begun)
    assert api.seen[0].body["continue_final_message"] is True
    assert api.seen[0].body["add_generation_prompt"] is False
    assert backend.info.settings["continues"] == "true"
    ask(local(api, api="completions"), begun)
    assert api.seen[1].body["prompt"] == PROMPT + "Let me think. The answer is"


# What comes back. ------------------------------------------------------------------------------

ANSWERS: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [
    ("stop", {"finish": "stop"}, {"text": "The answer is 0.", "stop_reason": "stop"}),
    ("length", {"finish": "length"}, {"stop_reason": "length"}),
    ("all tokens went to reasoning", {"text": "", "reasoning": "a b c", "finish": "length"},
     {"text": "", "stop_reason": "length", "reasoning": "a b c"}),
    ("the same, said to be a stop", {"text": "", "reasoning": "a b c"}, {"text": "", "stop_reason": "length"}),  # noqa: E501 - a row of the table
    ("refusal", {"refusal": "I will not."}, {"text": "I will not.", "stop_reason": "refusal"}),
    ("reasoning apart", {"reasoning": "so so"},
     {"reasoning": "so so", "n_reasoning_tokens": 2, "n_generated_tokens": 6}),
    ("a word for the end of its own", {"finish": "EOS"}, {"stop_reason": "stop"}),
    ("more cached than there is", {"n_prompt": 10, "n_cached": 64}, {"n_prompt_tokens": 10, "n_shared_tokens": 10}),  # noqa: E501 - a row of the table
    ("less than nothing", {"n_prompt": -5, "n_cached": 3, "n_generated": -1}, {"n_prompt_tokens": None, "n_shared_tokens": 0, "n_generated_tokens": None}),  # noqa: E501 - a row of the table
    ("usage", {"n_prompt": 100, "n_cached": 64}, {"n_prompt_tokens": 100, "n_shared_tokens": 64}),
]  # fmt: skip


@pytest.mark.parametrize("interface", ["chat", "responses"])
@pytest.mark.parametrize(("why", "answer", "expected"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_what_an_answer_means(
    api: FakeApi,
    interface: str,
    why: str,
    answer: Mapping[str, Any],
    expected: Mapping[str, Any],
) -> None:
    api.script = always(**answer)
    (completion,) = ask(local(api, api=interface), request())
    assert {name: getattr(completion, name) for name in expected} == expected


def test_who_answered_and_after_which_tries_is_kept(api: FakeApi) -> None:
    def once_busy(_body: Mapping[str, Any], n: int) -> Answer:
        return Answer(status=503, text="busy") if n == 0 else Answer(served_by="m-2026")

    api.script = once_busy
    (completion,) = ask(openai(api), request())
    assert completion.served_by == "m-2026 fp_1"
    assert [one.status for one in completion.tries] == ["503", "200"]


def choice(message: Mapping[str, Any], finish: str = "stop") -> bytes:
    body = {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    return json.dumps(body).encode()


def test_what_servers_write_in_their_own_ways(api: FakeApi) -> None:
    api.script = lambda _body, _n: Answer(body=choice({"content": "4", "reasoning": "2+2"}))
    (completion,) = ask(local(api), request())
    assert (completion.text, completion.reasoning) == ("4", "2+2")
    assert completion.n_prompt_tokens is None  # no usage at all
    api.script = lambda _body, _n: Answer(body=choice({"content": None}, "content_filter"))
    (completion,) = ask(local(api), request())
    assert (completion.text, completion.stop_reason) == ("", "refusal")


# n and missing choices. ------------------------------------------------------------------------


def test_samples_are_asked_in_one_call_and_billed_once(api: FakeApi) -> None:
    samples = ask(openai(api), request(samples=(0, 1, 2), **SAMPLED))
    assert [(seen.body["n"], "seed" in seen.body) for seen in api.seen] == [(3, False)]
    assert len({sample.text for sample in samples}) == 3
    assert [sample.n_prompt_tokens for sample in samples] == [5, 0, 0]
    n_words = sum(len(sample.text.split()) for sample in samples)
    assert sum(sample.n_generated_tokens or 0 for sample in samples) == n_words


def test_what_a_server_leaves_out_is_asked_again(api: FakeApi) -> None:
    api.script = lambda body, _n: Answer(n_choices=min(2, body.get("n", 1)))
    said: list[str] = []
    backend, wanted = openai(api, notify=said.append), request(samples=(0, 1, 2, 3, 4), **SAMPLED)
    assert len(ask(backend, wanted)) == 5
    first, *rest = [seen.body for seen in api.seen]
    assert (first["n"], "seed" in first) == (5, False)
    seeds = [sample_seed(wanted.decoding, request_key(wanted), i) & 0x7FFFFFFF for i in (2, 3, 4)]
    assert sorted(body["seed"] for body in rest) == sorted(seeds), "one by one from then on"
    ask(backend, wanted)
    assert all("n" not in seen.body for seen in api.seen[1:]), "and it is remembered"
    assert said == [
        f"openai/{PLAIN} answered n=5 with 2: from now on its samples are asked one by one"
    ]


def test_each_part_is_handed_over_as_it_comes(api: FakeApi) -> None:
    seeds: list[int] = []

    def second_hangs(body: Mapping[str, Any], _n: int) -> Answer:
        seeds.append(body["seed"])
        return Answer(hang_s=60 if len(seeds) == 2 else 0)

    api.script = second_hangs
    wanted = request(samples=(4, 5, 6), **SAMPLED)
    by_seed = {
        sample_seed(wanted.decoding, request_key(wanted), i) & 0x7FFFFFFF: i for i in (4, 5, 6)
    }
    kept: dict[int, Completion] = {}

    async def interrupted() -> None:
        backend, two = local(api, without="n"), asyncio.Event()

        def keep(found: Mapping[int, Completion]) -> None:
            kept.update(found)
            if len(kept) == 2:
                two.set()

        call = asyncio.create_task(backend.generate_each(wanted, keep))
        await asyncio.wait_for(two.wait(), 5)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await backend.close()

    asyncio.run(interrupted())
    assert kept.keys() == {4, 5, 6} - {by_seed[seeds[1]]}
    assert all(one.tries and one.text for one in kept.values())


def test_where_a_call_gives_one_answer_samples_go_side_by_side(api: FakeApi) -> None:
    samples = ask(local(api, without="n"), request(samples=(0, 1, 2), **SAMPLED))
    assert all("n" not in seen.body for seen in api.seen)
    assert len({seen.body["seed"] for seen in api.seen}) == 3
    again = ask(local(api, without="n"), request(samples=(2,), **SAMPLED))
    assert again[0].text == samples[2].text


# Faults. ---------------------------------------------------------------------------------------

TOO_LONG = "This model's maximum context length is 4096 tokens."
FAULTS: list[tuple[Mapping[str, Any], type[BackendError], str]] = [
    ({"status": 401, "text": f"Incorrect API key provided: {KEY}."}, AccessError, "OPENAI_API_KEY"),
    ({"status": 403, "text": "Country not supported"}, AccessError, "Country not supported"),
    ({"status": 402, "text": "Insufficient balance"}, AccessError, "Insufficient balance"),
    ({"status": 429, "text": "quota", "code": "insufficient_quota"}, AccessError, "quota"),
    ({"status": 429, "body": b'{"error": {"message": "Billing hard limit reached"}}'}, AccessError, "hard limit"),  # noqa: E501 - a row of the table
    ({"status": 200, "body": b'{"error": {"message": "no such user", "code": 401}}'}, AccessError, "answered 401: no such user"),  # noqa: E501 - a row of the table
    ({"status": 403, "body": b"<!DOCTYPE html><style>p {}</style><title>Denied</title><p>Ray &amp; id</p>"}, AccessError, r"a web page, not an API: a proxy, or a wrong base_url \('Denied Ray & id'\)"),  # noqa: E501 - a row of the table
    ({"status": 400, "body": b'{"error": {"message": "half \\ud800 of a pair"}}'}, BackendError, r"half \? of a pair"),  # noqa: E501 - a row of the table
    ({"status": 404, "text": "no such model"}, ModelLoadError, f"has no '{PLAIN}': no such model"),
    ({"status": 400, "text": TOO_LONG}, PromptTooLongError, "maximum context length"),
    ({"status": 400, "text": "a", "code": "context_length_exceeded"}, PromptTooLongError, "400"),
    ({"status": 400, "text": "Unsupported parameter: 'stop' is not supported.\nMore."},
     BackendError, r"is not supported\. \(--model-args without=stop\)$"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "error", "says"), FAULTS, ids=[str(row[0]["status"]) for row in FAULTS]
)
def test_what_does_not_pass_is_said_at_once(
    api: FakeApi, answer: Mapping[str, Any], error: type[BackendError], says: str
) -> None:
    api.script = always(**answer)
    with pytest.raises(error, match=says) as failed:
        ask(openai(api), request())
    assert type(failed.value) is error
    assert len(api.seen) == 1
    assert KEY not in str(failed.value)
    assert "\n" not in str(failed.value)
    str(failed.value).encode()


RATES = "Rate limit reached, add a card at https://a.b/settings/organization/billing"


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (Answer(status=408, text="slow"), "408"),
        (Answer(status=409, text="conflict"), "409"),
        (Answer(status=429, text="slow down", headers={"retry-after": "0.01"}), "429"),
        (Answer(status=429, text="slow down", headers={"retry-after-ms": "10"}), "429"),
        (Answer(status=429, text=RATES), "429"),
        (Answer(status=429, text="see billing", headers={"retry-after-ms": "1"}), "429"),
        (Answer(status=429, body=json.dumps({"detail": RATES}).encode()), "429"),
        (Answer(body=b'{"error": {"message": "overloaded", "code": 503}}'), "503"),
        (Answer(body=b'{"error": "model is loading", "choices": []}'), "503"),
        (Answer(finish="abort"), "malformed"),
        (Answer(finish="error"), "malformed"),
        (Answer(finish="of_a_new_kind"), "malformed"),
        (Answer(body=b'{"a":' + b"[" * 100_000), "malformed"),
        (Answer(status=500, text="oops"), "500"),
        (Answer(status=529, text="overloaded"), "529"),
        (Answer(reset=True), "reset"),
        (Answer(hang_s=60), "timeout"),
        (Answer(body=b'{"id": "cut o'), "malformed"),
        (Answer(body=b"[]"), "malformed"),
        (Answer(body=b"{}"), "malformed"),
        (Answer(n_choices=0), "malformed"),
        (Answer(n_choices=2), "malformed"),
        (Answer(body=choice({"role": "assistant"})), "malformed"),
        (Answer(body=choice({"content": 7})), "malformed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_may_pass_is_tried_again(api: FakeApi, first: Answer, status: str) -> None:
    api.script = lambda _body, n: first if n == 0 else Answer()
    (completion,) = ask(openai(api, timeout_s=1.0), request())
    assert [one.status for one in completion.tries] == [status, "200"]
    assert completion.text == "The answer is 0."


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"status": "failed", "error": {"message": "server_error"}, "output": []}', "failed"),
        (b'{"status": "completed", "output": []}', "no message"),
        (b'{"status": "completed"}', "no output"),
    ],
)
def test_responses_without_an_answer_are_tried_again(api: FakeApi, body: bytes, why: str) -> None:
    api.script = lambda _body, n: Answer(body=body) if n == 0 else Answer()
    (completion,) = ask(openai(api, "o3-pro"), request())
    assert [one.status for one in completion.tries] == ["malformed", "200"], why


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b" <html><body>Sign in to Wi-Fi</body>", r"a web page, not an API: .*'Sign in to Wi-Fi'"),
        (b'data: {"choices": []}\n\ndata: [DONE]\n', "a streamed answer"),
        (b'{"a":' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_answer_is_told(api: FakeApi, body: bytes, says: str) -> None:
    api.script = always(body=body)
    with pytest.raises(TransientError, match=says):
        ask(local(api, max_tries=1), request())


def test_half_a_surrogate_pair_becomes_a_question_mark(api: FakeApi) -> None:
    answer = choice({"content": "\ud83d \U0001f600"}).replace(b'"m"', b'"\\udc00"')
    assert b"\\ud83d\\ude00" in answer  # a whole pair, which stays
    api.script = always(body=answer)
    (completion,) = ask(local(api), request())
    assert (completion.text, completion.served_by) == ("? \U0001f600", "?")


def test_an_address_without_v1_is_doubted(api: FakeApi) -> None:
    with pytest.raises(ModelLoadError, match="base_url is without /v1"):
        ask(OpenaiApi(model="local/m", base_url=api.url), request())


def _no_host(*_asked: object, **_how: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_a_wrong_address_is_said_at_once(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    secure = api.url.replace("http:", "https:")
    with pytest.raises(BackendError, match=r"127.* does not speak TLS .*LOCAL_BASE_URL") as told:
        ask(OpenaiApi(model="local/m", base_url=f"{secure}/v1"), request())
    assert not told.value.retryable
    monkeypatch.setattr(socket, "getaddrinfo", _no_host)
    with pytest.raises(BackendError, match=r"known of llm\.example .*LOCAL_BASE_URL") as told:
        ask(OpenaiApi(model="local/m", base_url="http://llm.example/v1"), request())
    assert not told.value.retryable
    error = ssl.SSLCertVerificationError("no")
    error.verify_message = "self-signed certificate"
    refused = read_connection_fault(error, "https://llm.example/v1", "base_url")
    assert refused.is_hopeless
    assert "certificate of llm.example is refused (self-signed" in str(refused.error)
    assert not read_connection_fault(
        ssl.SSLEOFError("EOF"), "https://llm.example/v1", "base_url"
    ).is_hopeless


def test_a_server_that_is_not_there_is_named() -> None:
    backend = OpenaiApi(model="local/m", base_url="http://127.0.0.1:9/v1", max_tries=2)
    with pytest.raises(TransientError, match=r"no connection to http://127\.0\.0\.1:9/v1"):
        ask(backend, request())


# Log-likelihood. -------------------------------------------------------------------------------

OPTIONS = (" positive", " very negative")


def scored(**fields: Any) -> Request:  # noqa: ANN401 - the fields of Decoding
    return request(
        Message(role="user", content="Good film."), samples=(0, 1), options=OPTIONS, **fields
    )


def test_options_are_scored_over_their_own_tokens(api: FakeApi) -> None:
    completions = ask(local(api, api="completions"), scored())
    assert [one.text for one in completions] == list(OPTIONS)
    assert [one.logprob for one in completions] == [
        logprob(" positive"),
        logprob(" very") + logprob(" negative"),
    ]
    assert [one.n_generated_tokens for one in completions] == [1, 2]
    assert api.seen[0].body == {
        "model": "m",
        "prompt": ["Good film. positive", "Good film. very negative"],
        "max_tokens": 0,
        "temperature": 0.0,
        "echo": True,
        "logprobs": 1,
    }


def test_a_server_that_must_generate_is_asked_for_one_token_from_then_on(api: FakeApi) -> None:
    def picky(body: Mapping[str, Any], _n: int) -> Answer:
        if body["max_tokens"] == 0:
            return Answer(status=400, text="max_tokens must be at least 1")
        return Answer(text=" Next")

    api.script = picky
    backend = local(api, api="completions")
    first = ask(backend, scored())
    second = ask(backend, scored())
    assert [seen.body["max_tokens"] for seen in api.seen] == [0, 1, 1]
    assert [one.logprob for one in first] == [one.logprob for one in second]
    assert first[0].logprob == logprob(" positive")  # the token after it does not count


def test_a_begin_token_in_the_echo_shifts_nothing(api: FakeApi) -> None:
    def with_begin(body: Mapping[str, Any], _n: int) -> Answer:
        tokens = ["<s>", "Good", " film.", " positive"]
        found = {
            "tokens": tokens,
            "token_logprobs": [None, -1.0, -2.0, -3.0],
            "text_offset": [0, 3, 7, 13],  # as vLLM counts: 3 too many
        }
        choices = [{"index": i, "text": "", "logprobs": found} for i in range(len(body["prompt"]))]
        return Answer(body=json.dumps({"model": "m", "choices": choices}).encode())

    api.script = with_begin
    wanted = request(
        Message(role="user", content="Good film."), samples=(0,), options=(" positive",)
    )
    (completion,) = ask(local(api, api="completions"), wanted)
    assert completion.logprob == -3.0


@pytest.mark.parametrize("interface", ["completions", "chat"])
def test_a_server_that_drops_logprobs_is_named_after_a_second_try(
    api: FakeApi, interface: str
) -> None:
    api.script = always(logprobs=None)
    with pytest.raises(BackendError, match="this server drops logprobs") as failed:
        ask(local(api, api=interface), scored())
    assert not failed.value.retryable
    assert len(api.seen) == 2


def top(*likeliest: tuple[str, float]) -> Script:
    listed = [{"token": token, "logprob": value} for token, value in likeliest]
    return always(logprobs={"content": [{**listed[0], "top_logprobs": listed}]})


def test_a_chat_scores_options_by_their_first_token(api: FakeApi) -> None:
    api.script = top(("pos", -0.5), (" very", -1.5), ("It", -3.0))
    completions = ask(openai(api), scored())
    assert [one.logprob for one in completions] == [-0.5, -1.5]
    assert api.seen[0].body["top_logprobs"] == 20
    assert api.seen[0].body["max_completion_tokens"] == 1


@pytest.mark.parametrize(
    ("likeliest", "says"),
    [
        ([("It", -0.1), ("very", -0.2)], "' positive' begins with none of the 20"),
        ([("p", -0.1), ("v", -0.2)], None),
    ],
)
def test_a_chat_that_cannot_tell_options_apart_says_so(
    api: FakeApi, likeliest: list[tuple[str, float]], says: str | None
) -> None:
    api.script = top(*likeliest)
    if says is None:
        same = request(ASK, samples=(0, 1), options=(" pa", " pb"))
        with pytest.raises(BackendError, match="begins another option"):
            ask(openai(api), same)
    else:
        with pytest.raises(BackendError, match=says):
            ask(openai(api), scored())


def test_scoring_can_be_off(api: FakeApi) -> None:
    for backend in (openai(api, logprobs=False), openai(api, "o3"), openai(api, api="responses")):
        assert "loglikelihood" not in backend.info.capabilities
        with pytest.raises(BackendError, match="gives no log-probabilities"):
            ask(backend, scored())
    assert api.seen == []


# Names, keys, the SDK. -------------------------------------------------------------------------


def build(model: str, /, **args: str) -> Backend:
    built = build_backend(model, args, problems=(), store=None, notify=print)
    return cast("Backend", built)


ALIASES: list[tuple[str, Mapping[str, str], Mapping[str, Any]]] = [
    ("local-chat-completions", {"base_url": "http://127.0.0.1:1/v1/chat/completions", "model": "a"},
     {"backend": "openai-api", "model": "local/a", "api": "chat"}),
    ("local-completions", {"base_url": "http://127.0.0.1:1/v1/completions", "pretrained": "m"},
     {"backend": "openai-api", "model": "local/m", "api": "completions"}),
    ("openai-chat-completions", {"model": "gpt-4o"},
     {"backend": "openai", "model": "gpt-4o", "api": "chat"}),
    ("openai_completions", {"model": "davinci-002"},
     {"backend": "openai", "model": "davinci-002", "api": "completions"}),
    ("openai/gpt-4o", {}, {"backend": "openai", "model": "gpt-4o", "api": "chat"}),
    ("openai-api/my-vllm/Qwen/Qwen3-8B", {"base_url": "http://127.0.0.1:1/v1"},
     {"backend": "openai-api", "model": "my-vllm/Qwen/Qwen3-8B", "api": "chat"}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "args", "expected"), ALIASES, ids=[row[0] for row in ALIASES])
def test_names_of_models(model: str, args: Mapping[str, str], expected: Mapping[str, Any]) -> None:
    info = build(model, **args).info
    assert {"backend": info.backend, "model": info.model, "api": info.settings["api"]} == expected
    if "base_url" in args:
        assert info.settings["base_url"] == "http://127.0.0.1:1/v1"


def test_the_parameters_of_lm_eval_are_understood_or_refused() -> None:
    base = {"model": "m", "base_url": "http://127.0.0.1:1/v1/completions"}
    given = {"num_concurrent": "7", "max_retries": "3", "timeout": "9"}
    backend = build("local-completions", **base, **given)
    assert (backend.max_connections, backend.max_tries, backend.timeout_s) == (7, 3, 9.0)
    with pytest.raises(UnknownNameError, match="tokenized_requests"):
        build("local-completions", **base, tokenized_requests="False")
    with pytest.raises(UsageError, match="needs a model"):
        build("local-chat-completions", base_url="http://127.0.0.1:1/v1")
    assert build("anthropic-chat", model="claude-haiku-4-5").info.backend == "anthropic"


@pytest.mark.parametrize(
    ("model", "args", "says"),
    [
        ("openai-api/local", {}, "SERVICE/MODEL"),
        ("openai-api/my-vllm/m", {}, "MY_VLLM_BASE_URL"),
        ("openai/gpt-4o", {"api": "chats"}, "api=chats is not one of"),
        ("openai/gpt-4o", {"reasoning_effort": "huge"}, "reasoning_effort=huge"),
        ("openai/gpt-4o", {"without": "temprature"}, "temprature"),
        ("openai/davinci-002", {"reasoning_effort": "low"}, "takes no reasoning_effort"),
        ("openai", {}, "needs model"),
    ],
)
def test_wrong_arguments_are_named(model: str, args: Mapping[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(model, **args)


def test_a_service_is_found_by_its_variables(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_VLLM_BASE_URL", f"{api.url}/v1/")
    (tmp_path / ".env").write_text(f"MY_VLLM_API_KEY={KEY}\n")
    ask(OpenaiApi(model="my-vllm/m"), request())
    assert api.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_server_without_a_key_gets_none_not_even_that_of_openai(api: FakeApi) -> None:
    ask(local(api), request())
    assert "authorization" not in api.seen[0].headers
    ask(openai(api), request())
    assert api.seen[1].headers["authorization"] == f"Bearer {KEY}"


def test_what_is_set_for_openai_goes_to_openai_alone(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: red\nAuthorization: Bearer mine")
    monkeypatch.setenv("LOCAL_API_KEY", "local-key")
    ask(local(api), request())
    ask(openai(api), request())
    theirs, ours = (seen.headers for seen in api.seen)
    names = ("openai-organization", "openai-project", "x-team")
    assert [theirs.get(name) for name in names] == [None] * 3
    assert theirs["authorization"] == "Bearer local-key"
    assert [ours.get(name) for name in names] == ["org-1", "proj-1", "red"]


def test_a_missing_key_is_said_before_anything_is_sent(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert openai(api).info.model == PLAIN  # a plan needs none
    with pytest.raises(AccessError, match="OPENAI_API_KEY"):
        ask(openai(api), request())
    assert api.seen == []


def test_the_key_shows_nowhere(api: FakeApi) -> None:
    backend = openai(api)
    (completion,) = ask(backend, request())
    api.script = always(status=400, text=f"bad: {KEY}")
    with pytest.raises(BackendError) as failed:
        ask(backend, request())
    parts = (backend, backend.info, backend.wire, backend.wire.setup, completion, failed.value)
    shown = [show(part) for part in parts for show in (str, repr)]
    assert not [text for text in shown if KEY in text]
    assert failed.value.__cause__ is None  # what the SDK raised holds the server's words


def test_a_closed_backend_works_again_in_another_loop(api: FakeApi) -> None:
    backend = openai(api)
    assert [len(ask(backend, request())) for _ in range(2)] == [1, 1]


def test_a_backend_left_open_works_again_in_another_loop(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    backend = openai(api)
    asyncio.run(backend.generate(request()))  # interrupted before it could close
    assert len(ask(backend, request())) == 1
    del backend
    gc.collect()
    assert "Unclosed" not in caplog.text


LIMITS: list[tuple[str, float, str]] = [
    ("max_connections", 0, "max_connections=0: must be at least 1"),
    ("max_tries", 0, "max_tries=0: must be at least 1"),
    ("timeout_s", 0.0, "timeout_s=0: must be above 0"),
    ("requests_per_minute", 0, "requests_per_minute=0: must be above 0"),
    ("tokens_per_minute", -5.0, "tokens_per_minute=-5: must be above 0"),
    ("hedge_after_s", 0.0, "hedge_after_s=0: must be above 0"),
]


@pytest.mark.parametrize("make", [openai, local], ids=["openai", "openai-api"])
@pytest.mark.parametrize(("name", "value", "says"), LIMITS, ids=[row[0] for row in LIMITS])
def test_limits_that_let_nothing_through_are_refused(
    api: FakeApi, make: Callable[..., Backend], name: str, value: float, says: str
) -> None:
    with pytest.raises(ValueError, match=f"^{says}$"):
        make(api, **{name: value})


def test_info_imports_no_sdk() -> None:
    code = (
        "import sys\n"
        "from cotkit.backends.openai import Openai\n"
        "from cotkit.backends.openai_api import OpenaiApi\n"
        "Openai(model='gpt-4o').info\n"
        "OpenaiApi(model='a/b', base_url='http://127.0.0.1:1/v1').info\n"
        "print([m for m in ('openai', 'httpx2', 'aiohttp', 'tenacity') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_rule_reads(api: FakeApi) -> None:
    for model in ("openai/gpt-4o", "anthropic/claude-haiku-4-5", "openai-api/a/b", "other/x"):
        assert rule_for(model).refuses <= REFUSABLE
    assert rule_for("openai/ft:gpt-4o-mini:mine").max_tokens == "max_completion_tokens"
    assert "temperature" in rule_for("openai/gpt-6-sol").refuses


def test_samples_that_were_answered_are_kept_when_another_fails(tmp_path: Path) -> None:
    """Nothing is paid twice: a vote that lost one of its calls keeps the others."""
    seeds: list[int] = []
    is_down = True

    def script(body: dict[str, Any], n_seen: int) -> Answer:
        seed = body.get("seed")
        if seed is not None and seed not in seeds:
            seeds.append(seed)
        return Answer(status=500 if is_down and seeds[1:2] == [seed] else 200)

    with FakeApi(script=script) as api:
        args = {"base_url": f"{api.url}/v1", "without": "n", "max_tries": "1"}
        spec: dict[str, Any] = {
            "limit": 1,
            "model_args": args,
            "log_dir": tmp_path,
            "baseline": "standard",
        }
        failed = compare("openai-api/fake/m", "self-consistency:k=3", "gsm-mini", **spec)
        assert failed.cells[1].outcomes["failed"] == 1
        n_asked = len(api.seen)
        is_down = False
        compare("openai-api/fake/m", "self-consistency:k=3", "gsm-mini", **spec)
        again = api.seen[n_asked:]
    assert [one.body["seed"] for one in again] == [seeds[1]], "only the one that failed"
