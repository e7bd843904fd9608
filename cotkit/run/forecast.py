"""Forecast a run: count what its plan will ask, then estimate tokens, dollars and seconds.

Every flow is driven as the runner would drive it, on the completions that the store holds; where
one is missing, a placeholder takes its place. A request is *certain* until a placeholder was sent:
the run will send exactly it. Later requests depend on the answers; they are counted as if every
answer were the placeholder. An oracle judges a stored answer as it will in the run; a placeholder
it mostly calls wrong, which leads to the most requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cotkit.identity import completion_key, request_key
from cotkit.models.prices import Price
from cotkit.run.driver import make_oracle, start_flow
from cotkit.run.plan import Arm, Plan
from cotkit.types import Completion, Execute, Flow, Problem, Question, Request

PLACEHOLDER = Completion(text=" The answer is 0.", stop_reason="stop")
"""Takes the place of an answer that is not made yet."""
MAX_TURNS = 64
"""Turns counted of one flow: with placeholders a flow may never end."""
N_SAMPLED = 20
"""Problems whose first requests are kept, to measure their length."""

FindStored = Callable[[str], Completion | None]
"""Completion key -> the stored completion; None: there is none."""

_Usage = tuple[int | None, float]
"""Generated tokens (None: unknown) and seconds of a stored completion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMeans:
    """Means over the stored completions of an arm."""

    generated_tokens: float
    """Generated tokens of a completion."""
    seconds: float
    """Seconds from its first try to its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSurvey:
    """What one arm will ask; ``n_asked = n_shared + n_stored + n_to_make``."""

    arm: str
    """Canonical strategy spec."""
    n_attempts: int
    """Problems."""
    n_requests: int
    """Certain requests; at least the first turn of every attempt."""
    n_asked: int
    """Completions of these requests."""
    n_shared: int
    """Of these, asked earlier by this arm or another: made once."""
    n_stored: int
    """Of the rest, already in the store."""
    n_to_make: int
    """Of the rest, to be made."""
    stored: StoredMeans | None
    """Means over the ``n_stored``; None: there are none, or their tokens are unknown."""
    n_later: int
    """Completions of requests that are not certain; a guess (see the module)."""
    n_judged: int = 0
    """Completions that another model makes as the judge, certain or not; in no other count."""
    first: tuple[Request, ...]
    """First requests of the first `N_SAMPLED` problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _FlowRequest:
    """One request of a flow."""

    is_certain: bool
    is_judged: bool
    keys: tuple[str, ...]
    usages: tuple[_Usage | None, ...]
    """Of each key, its stored completion; None: there is none, or the request is not certain."""


def survey_arms(plan: Plan, backend: str, find_stored: FindStored) -> tuple[ArmSurvey, ...]:
    """Count what the arms of a plan will ask of a backend (its key), in the order of the plan."""
    earlier_keys: set[str] = set()
    return tuple(_survey_arm(plan, arm, backend, find_stored, earlier_keys) for arm in plan.arms)


def _survey_arm(
    plan: Plan, arm: Arm, backend: str, find_stored: FindStored, earlier_keys: set[str]
) -> ArmSurvey:
    def drive(problem: Problem) -> list[_FlowRequest]:
        is_correct = make_oracle(problem, plan.spec.reader)
        flow = start_flow(
            arm.strategy_for(problem.question), problem.question, is_correct, arm.system
        )
        return list(_drive_flow(flow, backend, plan.judge, find_stored))

    flows = [drive(problem) for problem in plan.problems]
    requests = [request for flow in flows for request in flow if not request.is_judged]
    judged = {
        key for flow in flows for request in flow if request.is_judged for key in request.keys
    }
    certain = [request for request in requests if request.is_certain]
    n_asked = sum(len(request.keys) for request in certain)
    new: dict[str, _Usage | None] = {}
    for request in certain:
        new |= zip(request.keys, request.usages, strict=True)
    new = {key: usage for key, usage in new.items() if key not in earlier_keys}
    usages = [usage for usage in new.values() if usage is not None]
    later = {key for request in requests for key in request.keys} - new.keys() - earlier_keys
    earlier_keys |= new.keys() | later
    return ArmSurvey(
        arm=arm.name,
        n_attempts=len(flows),
        n_requests=len(certain),
        n_asked=n_asked,
        n_shared=n_asked - len(new),
        n_stored=len(usages),
        n_to_make=len(new) - len(usages),
        stored=_mean_usage(usages),
        n_later=len(later),
        n_judged=len(judged),
        first=tuple(
            step
            for problem in plan.problems[:N_SAMPLED]
            if isinstance(step := next(start_without_gold(arm, problem.question), None), Request)
        ),
    )


def _mean_usage(usages: Sequence[_Usage]) -> StoredMeans | None:
    tokens = [count for count, _ in usages if count is not None]
    if not tokens or len(tokens) < len(usages):
        return None
    seconds = sum(seconds for _, seconds in usages)
    return StoredMeans(generated_tokens=sum(tokens) / len(usages), seconds=seconds / len(usages))


def _drive_flow(
    flow: Flow, backend: str, judge: str | None, find_stored: FindStored
) -> Iterator[_FlowRequest]:
    is_certain = True
    try:
        step = next(flow)
        for _ in range(MAX_TURNS):
            if isinstance(step, Execute):
                is_certain = False  # what the code will print is unknown
                step = flow.send((PLACEHOLDER,))
                continue
            content = request_key(step)
            is_judged = step.role == "judge" and judge is not None
            asked_key = judge if is_judged and judge is not None else backend
            keys = tuple(completion_key(asked_key, content, sample) for sample in step.samples)
            completions = [find_stored(key) if is_certain else None for key in keys]
            yield _FlowRequest(
                is_certain=is_certain,
                is_judged=is_judged,
                keys=keys,
                usages=tuple(
                    completion and (completion.n_generated_tokens, completion.seconds)
                    for completion in completions
                ),
            )
            is_certain = is_certain and None not in completions
            step = flow.send(tuple(completion or PLACEHOLDER for completion in completions))
    except StopIteration:
        pass
    finally:
        flow.close()


def start_without_gold(arm: Arm, question: Question) -> Flow:
    """Start a flow of an arm without the gold answer: an oracle always answers no."""
    return start_flow(arm.strategy_for(question), question, lambda _: False, arm.system)


# Estimates of what an arm will take, as ranges. Both ends are bounds, not guesses: few-shot prompts
# mostly come from a cache, and answers mostly end long before their limit.

MOST_CHARACTERS = 5.0
"""Characters of a token in English prose."""
LEAST_CHARACTERS = 2.5
"""Characters of a token in digits, signs and other scripts, with the tokens around a message."""

Range = tuple[float, float]
"""(low, high)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Limits of a backend."""

    connections: int | None = None
    """Calls at once; None: no limit."""
    requests_per_minute: float | None = None
    """None: no limit set."""
    tokens_per_minute: float | None = None
    """Prompt and generated tokens; None: no limit set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """Ranges, each (low, high)."""

    prompt_tokens: Range
    """Low: the certain requests only, each sent once for all its samples. High: one prompt for
    each completion, later turns included; each of those has the first prompt, all answers before
    it at their longest, and new words as long as the first prompt. A token is 5 characters at the
    low end and 2.5 at the high one, unless the backend counts tokens."""
    generated_tokens: Range
    """Low: the certain completions only, each of the stored mean, or of 1 token without one.
    High: later turns too, and all of them, and the thinking before them, as long as they may be."""
    usd: Range | None
    """Low: the low counts, every prompt read from the provider's cache. High: the high counts,
    every prompt written to it. None: the price is unknown. Tries that fail are in neither."""
    seconds: Range | None
    """Low: the low counts at the pace of the tightest limit, completions as quick as stored ones.
    High: the high counts, completions slower as they are longer; infinite without stored ones.
    None: no limit and no stored completion, so unknown. Waiting after a fault is in neither."""


def estimate_arm(
    arm: ArmSurvey,
    price: Price | None,
    *,
    prompt_tokens: float | None = None,
    thinking_tokens: float = 0.0,
    pace: Pace | None = None,
) -> CostEstimate:
    """Estimate what the completions take that an arm still has to make.

    Args:
        arm: Its counts; lengths are means over its first requests, ``max_tokens`` too.
        price: Of the model; None: unknown.
        prompt_tokens: Mean tokens of the first prompts, where the backend counts them.
        thinking_tokens: Most tokens of thinking of one completion, beside those of its answer.
        pace: Limits of the backend; None: none known.
    """
    stored = arm.stored
    n_certain, n_all = arm.n_to_make, arm.n_to_make + arm.n_later
    longest_answer = _mean(
        [0 if request.options else request.decoding.max_tokens for request in arm.first]
    )
    longest = longest_answer + thinking_tokens
    mean = stored.generated_tokens if stored else min(1.0, longest)
    generated = (n_certain * min(mean, longest), n_all * longest)
    samples = max(_mean([len(request.samples) for request in arm.first]), 1.0)
    low, high = (
        _prompt_range(arm.first) if prompt_tokens is None else (prompt_tokens, prompt_tokens)
    )
    n_turns = arm.n_later / arm.n_attempts if arm.n_attempts else 0.0
    later = (
        2 * high + longest_answer * (n_turns + 1) / 2
    )  # turn t = 1..n comes after t answers: the mean
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
    """Add up all arms of a run; dollars or seconds are unknown if those of one arm are."""
    usd = [estimate.usd for estimate in estimates if estimate.usd is not None]
    seconds = [estimate.seconds for estimate in estimates if estimate.seconds is not None]
    return CostEstimate(
        prompt_tokens=_sum_ranges([estimate.prompt_tokens for estimate in estimates]),
        generated_tokens=_sum_ranges([estimate.generated_tokens for estimate in estimates]),
        usd=_sum_ranges(usd) if len(usd) == len(estimates) else None,
        seconds=_sum_ranges(seconds) if len(seconds) == len(estimates) else None,
    )


def _prompt_range(first: Sequence[Request]) -> Range:
    characters = _mean(
        [sum(len(message.content) for message in request.messages) for request in first]
    )
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
    """Return the range of seconds of a run; ``each``: seconds of one completion."""
    limits = ((requests, pace.requests_per_minute), (tokens, pace.tokens_per_minute))
    paced = [(n, 60 / a_minute) for n, a_minute in limits if a_minute is not None]
    if not paced and each is None:
        return None
    n_lanes = requests[1] if pace.connections is None else min(pace.connections, requests[1])
    low, high = each or (0.0, math.inf)
    worked = [
        (math.ceil(n / n_lanes) * seconds_each if n_lanes else 0.0)
        for n, seconds_each in zip(requests, (low, high), strict=True)
    ]
    return (
        max([worked[0], *(n[0] * seconds for n, seconds in paced)]),
        max([worked[1], *(n[1] * seconds for n, seconds in paced)]),
    )


def _sum_ranges(ranges: Sequence[Range]) -> Range:
    return math.fsum(low for low, _ in ranges), math.fsum(high for _, high in ranges)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
