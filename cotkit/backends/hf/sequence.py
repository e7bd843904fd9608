"""A sequence: one sample or one option of a request, from its prompt to its completion."""

from __future__ import annotations

import asyncio
import bisect
from collections import abc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cotkit.backends._pool import settle
from cotkit.identity import request_key, sample_seed
from cotkit.reasoning import find_answer_start, split_reasoning
from cotkit.stops import cut
from cotkit.types import Completion, Decoding, Request

if TYPE_CHECKING:
    import torch

    from cotkit.backends.hf.finished_texts import FinishedText


@dataclass(slots=True, kw_only=True)
class Steering:
    """How a thought is ended at its budget, or kept going (arXiv:2501.19393), by forced tokens."""

    budget: int | None
    """Tokens after which an open thought is ended; None, or done: no more."""
    closing: tuple[int, ...]
    """What ends it."""
    end: int
    """The token by which the model ends it itself, where that is one."""
    wait: tuple[int, ...]
    """What takes the place of that token."""
    n_waits: int
    """How many times more."""
    forced: list[int] = field(default_factory=list[int])
    """Tokens that come next, whatever the model would choose."""

    @property
    def n_tokens(self) -> int:
        """The most tokens that it forces."""
        return len(self.closing) + self.n_waits * len(self.wait)


@dataclass(slots=True, eq=False, kw_only=True)
class Sequence:
    """What the engine runs: a prompt, the tokens generated so far, and the time they took."""

    request: Request
    """The request that it belongs to."""
    seed: int
    """Seed of its own random numbers; unused when greedy."""
    future: asyncio.Future[Completion]
    """Where its completion is awaited; its event loop may be closed by then."""
    prompt: tuple[int, ...] = ()
    """The rendered prompt's tokens; empty until the scheduler has rendered it."""
    option: int | None = None
    """Which of the request's options is to be scored; None: the sequence generates."""
    option_tokens: tuple[int, ...] = ()
    """What is scored after the prompt; empty until rendered, and where the sequence generates."""
    cuts: tuple[int, ...] = ()
    """After how many tokens of the prompt a shared node is planned to end."""
    goes_on_from: FinishedText | None = None
    """The text whose next turn it is, until it joins the batch; None: its prompt is read whole."""
    output: list[int] = field(default_factory=list[int])
    """Tokens generated so far, without an end token."""
    generator: torch.Generator | None = None
    """Source of its random numbers, one per token; None when greedy."""
    processors: abc.Sequence[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = ()
    """What the generation config does to its logits: token ids [1, n], logits [1, vocabulary]."""
    transcript: Transcript | None = None
    """The text so far; set when the prompt is."""
    steering: Steering | None = None
    """What is forced on its thought; None: nothing."""
    thinking_room: int = 0
    """Tokens that it may have beside those of the answer, for thinking."""
    n_computed: int = 0
    """Prompt tokens computed for this sequence, not taken from another."""
    prefilled: bool = False
    """Whether the prompt has been computed and counted (a retry does not count again)."""
    seconds: float = 0.0
    """Share of the wall time so far."""
    order: tuple[bool, int, int, int] = (False, 0, 0, 0)
    """Waiting sequences run by this, smallest first."""
    is_done: bool = False
    """Whether its completion, or an error, has been delivered."""

    @property
    def tokens(self) -> tuple[int, ...]:
        """Prompt and output: what is read before the next token; a retry goes on from there."""
        return (*self.prompt, *self.output)

    @property
    def n_ahead(self) -> int:
        """The most tokens that may follow the prompt."""
        if self.option_tokens:
            return len(self.option_tokens)
        n_forced = self.steering.n_tokens if self.steering else 0
        return self.request.decoding.max_tokens + self.thinking_room + n_forced

    @property
    def n_most(self) -> int:
        """The most tokens that it may have, prompt and all."""
        return len(self.prompt) + self.n_ahead

    @property
    def n_own(self) -> int:
        """The most tokens that it may have beyond the nodes that it shares."""
        return len(self.prompt) + self.n_ahead - (self.cuts[-1] if self.cuts else 0)

    @property
    def is_over(self) -> bool:
        """Whether it is done, or its completion is no longer awaited."""
        return self.is_done or self.future.cancelled() or self.future.get_loop().is_closed()

    def append_token(self, token: int, end_ids: frozenset[int]) -> None:
        """Add a token; deliver the completion if it was the last one."""
        assert self.transcript is not None
        if self.steering is not None:
            token = self._steer(self.steering, token, end_ids)
        if token in end_ids and not self.transcript.goes_on_after(token, self.output):
            self._finish(stopped=True)
            return
        self.output.append(token)
        if self.transcript.stops(self.output):
            self._finish(stopped=True)
        elif len(self.output) >= self.n_ahead:
            self._finish(stopped=False)

    def _steer(self, steering: Steering, token: int, end_ids: frozenset[int]) -> int:
        """Return the token that comes in place of the chosen one.

        An open thought ends at its budget, and where the model ends its turn inside it.
        """
        assert self.transcript is not None
        if not steering.forced:
            at_budget = len(self.output) == steering.budget
            is_cut = steering.budget is not None and (at_budget or token in end_ids)
            goes_on = steering.n_waits > 0 and token == steering.end and not is_cut
            if not (is_cut or goes_on) or not self._is_thinking:
                return token
            if goes_on:
                steering.n_waits -= 1
            else:
                steering.budget, steering.n_waits = None, 0
            steering.forced = list(steering.wait if goes_on else steering.closing)
        return steering.forced.pop(0)

    @property
    def _is_thinking(self) -> bool:
        assert self.transcript is not None
        text = self.transcript.decode(self.output)
        return find_answer_start(text, opened=self.transcript.opened) is None

    def score(self, logprob: float) -> None:
        """Deliver the log-probability of the option."""
        assert self.option is not None
        self.is_done = True
        settle(
            self.future,
            Completion(
                text=self.request.options[self.option],
                stop_reason="stop",
                n_prompt_tokens=len(self.prompt),
                n_shared_tokens=max(0, len(self.prompt) - self.n_computed),
                n_generated_tokens=len(self.option_tokens),
                seconds=self.seconds,
                logprob=logprob,
            ),
        )

    def fail(self, error: Exception) -> None:
        """Deliver an error."""
        self.is_done = True
        settle(self.future, error)

    def _finish(self, *, stopped: bool) -> None:
        assert self.transcript is not None
        full = self.transcript.decode(self.output)
        opened = self.transcript.opened
        text_until_stop = cut(full, self.transcript.decoding, opened=opened)
        reasoning, text = split_reasoning(
            full if text_until_stop is None else text_until_stop, opened=opened
        )
        self.is_done = True
        settle(
            self.future,
            Completion(
                text=text,
                stop_reason="stop" if stopped or text_until_stop is not None else "length",
                n_prompt_tokens=len(self.prompt),
                n_shared_tokens=max(0, len(self.prompt) - self.n_computed),
                n_generated_tokens=len(self.output),
                n_reasoning_tokens=0 if reasoning is None else self._count_reasoning(full, opened),
                reasoning=reasoning,
                seconds=self.seconds,
            ),
        )

    def _count_reasoning(self, full: str, opened: bool) -> int:  # noqa: FBT001 - one call
        """Count the tokens before the answer begins, markers included."""
        assert self.transcript is not None
        decode, start = self.transcript.decode, find_answer_start(full, opened=opened)
        if start is None:
            return len(self.output)
        counts = range(len(self.output))
        return bisect.bisect_left(counts, start, key=lambda n: len(decode(self.output[:n])))


def make_sequences(request: Request, loop: asyncio.AbstractEventLoop) -> list[Sequence]:
    """Make a sequence for each option of a request, or for each sample where it has no options."""
    if request.options:
        return [
            Sequence(request=request, seed=0, option=i, future=loop.create_future())
            for i in range(len(request.options))
        ]
    key = request_key(request)
    return [
        Sequence(
            request=request,
            seed=sample_seed(request.decoding, key, sample),
            future=loop.create_future(),
        )
        for sample in request.samples
    ]


class Transcript:
    """The text so far; checks stop rules after each token, decoding only the last few tokens.

    Text is settled once it no longer ends in half a character. A hit is confirmed on the text of
    all tokens, so the answer never depends on the short cut.
    """

    def __init__(
        self,
        decode: Callable[[abc.Sequence[int]], str],
        decoding: Decoding,
        *,
        opened: bool = False,
        message_end: int | None = None,
    ) -> None:
        self.decode = decode
        self.opened = opened  # the prompt ended inside reasoning
        self._message_end = message_end  # ends a message, and the turn only if it is the final one
        self.decoding = decoding
        self._settled = ""
        self._context_start = (
            0  # tokens from here are decoded again, for the context of the new ones
        )
        self._n_settled = 0  # tokens up to here are in the settled text

    def stops(self, tokens: abc.Sequence[int]) -> bool:
        """Return whether a stop rule fires in the text of the tokens (one more than last time)."""
        if not self.decoding.stop and self.decoding.stop_after is None:
            return False
        before = self.decode(tokens[self._context_start : self._n_settled])
        recent = self.decode(tokens[self._context_start :])
        text = self._settled + recent[len(before) :]
        if len(recent) > len(before) and not recent.endswith("\N{REPLACEMENT CHARACTER}"):
            self._settled, self._context_start, self._n_settled = text, self._n_settled, len(tokens)
        if cut(text, self.decoding, opened=self.opened) is None:
            return False
        return cut(self.decode(tokens), self.decoding, opened=self.opened) is not None

    def goes_on_after(self, token: int, tokens: abc.Sequence[int]) -> bool:
        """Return whether an end token after these tokens ends a message of reasoning only."""
        if token != self._message_end:
            return False
        return find_answer_start(self.decode(tokens), opened=self.opened) is None


def first_line(fault: BaseException) -> str:
    """Return the first line of an exception's message, or its type where it has none."""
    lines = str(fault).strip().splitlines()
    return lines[0] if lines else type(fault).__name__
