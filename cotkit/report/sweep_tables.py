"""Curves over a setting: what is said of arms that differ in it alone."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.analysis.values import Sweep, SweepPoint
from cotkit.report.document import Curve, Field, Figure, Strip, Table, Words, make_table


def sweeps_table(sweeps: Sequence[Sweep], models: Sequence[str] = ()) -> Table:
    """Return a row for each setting of each curve; ``models``: whose each is, of several."""
    thinks = any(point.thinking_tokens is not None for each in sweeps for point in each.points)
    return make_table(
        "sweeps",
        "Curves: arms that differ in one setting",
        (
            (
                Field("model", "model", model, when=bool(models)),
                Field("strategy", "strategy", sweep.strategy),
                Field("parameter", "parameter", sweep.parameter),
                Field("setting", "setting", point.setting),
                Field("solve_rate", "solve rate %", point.solve_rate, "share"),
                Field("interval", "{level} interval", point.interval, "share"),
                Field("generated_tokens", "generated tokens", point.generated_tokens, opens=True),
                Field("thinking_tokens", "thinking tokens", point.thinking_tokens, when=thinks),
                Field("shortfall", "at most below the best", point.shortfall, "share", opens=True),
                Field("is_shown", "as good?", as_good_cell(is_shown=point.is_shown)),
                Field("is_enough", "enough?", _enough_cell(sweep, point)),
                Field("n", "n", point.n),
            )
            for sweep, model in zip(sweeps, models or [""] * len(sweeps), strict=True)
            for point in sweep.points
        ),
        note="At most below the best: upper limit, in points, of what any other setting of the"
        " curve solves more, all limits of a curve together (Hsu's comparison with the best);"
        " enough: from here on every setting is shown to be within the margin",
        strip=Strip(estimate="solve_rate", interval="interval", axis=(0.0, 1.0), margin=None),
        figures=() if models else sweep_figures(sweeps),
    )


MOST_CURVES = 4
"""Arms whose curves are drawn together: more cannot be told apart."""


def group_sweeps(sweeps: Sequence[Sweep]) -> list[tuple[Sweep, ...]]:
    """Return curves that can be drawn together: over the same settings of one parameter."""
    groups: dict[tuple[str, ...], list[Sweep]] = {}
    for sweep in sweeps:
        settings = (sweep.parameter, *(point.setting for point in sweep.points))
        groups.setdefault(settings, []).append(sweep)
    return [
        tuple(group[i : i + MOST_CURVES])
        for group in groups.values()
        for i in range(0, len(group), MOST_CURVES)
    ]


def sweep_figures(sweeps: Sequence[Sweep]) -> tuple[Figure, ...]:
    """Return the curves in characters, those over the same settings in one figure."""
    return tuple(
        Figure(
            x=tuple(map(float, range(len(group[0].points)))),
            ticks=tuple(point.setting for point in group[0].points),
            axis=group[0].parameter,
            arms=tuple(
                Curve(name=sweep.strategy, y=tuple(point.solve_rate for point in sweep.points))
                for sweep in group
            ),
            controls=(),
            brackets=(),
        )
        for group in group_sweeps(sweeps)
    )


def as_good_cell(*, is_shown: bool) -> Words:
    """Return whether an arm is shown to be as good as the best."""
    if is_shown:
        return Words(text="yes", raw=True, tone="good")
    return Words(text="not shown", raw=False)


def _enough_cell(sweep: Sweep, point: SweepPoint) -> Words:
    is_enough = point.setting == sweep.enough
    return Words(text="enough" if is_enough else "", raw=is_enough)
