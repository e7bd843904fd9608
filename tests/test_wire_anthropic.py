"""Anthropic's Messages API over a real socket: what leaves the process, what becomes of answers."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cotkit.backends._hosted import policy
from cotkit.backends._hosted.thinking import ROOM
from cotkit.backends.anthropic import Anthropic
from cotkit.errors import (
    AccessError,
    BackendError,
    ModelLoadError,
    PromptTooLongError,
    TransientError,
    UsageError,
)
from cotkit.types import Completion, Decoding, Message, Request, Role
from tests.fake_api import Answer, FakeApi, Script

KEY = "sk-ant-test-0123456789abcdef"
OLD = "claude-haiku-4-5"  # takes temperature and a begun reply, and thinks when told to only
SHOT = "Q: " + "a word " * 60 + "\nA: The answer is 1."


@pytest.fixture(autouse=True)
def _own_place(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] - pytest calls it
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    monkeypatch.setattr(policy, "_FIRST_WAIT_S", 0.01)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as server:
        yield server


def asks(
    *said: tuple[Role, str],
    samples: tuple[int, ...] = (0,),
    stop: tuple[str, ...] = (),
    temperature: float = 0.0,
    top_k: int = 0,
) -> Request:
    return Request(
        messages=tuple(Message(role=role, content=content) for role, content in said),
        decoding=Decoding(max_tokens=50, stop=stop, temperature=temperature, top_k=top_k),
        samples=samples,
    )


def claude(fields: Mapping[str, Any]) -> Anthropic:
    merged: dict[str, Any] = {"model": OLD, **fields}
    return Anthropic(**merged)


def ask(
    api: FakeApi, request: Request, fields: Mapping[str, Any] | None = None
) -> tuple[Completion, ...]:
    async def run() -> tuple[Completion, ...]:
        backend = claude({"base_url": api.url, **(fields or {})})
        try:
            return await backend.generate(request)
        finally:
            await backend.close()

    return asyncio.run(run())


def always(answer: Answer) -> Script:
    return lambda body, n_before: answer


def test_the_body_the_path_and_the_headers_are_these(api: FakeApi) -> None:
    request = asks(("system", "Be brief.\n"), ("user", "Q: 1+1?\nA:"), stop=("\nQ:", "\n\n"))
    (done,) = ask(api, request)
    (seen,) = api.seen
    assert seen.path == "/v1/messages"
    assert seen.body == {
        "model": OLD,
        "max_tokens": 50,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Q: 1+1?\nA:"}],
        "temperature": 0.0,
        "stop_sequences": ["\nQ:"],  # one of white space alone is refused by the API
    }
    assert seen.headers["authorization"] == f"Bearer {KEY}" or seen.headers["x-api-key"] == KEY
    assert seen.headers["anthropic-version"]
    assert done.sent == {
        "model": OLD,
        "max_tokens": 50,
        "temperature": 0.0,
        "stop_sequences": ["\nQ:"],
    }
    assert done.served_by == OLD
    assert [one.status for one in done.tries] == ["200"]


def test_neighbours_of_one_role_are_one_message_and_empty_ones_are_none(api: FakeApi) -> None:
    said: list[tuple[Role, str]] = [
        ("user", "First.\n"),
        ("user", "Second.\n"),
        ("assistant", " Third. "),
        ("user", "  \n"),
        ("assistant", "Fourth."),
        ("user", "Fifth.\n"),
    ]
    ask(api, asks(*said))
    assert api.seen[0].body["messages"] == [
        {"role": "user", "content": "First.\nSecond."},
        {"role": "assistant", "content": "Third. Fourth."},
        {"role": "user", "content": "Fifth."},
    ]


@pytest.mark.parametrize(
    ("n_shots", "cache", "n_marks"),
    [
        (8, True, 1),
        (2, True, 0),  # too short for any model
        (8, False, 0),
    ],
)
def test_exemplars_are_marked_for_the_cache_and_no_character_moves(
    api: FakeApi, n_shots: int, cache: bool, n_marks: int
) -> None:
    prompt = "\n\n".join(["Answer.", *[SHOT] * n_shots, "Q: 1+1?\nA:"])
    ask(api, asks(("user", prompt)), {"cache": cache})
    content = api.seen[0].body["messages"][0]["content"]
    blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
    assert "".join(block["text"] for block in blocks) == prompt
    marked = [block for block in blocks if "cache_control" in block]
    assert len(marked) == n_marks
    if marked:
        assert blocks[0]["cache_control"] == {"type": "ephemeral"}
        assert blocks[1] == {"type": "text", "text": "\n\nQ: 1+1?\nA:"}


def test_two_questions_share_their_marked_prefix(api: FakeApi) -> None:
    for question in ("1+1?", "2+2?"):
        ask(api, asks(("user", "\n\n".join([*[SHOT] * 8, f"Q: {question}\nA:"]))))
    first, second = (seen.body["messages"][0]["content"] for seen in api.seen)
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_the_last_reply_of_a_long_conversation_is_marked(api: FakeApi) -> None:
    prompt = "\n\n".join([*[SHOT] * 8, "Q: 1+1?\nA:"])
    ask(api, asks(("user", prompt), ("assistant", "It is 2."), ("user", "Check it.")))
    first, reply, last = (turn["content"] for turn in api.seen[0].body["messages"])
    assert "".join(block["text"] for block in first) == prompt
    mark = {"cache_control": {"type": "ephemeral"}}
    assert reply == [{"type": "text", "text": "It is 2.", **mark}]
    assert last == "Check it."


@pytest.mark.parametrize(
    ("model", "fields", "extra", "refused"),
    [
        (OLD, {}, {"temperature": 0.0}, False),
        ("claude-sonnet-4-6", {}, {"temperature": 0.0}, True),
        ("claude-opus-4-7", {}, {}, True),
        ("claude-opus-5", {}, {"thinking": {"type": "disabled"}}, True),
        ("claude-sonnet-5-5", {}, {"thinking": {"type": "between_tools"}}, True),
        (
            "claude-opus-5-5",
            {},
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "max_tokens": 50 + ROOM["medium"],
            },
            True,
        ),
        (
            "claude-opus-5",
            {"thinking": "auto", "effort": "low"},
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "low"},
                "max_tokens": 50 + ROOM["low"],
            },
            True,
        ),
        (
            OLD,
            {"thinking": "2048"},
            {"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 2098},
            True,  # a begun reply does not go with thinking
        ),
        (OLD, {"without": "temperature+stop"}, {"stop_sequences": None}, False),
        ("claude-nobody-knows", {}, {"temperature": 0.0}, False),  # its 400 will say
    ],
)
def test_each_model_is_sent_what_it_takes(
    api: FakeApi, model: str, fields: dict[str, str], extra: dict[str, Any], refused: bool
) -> None:
    ask(api, asks(("user", "1+1?"), stop=("Q:",)), {"model": model, **fields})
    wanted: dict[str, Any] = {
        "model": model,
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "1+1?"}],
        "stop_sequences": ["Q:"],
        **extra,
    }
    assert api.seen[0].body == {key: value for key, value in wanted.items() if value is not None}
    begun = asks(("user", "1+1?"), ("assistant", "The answer is "))
    if refused:
        with pytest.raises(BackendError, match="cannot continue"):
            ask(api, begun, {"model": model, **fields})
        assert len(api.seen) == 1
    else:
        ask(api, begun, {"model": model, **fields})
        assert api.seen[1].body["messages"][1] == {"role": "assistant", "content": "The answer is"}


def test_a_temperature_that_a_model_does_not_take_is_refused_in_words(api: FakeApi) -> None:
    with pytest.raises(BackendError, match=r"claude-opus-5 does not take temperature=0\.7"):
        ask(api, asks(("user", "1+1?"), temperature=0.7), {"model": "claude-opus-5"})
    ask(api, asks(("user", "1+1?"), temperature=0.7, top_k=5))
    assert [seen.body.get("temperature") for seen in api.seen] == [0.7]
    assert api.seen[0].body["top_k"] == 5


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"thinking": "100"}, "neither off, auto nor a budget from 1024"),
        ({"thinking": "much"}, "neither off"),
        ({"thinking": "off", "model": "claude-opus-5-5"}, "cannot be kept from thinking"),
        ({"without": "temprature"}, "can be left out"),
        ({"max_tries": 0}, "max_tries=0: must be at least 1"),
        ({"hedge_after_s": 0.0}, "hedge_after_s=0: must be above 0"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(fields: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        claude(fields)


def test_samples_are_calls_side_by_side(api: FakeApi) -> None:
    api.latency_s = 0.2
    api.script = lambda body, n_before: Answer(text=f"answer {n_before}")
    done = ask(api, asks(("user", "1+1?"), temperature=0.7, samples=(0, 1, 2, 5)))
    assert max(seen.at_s for seen in api.seen) < min(seen.done_s for seen in api.seen)
    assert sorted(one.text for one in done) == [f"answer {i}" for i in range(4)]
    assert len(api.seen) == 4
    assert all("n" not in seen.body for seen in api.seen)


def test_each_sample_is_handed_over_as_it_comes(api: FakeApi) -> None:
    api.script = lambda body, n_before: Answer(hang_s=60 if n_before else 0)
    kept: dict[int, Completion] = {}

    async def run() -> None:
        backend, one = claude({"base_url": api.url}), asyncio.Event()

        def keep(found: Mapping[int, Completion]) -> None:
            kept.update(found)
            one.set()

        request = asks(("user", "1+1?"), temperature=0.7, samples=(3, 4))
        call = asyncio.create_task(backend.generate_each(request, keep))
        await asyncio.wait_for(one.wait(), 5)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await backend.close()

    asyncio.run(run())
    assert [one.text for one in kept.values()] == ["The answer is 0."]
    assert kept.keys() <= {3, 4}


def test_a_backend_works_in_one_loop_after_another(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    backend, request = claude({"base_url": api.url}), asks(("user", "1+1?"))

    async def run(*, closes: bool) -> None:
        await backend.generate(request)
        if closes:
            await backend.close()
        await backend.generate(request)

    asyncio.run(run(closes=False))
    asyncio.run(run(closes=True))
    asyncio.run(backend.generate(request))
    asyncio.run(backend.close())
    gc.collect()
    assert len(api.seen) == 5
    assert "Unclosed" not in caplog.text


def test_a_failing_sample_fails_the_request_with_its_own_error(api: FakeApi) -> None:
    api.script = lambda body, n_before: Answer(status=401, text="no") if n_before else Answer()
    with pytest.raises(AccessError):
        ask(api, asks(("user", "1+1?"), temperature=0.7, samples=(0, 1, 2)))


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("refusal", "refusal"),
    ],
)
def test_every_stop_reason_has_its_meaning(api: FakeApi, finish: str, reason: str) -> None:
    api.script = always(Answer(text="so far", finish=finish))
    (done,) = ask(api, asks(("user", "1+1?")))
    assert (done.stop_reason, done.text) == (reason, "so far")


def test_tokens_spent_on_thinking_alone_are_a_truncation(api: FakeApi) -> None:
    api.script = always(Answer(text="", finish="length", reasoning="Hmm. Well."))
    (done,) = ask(api, asks(("user", "1+1?")), {"thinking": "1024"})
    assert (done.text, done.stop_reason, done.reasoning) == ("", "length", "Hmm. Well.")


def test_usage_is_told_apart(api: FakeApi) -> None:
    api.script = always(Answer(n_prompt=1500, n_cached=1000, n_cache_write=300, n_generated=7))
    (done,) = ask(api, asks(("user", "1+1?")))
    assert done.n_prompt_tokens == 1500
    assert done.n_shared_tokens == 1000
    assert done.n_cache_write_tokens == 300
    assert done.n_generated_tokens == 7
    assert done.n_reasoning_tokens is None


def test_counts_that_are_none_are_unknown(api: FakeApi) -> None:
    usage = {"input_tokens": -3, "cache_read_input_tokens": -1, "output_tokens": 2.5}
    answer = {"content": [], "stop_reason": "end_turn", "model": "\ud800", "usage": usage}
    api.script = always(Answer(body=json.dumps(answer).encode()))
    (done,) = ask(api, asks(("user", "1+1?")))
    assert (done.n_prompt_tokens, done.n_shared_tokens, done.n_generated_tokens) == (None, 0, None)
    assert done.served_by == "?"


def test_thinking_is_kept_apart_and_counted(api: FakeApi) -> None:
    blocks = [
        {"type": "thinking", "thinking": "One.", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "thinking", "thinking": "", "signature": "x"},
        {"type": "thinking", "thinking": "Two.", "signature": "x"},
        {"type": "text", "text": "The answer"},
        {"type": "text", "text": " is 2."},
    ]
    usage = {"input_tokens": 3, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 5}}
    answer = {"content": blocks, "stop_reason": "end_turn", "model": "m-1", "usage": usage}
    api.script = always(Answer(body=json.dumps(answer).encode()))
    (done,) = ask(api, asks(("user", "1+1?")))
    assert (done.text, done.reasoning) == ("The answer is 2.", "One.\nTwo.")
    assert (done.n_generated_tokens, done.n_reasoning_tokens) == (9, 5)
    assert done.served_by == "m-1"


@pytest.mark.parametrize(
    ("status", "text", "error", "words"),
    [
        (401, "invalid key", AccessError, "invalid key"),
        (403, "not allowed", AccessError, "not allowed"),
        (402, "pay first", AccessError, "pay first"),
        (400, "Your credit balance is too low.", AccessError, "credit balance"),
        (404, "model: claude-x", ModelLoadError, "anthropic has no 'claude-haiku-4-5'"),
        (400, "prompt is too long: 9 tokens > 8 maximum", PromptTooLongError, "too long"),
        (413, "Request too large", PromptTooLongError, "too large"),
        (
            400,
            "`temperature` is bad\nand more",
            BackendError,
            r"is bad \(.* without=temperature\)$",
        ),
        (400, "`stop_sequences` is bad", BackendError, r"\(--model-args without=stop\)$"),
        (400, '"thinking.type.disabled" is not supported', BackendError, "thinking=auto"),
        (422, "cannot be processed", BackendError, "anthropic answered 422: cannot be processed$"),
    ],
)
def test_a_fault_that_stays_is_told_once(
    api: FakeApi, status: int, text: str, error: type[BackendError], words: str
) -> None:
    api.script = always(Answer(status=status, text=text))
    with pytest.raises(error, match=words) as told:
        ask(api, asks(("user", "1+1?")))
    assert type(told.value) is error
    assert "\n" not in str(told.value)
    assert len(api.seen) == 1


def error(message: str, **fields: str | int) -> bytes:
    return json.dumps({"type": "error", "error": {"message": message, **fields}}).encode()


@pytest.mark.parametrize(
    ("answer", "told", "words"),
    [
        (
            Answer(status=429, body=error("You have reached your spend limit.")),
            AccessError,
            "spend",
        ),
        (Answer(status=429, body=error("Pay.", type="billing_error")), AccessError, "Pay"),
        (Answer(body=error("No.", type="authentication_error")), AccessError, "answered 401: No"),
        (Answer(body=error("No.", code=403)), AccessError, "answered 403"),
        (
            Answer(status=403, body=b"<html><p>No &lt;bots&gt;</p>"),
            AccessError,
            "page.*'No <bots>'",
        ),
        (Answer(status=400, body=error("half \ud800")), BackendError, r"half \?$"),
    ],
)
def test_an_error_in_its_own_words_is_told_once(
    api: FakeApi, answer: Answer, told: type[BackendError], words: str
) -> None:
    api.script = always(answer)
    with pytest.raises(told, match=words) as failed:
        ask(api, asks(("user", "1+1?")))
    str(failed.value).encode()
    assert len(api.seen) == 1


RATES = "Over your limit, see https://console.anthropic.com/settings/billing"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Answer(status=429, text="slow down", headers={"retry-after": "0.01"}), "429"),
        (Answer(status=429, text="Mind your usage limits."), "429"),
        (Answer(status=429, body=error(RATES)), "429"),
        (Answer(status=429, body=error("billing"), headers={"retry-after": "0"}), "429"),
        (Answer(body=error("Overloaded", type="overloaded_error")), "529"),
        (Answer(body=b'{"error": "it broke"}'), "500"),
        (Answer(body=b'{"a":' + b"[" * 100_000), "malformed"),
        (Answer(status=529, text="Overloaded"), "529"),
        (Answer(status=503), "503"),
        (Answer(status=500), "500"),
        (Answer(status=408), "408"),
        (Answer(reset=True), "reset"),
        (Answer(body=b"<html>"), "malformed"),
        (Answer(body=b"[]"), "malformed"),
        (Answer(body=b'{"content": [], "stop_reason": null}'), "malformed"),
        (Answer(body=b'{"content": null, "stop_reason": "end_turn"}'), "malformed"),
        (Answer(body=b'{"content": [{"type": "text"}], "stop_reason": "end_turn"}'), "malformed"),
        (Answer(finish="of_a_new_kind"), "malformed"),
    ],
)
def test_a_fault_that_may_pass_is_tried_again(api: FakeApi, fault: Answer, status: str) -> None:
    api.script = lambda body, n_before: Answer(text="there") if n_before else fault
    (done,) = ask(api, asks(("user", "1+1?")))
    assert done.text == "there"
    assert [one.status for one in done.tries] == [status, "200"]
    assert api.seen[0].body == api.seen[1].body


def test_a_hang_and_a_closed_port_end_in_words(api: FakeApi) -> None:
    api.script = always(Answer(hang_s=30))
    with pytest.raises(TransientError, match=r"gave up after 2 tries: timeout .*timeout"):
        ask(api, asks(("user", "1+1?")), {"timeout_s": 0.1, "max_tries": 2})
    with FakeApi() as gone:
        pass
    with pytest.raises(TransientError, match=f"no connection to {gone.url}"):
        ask(gone, asks(("user", "1+1?")), {"max_tries": 1})


def test_without_a_key_nothing_is_sent(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(AccessError, match=r"ANTHROPIC_API_KEY is set neither .* nor in \.env"):
        ask(api, asks(("user", "1+1?")))
    assert api.seen == []


def test_the_address_comes_from_the_environment_and_holds_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Anthropic(model=OLD).info.settings["base_url"] == "https://api.anthropic.com"
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9/")
    assert Anthropic(model=OLD).info.settings["base_url"] == "http://127.0.0.1:9"
    with pytest.raises(UsageError, match="holds a user name") as told:
        Anthropic(model=OLD, base_url="http://me:hunter2@127.0.0.1:9")
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "claude-sonnet-4-5"},
        {"base_url": "http://127.0.0.1:9"},
        {"thinking": "1024"},
        {"thinking": "2048"},
        {"effort": "low"},
        {"without": "temperature"},
    ],
)
def test_what_can_change_an_answer_is_part_of_the_identity(fields: dict[str, Any]) -> None:
    plain, other = claude({}).info, claude(fields).info
    assert (plain.fingerprint, plain.settings) != (other.fingerprint, other.settings)


def test_what_cannot_change_an_answer_is_not() -> None:
    one = Anthropic(model=OLD).info
    other = Anthropic(model=OLD, cache=False, timeout_s=1, max_tries=1, hedge_after_s=1).info
    assert one == other
    assert "loglikelihood" not in one.capabilities
    assert not one.deterministic


def test_identity_needs_no_sdk() -> None:
    code = (
        "import sys; from cotkit.backends.anthropic import Anthropic; Anthropic(model='m').info; "
        "sys.exit(any(name in sys.modules for name in ('anthropic', 'httpx2', 'aiohttp')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)
