"""Start a strategy on a question, its steps checked, and drive it from first request to attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import extract_tb
from typing import cast

from cotkit.errors import CotkitError, UsageError
from cotkit.protocols import OracleStrategy, Strategy
from cotkit.scoring import score_attempt
from cotkit.stops import cut, split_reasoning
from cotkit.types import (
    Attempt,
    Completion,
    Decoding,
    Execute,
    Flow,
    IsCorrect,
    Message,
    Problem,
    Question,
    Request,
)

_PACKAGE_PREFIX = str(Path(__file__).parent.parent / "_").removesuffix(
    "_"
)  # with its last separator


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one request brought."""

    keys: tuple[str, ...]
    """Completion keys, in the order of the request's samples."""
    completions: tuple[Completion, ...]
    """Their completions."""


Ask = Callable[[Request], Awaitable[Turn]]


Run = Callable[[Execute], Awaitable[Completion]]
"""Runs code apart from this process; never raises for what the code does."""


def start_flow(
    strategy: Strategy | OracleStrategy, question: Question, is_correct: IsCorrect
) -> Flow:
    """A strategy at work on a question; only an oracle strategy is given the oracle.

    Raises (at the step it concerns):
        UsageError: the strategy broke the contract, or is a user's and raised: names its class.
    """
    name, n_asked = type(strategy).__name__, 0
    with blame_user_code("strategy", strategy):
        flow = cast(
            "object",  # what users write need not be what the protocol says
            cast("OracleStrategy", strategy).solve_with_oracle(question, is_correct)
            if hasattr(strategy, "solve_with_oracle")  # a protocol's isinstance is slow
            else cast("Strategy", strategy).solve(question),
        )
    if not isinstance(flow, Generator):
        raise UsageError(
            f"strategy {name} gave {_type_name(flow)} instead of a generator",
            hint="yield each Request and return an Attempt",
        )
    inner = cast("Generator[object, tuple[Completion, ...] | None, object]", flow)
    sent = None
    try:
        while True:
            with blame_user_code("strategy", strategy):
                try:
                    step = inner.send(sent)
                except StopIteration as ended:
                    attempt = ended.value
                    break
            n_asked += isinstance(step, Request)
            sent = yield _check_step(name, step)
    finally:
        inner.close()
    if not n_asked:
        raise UsageError(
            f"strategy {name} ended before it asked anything", hint="yield a Request first"
        )
    if not isinstance(attempt, Attempt):
        raise UsageError(
            f"strategy {name} returned {_type_name(attempt)}", hint="return an Attempt at the end"
        )
    return attempt


def make_oracle(problem: Problem, reader: str) -> IsCorrect:
    """Whether a text would be scored correct on a problem."""

    def is_correct(text: str) -> bool:
        attempt = Attempt(text=text, stop_reason="stop")
        return score_attempt(attempt, problem, reader).outcome == "correct"

    return is_correct


def _check_step(name: str, step: object) -> Request | Execute:
    if isinstance(step, Execute):
        return step
    if not isinstance(step, Request):
        raise UsageError(f"strategy {name} yielded {_type_name(step)}", hint="yield a Request")
    for field, kind in (("messages", Message), ("samples", int)):
        values = cast("object", getattr(step, field))
        if not isinstance(values, tuple) or not values:
            raise UsageError(
                f"strategy {name}: Request.{field} is {values!r}, must be a full tuple"
            )
        for value in cast("tuple[object, ...]", values):
            if not isinstance(value, kind):
                raise UsageError(f"strategy {name}: Request.{field} holds {_type_name(value)}")
    if not isinstance(cast("object", step.decoding), Decoding):
        raise UsageError(f"strategy {name}: Request.decoding is {_type_name(step.decoding)}")
    return step


@contextmanager
def blame_user_code(what: str, whose: object) -> Generator[None, None, None]:
    """What a user's class raises becomes one line; a bug of ours stays what it is.

    Args:
        what: "strategy" or "benchmark".
        whose: The object whose code runs.

    Raises:
        UsageError: names the class and the line of its file.
    """
    try:
        yield
    except CotkitError:
        raise
    except Exception as raised:
        if type(whose).__module__.startswith("cotkit."):
            raise
        inside = [
            at
            for at in extract_tb(raised.__traceback__)
            if not at.filename.startswith(_PACKAGE_PREFIX)
        ]
        lines = [at.lineno for at in inside if at.filename == inside[0].filename]
        place = f" at {inside[0].filename}:{lines[-1]}" if inside else ""
        said = " ".join(f"{type(raised).__name__}: {raised}".split())
        raise UsageError(f"{what} {_type_name(whose)} failed{place}: {said}") from raised


def _type_name(value: object) -> str:
    return type(value).__name__


async def drive(flow: Flow, ask: Ask, run: Run) -> tuple[Attempt, list[Turn]]:
    """Run a started flow to its end: the attempt and every turn it asked a model.

    Raises:
        UsageError: the strategy broke the contract, or wants code run that the user did not allow.
    """
    turns: list[Turn] = []
    try:
        step = next(flow)
        while True:
            if isinstance(step, Execute):
                step = flow.send((await run(step),))
            else:
                asked = await ask(step)
                turns.append(asked)
                step = flow.send(asked.completions)
    except StopIteration as ended:
        return ended.value, turns
    finally:
        flow.close()


def trim(completion: Completion, request: Request) -> Completion:
    """The completion as every strategy and reader sees it: cut at its stops, reasoning apart.

    A text that a stop rule cut short ended by that rule, whatever the server said.
    """
    whole = completion.text.encode(errors="replace").decode()  # half a surrogate pair: no UTF-8
    kept = cut(whole, request.decoding)
    reasoning, text = split_reasoning(whole if kept is None else kept)
    thoughts = [part for part in (completion.reasoning, reasoning) if part]
    stopped = kept is not None and completion.stop_reason == "length"
    return replace(
        completion,
        text=text,
        reasoning="\n".join(thoughts) or None,
        stop_reason="stop" if stopped else completion.stop_reason,
    )
