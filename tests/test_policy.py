"""How hosted calls are made: on a loop whose time is ours, so that nothing waits for real."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import pytest

from cotkit.backends._hosted.policy import Caller, Fault, Limits, Malformed
from cotkit.backends._hosted.throttle import Bucket, Slots
from cotkit.errors import AccessError, BackendError, PromptTooLongError, TransientError
from cotkit.types import Try

T = TypeVar("T")


class TimelessLoop(asyncio.SelectorEventLoop):
    """Where others would wait, its clock jumps ahead."""

    def __init__(self, start_s: float) -> None:
        self.now_s = start_s
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now_s


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: TimelessLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for ever"
        self._loop.now_s += timeout
        return super().select(0)


def play(main: Coroutine[Any, Any, T], *, start_s: float = 1000.0) -> T:
    """Run to the end; nothing may be left running."""

    async def alone() -> T:
        answer = await main
        assert asyncio.all_tasks() == {asyncio.current_task()}, "something was left running"
        return answer

    with asyncio.Runner(loop_factory=lambda: TimelessLoop(start_s)) as runner:
        return runner.run(alone())


def now() -> float:
    return asyncio.get_running_loop().time() - 1000.0


class SdkError(Exception):
    """What a provider's package raises; the fault is what an adapter reads from it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__("Bearer sk-planted")
        self.fault = fault


def read_fault(failure: Exception) -> Fault | None:
    return failure.fault if isinstance(failure, SdkError) else None


def caller(*, random: float = 1.0, **limits: Any) -> Caller:  # noqa: ANN401 - fields of Limits
    return Caller(
        Limits(**limits),
        read_fault,
        clock=lambda: asyncio.get_running_loop().time(),
        random=lambda: random,
    )


def fault(
    status: str = "500",
    error: BackendError | None = None,
    *,
    is_busy: bool = False,
    retry_after_s: float | None = None,
) -> SdkError:
    error = error or TransientError(f"the server said {status}")
    return SdkError(Fault(status=status, error=error, is_busy=is_busy, retry_after_s=retry_after_s))


def busy(retry_after_s: float | None = None) -> SdkError:
    return fault("429", is_busy=True, retry_after_s=retry_after_s)


HANG = 1e9
Step: TypeAlias = Exception | float
"""What a server does with one send: an exception to raise, or the seconds it takes."""


@dataclass
class Server:
    """Does one step for each send, the last one over and over; answers with the send's number."""

    steps: list[Step]
    at: list[float] = field(default_factory=list[float])
    n_open: int = 0
    most_open: int = 0

    async def send(self) -> int:
        step = self.steps[min(len(self.at), len(self.steps) - 1)]
        self.at.append(round(now(), 3))
        number = len(self.at)
        self.n_open += 1
        self.most_open = max(self.most_open, self.n_open)
        try:
            if isinstance(step, Exception):
                raise step
            await asyncio.sleep(step)
            return number
        finally:
            self.n_open -= 1


def statuses(tries: tuple[Try, ...]) -> list[str]:
    return [one.status for one in tries]


@pytest.mark.parametrize(
    ("first", "sent_at", "tries", "why"),
    [
        (fault("500"), [0, 0.5], ["500", "200"], "the first wait is at most half a second"),
        (fault("reset"), [0, 0.5], ["reset", "200"], "a lost connection passes"),
        (Malformed("no choices"), [0, 0.5], ["malformed", "200"], "no answer, whatever it says"),
        (HANG, [0, 5.5], ["timeout", "200"], "a hang costs one time limit, not the run"),
        (busy(), [0, 0.5], ["429", "200"], "busy without a word: backoff alone"),
        (busy(7.0), [0, 7.5], ["429", "200"], "Retry-After is a floor, jitter comes on top"),
        (fault("500", retry_after_s=7.0), [0, 7.5], ["500", "200"], "and not of busy ones only"),
        (busy(-3.0), [0, 0.5], ["429", "200"], "a date that is past asks for nothing"),
        (busy(600.0), [0, 600.5], ["429", "200"], "ten minutes are waited for"),
    ],
)
def test_a_fault_that_may_pass_is_tried_again(
    first: Step, sent_at: list[float], tries: list[str], why: str
) -> None:
    server = Server([first, 0.25])

    async def main() -> tuple[int, tuple[Try, ...]]:
        return await caller(timeout_s=5.0).call(server.send, 1)

    answer, seen = play(main())
    assert (answer, server.at, statuses(seen)) == (2, sent_at, tries), why
    assert seen[-1].seconds == pytest.approx(0.25)
    assert seen[0].seconds == pytest.approx(5.0 if first is HANG else 0.0)


@pytest.mark.parametrize(
    ("failure", "kind", "message", "why"),
    [
        (fault("401", AccessError("no such key")), AccessError, "no such key", "never mends"),
        (fault("400", PromptTooLongError("long")), PromptTooLongError, "long", "nor does this"),
        (fault("400", BackendError("what?")), BackendError, "what?", "nor any other 400"),
        (
            busy(7200.0),
            BackendError,
            "the server said 429: it asks to wait 120 min (resume the run after that)",
            "nobody waits two hours; it ends the run, or every other call would hear the same",
        ),
        (KeyError("bug"), KeyError, "'bug'", "a bug of ours is not the provider's fault"),
    ],
)
def test_what_does_not_pass_ends_the_call_at_once(
    failure: Exception, kind: type[Exception], message: str, why: str
) -> None:
    server = Server([failure, 0.1])

    async def main() -> Exception:
        mine = caller(max_connections=1)
        with pytest.raises(kind) as caught:
            await mine.call(server.send, 1)
        assert server.at == [0], why
        assert not getattr(caught.value, "retryable", False)
        await mine.call(server.send, 1)  # hangs if the only slot was kept
        return caught.value

    assert str(play(main())) == message


@pytest.mark.parametrize("limits", [{}, {"requests_per_minute": 60}], ids=["no rate", "a rate"])
def test_what_stays_keeps_back_the_calls_that_wait(limits: dict[str, float]) -> None:
    server = Server([fault("500"), fault("401", AccessError("no such key")), 0.1])

    async def main() -> None:
        async def send() -> int:
            await asyncio.sleep(0.1)  # meanwhile the others get in line
            return await server.send()

        mine = caller(max_connections=1, **limits)
        calls = (mine.call(send, 1) for _ in range(5))
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert len(server.at) == 2, "neither those in line nor the one that was to be tried again"
        assert {str(one) for one in found} == {"no such key"}
        assert len({id(one) for one in found}) == 5, "each has its own: what came is kept in it"
        answer, _ = await mine.call(server.send, 1)
        assert answer == 3, "a new run may ask again, the key is mended perhaps"

    play(main())


@pytest.mark.parametrize("error", [PromptTooLongError("long"), BackendError("no logprobs here")])
def test_what_is_wrong_with_one_call_keeps_nobody_back(error: BackendError) -> None:
    server = Server([fault("400", error), 0.1])

    async def main() -> None:
        mine = caller(max_connections=1)

        async def send() -> int:
            await asyncio.sleep(0.1)
            return await server.send()

        calls = (mine.call(send, 1) for _ in range(2))
        first, second = await asyncio.gather(*calls, return_exceptions=True)
        assert first is error
        assert not isinstance(second, BaseException)

    play(main())


@pytest.mark.parametrize(
    ("steps", "is_over", "why"),
    [
        ([fault("reset")] * 9, True, "nothing is there"),
        ([Malformed("a web page")] * 9, True, "something else is there"),
        ([fault("reset")] * 8, False, "eight may be chance"),
        ([0.1, *[fault("reset")] * 30], False, "it has answered: it comes back"),
        ([*[fault("reset")] * 7, fault("500"), *[fault("reset")] * 8], False, "it lives"),
        ([HANG] * 20, False, "a server that loads a model may be slow"),
    ],
)
def test_where_nothing_ever_answers_the_run_ends(
    steps: list[Step], is_over: bool, why: str
) -> None:
    server = Server(steps)

    async def main() -> None:
        mine = caller(max_tries=1)
        *before, last = [
            (await asyncio.gather(mine.call(server.send, 1), return_exceptions=True))[0]
            for _ in steps
        ]
        assert all(getattr(one, "retryable", True) for one in before), why
        assert isinstance(last, BackendError)
        assert last.retryable is not is_over, why
        assert ("nothing answers: 8 calls in a row" in str(last)) == is_over

    play(main())


def test_a_wrong_address_is_said_at_once_but_not_of_a_server_that_has_answered() -> None:
    error = TransientError("no such host", hint="see base_url")
    wrong = SdkError(Fault(status="reset", error=error, is_hopeless=True))

    async def main() -> None:
        server = Server([wrong])
        with pytest.raises(BackendError, match=r"^no such host \(see base_url\)$") as told:
            await caller().call(server.send, 1)
        assert not told.value.retryable
        assert server.at == [0]
        server, mine = Server([0.1, wrong, 0.1]), caller()
        await mine.call(server.send, 1)
        _, tries = await mine.call(server.send, 1)
        assert statuses(tries) == ["reset", "200"]

    play(main())


def test_giving_up_tells_every_try() -> None:
    server = Server([busy(), HANG, Malformed("not JSON")])

    async def main() -> TransientError:
        with pytest.raises(TransientError) as caught:
            await caller(max_tries=3, timeout_s=5.0).call(server.send, 1)
        return caught.value

    error = play(main())
    assert str(error) == (
        "gave up after 3 tries: 429 (0.0 s), timeout (5.0 s), malformed (0.0 s); "
        "the last: the server sent an answer that cannot be used: not JSON"
    )
    assert error.__cause__ is None, "what an SDK raises may hold a key"
    assert error.__context__ is None


@pytest.mark.parametrize(
    ("random", "waits"),
    [
        (1.0, [0.5, 1, 2, 4, 8, 16, 32, 60, 60]),  # doubles up to a minute
        (0.0, [0, 0, 0, 0, 0, 0, 0, 0, 0]),  # full jitter: down to nothing
        (0.5, [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]),
    ],
)
def test_backoff(random: float, waits: list[float]) -> None:
    server = Server([*[fault()] * 9, 0.0])

    async def main() -> None:
        await caller(max_tries=10, random=random).call(server.send, 1)

    play(main())
    sums = [sum(waits[:n]) for n in range(10)]
    assert server.at == pytest.approx(sums, abs=0.01)


def test_a_busy_server_with_retry_after_pauses_everyone() -> None:
    server = Server([1.0, busy(30.0), 1.0])

    async def main() -> None:
        mine = caller(random=0.0)
        first, second = (asyncio.create_task(mine.call(server.send, 1)) for _ in range(2))
        await asyncio.sleep(0.5)
        said = "1 waiting for an answer, 1 waiting to try again (429), all pause 30 s as the server"
        assert str(mine.status()).startswith(said)
        third = asyncio.create_task(mine.call(server.send, 1))
        await asyncio.gather(first, second, third)

    play(main())
    assert server.at[:2] == [0, 0]
    assert server.at[2:] == [30, 30], "the third call must not run into it"


def test_a_server_fault_with_retry_after_pauses_nobody_else() -> None:
    server = Server([fault("500", retry_after_s=30.0), 1.0])

    async def main() -> None:
        mine = caller(random=0.0)
        await asyncio.gather(*(mine.call(server.send, 1) for _ in range(2)))

    play(main())
    assert server.at == [0, 0, 30]


async def together(mine: Caller, send: Callable[[], Awaitable[T]], n: int) -> list[T]:
    answers = await asyncio.gather(*(mine.call(send, 1) for _ in range(n)))
    return [answer for answer, _ in answers]


def limit(mine: Caller) -> int:
    return mine._throttle._slots.limit


def test_the_limit_follows_the_load() -> None:
    async def main() -> None:
        mine = caller(max_connections=64, max_tries=99)
        server = Server([1.0])
        await together(mine, server.send, 200)
        assert server.most_open == 64, "a user who asks for 64 gets 64"
        assert limit(mine) == 64, "and never more"

        await together(mine, Server([*[busy()] * 64, 1.0]).send, 64)
        assert limit(mine) in (32, 33), "a round trip of busy answers halves it, once"

        server, before = Server([1.0]), limit(mine)
        await together(mine, server.send, 10 * before)
        assert server.most_open <= before + 10
        assert before + 8 <= limit(mine) <= before + 10, "one more for each round trip"

        with pytest.raises(TransientError):
            await mine.call(Server([busy()]).send, 1)
        assert limit(mine) == 1, "and no lower"
        await together(mine, Server([1.0]).send, 3000)
        assert limit(mine) == 64, "all of it comes back"

    play(main())


def test_a_few_busy_answers_among_many_cost_a_few_slots() -> None:
    async def main() -> None:
        mine = caller(max_connections=64)
        steps: list[Step] = [busy() if n % 20 == 10 else 0.2 for n in range(2000)]
        await together(mine, Server([*steps, 0.2]).send, 1319)
        assert limit(mine) >= 30
        assert now() < 2 * 1319 / 64 * 0.2, "a server that refuses 1 in 20 is still used"

    play(main())


@pytest.mark.parametrize(
    ("limits", "n", "n_tokens", "seconds", "why"),
    [
        ({"requests_per_minute": 60}, 61, 1, 60, "one a second from the first on"),
        ({"requests_per_minute": 6000}, 1025, 1, 10, "a quarter second's worth at once"),
        ({"tokens_per_minute": 6000}, 4, 1000, 30, "a large call is paid for by those after it"),
        ({"tokens_per_minute": 6e6}, 4, 1000, 0, "a rate far off costs nothing"),
        (
            {"requests_per_minute": 6, "tokens_per_minute": 6000},
            4,
            100,
            30,
            "the slower rate holds",
        ),
    ],
)
def test_rates(limits: dict[str, float], n: int, n_tokens: int, seconds: float, why: str) -> None:
    server = Server([0.0])

    async def main() -> None:
        mine = caller(max_connections=8, **limits)
        await asyncio.gather(*(mine.call(server.send, n_tokens) for _ in range(n)))

    play(main())
    assert server.at[-1] == pytest.approx(seconds, abs=0.5), why


def test_tokens_are_settled_by_what_a_call_took() -> None:
    server = Server([1.0])

    async def main() -> None:
        mine = caller(tokens_per_minute=6000)

        async def one() -> None:
            await mine.call(server.send, 1000, lambda _: 50)

        await asyncio.gather(*(one() for _ in range(40)))

    play(main())
    # by estimate, 10 s apart: 390 s; by use, 0.5 s apart once the first has answered
    assert server.at[-1] == pytest.approx(40 * 0.5, abs=5)


def test_a_bucket_saves_no_more_than_a_moment() -> None:
    bucket = Bucket(6000, 0.0)
    assert bucket.wait_s(25, 100.0) == 0, "a quarter second's worth"
    bucket.take(25)
    assert bucket.wait_s(1, 100.0) == pytest.approx(0.01)
    bucket.take(-500)
    assert bucket.wait_s(25, 100.0) == 0
    bucket.take(25)
    assert bucket.wait_s(1, 100.0) == pytest.approx(0.01), "what is given back is no burst either"


@pytest.mark.parametrize(
    ("steps", "answer", "tries", "at", "why"),
    [
        ([0.5, 9.0], 1, ["200"], 0.5, "answered in time: no second send"),
        ([HANG, 0.5], 2, ["hedged", "200"], 2.5, "the second wins"),
        ([3.0, 9.0], 1, ["hedged", "200"], 3.0, "the first wins after all"),
        ([HANG, fault("500"), 0.5], 3, ["500", "timeout", "200"], 10 + 0.5 + 0.5, "both fail"),
        ([fault("500"), 0.5], 2, ["500", "200"], 1.0, "a fault is not hedged, it is tried again"),
    ],
)
def test_hedging(steps: list[Step], answer: int, tries: list[str], at: float, why: str) -> None:
    server = Server(steps)

    async def main() -> None:
        mine = caller(hedge_after_s=2.0, timeout_s=10.0, max_connections=2)
        seen, made = await mine.call(server.send, 1)
        assert (seen, statuses(made), now()) == (answer, tries, pytest.approx(at)), why
        assert server.n_open == 0, "what did not win was cancelled"
        assert await together(mine, Server([1.0]).send, 2), "both slots are free"

    play(main())


@pytest.mark.parametrize("limits", [{"max_connections": 1}, {"requests_per_minute": 6}])
def test_a_hedge_takes_no_slot_and_no_rate_from_anyone(limits: dict[str, int]) -> None:
    server = Server([5.0])

    async def main() -> tuple[int, tuple[Try, ...]]:
        return await caller(hedge_after_s=2.0, **limits).call(server.send, 1)

    assert statuses(play(main())[1]) == ["200"]


@pytest.mark.parametrize("hedge_after_s", [None, 1.0])
@pytest.mark.parametrize("after_s", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(
    "limits", [{}, {"requests_per_minute": 60}], ids=["no rate", "held by a rate"]
)
def test_cancelling_leaves_nothing_behind(
    hedge_after_s: float | None, after_s: float, limits: dict[str, float]
) -> None:
    async def main() -> None:
        mine = caller(max_connections=4, hedge_after_s=hedge_after_s, **limits)
        server = Server([busy(), HANG])
        calls = [asyncio.create_task(mine.call(server.send, 1)) for _ in range(20)]
        await asyncio.sleep(after_s)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert all(call.cancelled() for call in calls)
        assert server.n_open == 0
        assert mine.status() is None or "at most" in str(mine.status())
        await together(mine, Server([1.0]).send, 20)  # hangs if a slot was kept

    play(main())


def test_a_slot_given_to_a_cancelled_waiter_goes_on_to_the_next() -> None:
    async def main() -> None:
        slots = Slots(1)
        await slots.enter()
        first, second = asyncio.create_task(slots.enter()), asyncio.create_task(slots.enter())
        await asyncio.sleep(0)
        slots.leave()
        first.cancel()  # after it was let in, before it could run
        await second
        assert first.cancelled()
        slots.leave()
        assert slots.enter_now()

    play(main())


def test_first_come_first_served() -> None:
    async def main() -> None:
        mine, order = caller(max_connections=3), list[int]()

        async def one(number: int) -> None:
            async def send() -> None:
                order.append(number)
                await asyncio.sleep(1)

            await mine.call(send, 1)

        await asyncio.gather(*(one(number) for number in range(20)))
        assert order == list(range(20))

    play(main())


def test_a_caller_outlives_an_event_loop() -> None:
    held = list[Caller]()

    async def main() -> None:
        if not held:
            held.append(caller(max_connections=1, requests_per_minute=600))
        await together(held[0], Server([1.0]).send, 3)

    play(main())
    play(main(), start_s=2000.0)


def test_status_speaks_only_of_the_unusual() -> None:
    async def main() -> None:
        mine = caller(max_connections=4)
        assert mine.status() is None
        server = Server([60.0, busy(), 60.0])
        calls = [asyncio.create_task(mine.call(server.send, 1)) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert mine.status() == (
            "1 waiting for an answer, 1 waiting to try again (429), at most 3 at once"
        )
        await asyncio.sleep(30)
        assert mine.status() == "2 waiting for an answer (longest 30 s), at most 3 at once"
        await asyncio.gather(*calls)
        assert mine.status() is None, "nothing is waited for"

    play(main())


def test_status_counts_no_nothing() -> None:
    async def main() -> None:
        mine = caller(max_connections=4)
        call = asyncio.create_task(mine.call(Server([fault(), 1.0]).send, 1))
        await asyncio.sleep(0.1)
        assert mine.status() == "1 waiting to try again (500)"
        await call

    play(main())


def test_status_names_the_rate_that_holds() -> None:
    async def main() -> None:
        mine = caller(requests_per_minute=60)
        calls = [asyncio.create_task(mine.call(Server([5.0]).send, 1)) for _ in range(3)]
        await asyncio.sleep(0.5)
        assert mine.status() == "1 waiting for an answer, held to 60 requests a minute"
        await asyncio.gather(*calls)

    play(main())
