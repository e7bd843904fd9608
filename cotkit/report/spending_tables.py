"""What is said of solve rate by what models spend while they answer, arranged in sections."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from cotkit.analysis.scale.spending import Spending, SpendingCurve, SpendingUnit, tokens_spent
from cotkit.report.document import (
    Curve,
    Document,
    Field,
    Figure,
    Screen,
    Strip,
    Table,
    Words,
    make_table,
    say_number,
)
from cotkit.report.sweep_tables import MOST_CURVES, sweeps_table
from cotkit.report.verdicts import verdict_cell

SCHEMA = "cotkit.spending/1"
"""Changes when a key is renamed, removed or changes meaning; a new key leaves it alone."""

UNITS: Mapping[SpendingUnit, str] = {
    "thinking-tokens": "thinking tokens",
    "tokens": "generated tokens",
}
"""What is spent, as columns and axes name it: means per problem, as measured."""


def spending_document(spending: Spending) -> Document:
    """Arrange an analysis for reading."""
    models, points = list(spending.runs), _points_table(spending)
    return Document(
        headline=spending.sentences,
        caption=(
            ", ".join(models),
            spending.bench,
            f"{say_number(spending.n_problems, 'count')} problems",
            f"by {UNITS[spending.unit]}",
            f"reader {spending.reader}",
            f"margin {say_number(spending.margin, 'share')} points",
        ),
        facts=(
            ("bench", spending.bench),
            ("axis", spending.unit),
            ("margin", spending.margin),
            ("n_problems", spending.n_problems),
            ("reader", spending.reader),
        ),
        tables=(
            points,
            sweeps_table(
                [curve.sweep for curve in spending.curves],
                [curve.model for curve in spending.curves],
            ),
            _matches_table(spending),
            make_table(
                "runs",
                "Runs",
                (
                    (Field("model", "model", model), Field("run_id", "run", run))
                    for model, run in spending.runs.items()
                ),
            ),
        ),
        notes=spending.notes,
        screen=Screen(
            tables=(replace(points, key="answer", title=""),), figures=_make_figures(spending)
        ),
    )


def name_curve(curve: SpendingCurve, spending: Spending) -> str:
    """Return what a legend calls a curve: its strategy, and of several models its model."""
    name = f"{curve.sweep.strategy} by {curve.sweep.parameter}"
    return f"{curve.model}: {name}" if len(spending.runs) > 1 else name


def place_tokens(tokens: float | None) -> float:
    """Return the place of a number of tokens on an axis: logarithmic, and 0 has one, too."""
    return math.nan if tokens is None else math.log10(1 + tokens)


def _points_table(spending: Spending) -> Table:
    unit, is_priced = UNITS[spending.unit], any(p.usd is not None for p in spending.points)
    points = sorted(spending.points, key=lambda p: math.inf if p.tokens is None else p.tokens)
    return make_table(
        "spending",
        "Solve rate by what was spent",
        (
            (
                Field("model", "model", point.rung.model, when=len(spending.runs) > 1),
                Field("arm", "arm", point.arm),
                Field("tokens", unit, point.tokens, "tokens"),
                Field("solve_rate", "solve rate %", point.rate, "share"),
                Field("interval", "{level} interval", point.interval, "share"),
                Field("on_frontier", "cheapest?", _frontier_cell("tokens" in point.on_frontier)),
                Field("usd", "$ per 1,000", point.usd, "usd_per_1000", when=is_priced),
                Field(
                    "on_usd_frontier",
                    "by $?",
                    _frontier_cell("usd" in point.on_frontier),
                    when=is_priced,
                ),
            )
            for point in points
        ),
        note=f"{unit}: measured, mean per problem; cheapest: nothing else solves as much for less"
        + ("; dollars at list prices, hidden tokens included" if is_priced else ""),
        strip=Strip(estimate="solve_rate", interval="interval", axis=(0.0, 1.0), margin=None),
    )


def _frontier_cell(is_cheapest: bool) -> Words:  # noqa: FBT001 - a cell of yes or nothing
    return Words(text="yes" if is_cheapest else "", raw=is_cheapest)


def _matches_table(spending: Spending) -> Table:
    return make_table(
        "serial_parallel",
        "More samples against longer thoughts, at equal generated tokens",
        (
            (
                Field("model", "model", match.model, when=len(spending.runs) > 1),
                Field("arm", "samples", match.arm),
                Field("between", "thoughts", " to ".join(dict.fromkeys(match.between))),
                Field("tokens", "generated tokens", match.tokens, "tokens"),
                Field("solve_rate", "samples solve %", match.rate, "share"),
                Field("serial_rate", "thoughts solve %", match.serial_rate, "share"),
                Field("difference", "difference", match.rate - match.serial_rate, "points"),
                Field("interval", "{level} interval", match.interval, "points"),
                Field("label", "samples are", verdict_cell(match.label)),
                Field("n", "n", match.n),
            )
            for match in spending.matches
        ),
        note="Thoughts: on the straight line between the two arms on either side, problem by"
        " problem; intervals hold together",
        strip=Strip(estimate="difference", interval="interval", axis=None, margin=spending.margin),
    )


def _make_figures(spending: Spending) -> tuple[Figure, ...]:
    """Return one figure with the first curves; none where all spend the same."""
    curves = spending.curves[:MOST_CURVES]
    spent = sorted(
        {
            tokens
            for curve in curves
            for point in curve.sweep.points
            if (tokens := tokens_spent(point, spending.unit)) is not None
        }
    )
    if len(spent) < 2:
        return ()
    return (
        Figure(
            x=tuple(map(place_tokens, spent)),
            ticks=tuple(say_number(tokens, "tokens") for tokens in spent),
            axis=f"{UNITS[spending.unit]} per problem, logarithmic",
            arms=tuple(
                Curve(
                    name=name_curve(curve, spending),
                    y=tuple(_rate_at(curve, tokens, spending.unit) for tokens in spent),
                )
                for curve in curves
            ),
            controls=(),
            brackets=(),
            is_joined=True,
        ),
    )


def _rate_at(curve: SpendingCurve, tokens: float, unit: SpendingUnit) -> float:
    """Return the solve rate of the arm that takes just so many tokens; NaN: none does."""
    rates = [p.solve_rate for p in curve.sweep.points if tokens_spent(p, unit) == tokens]
    return rates[-1] if rates else math.nan
