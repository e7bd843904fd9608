"""The fake server does what it is told: else the tests that lean on it would prove nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest

from tests.fake_api import Answer, FakeApi
from tests.fake_process import FakeProcess

T = TypeVar("T")
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Two and two?"}]}
SHARES = {"429": 0.1, "500": 0.1, "reset": 0.1, "hang": 0.1, "malformed": 0.1}


async def post(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> str:
    """What a client meets: the status, or the name of what it raised."""
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body) as response:
            await response.json()
            return str(response.status)
    except (aiohttp.ClientError, ConnectionError, TimeoutError, ValueError) as met:
        return type(met).__name__


def run(work: Callable[[aiohttp.ClientSession], Awaitable[T]]) -> T:
    async def within() -> T:
        timeout = aiohttp.ClientTimeout(total=0.2)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            return await work(session)

    return asyncio.run(within())


def questions(n: int) -> list[dict[str, Any]]:
    return [CHAT | {"messages": [{"role": "user", "content": f"{i}?"}]} for i in range(n)]


def test_the_sdks_understand_every_format() -> None:
    openai, anthropic = pytest.importorskip("openai"), pytest.importorskip("anthropic")
    asked = Answer(text="It is 4.", reasoning="2 + 2", n_prompt=9, n_cached=3, served_by="m-1")
    with FakeApi(script=lambda body, n: asked) as api:
        client = openai.OpenAI(base_url=f"{api.url}/v1", api_key="k", max_retries=0)
        chat = client.chat.completions.create(**CHAT, n=2)
        assert [choice.message.content for choice in chat.choices] == ["It is 4."] * 2
        assert (chat.model, chat.usage.prompt_tokens_details.cached_tokens) == ("m-1", 3)
        raw = client.completions.create(model="m", prompt="a b", echo=True, logprobs=1)
        assert "".join(raw.choices[0].logprobs.tokens) == raw.choices[0].text == "a bIt is 4."
        response = client.responses.create(model="m", input="Two and two?")
        assert (response.output_text, response.usage.input_tokens) == ("It is 4.", 9)
        claude = anthropic.Anthropic(base_url=api.url, api_key="k", max_retries=0)
        message = claude.messages.create(**CHAT, max_tokens=9)
        assert [block.type for block in message.content] == ["thinking", "text"]
        assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (6, 3)
    paths = ["chat/completions", "completions", "responses", "messages"]
    assert [seen.path for seen in api.seen] == [f"/v1/{path}" for path in paths]
    assert api.seen[0].body == CHAT | {"n": 2}
    assert "anthropic-version" in api.seen[3].headers


@pytest.mark.parametrize(
    ("path", "where"), [("chat/completions", "error"), ("messages", "request_id")]
)
def test_errors_are_in_the_words_of_the_api(path: str, where: str) -> None:
    async def work(session: aiohttp.ClientSession) -> None:
        async with session.post(f"{api.url}/v1/{path}", json=CHAT) as response:
            assert response.status == 401
            assert where in await response.json()

    with FakeApi(script=lambda body, n: Answer(status=401, text="no")) as api:
        run(work)


def test_every_fault_is_met_as_drawn_and_tried_again_it_passes() -> None:
    async def ask(session: aiohttp.ClientSession) -> tuple[list[str], list[int]]:
        met: list[str] = []
        tries: list[int] = []
        for body in questions(30):
            tries.append(0)
            while not met or met[-1] != "200" or not tries[-1]:
                tries[-1] += 1
                met.append(await post(session, api.url, body))
        return met, tries

    with FakeApi(faults=SHARES, seed=1) as api:
        met, tries = run(ask)
    drawn = Counter(seen.fault for seen in api.seen)
    assert min(drawn.values()) >= 1
    assert set(drawn) == {*SHARES, None}
    by_name = Counter(met)
    assert by_name["200"] == drawn[None] == 30
    assert (by_name["429"], by_name["500"]) == (drawn["429"], drawn["500"])
    assert by_name["TimeoutError"] + by_name["SocketTimeoutError"] == drawn["hang"]
    assert by_name["JSONDecodeError"] == drawn["malformed"]
    assert by_name["ClientPayloadError"] + by_name["ClientOSError"] == drawn["reset"]
    assert sum(seen.is_answered for seen in api.seen) == 30
    with FakeApi(faults=SHARES, seed=1) as api:
        assert run(ask) == (met, tries)


def test_answers_repeat_and_differ_by_question_and_seed() -> None:
    async def ask(session: aiohttp.ClientSession) -> list[str]:
        texts: list[str] = []
        for body in [*questions(4), *questions(4), CHAT | {"seed": 1}, CHAT | {"seed": 2}]:
            async with session.post(f"{api.url}/v1/chat/completions", json=body) as response:
                texts.append((await response.json())["choices"][0]["message"]["content"])
        return texts

    with FakeApi() as api:
        texts = run(ask)
    assert texts[:4] == texts[4:8]
    assert len(set(texts)) == 6
    assert texts[0].split(". The answer is ")[1][:-1].isdigit()


def test_as_a_process_it_logs_what_it_answered(tmp_path: Path) -> None:
    async def ask(session: aiohttp.ClientSession) -> list[str]:
        return [await post(session, api.url, body) for body in questions(3)]

    with FakeProcess(log=tmp_path / "log.jsonl", arguments=["--faults", "500=1"]) as api:
        assert run(ask) == ["500"] * 3
    assert [(seen.status, seen.fault) for seen in api.seen] == [(500, "500")] * 3
    assert [seen.body for seen in api.seen] == questions(3)
