"""What a strategy, a backend and a benchmark must be: no base classes, only these shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from cotkit.types import (
    AnswerKind,
    BackendInfo,
    Completion,
    Decoding,
    Flow,
    IsCorrect,
    Problem,
    Question,
    Request,
)


class Strategy(Protocol):
    """How a question becomes requests. Pure: no I/O, no clock, no random state.

    A built-in strategy also has a class variable ``version`` (raised whenever it could ask or
    return anything else; part of the run's identity), ``prompts``, the names of the files in
    ``prompts/`` that it renders or reads, and ``group``, the heading under which it is listed, with
    ``needs``, what it needs besides a model and questions. Others need none of it: a run is
    identified by their source. One that yields requests of the role ``judge`` says so by
    ``asks_judge = True``; with ``needs_judge = True`` it is refused where the model would judge
    itself.
    """

    @property
    def control(self) -> str:
        """Registry name of the strategy it is measured against; its own name: has none."""
        ...

    @property
    def reasons(self) -> bool:
        """Whether it asks for reasoning before the answer; the audit holds it to that."""
        ...

    def solve(self, question: Question) -> Flow:
        """Start a flow for one question."""
        ...


@runtime_checkable
class OracleStrategy(Protocol):
    """A strategy that sees the right answer: an upper bound, labelled so and never ranked."""

    @property
    def control(self) -> str:
        """As :class:`Strategy`."""
        ...

    @property
    def reasons(self) -> bool:
        """As :class:`Strategy`."""
        ...

    def solve_with_oracle(self, question: Question, is_correct: IsCorrect) -> Flow:
        """Start a flow for one question."""
        ...


class Backend(Protocol):
    """Something that completes requests."""

    @property
    def info(self) -> BackendInfo:
        """Identity and capabilities; cheap: must not load weights or reach a network."""
        ...

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        """Complete a request, one completion for each of ``request.samples``, in order.

        Raises:
            BackendError: nothing usable came back; ``retryable`` says whether to try again.
        """
        ...

    async def count_tokens(self, request: Request) -> int | None:
        """Count the tokens of the rendered prompt; None: the backend cannot count them."""
        ...

    async def close(self) -> None:
        """Give back what the backend holds."""
        ...


@runtime_checkable
class LikelihoodBackend(Protocol):
    """A backend that also scores given continuations; has the capability ``loglikelihood``."""

    async def loglikelihood(self, request: Request) -> tuple[Completion, ...]:
        """Score ``request.options`` as continuations of the prompt, one completion for each.

        ``text`` is the option, ``logprob`` its natural log-probability summed over its tokens,
        ``n_generated_tokens`` the number of those tokens.

        Raises:
            BackendError: nothing usable came back; ``retryable`` says whether to try again.
        """
        ...


@runtime_checkable
class PiecewiseBackend(Protocol):
    """A backend that may answer the samples of one request in several calls."""

    async def generate_each(
        self, request: Request, keep: Callable[[Mapping[int, Completion]], None]
    ) -> tuple[Completion, ...]:
        """Generate as ``Backend.generate`` does, and call ``keep`` with each part as it comes.

        A part is sample -> completion. So nothing that was answered is lost if the rest fails.
        """
        ...


@runtime_checkable
class ThinkingBackend(Protocol):
    """A backend whose model can be told how to think before it answers."""

    def thinking_room(self, decoding: Decoding) -> int:
        """Return how many tokens of thinking a completion may have beside its answer; 0: none.

        Cheap, as :attr:`Backend.info`: called for every arm before anything is asked.

        Raises:
            UsageError: the model cannot be told to think so; names what it can.
        """
        ...


@runtime_checkable
class WaitingBackend(Protocol):
    """A backend that can say what it is waiting for, so that slowness never looks like a hang."""

    def status(self) -> str | None:
        """Say what the calls wait for; None: nothing to say.

        For example ``"12 waiting, 3 to be tried again (429), 16 at once"``.
        """
        ...


class Benchmark(Protocol):
    """A versioned set of problems."""

    @property
    def name(self) -> str:
        """Registry name."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever a problem or gold answer does; part of the run's identity."""
        ...

    @property
    def answer_kind(self) -> AnswerKind:
        """What its gold answers are."""
        ...

    def problems(self) -> Sequence[Problem]:
        """Return all problems of the evaluated split, in the published order."""
        ...

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return the problems to draw exemplars from (the train split); empty: there are none."""
        ...


@runtime_checkable
class CodeBenchmark(Protocol):
    """A benchmark whose problems may be made by Python code that its name leads to.

    ``problems`` and ``exemplar_pool`` raise ``UsageError`` until the user has allowed it.
    """

    @property
    def runs_code(self) -> bool:
        """Whether it runs any; cheap."""
        ...

    def allow_code(self) -> Benchmark:
        """Return the same benchmark, free to run it."""
        ...
