"""Solve rate against cost over model size and strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from cotkit.analysis.scale.gains import cell_interval, totals_of
from cotkit.analysis.scale.grid import AnalysisSetting, ArmOutcomes, Cell, Rung
from cotkit.analysis.scale.values import CostPoint
from cotkit.analysis.values import Comparison
from cotkit.stats.bootstrap import Floats

Cost: TypeAlias = Literal["tokens", "usd", "seconds"]
COSTS: tuple[Cost, ...] = ("tokens", "usd", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualCostMatch:
    """What another strategy of the same model solves at the same cost."""

    strategy: str
    """Its name without options."""
    between: tuple[str, str]
    """The two measured arms on either side of the cost; twice the same if one costs just that."""
    rate: float
    """Solve rate at that cost, on the straight line between the two."""


def price_arms(setting: AnalysisSetting) -> tuple[CostPoint, ...]:
    """Return rate and mean cost of every measured (model, arm), and the frontiers it is on."""
    points: list[CostPoint] = []
    for rung in setting.ladder.rungs:
        for arm in setting.arms:
            cell = setting.grid.cells.get((rung.model, arm))
            if cell is not None and totals_of(cell) is not None:
                points.append(_price_cell(rung, arm, cell, setting))
    return mark_frontier(points)


def price_comparisons(comparisons: Sequence[Comparison]) -> tuple[CostPoint, ...]:
    """Return the same as :func:`price_arms` for each arm of comparisons of one benchmark.

    Arms that completed no problem are left out.
    """
    return mark_frontier(
        [
            CostPoint(
                rung=Rung(model=comparison.model, family=None, n_params=comparison.n_params),
                arm=cell.arm,
                rate=cell.solve_rate,
                interval=cell.interval,
                tokens=None
                if cell.prompt_tokens is None or cell.generated_tokens is None
                else cell.prompt_tokens + cell.generated_tokens,
                usd=cell.usd,
                seconds=cell.seconds,
                on_frontier=(),
            )
            for comparison in comparisons
            for cell in comparison.cells
            if cell.n
        ]
    )


def mark_frontier(points: Sequence[CostPoint]) -> tuple[CostPoint, ...]:
    """Return the points, each with the costs for which nothing else beats it."""
    best = {cost: frontier_indices(points, cost) for cost in COSTS}
    return tuple(
        replace(price, on_frontier=tuple(cost for cost in COSTS if i in best[cost]))
        for i, price in enumerate(points)
    )


def frontier_indices(points: Sequence[CostPoint], cost: Cost) -> frozenset[int]:
    """Return the indices of the points that no other point dominates (Pareto).

    A point is dominated if another solves as much for less, or more for as little. Points of
    unknown cost are on no frontier; equals are on it together.
    """
    costs = [
        (value, i) for i, price in enumerate(points) if (value := getattr(price, cost)) is not None
    ]
    indices: set[int] = set()
    best = -1.0
    for value in sorted({value for value, _ in costs}):
        same = [i for other, i in costs if other == value]
        top = max(points[i].rate for i in same)
        if top > best:
            best = top
            indices |= {i for i in same if points[i].rate == top}
    return frozenset(indices)


def find_cheapest(points: Sequence[CostPoint], rate: float, cost: Cost) -> CostPoint | None:
    """Return the cheapest point whose measured solve rate is at least ``rate``.

    Of equal cost the one that solves more; None if no point of known cost does. It is chosen after
    seeing the rates, so its own rate is flattered.
    """
    reaching = [
        price for price in points if price.rate >= rate and getattr(price, cost) is not None
    ]
    return min(reaching, key=lambda price: (getattr(price, cost), -price.rate), default=None)


def match_cost(
    points: Sequence[CostPoint], reference: CostPoint, cost: Cost = "tokens"
) -> list[EqualCostMatch]:
    """Return what other strategies of the same model solve at the cost of ``reference``.

    Arms of one strategy that differ in options (``self-consistency:k=3``, ``:k=5``) are one curve
    of rate over cost. A strategy is left out where ``reference`` costs less or more than all of its
    measured arms: nothing is extrapolated.
    """
    target = getattr(reference, cost)
    if target is None:
        return []
    curves: dict[str, list[CostPoint]] = {}
    for price in points:
        if price.rung == reference.rung and getattr(price, cost) is not None:
            curves.setdefault(_strategy_name(price.arm), []).append(price)
    curves.pop(_strategy_name(reference.arm), None)
    matches: list[EqualCostMatch] = []
    for strategy, curve in curves.items():
        curve.sort(key=lambda price: getattr(price, cost))
        below = [price for price in curve if getattr(price, cost) <= target]
        above = [price for price in curve if getattr(price, cost) >= target]
        if below and above:
            low, high = below[-1], above[0]
            least, most = getattr(low, cost), getattr(high, cost)
            share = (target - least) / (most - least) if most > least else 0.0
            rate = low.rate + share * (high.rate - low.rate)
            matches.append(
                EqualCostMatch(strategy=strategy, between=(low.arm, high.arm), rate=rate)
            )
    return matches


def _price_cell(rung: Rung, arm: str, cell: Cell, setting: AnalysisSetting) -> CostPoint:
    totals = totals_of(cell)
    assert totals is not None
    spent = cell if isinstance(cell, ArmOutcomes) else None
    return CostPoint(
        rung=rung,
        arm=arm,
        rate=totals.rate,
        interval=cell_interval(cell, setting.codes, setting.question.level),
        tokens=_mean(spent.tokens) if spent else None,
        usd=_mean(spent.usd) if spent else None,
        seconds=_mean(spent.seconds) if spent else None,
        on_frontier=(),
    )


def _mean(values: Floats | None) -> float | None:
    if values is None or np.isnan(values).all():
        return None
    return float(np.nanmean(values))


def _strategy_name(arm: str) -> str:
    return arm.split(":", 1)[0]
