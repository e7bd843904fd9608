"""How fast calls go out: slots that follow a provider's load, rates, and pauses it asks for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

_BURST_S = 0.25  # a bucket saves up for this long, so that a late wake-up loses nothing
_LOOK_S = 1.0  # a wait for tokens is checked this often, since answers give tokens back


class Slots:
    """A first-come-first-served semaphore of variable size; not bound to an event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._n_inside = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """How many may be inside; those already in stay when it shrinks."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._admit()

    def enter_now(self) -> bool:
        """Take a slot if one is free."""
        is_free = self._n_inside < self._limit  # if so, the queue is empty: all could enter
        self._n_inside += is_free
        return is_free

    async def enter(self) -> None:
        """Take a slot, after all who asked before."""
        if self.enter_now():
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # let in and cancelled in the same moment
                self.leave()
            raise

    def leave(self) -> None:
        """Give a slot back."""
        self._n_inside -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._n_inside < self._limit:
            turn = self._queue.popleft()
            if not turn.done():  # else cancelled while it waited
                self._n_inside += 1
                turn.set_result(None)


class Bucket:
    """A token bucket: so many units a minute, and hardly more in a burst."""

    def __init__(self, per_minute: float, now: float) -> None:
        self._per_s = per_minute / 60
        self._most = max(1.0, self._per_s * _BURST_S)
        self._level = self._most
        self._at = now

    def wait_s(self, amount: float, now: float) -> float:
        """Return the seconds until an amount may be taken; a larger one needs a full bucket."""
        self._level = min(self._most, self._level + (now - self._at) * self._per_s)
        self._at = now
        return max(0.0, (min(amount, self._most) - self._level) / self._per_s)

    def take(self, amount: float) -> None:
        """Take an amount, into debt if need be; give back a negative one."""
        self._level -= amount


class Throttle:
    """Lets tries out: slots, rates and pauses.

    A success widens the slots by ``1 / slots``, a busy answer narrows them by 1/2: a round trip in
    which all calls succeed adds one slot, one in which all meet a busy server halves them, as TCP
    does. A few busy answers among many cost a few slots, not half of them (as DCTCP, Alizadeh et
    al. 2010, which cuts by half the marked share): with one in 20 busy, about 38 slots stay open
    where halving would leave 5.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._most = max_connections
        self._size = float(max_connections)
        self._slots = Slots(max_connections)
        self._turn = Slots(1)  # who waits for a rate or a pause waits in line
        self._clock, self._sleep = clock, sleep
        self._open_at = clock()
        self._requests_per_minute, self._tokens_per_minute = requests_per_minute, tokens_per_minute
        self._requests = Bucket(requests_per_minute, clock()) if requests_per_minute else None
        self._tokens = Bucket(tokens_per_minute, clock()) if tokens_per_minute else None
        self._n_estimated = self._n_used = 0.0  # over all answered calls
        self._is_held = False

    async def enter(self, n_tokens: int, check: Callable[[], None]) -> float:
        """Wait until a call of about so many tokens may go out; return the tokens reserved.

        Every call that enters must :meth:`leave`. ``check`` raises if a call that has waited is not
        to be made any more: then it has not entered.
        """
        await self._slots.enter()
        try:
            check()
            if not self._is_free():
                await self._wait(n_tokens, check)
            return self._reserve(n_tokens)
        except BaseException:
            self._slots.leave()
            raise

    def enter_now(self, n_tokens: int) -> float | None:
        """Enter as :meth:`enter` does, or return None if the call would have to wait."""
        if self._wait_s(n_tokens) > 0 or not self._slots.enter_now():
            return None
        return self._reserve(n_tokens)

    def leave(self, *, is_busy: bool | None) -> None:
        """End a call that met a busy server, did not, or (None) says nothing about its load."""
        if is_busy:
            self._size = max(1.0, self._size - 0.5)
        elif is_busy is not None:
            self._size = min(float(self._most), self._size + 1 / self._size)
        if int(self._size) != self._slots.limit:
            self._slots.limit = int(self._size)
        self._slots.leave()

    def settle(self, n_estimated: int, reserved: float, n_used: int) -> None:
        """Give back, or owe, the difference between what a call reserved and what it used."""
        if self._tokens is not None:
            self._tokens.take(n_used - reserved)
            self._n_estimated += n_estimated
            self._n_used += n_used

    def pause(self, seconds: float) -> None:
        """Let nothing out for so many seconds."""
        self._open_at = max(self._open_at, self._clock() + seconds)

    def notes(self) -> list[str]:
        """Describe what holds calls back at present; empty: nothing does."""
        notes: list[str] = []
        if (pause := self._open_at - self._clock()) > 0:
            notes.append(f"all pause {pause:.0f} s as the server asked")
        elif self._is_held:
            rates = [(self._requests_per_minute, "requests"), (self._tokens_per_minute, "tokens")]
            limits = [f"{rate:g} {unit}" for rate, unit in rates if rate]
            notes.append(f"held to {' and '.join(limits)} a minute")
        if self._slots.limit < self._most:
            notes.append(f"at most {self._slots.limit} at once")
        return notes

    def _is_free(self) -> bool:
        has_rate = self._requests is not None or self._tokens is not None
        return not has_rate and self._open_at <= self._clock()

    async def _wait(self, n_tokens: int, check: Callable[[], None]) -> None:
        await self._turn.enter()
        try:
            check()
            while (wait := self._wait_s(n_tokens)) > 0:
                self._is_held = True
                await self._sleep(wait)
                check()
        finally:
            self._is_held = False
            self._turn.leave()

    def _wait_s(self, n_tokens: int) -> float:
        now = self._clock()
        if self._open_at > now:
            return self._open_at - now
        wait = self._requests.wait_s(1, now) if self._requests else 0.0
        if self._tokens:
            wait = max(wait, self._tokens.wait_s(self._expected(n_tokens), now))
        return min(max(wait, 0.001), _LOOK_S) if wait > 0 else 0.0  # a wait must move the clock

    def _reserve(self, n_tokens: int) -> float:
        expected = self._expected(n_tokens)
        if self._requests:
            self._requests.take(1)
        if self._tokens:
            self._tokens.take(expected)
        return expected

    def _expected(self, n_tokens: int) -> float:
        """Scale an estimate by what calls have used: it counts all that may be generated."""
        return n_tokens * self._n_used / self._n_estimated if self._n_estimated else float(n_tokens)
