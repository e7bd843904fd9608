"""The frontier: what each model and strategy solves, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cotkit.analysis.scale.frontier import Cost
from cotkit.analysis.scale.values import Price
from cotkit.report.html.figure import COLORS, Drawn, axes, draw, legend, series, short, unit
from cotkit.report.words import Form, printable, say_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COSTS: Mapping[Cost, tuple[str, Form]] = {
    "tokens": ("tokens per problem, prompt and answer", "tokens"),
    "usd": ("dollars per problem", "usd"),
    "seconds": ("seconds per problem", "seconds"),
}
"""Cost -> what stands below the axis, and how its numbers are written."""
_MOST_NAMED = 8  # names on a figure; the table has them all


def frontier(
    key: str, prices: Sequence[Price], arms: Sequence[str], cost: Cost, bench: str
) -> Drawn:
    """Solve rate against one cost; a line joins what nothing cheaper beats."""
    words, form = COSTS[cost]
    known = [(_cost(one, cost), one) for one in prices if _cost(one, cost) > 0]
    said = "; ".join(
        f"{one.rung.model}, {one.arm}: {say_number(one.rate, 'share')} % for "
        f"{say_number(spent, form)}{' (on the frontier)' if cost in one.on_frontier else ''}"
        for spent, one in known
    )
    return draw(
        key,
        title=f"Solve rate against {cost.replace('usd', 'dollars')}",
        caption=f"{bench}; {words}, logarithmic; line: nothing else solves as much for "
        "less; vertical: intervals",
        says=printable(said),
        height=260 + 16 * len(arms),
        paint=lambda figure: _paint(figure, known, arms, cost),
    )


def _cost(price: Price, cost: Cost) -> float:
    """NaN-free: 0 where it is not known, which a logarithmic axis cannot show."""
    return {"tokens": price.tokens, "usd": price.usd, "seconds": price.seconds}[cost] or 0.0


def _paint(
    figure: Figure, known: Sequence[tuple[float, Price]], arms: Sequence[str], cost: Cost
) -> None:
    from matplotlib.ticker import LogLocator

    words, form = COSTS[cost]
    on = axes(figure, left=36, right=14, top=30 + 16 * len(arms), bottom=44)
    on.set_xscale("log")
    on.set_ylim(0, 104)
    on.set_xlabel(words)
    on.grid(visible=True, axis="y")
    best = sorted((spent, one.rate) for spent, one in known if cost in one.on_frontier)
    x, y = [spent for spent, _ in best], [100 * rate for _, rate in best]
    on.step(x, y, where="post", color=COLORS["quiet"], linewidth=1)
    for i, arm in enumerate(arms):
        color, marker = series(i)
        of = [(spent, one) for spent, one in known if one.arm == arm]
        on.vlines(
            [spent for spent, _ in of],
            [100 * one.interval.low for _, one in of],
            [100 * one.interval.high for _, one in of],
            color=color,
            linewidth=1,
            alpha=0.5,
        )
        rates = [100 * one.rate for _, one in of]
        name = short(printable(arm), 52)
        on.plot([spent for spent, _ in of], rates, marker, color=color, markersize=6, label=name)
    low, high = min(spent for spent, _ in known), max(spent for spent, _ in known)
    air = (high / low) ** 0.08 if high > low else 2.0
    on.set_xlim(low / air, high * air**3)  # names stand at the right of their points
    on.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    on.xaxis.set_major_formatter(lambda value, _: say_number(value, form))
    on.xaxis.set_minor_formatter(lambda _value, _: "")
    named = [pair for pair in sorted(known, key=lambda p: p[0]) if cost in pair[1].on_frontier]
    for i, (spent, one) in enumerate(named[-_MOST_NAMED:]):
        on.annotate(
            short(printable(one.rung.model), 20),
            (spent, 100 * one.rate),
            xytext=(6, (-11, 5)[i % 2]),
            textcoords="offset pixels",
            fontsize=9,
            color=COLORS["muted"],
        )
    unit(on, "solve rate, %")
    legend(on, above=20)


def frontiers(
    key: str, prices: Sequence[Price], bench: str, *, timing: bool, arms: Sequence[str] = ()
) -> list[Drawn]:
    """One figure for each cost that is known of two or more; seconds only with ``timing``.

    ``arms``: those that come first, so that their colours are those of other figures.
    """
    costs: list[Cost] = [cost for cost in COSTS if timing or cost != "seconds"]
    every = list(dict.fromkeys([*arms, *(price.arm for price in prices)]))
    return [
        frontier(f"{key}-{cost}", prices, every, cost, bench)
        for cost in costs
        if sum(_cost(one, cost) > 0 for one in prices) > 1
    ]
