"""One draw of one request on its way through the engine, and the future that waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cotkit.errors import CotkitError
from cotkit.stops import cut, split_reasoning
from cotkit.types import Completion, Decoding, Request

if TYPE_CHECKING:
    import torch


@dataclass(slots=True, eq=False, kw_only=True)
class Row:
    """A request's draw: its prompt, the tokens so far, what they took."""

    request: Request
    """What was asked."""
    seed: int
    """Seed of this draw's own random numbers; unused when greedy."""
    future: asyncio.Future[Completion]
    """Who waits; belongs to ``loop``."""
    loop: asyncio.AbstractEventLoop
    """The loop that asked; it may be closed by the time the row is done."""
    prompt: tuple[int, ...] = ()
    """The rendered prompt's tokens; empty until the worker has rendered it."""
    option: int | None = None
    """Which of the request's options is to be scored; None: the row generates."""
    option_tokens: tuple[int, ...] = ()
    """What is scored after the prompt; empty until rendered, and where the row generates."""
    cuts: tuple[int, ...] = ()
    """After how many tokens of the prompt something shared is planned to end."""
    out: list[int] = field(default_factory=list[int])
    """Tokens generated so far, without an end token."""
    generator: torch.Generator | None = None
    """Source of this draw's random numbers, one per token; None when greedy."""
    transcript: Transcript | None = None
    """The text so far; set when the prompt is."""
    n_computed: int = 0
    """Prompt tokens computed for this row, not taken from another."""
    prefilled: bool = False
    """Whether the prompt has been computed and counted (a retry does not count again)."""
    seconds: float = 0.0
    """Share of the wall time so far."""
    order: tuple[int, int, int] = (0, 0, 0)
    """Rows that wait run by this, smallest first."""
    done: bool = False
    """Whether the answer, or the error, is on its way to who waits."""

    @property
    def tokens(self) -> tuple[int, ...]:
        """Everything to be read before the next token: a retry goes on where it stopped."""
        return (*self.prompt, *self.out)

    @property
    def n_ahead(self) -> int:
        """The most tokens that may follow the prompt."""
        return len(self.option_tokens) or self.request.decoding.max_tokens

    @property
    def n_own(self) -> int:
        """The most tokens that it may come to have beyond what it shares."""
        return len(self.prompt) + self.n_ahead - (self.cuts[-1] if self.cuts else 0)

    @property
    def over(self) -> bool:
        """Whether it is done, or nobody waits any more."""
        return self.done or self.future.cancelled() or self.loop.is_closed()

    def take(self, token: int, end_ids: frozenset[int]) -> None:
        """Add a token; answer if it was the last one."""
        assert self.transcript is not None
        if token in end_ids:
            self._finish(stopped=True)
            return
        self.out.append(token)
        if self.transcript.stops(self.out):
            self._finish(stopped=True)
        elif len(self.out) >= self.request.decoding.max_tokens:
            self._finish(stopped=False)

    def score(self, logprob: float) -> None:
        """Answer with the log-probability of the row's option."""
        assert self.option is not None
        self.done = True
        self._deliver(
            Completion(
                text=self.request.options[self.option],
                stop_reason="stop",
                n_prompt_tokens=len(self.prompt),
                n_shared_tokens=max(0, len(self.prompt) - self.n_computed),
                n_generated_tokens=len(self.option_tokens),
                seconds=self.seconds,
                logprob=logprob,
            )
        )

    def fail(self, error: Exception) -> None:
        """Give the error to who waits."""
        self.done = True
        self._deliver(error)

    def _finish(self, *, stopped: bool) -> None:
        assert self.transcript is not None
        full = self.transcript.decode(self.out)
        kept = cut(full, self.request.decoding)
        reasoning, text = split_reasoning(full if kept is None else kept)
        self.done = True
        self._deliver(
            Completion(
                text=text,
                stop_reason="stop" if stopped or kept is not None else "length",
                n_prompt_tokens=len(self.prompt),
                n_shared_tokens=max(0, len(self.prompt) - self.n_computed),
                n_generated_tokens=len(self.out),
                n_reasoning_tokens=0 if reasoning is None else None,
                reasoning=reasoning,
                seconds=self.seconds,
            )
        )

    def _deliver(self, result: Completion | Exception) -> None:
        def settle() -> None:
            if self.future.done():
                return
            if isinstance(result, Completion):
                self.future.set_result(result)
            else:
                self.future.set_exception(result)

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self.loop.call_soon_threadsafe(settle)


class Transcript:
    """Tells after each token whether a stop rule has fired, decoding only the last few tokens.

    Text is settled once it no longer ends in half a character. A hit is confirmed on the text of
    all tokens, so the answer never depends on the short cut.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], decoding: Decoding) -> None:
        self.decode = decode
        self._decoding = decoding
        self._settled = ""
        self._from = 0  # tokens from here are decoded again, for the context of the new ones
        self._read = 0  # tokens up to here are in the settled text

    def stops(self, tokens: Sequence[int]) -> bool:
        """Whether a stop rule fires in the text of the tokens (one more than last time)."""
        if not self._decoding.stop and self._decoding.stop_after is None:
            return False
        before = self.decode(tokens[self._from : self._read])
        recent = self.decode(tokens[self._from :])
        text = self._settled + recent[len(before) :]
        if len(recent) > len(before) and not recent.endswith("\N{REPLACEMENT CHARACTER}"):
            self._settled, self._from, self._read = text, self._read, len(tokens)
        if cut(text, self._decoding) is None:
            return False
        return cut(self.decode(tokens), self._decoding) is not None


def first_line(fault: BaseException) -> str:
    """The first line of what an exception says, or its type where it says nothing."""
    lines = str(fault).strip().splitlines()
    return lines[0] if lines else type(fault).__name__


def is_user_error(fault: Exception) -> bool:
    """Whether an exception is already one that a user can read."""
    return isinstance(fault, CotkitError)
