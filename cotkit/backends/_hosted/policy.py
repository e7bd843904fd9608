"""The policy of calls to hosted models: how many at once, how long, and how often again."""

from __future__ import annotations

import asyncio
import logging
import random as random_
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from cotkit.backends._hosted.throttle import Throttle
from cotkit.errors import (
    AccessError,
    BackendError,
    ContentRefusalError,
    MissingDependencyError,
    ModelLoadError,
    TransientError,
)
from cotkit.types import Try

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")
_LOG = logging.getLogger("cotkit.hosted")  # statuses and seconds only: requests may be secret

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0
_LONGEST_RETRY_AFTER_S = 600.0  # a server that asks for a longer wait ends the run
_LONG_S = 10.0  # a longer wait for an answer is reported
_LOST_STATUSES = frozenset({"reset", "malformed"})  # also seen at an address without a server
_DRAIN_S = 10.0  # a run that ends waits so long for calls under way: their answers are paid for
_DRAIN_LOOK_S = 0.02
_MAX_LOST = 8  # calls in a row that failed so and none ever answered: no server is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The meaning of an exception of a try."""

    status: str
    """As in :class:`cotkit.types.Try`: ``"429"``, ``"reset"``, ..."""
    error: BackendError
    """The error that the user sees; its ``retryable`` decides whether the call is made again."""
    is_busy: bool = False
    """The provider is over its load (429, 503, 529): fewer calls at once."""
    retry_after_s: float | None = None
    """Seconds that the server asks to wait; None: it did not say."""
    is_hopeless: bool = False
    """Every call will meet it (a wrong address or certificate), unless one was ever answered."""


class Malformed(Exception):  # noqa: N818 - what an answer is, not an error that a user meets
    """An answer with status 200 that cannot be used; says what it lacks (``"no choices"``)."""

    hint: str | None = None
    """A way out, where one is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of calls; see the fields of :class:`cotkit.backends._hosted.base.Hosted`."""

    timeout_s: float = 120.0
    max_connections: int = 32
    max_tries: int = 8
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    hedge_after_s: float | None = None


class _FailedError(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.status)
        self.fault = fault


@dataclass(slots=True, eq=False)
class _Call(Generic[T]):
    send: Callable[[], Awaitable[T]]
    n_tokens: int
    count_used: Callable[[T], int | None] | None
    number: int
    tries: list[Try] = field(default_factory=list[Try])


class Caller:
    """Makes calls under limits, and again where a fault may pass."""

    def __init__(
        self,
        limits: Limits,
        read_fault: Callable[[Exception], Fault | None],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = random_.random,
    ) -> None:
        self._limits, self._read_fault = limits, read_fault
        self._clock, self._sleep, self._random = clock, sleep, random
        self._throttle = Throttle(
            max_connections=limits.max_connections,
            requests_per_minute=limits.requests_per_minute,
            tokens_per_minute=limits.tokens_per_minute,
            clock=clock,
            sleep=sleep,
        )
        try:
            import tenacity
        except ImportError:
            raise MissingDependencyError("tenacity", "openai") from None
        self._retrying = tenacity.AsyncRetrying(
            sleep=sleep,
            retry=tenacity.retry_if_exception(_is_retryable),
            wait=self._wait_s,
            stop=tenacity.stop_after_attempt(limits.max_tries),
            reraise=True,
        )
        self._sent: dict[object, float] = {}  # calls on their way -> when sent, oldest first
        self._resting: dict[object, str] = {}  # jobs between two tries -> status of the last
        self._n_jobs = 0
        self._ended: tuple[int, Fault] | None = None  # jobs up to this number are no longer sent
        self._has_answered, self._n_lost, self._n_ending = False, 0, 0

    async def call(
        self,
        send: Callable[[], Awaitable[T]],
        n_tokens: int,
        count_used: Callable[[T], int | None] | None = None,
    ) -> tuple[T, tuple[Try, ...]]:
        """Send until the call is answered; return the answer and all tries, the last its own.

        ``n_tokens`` estimates what a send takes of the tokens per minute; ``count_used`` returns
        what an answer took of them (None: it does not say).

        Raises:
            BackendError: a fault that does not pass, at once; what every call would meet (the key,
                the model, the address) is raised in all calls that wait, and they are not made.
            TransientError: every try failed; says how each did.
            Exception: anything that ``read_fault`` does not know, as it is.
        """
        self._n_jobs += 1
        job = _Call(send, n_tokens, count_used, self._n_jobs)
        try:
            answer: T = await self._retrying(self._once, job)
        except _FailedError as failed:
            error = failed.fault.error
            if error.retryable:
                self._n_lost = self._n_lost + 1 if failed.fault.status in _LOST_STATUSES else 0
                error = _retries_error(job.tries, error)
            elif isinstance(error, ContentRefusalError):
                error.tries = tuple(job.tries)
            elif _affects_all_calls(failed.fault):
                await self._drain()
        else:
            return answer, tuple(job.tries)
        finally:
            self._resting.pop(job, None)
        raise error  # raised here, without its cause: an exception of an SDK may hold a key

    async def _drain(self) -> None:
        """Wait a while for the calls under way, and let none begin."""
        deadline = self._clock() + _DRAIN_S
        self._n_ending += 1
        try:
            while self._sent and self._clock() < deadline:
                await self._sleep(_DRAIN_LOOK_S)
            await asyncio.sleep(0)  # who waits for an answer takes it before the run ends
        finally:
            self._n_ending -= 1

    def status(self) -> str | None:
        """Describe what is waited for; None while nothing is unusual.

        Unusual are a call to be made again, fewer slots than the user allowed, a rate or a pause
        that holds calls back, and an answer that takes longer than 10 s.
        """
        notes = self._throttle.notes()
        if self._resting:
            why = ", ".join(sorted(set(self._resting.values())))
            notes.insert(0, f"{len(self._resting)} waiting to try again ({why})")
        oldest = self._clock() - next(iter(self._sent.values()), self._clock())
        if not (self._sent or self._resting) or not (notes or oldest > _LONG_S):
            return None
        since = f" (longest {oldest:.0f} s)" if oldest > _LONG_S else ""
        if self._sent:
            notes.insert(0, f"{len(self._sent)} waiting for an answer{since}")
        return ", ".join(notes)

    async def _once(self, job: _Call[T]) -> T:
        reserved = await self._throttle.enter(job.n_tokens, lambda: self._check(job))
        self._resting.pop(job, None)
        if self._limits.hedge_after_s is None:
            last, answer = await self._send(job, reserved)
        else:
            last, answer = await self._hedged(job, reserved, self._limits.hedge_after_s)
        job.tries.append(last)
        if not isinstance(answer, Fault):
            return answer
        if answer.error.retryable:
            self._resting[job] = answer.status
        raise _FailedError(answer)

    async def _send(self, job: _Call[T], reserved: float) -> tuple[Try, T | Fault]:
        """Send once, in a slot that was entered, and leave the slot."""
        began, me, is_busy = self._clock(), object(), None
        self._sent[me] = began
        limit = asyncio.timeout(self._limits.timeout_s)
        answer: T | Fault
        try:
            async with limit:
                answer = await job.send()
            status, is_busy, self._has_answered = "200", False, True
            if job.count_used and (n_used := job.count_used(answer)) is not None:
                self._throttle.settle(job.n_tokens, reserved, n_used)
        except Exception as failure:
            fault = self._timeout() if limit.expired() else self._read(failure)
            if fault is None:
                raise
            if fault.is_busy:
                is_busy = True
                self._throttle.pause(fault.retry_after_s or 0.0)
            if _affects_all_calls(fault):
                self._ended = self._n_jobs, fault
            answer, status = fault, fault.status
        finally:
            del self._sent[me]
            self._throttle.leave(is_busy=is_busy)
        seconds = self._clock() - began
        level = logging.DEBUG if status == "200" else logging.INFO
        _LOG.log(level, "call %d: %s after %.2f s", job.number, status, seconds)
        return Try(status=status, seconds=seconds), answer

    async def _hedged(
        self, job: _Call[T], reserved: float, after_s: float
    ) -> tuple[Try, T | Fault]:
        """Send, and after a while a second time if a slot is free: the first answer wins.

        What did not win is cancelled and put among the tries; the winner is returned.
        """
        sends = {asyncio.create_task(self._send(job, reserved)): self._clock()}
        try:
            _, open_ = await asyncio.wait(sends, timeout=after_s)
            if open_ and (more := self._throttle.enter_now(job.n_tokens)) is not None:
                sends[asyncio.create_task(self._send(job, more))] = self._clock()
            while True:
                await asyncio.wait(sends, return_when=asyncio.FIRST_COMPLETED)
                ended = next(send for send in sends if send.done())
                del sends[ended]
                last, answer = ended.result()
                if not sends or not isinstance(answer, Fault) or not answer.error.retryable:
                    job.tries += [
                        Try(status="hedged", seconds=self._clock() - sent_at)
                        for sent_at in sends.values()
                    ]
                    return last, answer
                job.tries.append(last)
        finally:
            for send in sends:
                send.cancel()
            await asyncio.gather(*sends, return_exceptions=True)

    def _timeout(self) -> Fault:
        error = TransientError(f"no answer within {self._limits.timeout_s:g} s")
        return Fault(status="timeout", error=error)

    def _read(self, failure: Exception) -> Fault | None:
        if isinstance(failure, Malformed):
            sentence = f"the server sent an answer that cannot be used: {failure}"
            error = TransientError(sentence, hint=failure.hint)
            fault = Fault(status="malformed", error=error)
        else:
            fault = self._read_fault(failure)
        if fault is None:
            return None
        if not self._has_answered and fault.is_hopeless:
            return replace(fault, error=BackendError(fault.error.message, hint=fault.error.hint))
        if not self._has_answered and self._n_lost >= _MAX_LOST and fault.status in _LOST_STATUSES:
            error = _no_answer_error(self._n_lost, fault.error)
            return replace(fault, error=error, is_hopeless=True)
        if (fault.retry_after_s or 0.0) <= _LONGEST_RETRY_AFTER_S:
            return fault
        wait = f"it asks to wait {(fault.retry_after_s or 0.0) / 60:.0f} min"
        error = BackendError(f"{fault.error.message}: {wait}", hint="resume the run after that")
        return replace(fault, error=error, retry_after_s=None, is_hopeless=True)

    def _check(self, job: _Call[T]) -> None:
        """Raise if a call that has waited is not to be made: after a fault that stays."""
        if self._ended is not None and (job.number <= self._ended[0] or self._n_ending):
            fault = self._ended[1]
            error = type(fault.error)(fault.error.message, hint=fault.error.hint)  # to each its own
            raise _FailedError(replace(fault, error=error))

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        """Return the wait: what the server asks for, plus a random part that doubles."""
        failed = state.outcome.exception() if state.outcome else None
        assert isinstance(failed, _FailedError), "only these are tried again"
        most = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(state.attempt_number - 1, 10))
        return max(0.0, failed.fault.retry_after_s or 0.0) + self._random() * most


def _is_retryable(failure: BaseException) -> bool:
    return isinstance(failure, _FailedError) and failure.fault.error.retryable


def _affects_all_calls(fault: Fault) -> bool:
    is_refusal = isinstance(fault.error, (AccessError, ModelLoadError))
    return (is_refusal or fault.is_hopeless) and not fault.error.retryable


def _no_answer_error(n_calls: int, last: BackendError) -> BackendError:
    return BackendError(
        f"nothing answers: {n_calls} calls in a row were given up, none was ever answered; "
        f"the last: {last.message}",
        hint=last.hint or "is base_url right?",
    )


def _retries_error(tries: list[Try], last: BackendError) -> TransientError:
    outcomes = ", ".join(f"{each.status} ({each.seconds:.1f} s)" for each in tries)
    plural = "tries" if len(tries) > 1 else "try"
    return TransientError(
        f"gave up after {len(tries)} {plural}: {outcomes}; the last: {last.message}", hint=last.hint
    )
