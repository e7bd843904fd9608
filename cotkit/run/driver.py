"""Drive one flow from its first request to its attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from cotkit.errors import UsageError
from cotkit.stops import cut, split_reasoning
from cotkit.types import Attempt, Completion, Execute, Flow, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one request brought."""

    keys: tuple[str, ...]
    """Completion keys, in the order of the request's samples."""
    completions: tuple[Completion, ...]
    """Their completions."""


Ask = Callable[[Request], Awaitable[Asked]]


Run = Callable[[Execute], Awaitable[Completion]]
"""Runs code apart from this process; never raises for what the code does."""


async def drive(flow: Flow, ask: Ask, run: Run) -> tuple[Attempt, list[Asked]]:
    """Run a flow to its end: the attempt and every turn it asked a model.

    Raises:
        UsageError: the strategy broke the contract (asked nothing, or returned no Attempt), or
            wants code run that the user did not allow.
    """
    turns: list[Asked] = []
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
        attempt = ended.value
    finally:
        flow.close()
    if not turns:
        raise UsageError("a strategy ended before it asked anything", hint="yield a Request first")
    if not isinstance(attempt, Attempt):
        raise UsageError(
            f"a strategy returned {type(attempt).__name__}", hint="return an Attempt at the end"
        )
    return attempt, turns


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
