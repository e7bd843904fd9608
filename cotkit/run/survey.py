"""What a plan will ask: counted before anything is generated.

Every flow is driven as the runner would drive it, on the completions that the store holds; from
the first one it does not hold on, a placeholder stands in. So a request is *certain* until a
placeholder was sent: it will be asked exactly so. What is asked after that depends on the answers;
it is counted as if every answer were the placeholder. So an oracle, asked about a stored answer,
says what it will say in the run; a placeholder it mostly calls wrong, which asks the most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cotkit.identity import completion_key, request_key
from cotkit.run import driver
from cotkit.run.plan import Arm, Plan
from cotkit.types import Completion, Execute, Flow, Problem, Question, Request

PLACEHOLDER = Completion(text=" The answer is 0.", stop_reason="stop")
"""What stands for an answer that is not there yet."""
MAX_TURNS = 64
"""Turns of one flow that are counted: a flow may wait for an answer that never comes."""
N_SAMPLED = 20
"""Problems whose first prompts are kept to be measured."""

Held = Callable[[str], Completion | None]
"""Completion key -> what the store holds under it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Means over the completions that the store holds for an arm."""

    generated_tokens: float
    """Generated tokens of one."""
    seconds: float
    """From its first try to its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSurvey:
    """What one arm asks; ``n_asked = n_shared + n_stored + n_to_make``."""

    arm: str
    """Canonical strategy spec."""
    n_attempts: int
    """Problems."""
    n_requests: int
    """Certain requests; at least the first turn of every attempt."""
    n_asked: int
    """Completions of these requests."""
    n_shared: int
    """Of these, asked by an arm before it (or by itself before): made once."""
    n_stored: int
    """Of the rest, already in the store."""
    n_to_make: int
    """Of the rest, to be made."""
    stored: Stored | None
    """Means over the ``n_stored``; None if there are none, or their tokens are not known."""
    n_later: int
    """Completions of later turns, which depend on the answers; a guess (see the module)."""
    first: tuple[Request, ...]
    """First requests of the first `N_SAMPLED` problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One request of a flow."""

    is_certain: bool
    keys: tuple[str, ...]
    stored: tuple[tuple[int | None, float] | None, ...]
    """For each key, generated tokens and seconds of what the store holds; None where it holds
    nothing, or the request is not certain."""


def survey(plan: Plan, backend: str, held: Held) -> tuple[ArmSurvey, ...]:
    """Count what the arms of a plan ask of a backend (its key), in the order of the plan."""
    seen: set[str] = set()
    return tuple(_arm(plan, arm, backend, held, seen) for arm in plan.arms)


def start(arm: Arm, question: Question) -> Flow:
    """A flow of an arm without the gold answer: an oracle says no."""
    return driver.start(arm.strategy, question, lambda _: False)


def _arm(plan: Plan, arm: Arm, backend: str, held: Held, seen: set[str]) -> ArmSurvey:
    def asks(problem: Problem) -> list[_Asked]:
        is_correct = driver.oracle(problem, plan.spec.reader)
        flow = driver.start(arm.strategy, problem.question, is_correct)
        return list(_drive(flow, backend, held))

    flows = [asks(problem) for problem in plan.problems]
    asked = [turn for flow in flows for turn in flow]
    certain = [turn for turn in asked if turn.is_certain]
    n_asked = sum(len(turn.keys) for turn in certain)
    new: dict[str, tuple[int | None, float] | None] = {}
    for turn in certain:
        new |= zip(turn.keys, turn.stored, strict=True)
    new = {key: stored for key, stored in new.items() if key not in seen}
    kept = [stored for stored in new.values() if stored is not None]
    later = {key for turn in asked for key in turn.keys} - new.keys() - seen
    seen |= new.keys() | later
    return ArmSurvey(
        arm=arm.name,
        n_attempts=len(flows),
        n_requests=len(certain),
        n_asked=n_asked,
        n_shared=n_asked - len(new),
        n_stored=len(kept),
        n_to_make=len(new) - len(kept),
        stored=_means(kept),
        n_later=len(later),
        first=tuple(
            step
            for problem in plan.problems[:N_SAMPLED]
            if isinstance(step := next(start(arm, problem.question), None), Request)
        ),
    )


def _means(kept: Sequence[tuple[int | None, float]]) -> Stored | None:
    tokens = [count for count, _ in kept if count is not None]
    if not tokens or len(tokens) < len(kept):
        return None
    seconds = sum(seconds for _, seconds in kept)
    return Stored(generated_tokens=sum(tokens) / len(kept), seconds=seconds / len(kept))


def _drive(flow: Flow, backend: str, held: Held) -> Iterator[_Asked]:
    certain = True
    try:
        step = next(flow)
        for _ in range(MAX_TURNS):
            if isinstance(step, Execute):
                certain = False  # what the code will print is not known
                step = flow.send((PLACEHOLDER,))
                continue
            content = request_key(step)
            keys = tuple(completion_key(backend, content, sample) for sample in step.samples)
            known = [held(key) if certain else None for key in keys]
            yield _Asked(
                is_certain=certain,
                keys=keys,
                stored=tuple(one and (one.n_generated_tokens, one.seconds) for one in known),
            )
            certain = certain and None not in known
            step = flow.send(tuple(completion or PLACEHOLDER for completion in known))
    except StopIteration:
        pass
    finally:
        flow.close()
