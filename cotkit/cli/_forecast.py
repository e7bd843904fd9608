"""A forecast in words: the table of ``cotkit plan`` and what every run says before it begins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cotkit.run.estimate import total

if TYPE_CHECKING:
    from cotkit.forecast import Forecast
    from cotkit.run.budget import Budget
    from cotkit.run.estimate import Estimate
    from cotkit.run.survey import ArmSurvey

_COUNTS = ("n_attempts", "n_requests", "n_asked", "n_shared", "n_stored", "n_to_make", "n_later")


def lines(found: Forecast) -> list[str]:
    """The run, its size, its completions, and the smallest gain it can find."""
    arms = " · ".join(_name(arm, found) for arm in found.arms)
    n, n_arms = found.n_problems, len(found.arms)
    said = [
        f"run {found.run_id} · {found.model} · {found.bench} · {arms}",
        f"{n} of {found.n_total} problems in {n_arms} arms: {n * n_arms} attempts",
        _completions(found.arms),
    ]
    if found.n_weighed:
        said.append(
            f"on top of these: the log-probabilities of at most {found.n_weighed:,} options, all of"
            " a problem's after each attempt"
        )
    gains = [
        f"{100 * effect:.0f} points over a control at {100 * rate:.0f} %"
        for rate, effect in found.detectable
        if not math.isnan(effect)
    ]
    if gains:
        said.append(f"smallest gain that {n} problems can show (power 0.8): {', '.join(gains)}")
    elif found.detectable:
        said.append(f"no gain, however large, would surely show on {n} problems (power 0.8)")
    if (cost := _cost(found)) is not None:
        said.append(cost)
    return said


def budget_lines(found: Forecast, budget: Budget) -> list[str]:
    """How far a budget goes: between so many problems and so many."""
    whole = total(found.estimates)
    tokens = tuple(map(sum, zip(whole.prompt_tokens, whole.generated_tokens, strict=True)))
    said: list[str] = []
    for name, limit, taken in (
        ("usd", budget.usd, whole.usd),
        ("tokens", budget.tokens, tokens),
        ("time", budget.seconds, whole.seconds),
    ):
        if limit is None:
            continue
        if taken is None:
            said.append(f"--budget-{name}: what a problem takes of it is not known")
            continue
        n = found.n_problems
        least, most = (min(n, int(n * limit / one)) if one else n for one in reversed(taken))
        said.append(f"--budget-{name} is enough for {least} to {most} of the {n} problems")
    return said


def _cost(found: Forecast) -> str | None:
    whole = total(found.estimates)
    if found.price is None or whole.usd is None:
        return None
    low, high = whole.usd
    if not high:
        return None
    return (
        f"price: ${low:.2g} to ${high:.2g} (list prices of {found.price.as_of}; answers of one "
        "token to answers at their limit, prompts from the cache or not)"
    )


def table(found: Forecast) -> list[tuple[str, ...]]:
    """One row for each arm and one for all of them, the header first."""
    header = ("arm", "attempts", "requests", "asked", "shared", "in the store", "to make")
    header = (*header, "later turns", "prompt tokens", "generated tokens", "dollars", "seconds")
    rows = [
        (
            _name(arm, found),
            *(f"{getattr(arm, name):,}" for name in _COUNTS),
            _about(tokens) if tokens is not None else _range(ahead.prompt_tokens),
            *taken(ahead),
        )
        for arm, tokens, ahead in zip(found.arms, found.prompt_tokens, found.estimates, strict=True)
    ]
    known = [tokens for tokens in found.prompt_tokens if tokens is not None]
    tokens = sum(known) if len(known) == len(found.prompt_tokens) else None
    sums = (f"{sum(getattr(arm, name) for arm in found.arms):,}" for name in _COUNTS)
    whole = total(found.estimates)
    prompts = _about(tokens) if tokens is not None else _range(whole.prompt_tokens)
    return [header, *rows, ("all", *sums, prompts, *taken(whole))]


def taken(ahead: Estimate) -> tuple[str, str, str]:
    """Generated tokens, dollars and seconds of an estimate, as cells of a table."""
    return (
        _range(ahead.generated_tokens),
        "price unknown" if ahead.usd is None else _range(ahead.usd, "$", ".2g"),
        "not known" if ahead.seconds is None else _range(ahead.seconds),
    )


def _range(of: tuple[float, float], unit: str = "", form: str = ",.0f") -> str:
    low, high = of
    if math.isinf(high):
        return f"at least {unit}{low:{form}}"
    return f"{unit}{low:{form}} to {unit}{high:{form}}" if high > low else f"{unit}{low:{form}}"


def _name(arm: ArmSurvey, found: Forecast) -> str:
    return f"{arm.arm} (upper bound)" if arm.arm in found.upper_bounds else arm.arm


def _completions(arms: tuple[ArmSurvey, ...]) -> str:
    asked, shared, stored, to_make, later = (
        sum(getattr(arm, name) for arm in arms) for name in _COUNTS[2:]
    )
    turns = f" (later turns, by the answers: about {later:,} more)" if later else ""
    return (
        f"asked {asked:,} completions, {shared:,} shared, {stored:,} in the store, "
        f"{to_make:,} to make{turns}"
    )


def _about(tokens: int) -> str:
    return f"about {tokens:,}" if tokens else "0"
