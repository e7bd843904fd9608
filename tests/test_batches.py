"""Provider batch APIs: the same completions as plain calls, and nothing submitted twice."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from cotkit import compare
from cotkit.backends._batch.api import BatchProgress
from cotkit.backends._batch.batched import BatchedBackend
from cotkit.backends._batch.providers import make_batched
from cotkit.backends._hosted import policy
from cotkit.backends.anthropic import Anthropic
from cotkit.backends.openai import Openai
from cotkit.backends.scripted import Reply, Scripted
from cotkit.errors import AccessError, BackendError, PromptTooLongError, TransientError, UsageError
from cotkit.identity import backend_key
from cotkit.protocols import Backend
from cotkit.report import render
from cotkit.store import AttemptRow, Store
from cotkit.store.batches import BatchLedger, BatchRow
from cotkit.types import Completion, Decoding, Message, Request
from tests.fake_batches import FakeBatches, Fate, answered
from tests.fake_wire import Answer, Body

PROVIDERS = ("openai", "anthropic")


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] - pytest calls it
    for name in PROVIDERS:
        monkeypatch.setenv(f"{name.upper()}_API_KEY", "sk-test-0123456789")
        monkeypatch.delenv(f"{name.upper()}_BASE_URL", raising=False)
    monkeypatch.setattr(policy, "_FIRST_WAIT_S", 0.01)


@pytest.fixture
def api() -> Iterator[FakeBatches]:
    with FakeBatches() as server:
        yield server


def plain(provider: str, api: FakeBatches) -> Openai | Anthropic:
    if provider == "openai":
        return Openai(model="gpt-4o-mini", base_url=f"{api.url}/v1")
    return Anthropic(model="claude-haiku-4-5", base_url=api.url)


def by_batch(provider: str, api: FakeBatches, ledger: BatchLedger | None = None) -> BatchedBackend:
    ledger = ledger or BatchLedger(place=Path("ledger.db"))
    backend = make_batched(cast("Backend", plain(provider, api)), ledger, poll_s=0.01)
    backend.gather_s = 0.02
    return backend


def ask(text: str, *samples: int) -> Request:
    decoding = Decoding(max_tokens=50, temperature=0.7 if len(samples) > 1 else 0.0, seed=1)
    return Request(
        messages=(Message(role="user", content=text),), decoding=decoding, samples=samples or (0,)
    )


Answers = list[tuple[Completion, ...] | BaseException]


def run(
    backend: BatchedBackend | Openai | Anthropic, *requests: Request, fails: bool = False
) -> Answers:
    async def all_at_once() -> Answers:
        try:
            asked = (backend.generate(request) for request in requests)
            return await asyncio.gather(*asked, return_exceptions=True)
        finally:
            await backend.close()

    found = asyncio.run(all_at_once())
    for one in found:
        if isinstance(one, BaseException) and not fails:
            raise one
    return found


def bare(completion: Completion) -> Completion:
    sent = {name: value for name, value in completion.sent.items() if name != "batch"}
    return replace(completion, sent=sent, tries=(), seconds=0.0)


def table(backend: BatchedBackend | Openai | Anthropic, folder: str) -> str:
    """The report of two strategies; one asks twice."""
    found = compare(cast("Backend", backend), ["zero-shot-cot", "cot"], limit=5, log_dir=folder)
    asyncio.run(backend.close())
    return render(found, "json", timing=False)


def sorted_text(bodies: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(json.dumps(body, sort_keys=True) for body in bodies)


REQUESTS = (*(ask(f"What is {i} plus {i}? é\u2028") for i in range(5)), ask("Vote", 0, 1, 2))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_batch_brings_what_plain_calls_bring(provider: str, api: FakeBatches) -> None:
    wanted = run(plain(provider, api), *REQUESTS)
    found = run(by_batch(provider, api), *REQUESTS)
    assert [[bare(c) for c in cs] for cs in found if isinstance(cs, tuple)] == [
        [bare(c) for c in cs] for cs in wanted if isinstance(cs, tuple)
    ]
    assert len(api.made) == 1
    assert sorted_text(list(api.made[0].calls.values())) == sorted_text(api.plain)
    last = found[-1]
    assert isinstance(last, tuple)
    assert [one.tries[-1].status for one in last] == ["200"] * 3
    assert [one.sent["batch"] for one in last] == ["batch_0"] * 3


@pytest.mark.parametrize("provider", PROVIDERS)
def test_second_turns_are_a_second_batch_and_the_table_is_the_same(
    provider: str, api: FakeBatches
) -> None:
    slow = table(by_batch(provider, api), "batch")
    assert [len(made.calls) for made in api.made] == [20, 5]
    assert not api.plain
    assert slow == table(plain(provider, api), "plain")


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("first", ["plain", "batch"])
def test_completions_are_shared_with_plain_calls(
    provider: str, first: str, api: FakeBatches
) -> None:
    one, other, n_sent = plain(provider, api), by_batch(provider, api), (0, 0)
    for backend in (one, other) if first == "plain" else (other, one):
        compare(cast("Backend", backend), "cot", limit=4, log_dir="logs")
        asyncio.run(backend.close())
        n_sent = (len(api.plain), len(api.made))
    assert n_sent == ((8, 0) if first == "plain" else (0, 1))
    assert backend_key(one.info) == backend_key(other.info)


def first_time(fate: Fate) -> Callable[[Body, int], Fate]:
    def script(body: Body, n_before: int) -> Fate:
        is_hit = "plus 3" in json.dumps(body) and n_before == 0
        return fate if is_hit else answered(body, n_before)

    return script


PASSING = [
    (Answer(status=429, text="slow down"), "429"),
    (Answer(status=500, text="it broke"), "500"),
    ("expired", "expired"),
    ("missing", "missing"),
    (Answer(body=b"{}"), "malformed"),
]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(("fate", "status"), PASSING, ids=[row[1] for row in PASSING])
def test_what_fails_for_a_while_goes_into_the_next_batch_alone(
    provider: str, fate: Fate, status: str, api: FakeBatches
) -> None:
    api.script = first_time(fate)
    found = run(by_batch(provider, api), *REQUESTS)
    n_calls = 6 if provider == "openai" else 8
    assert [len(made.calls) for made in api.made] == [n_calls, 1]
    hit = found[3]
    assert isinstance(hit, tuple)
    assert [one.status for one in hit[0].tries] == [status, "200"]


def test_choices_left_out_go_into_the_next_batch(api: FakeBatches) -> None:
    def script(body: Body, n_before: int) -> Fate:
        return Answer(text="one", n_choices=1) if body.get("n") else Answer(text="alone")

    api.script = script
    found = run(by_batch("openai", api), ask("Vote", 0, 1, 2))[0]
    assert isinstance(found, tuple)
    assert [one.text for one in found] == ["one", "one", "alone"]
    assert [body.get("n") for made in api.made for body in made.calls.values()] == [3, 2, None]


LASTING: list[tuple[str, Fate, type[BackendError], int, str]] = [
    ("openai", Answer(status=500), TransientError, 3, "gave up after 3 batches: 500, 500, 500"),
    ("anthropic", "expired", TransientError, 3, "expired, expired, expired"),
    ("openai", Answer(status=400, text="no"), BackendError, 1, "answered 400: no"),
    ("anthropic", Answer(status=401, text="bad key"), AccessError, 1, "bad key"),
    ("anthropic", Answer(status=400, text="prompt is too long"), PromptTooLongError, 1, "too long"),
    ("openai", "cancelled", BackendError, 1, "cancelled at the provider"),
    ("anthropic", "cancelled", BackendError, 1, "cancelled at the provider"),
]


@pytest.mark.parametrize("row", LASTING, ids=lambda row: f"{row[0]} {row[4]}")
def test_what_fails_for_good_is_an_error_and_the_rest_is_kept(
    row: tuple[str, Fate, type[BackendError], int, str], api: FakeBatches
) -> None:
    provider, fate, error, n_batches, words = row
    api.script = lambda body, n: fate if "plus 3" in json.dumps(body) else answered(body, n)
    found = run(by_batch(provider, api), *REQUESTS[:5], fails=True)
    assert [isinstance(one, tuple) for one in found] == [True, True, True, False, True]
    assert type(found[3]) is error
    assert words in str(found[3])
    assert len(api.made) == n_batches
    api.script = answered
    run(by_batch(provider, api), *REQUESTS[:5])
    assert [len(made.calls) for made in api.made[n_batches:]] == [1]  # only that one, anew


def test_a_batch_that_is_refused_is_one_error(api: FakeBatches) -> None:
    api.refuses = "Enqueued token limit reached"
    found = run(by_batch("openai", api), *REQUESTS, fails=True)
    assert len({str(one) for one in found}) == 1
    assert str(found[0]).startswith("openai refused batch batch_0: Enqueued token limit reached")
    api.refuses = None
    run(by_batch("openai", api), *REQUESTS)
    assert len(api.made) == 2  # the refused one is not waited for


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("breaks", [["after"], ["before"], ["500", "after"]], ids=str)
def test_a_broken_submission_is_looked_for_before_it_is_made_again(
    provider: str, breaks: list[str], api: FakeBatches
) -> None:
    api.breaks = breaks
    run(by_batch(provider, api), *REQUESTS)
    assert len(api.made) == 1


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


class KilledLedger(BatchLedger):
    """The process ends between the submission and the record of its id."""

    def submitted(self, key: str, id_: str) -> BatchRow:
        raise Killed


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("is_done", [True, False], ids=["done meanwhile", "still running"])
def test_killed_between_submission_and_id_the_batch_is_found(
    provider: str, is_done: bool, api: FakeBatches
) -> None:
    killed = by_batch(provider, api, KilledLedger(place=Path("ledger.db")))
    with pytest.raises(Killed):
        run(killed, *REQUESTS)
    other = replace(api.made[0], id="other", metadata={}, n_polls=9, results=[])
    api.made.append(other)  # as many calls of somebody else, done: must not be taken for ours
    if is_done:
        api.finish(api.made[0])
    run(by_batch(provider, api), *REQUESTS)
    assert [made.id for made in api.made] == ["batch_0", "other"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_killed_before_submission_it_is_submitted_once(
    provider: str, api: FakeBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: object) -> str:
        raise Killed

    backend = by_batch(provider, api)
    monkeypatch.setattr(backend.provider, "submit", killed)
    with pytest.raises(Killed):
        run(backend, *REQUESTS)
    assert not api.made
    run(by_batch(provider, api), *REQUESTS)
    assert len(api.made) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_more_calls_than_one_batch_may_hold(provider: str, api: FakeBatches) -> None:
    backend = by_batch(provider, api)
    backend.provider.max_calls = 2
    assert all(isinstance(one, tuple) for one in run(backend, *REQUESTS[:5]))
    assert [len(made.calls) for made in api.made] == [2, 2, 1]
    backend = by_batch(provider, api, BatchLedger(place=Path("other.db")))
    backend.provider.max_bytes = 3 * 400
    run(backend, *(ask(f"{i}" * 100) for i in range(5)))
    assert [len(made.calls) for made in api.made[3:]] == [2, 2, 1]
    assert max(api.calls.values()) == 1


RUN = """
import sys
from pathlib import Path
from tests.fake_batches import FakeBatches
from tests.test_batches import by_batch, table
from cotkit.store.batches import BatchLedger
api = FakeBatches()
api.url = sys.argv[2]
backend = by_batch(sys.argv[1], api, BatchLedger(place=Path("logs/cotkit.db")))
print(table(backend, "logs"), end="")
"""


@pytest.mark.parametrize(("provider", "turn"), [("openai", 1), ("anthropic", 2)])
def test_killed_while_polling_nothing_is_submitted_twice(
    provider: str, turn: int, api: FakeBatches, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", RUN, provider, api.url]
    there = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    api.held_from = turn - 1
    process = subprocess.Popen(command, env=there, stdout=subprocess.PIPE)
    api.wait_for(turn)
    process.kill()
    process.communicate()
    api.finish(api.made[-1])  # while nobody asks
    api.held_from = None
    done = subprocess.run(command, env=there, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [len(made.calls) for made in api.made] == [20, 5]
    assert max(api.calls.values()) == 1
    assert done.stdout == table(by_batch(provider, api), "whole")
    assert rows(tmp_path / "logs") == rows(tmp_path / "whole")


def rows(folder: Path) -> list[AttemptRow]:
    with Store(folder / "cotkit.db") as store:
        return [replace(row, seconds=0.0) for row in store.attempts(store.runs()[0].id)]


def test_it_says_what_it_waits_for_and_what_it_leaves_running(api: FakeBatches) -> None:
    said: list[str] = []
    api.held_from = 0
    backend = by_batch("openai", api)
    backend.notify = said.append

    async def interrupted() -> str | None:
        asked = asyncio.create_task(backend.generate(REQUESTS[0]))
        await asyncio.to_thread(api.wait_for, 1)
        status = backend.status()
        asked.cancel()
        await backend.close()
        return status

    assert asyncio.run(interrupted()) == "1 requests in 1 batch at openai, 0 done"
    submitted, left = said
    assert submitted.startswith("batch batch_0 of 1 requests is at openai: half the price")
    assert "the same command collects it" in submitted
    assert left.startswith("1 batch left running at openai: the same command collects")
    assert backend.status() is None


def test_polls_grow_apart(api: FakeBatches) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    api.n_polls = 8
    backend = by_batch("openai", api)
    backend.sleep, backend.poll_s = sleep, 10.0
    run(backend, REQUESTS[0])
    assert [round(wait) for wait in waits] == [10, 15, 22, 34, 51, 76, 114, 120]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_batch_of_another_account_is_not_paid_for_again(provider: str, api: FakeBatches) -> None:
    run(by_batch(provider, api), *REQUESTS)
    api.made.clear()
    found = run(by_batch(provider, api), *REQUESTS, fails=True)
    assert {type(one) for one in found} == {AccessError}
    assert "set the key it was submitted with" in str(found[0])
    assert not api.made


def test_a_provider_out_of_reach_is_asked_for_a_long_time(
    api: FakeBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, n_asked = by_batch("openai", api), 0
    progress = backend.provider.progress

    async def away(id_: str) -> BatchProgress:
        nonlocal n_asked
        n_asked += 1
        if n_asked < 20:
            raise TransientError("no connection")
        return await progress(id_)

    monkeypatch.setattr(backend.provider, "progress", away)
    backend.sleep = lambda _seconds: asyncio.sleep(0)
    assert isinstance(run(backend, REQUESTS[0])[0], tuple)


def test_only_providers_with_a_batch_api_have_it(tmp_path: Path) -> None:
    ledger = BatchLedger(place=tmp_path / "s.db")
    with pytest.raises(UsageError, match="has no batch API"):
        make_batched(Scripted(replies=[Reply(prompt="", text="a")]), ledger)
    with pytest.raises(UsageError, match="above 0"):
        make_batched(cast("Backend", Openai(model="gpt-4o-mini")), ledger, poll_s=0)


def test_the_ledger_remembers(tmp_path: Path) -> None:
    ledger = BatchLedger(place=tmp_path / "s.db")
    old = ledger.intend("k1", provider="p", backend="b", calls=[{0: "a", 1: "b"}, {0: "c"}])
    new = ledger.submitted(
        ledger.intend("k2", provider="p", backend="b", calls=[{4: "a"}]).key, "i"
    )
    assert (old.id, new.id, new.calls) == (None, "i", {0: {4: "a"}})
    again = BatchLedger(place=tmp_path / "s.db")
    assert again.holding(["a", "zzz"]) == [new, old]
    assert again.ids("p") == {"i"}
    again.drop("k1", ["a"])
    assert again.holding(["b"])[0].calls == {0: {1: "b"}, 1: {0: "c"}}
    assert again.holding(["b"])[0].n_calls == 2
    again.forget("k1")
    assert again.holding(["b", "c"]) == []
