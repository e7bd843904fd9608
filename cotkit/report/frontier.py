"""Solve rate and cost of every model and arm: what solves as much for less?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from cotkit.analysis.scale.frontier import Cost, at_equal_cost, cheapest
from cotkit.analysis.scale.values import Price
from cotkit.report.curve import name
from cotkit.report.document import Column, Number, Span, Strip, Table, Value, Words
from cotkit.report.words import Form, say_level, say_number

_COSTS: dict[Cost, tuple[str, Form]] = {
    "tokens": ("tokens", "tokens"),
    "usd": ("dollars", "usd"),
    "seconds": ("seconds", "seconds"),
}


def frontier_table(prices: Sequence[Price], *, timing: bool) -> Table:
    """The cheapest in tokens first; dollars where known, seconds where ``timing`` asks for them."""
    costs = _shown(prices, timing=timing)
    levels = {say_level(price.interval.level) for price in prices}
    ordered = sorted(prices, key=lambda price: math.inf if price.tokens is None else price.tokens)
    shown = " and ".join(_COSTS[cost][0] for cost in costs)
    return Table(
        key="frontier",
        title="Solve rate and cost",
        note=f"Means per problem of {shown}, all turns, prompt and generated; best for: no other "
        "solves as much for less",
        columns=(
            Column(key="model", header="model"),
            Column(key="arm", header="arm"),
            Column(key="solve_rate", header="solve rate %"),
            Column(
                key="interval",
                header=f"{levels.pop()} interval" if len(levels) == 1 else "interval",
            ),
            *(Column(key=cost, header=_COSTS[cost][0]) for cost in costs),
            Column(key="best_for", header="best for"),
        ),
        rows=tuple(_row(price, costs) for price in ordered) if costs else (),
        strip=Strip(estimate="solve_rate", interval="interval", axis=(0.0, 1.0), margin=None),
    )


def matched_table(prices: Sequence[Price]) -> Table:
    """What other strategies of the same model solve for the tokens of each arm."""
    return Table(
        key="equal_tokens",
        title="At equal tokens",
        note="Solve rate of the other strategy where it costs as many tokens a problem as the arm, "
        "on a straight line between its two nearest arms; nothing is extrapolated",
        columns=(
            Column(key="model", header="model"),
            Column(key="arm", header="arm"),
            Column(key="tokens", header="tokens"),
            Column(key="solve_rate", header="solve rate %"),
            Column(key="other", header="other strategy"),
            Column(key="other_rate", header="its solve rate %"),
            Column(key="between", header="between"),
        ),
        rows=tuple(
            (
                name(price.rung.model),
                name(price.arm),
                Number(value=price.tokens, form="tokens"),
                Number(value=price.rate, form="share"),
                name(other.strategy),
                Number(value=other.rate, form="share"),
                name(" and ".join(dict.fromkeys(other.between))),
            )
            for price in prices
            for other in at_equal_cost(prices, price)
        ),
    )


def say_reached(prices: Sequence[Price], reach: float, *, timing: bool) -> Iterator[str]:
    """One sentence for each cost that is shown: the cheapest that reaches a solve rate."""
    wanted = f"{say_number(reach, 'share')} %"
    for cost in _shown(prices, timing=timing):
        word, form = _COSTS[cost]
        found = cheapest(prices, reach, cost)
        if found is None:
            yield f"No model and strategy whose {word} are known solves {wanted}."
            continue
        unsure = "" if found.interval.low >= reach else f", but its interval begins below {wanted}"
        yield (
            f"The cheapest in {word} that solves {wanted} is {found.arm} on {found.rung.model}: "
            f"{say_number(found.rate, 'share')} % for {say_number(getattr(found, cost), form)} "
            f"{word} a problem{unsure}."
        )


def _shown(prices: Sequence[Price], *, timing: bool) -> list[Cost]:
    return [
        cost
        for cost in _COSTS
        if (timing or cost != "seconds")
        and any(getattr(price, cost) is not None for price in prices)
    ]


def _row(price: Price, costs: Sequence[Cost]) -> tuple[Value, ...]:
    best: list[Cost] = [cost for cost in costs if cost in price.on_frontier]
    return (
        name(price.rung.model),
        name(price.arm),
        Number(value=price.rate, form="share"),
        Span(interval=price.interval, form="share"),
        *(Number(value=getattr(price, cost), form=_COSTS[cost][1]) for cost in costs),
        Words(
            text=", ".join(_COSTS[cost][0] for cost in best) or "-",
            raw=", ".join(best),
            tone="good" if best else "plain",
        ),
    )
