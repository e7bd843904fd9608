"""What a plan will ask: counted before anything is generated.

Every flow is driven as the runner would drive it, on the completions that the store holds; from
the first one it does not hold on, a placeholder stands in. So a request is *certain* until a
placeholder was sent: it will be asked exactly so. What is asked after that depends on the answers;
it is counted as if every answer were the placeholder. So an oracle, asked about a stored answer,
says what it will say in the run; a placeholder it mostly calls wrong, which asks the most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cotkit.identity import completion_key, request_key
from cotkit.models.prices import Price
from cotkit.run import driver
from cotkit.run.plan import Arm, Plan
from cotkit.types import Completion, Execute, Flow, Problem, Question, Request

PLACEHOLDER = Completion(text=" The answer is 0.", stop_reason="stop")
"""What stands for an answer that is not there yet."""
MAX_TURNS = 64
"""Turns of one flow that are counted: a flow may wait for an answer that never comes."""
N_SAMPLED = 20
"""Problems whose first prompts are kept to be measured."""

FindStored = Callable[[str], Completion | None]
"""Completion key -> what the store holds under it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMeans:
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
    stored: StoredMeans | None
    """Means over the ``n_stored``; None if there are none, or their tokens are not known."""
    n_later: int
    """Completions of later turns, which depend on the answers; a guess (see the module)."""
    first: tuple[Request, ...]
    """First requests of the first `N_SAMPLED` problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _FlowRequest:
    """One request of a flow."""

    is_certain: bool
    keys: tuple[str, ...]
    stored: tuple[tuple[int | None, float] | None, ...]
    """For each key, generated tokens and seconds of what the store holds; None where it holds
    nothing, or the request is not certain."""


def survey_arms(plan: Plan, backend: str, held: FindStored) -> tuple[ArmSurvey, ...]:
    """Count what the arms of a plan ask of a backend (its key), in the order of the plan."""
    seen: set[str] = set()
    return tuple(_survey_arm(plan, arm, backend, held, seen) for arm in plan.arms)


def start_without_gold(arm: Arm, question: Question) -> Flow:
    """A flow of an arm without the gold answer: an oracle says no."""
    return driver.start_flow(arm.strategy, question, lambda _: False)


def _survey_arm(plan: Plan, arm: Arm, backend: str, held: FindStored, seen: set[str]) -> ArmSurvey:
    def asks(problem: Problem) -> list[_FlowRequest]:
        is_correct = driver.make_oracle(problem, plan.spec.reader)
        flow = driver.start_flow(arm.strategy, problem.question, is_correct)
        return list(_drive_flow(flow, backend, held))

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
        stored=_mean_usage(kept),
        n_later=len(later),
        first=tuple(
            step
            for problem in plan.problems[:N_SAMPLED]
            if isinstance(step := next(start_without_gold(arm, problem.question), None), Request)
        ),
    )


def _mean_usage(kept: Sequence[tuple[int | None, float]]) -> StoredMeans | None:
    tokens = [count for count, _ in kept if count is not None]
    if not tokens or len(tokens) < len(kept):
        return None
    seconds = sum(seconds for _, seconds in kept)
    return StoredMeans(generated_tokens=sum(tokens) / len(kept), seconds=seconds / len(kept))


def _drive_flow(flow: Flow, backend: str, held: FindStored) -> Iterator[_FlowRequest]:
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
            yield _FlowRequest(
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


# What an arm will take, as a range, before anything is asked.
#
# Both ends of every range are what would have to happen for it, not a guess at what will: few-shot
# prompts mostly come from a cache, and answers mostly end long before their limit.


MOST_CHARACTERS = 5.0
"""Of a token, in English prose; see `LEAST_CHARACTERS`."""
LEAST_CHARACTERS = 2.5
"""Of a token, in digits, signs and other scripts, the tokens around each message included."""

Range = tuple[float, float]
"""(low, high)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What holds a backend back."""

    connections: int | None = None
    """Calls at once; None: no limit."""
    requests_per_minute: float | None = None
    """None: no limit of ours."""
    tokens_per_minute: float | None = None
    """Prompt and generated tokens; None: no limit of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """Ranges, each (low, high)."""

    prompt_tokens: Range
    """Low: the certain requests only, each sent once for all its samples. High: one prompt for
    each completion, later turns included; each of those has the first prompt, all answers before
    it at their longest, and new words as long as the first prompt. A token is 5 characters at the
    low end and 2.5 at the high one, unless the backend counts."""
    generated_tokens: Range
    """Low: the certain completions only, each of the stored mean, or of 1 token without one.
    High: later turns too, and all of them as long as they may be."""
    usd: Range | None
    """Low: the low counts, every prompt read from the provider's cache. High: the high counts,
    every prompt written to it. None: the price is unknown. Tries that fail are in neither."""
    seconds: Range | None
    """Low: the low counts at the pace of the tightest limit, completions as quick as stored ones.
    High: the high counts, completions slower as they are longer; infinite without stored ones.
    None: no limit and no stored completion, so nothing to tell by. Waiting after a fault is in
    neither."""


def estimate_arm(
    arm: ArmSurvey,
    price: Price | None,
    *,
    prompt_tokens: float | None = None,
    pace: Pace | None = None,
) -> CostEstimate:
    """What the completions that an arm still has to make will take.

    Args:
        arm: Its requests, counted; sizes are means over its first requests, ``max_tokens`` too.
        price: Of the model; None: unknown.
        prompt_tokens: Mean tokens of the first prompts, where the backend counts them.
        pace: Limits of the backend; None: none known.
    """
    stored = arm.stored
    n_certain, n_all = arm.n_to_make, arm.n_to_make + arm.n_later
    longest = _mean([0 if one.options else one.decoding.max_tokens for one in arm.first])
    mean = stored.generated_tokens if stored else min(1.0, longest)
    generated = (n_certain * min(mean, longest), n_all * longest)
    samples = max(_mean([len(one.samples) for one in arm.first]), 1.0)
    low, high = (
        _prompt_range(arm.first) if prompt_tokens is None else (prompt_tokens, prompt_tokens)
    )
    n_turns = arm.n_later / arm.n_attempts if arm.n_attempts else 0.0
    later = 2 * high + longest * (n_turns + 1) / 2  # turn t = 1..n comes after t answers: the mean
    prompt = (n_certain / samples * low, n_certain * high + arm.n_later * later)
    return CostEstimate(
        prompt_tokens=prompt,
        generated_tokens=generated,
        usd=None if price is None else _usd_range(price, prompt, generated),
        seconds=_seconds_range(
            (n_certain / samples, n_all),
            (prompt[0] + generated[0], prompt[1] + generated[1]),
            pace or Pace(),
            None
            if stored is None
            else (stored.seconds, stored.seconds * max(longest / (mean or 1.0), 1.0)),
        ),
    )


def sum_estimates(estimates: Sequence[CostEstimate]) -> CostEstimate:
    """All arms of a run; dollars or seconds of the whole are unknown if those of one are."""
    usd = [one.usd for one in estimates if one.usd is not None]
    seconds = [one.seconds for one in estimates if one.seconds is not None]
    return CostEstimate(
        prompt_tokens=_sum_ranges([one.prompt_tokens for one in estimates]),
        generated_tokens=_sum_ranges([one.generated_tokens for one in estimates]),
        usd=_sum_ranges(usd) if len(usd) == len(estimates) else None,
        seconds=_sum_ranges(seconds) if len(seconds) == len(estimates) else None,
    )


def _prompt_range(first: Sequence[Request]) -> Range:
    characters = _mean([sum(len(one.content) for one in request.messages) for request in first])
    return characters / MOST_CHARACTERS, characters / LEAST_CHARACTERS


def _usd_range(price: Price, prompt: Range, generated: Range) -> Range:
    low, high = prompt
    cheapest = low if price.cached_input < price.input else 0.0
    dearest = high if price.cache_write > price.input else 0.0
    return (
        price.cost(low, cheapest, 0, generated[0]),
        price.cost(high, 0, dearest, generated[1]),
    )


def _seconds_range(requests: Range, tokens: Range, pace: Pace, each: Range | None) -> Range | None:
    """``each``: of one completion, in seconds."""
    limits = ((requests, pace.requests_per_minute), (tokens, pace.tokens_per_minute))
    paced = [(n, 60 / a_minute) for n, a_minute in limits if a_minute is not None]
    if not paced and each is None:
        return None
    n_lanes = requests[1] if pace.connections is None else min(pace.connections, requests[1])
    low, high = each or (0.0, math.inf)
    worked = [
        (math.ceil(n / n_lanes) * one if n_lanes else 0.0)
        for n, one in zip(requests, (low, high), strict=True)
    ]
    return (
        max([worked[0], *(n[0] * seconds for n, seconds in paced)]),
        max([worked[1], *(n[1] * seconds for n, seconds in paced)]),
    )


def _sum_ranges(ranges: Sequence[Range]) -> Range:
    return math.fsum(low for low, _ in ranges), math.fsum(high for _, high in ranges)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
