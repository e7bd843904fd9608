"""Start a strategy on a question, its steps checked, and drive it from first request to attempt."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import extract_tb
from typing import cast

from cotkit.errors import CotkitError, UsageError
from cotkit.protocols import OracleStrategy, Strategy
from cotkit.reasoning import split_reasoning
from cotkit.scoring import score_attempt
from cotkit.stops import cut
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

_PACKAGE_PREFIX = f"{Path(__file__).parent.parent}{os.sep}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The completions of one request."""

    keys: tuple[str, ...]
    """Completion keys, in the order of the request's samples."""
    completions: tuple[Completion, ...]
    """Their completions."""
    is_judged: bool = False
    """Whether another model than that of the run made them, as its judge."""


Ask = Callable[[Request], Awaitable[Turn]]
"""Asks a model."""

Run = Callable[[Execute], Awaitable[Completion]]
"""Runs code apart from this process; never raises for what the code does."""


def start_flow(
    strategy: Strategy | OracleStrategy,
    question: Question,
    is_correct: IsCorrect,
    system: str | None = None,
) -> Flow:
    """Start a strategy on a question, each step checked; only an oracle strategy gets the oracle.

    ``system``: what each request begins with, as a system message.

    Raises (at the step that is wrong):
        UsageError: the strategy broke the contract, or is a user's and raised: names its class.
    """
    name, n_asked = type(strategy).__name__, 0
    with name_user_errors("strategy", strategy):
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
            with name_user_errors("strategy", strategy):
                try:
                    step = inner.send(sent)
                except StopIteration as ended:
                    attempt = ended.value
                    break
            n_asked += isinstance(step, Request)
            sent = yield _add_system(_check_step(name, step), system)
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


def _add_system(step: Request | Execute, system: str | None) -> Request | Execute:
    """Return the step with a system message before its others; a raw-text model reads on."""
    if system is None or isinstance(step, Execute):
        return step
    message = Message(role="system", content=f"{system.rstrip()}\n\n")
    return replace(step, messages=(message, *step.messages))


def make_oracle(problem: Problem, reader: str) -> IsCorrect:
    """Return the function that tells whether a text would be scored correct on a problem."""

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
def name_user_errors(kind: str, plugin: object) -> Generator[None, None, None]:
    """Turn an error of a user's class into one line; errors of cotkit's own classes pass unchanged.

    Args:
        kind: "strategy" or "benchmark".
        plugin: The object whose code runs.

    Raises:
        UsageError: names the class and the line of its file.
    """
    try:
        yield
    except CotkitError:
        raise
    except Exception as raised:
        if type(plugin).__module__.startswith("cotkit."):
            raise
        inside = [
            frame
            for frame in extract_tb(raised.__traceback__)
            if not frame.filename.startswith(_PACKAGE_PREFIX)
        ]
        lines = [frame.lineno for frame in inside if frame.filename == inside[0].filename]
        place = f" at {inside[0].filename}:{lines[-1]}" if inside else ""
        message = " ".join(f"{type(raised).__name__}: {raised}".split())
        raise UsageError(f"{kind} {_type_name(plugin)} failed{place}: {message}") from raised


def _type_name(value: object) -> str:
    return type(value).__name__


async def drive(flow: Flow, ask: Ask, run: Run) -> tuple[Attempt, list[Turn]]:
    """Run a started flow to its end; return the attempt and every turn that asked a model.

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
                turn = await ask(step)
                turns.append(turn)
                step = flow.send(turn.completions)
    except StopIteration as ended:
        return ended.value, turns
    finally:
        flow.close()


def trim(completion: Completion, request: Request, *, opened: bool = False) -> Completion:
    """Return a completion as strategies and readers see it: cut at its stops, reasoning apart.

    A text that a stop rule cut short ended by that rule, whatever the server said. ``opened``: the
    text began inside reasoning.
    """
    text = completion.text.encode(errors="replace").decode()  # half a surrogate pair: no UTF-8
    trimmed = cut(text, request.decoding, opened=opened)
    reasoning, answer = split_reasoning(text if trimmed is None else trimmed, opened=opened)
    thoughts = [part for part in (completion.reasoning, reasoning) if part]
    stopped = trimmed is not None and completion.stop_reason == "length"
    return replace(
        completion,
        text=answer,
        reasoning="\n".join(thoughts) or None,
        stop_reason="stop" if stopped else completion.stop_reason,
    )
