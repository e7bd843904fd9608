"""Judge flipped and unrelated labels over a ladder: from which size do models follow exemplars?

The label of each model is that of :mod:`cotkit.analysis.following` (arXiv:2303.03846, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cotkit.analysis.values import Cell, Comparison, Following
from cotkit.labs.report import Finding, LabReport, Plot, PlotLine
from cotkit.report.verdicts import verdict_cell

UNRELATED = "unrelated-labels"
"""How the names of the arms with symbols in place of labels begin."""


def judge_flipped(comparisons: Sequence[Comparison]) -> LabReport:
    """Report what models do as the share of flipped labels grows.

    Args:
        comparisons: One for each model, all with the same arms, in the order of the report; put in
            order of size here if all sizes are known.
    """
    ladder = list(comparisons)
    is_sized = all(model.n_params is not None for model in ladder)
    if is_sized:
        ladder.sort(key=lambda model: model.n_params or 0)
    first = ladder[0]
    return LabReport(
        name="flipped",
        answers=(_answer_sentence(ladder, is_sized=is_sized),),
        caption=(
            "arXiv:2303.03846, sections 3 and 4",
            f"{len(ladder)} models",
            f"{first.bench}@{first.bench_version}",
            f"{first.n_problems:,} problems",
        ),
        facts=(
            ("lab", "flipped"),
            ("bench", first.bench),
            ("bench_version", first.bench_version),
            ("n_problems", first.n_problems),
        ),
        findings=tuple(map(_make_finding, ladder)),
        finding_name="solve rate, all labels flipped",
        plots=(
            _plot_over_fraction(ladder),
            *((_plot_over_size(ladder),) if is_sized and len(ladder) > 1 else ()),
        ),
        notes=tuple(dict.fromkeys(note for model in ladder for note in model.notes)),
    )


def _fully_flipped_point(model: Comparison) -> Following:
    """Return the point of a model with all labels flipped."""
    return next(point for point in model.following if point.fraction == 1)


def _answer_sentence(ladder: Sequence[Comparison], *, is_sized: bool) -> str:
    points = {model.model: _fully_flipped_point(model) for model in ladder}
    followers = [name for name, point in points.items() if point.label == "follows"]
    if not followers:
        claim = "no model is shown to follow flipped labels"
    elif len(followers) == len(points):
        claim = "every model follows flipped labels"
    elif is_sized and followers == list(points)[-len(followers) :]:
        claim = f"flipped labels are followed from {followers[0]} up, and not shown to be below"
    else:
        names = ", ".join(followers)
        claim = f"flipped labels are followed by {names}, and not shown to be by the others"
    faithful = [name for name, point in points.items() if point.label == "keeps_prior"]
    if faithful:
        verb = "keeps" if len(faithful) == 1 else "keep"
        claim += f" ({', '.join(faithful)}: {verb} to the true labels)"
    rates = ", ".join(
        f"{name} {100 * point.solve_rate:.0f} % of {point.n}" for name, point in points.items()
    )
    return f"{claim[0].upper()}{claim[1:]}; solve rates with all labels flipped: {rates}."


def _make_finding(model: Comparison) -> Finding:
    point = _fully_flipped_point(model)
    return Finding(
        what=model.model,
        value=point.solve_rate,
        interval=point.interval,
        form="share",
        verdict=verdict_cell(point.label or "undetermined"),
        why=f"{100 * point.follows:.0f} % of {point.n} answers name the flipped label",
    )


def _plot_over_fraction(ladder: Sequence[Comparison]) -> Plot:
    return Plot(
        key="fraction",
        title="Solve rate over the share of flipped labels",
        caption="By the true labels; guessing solves half",
        x_name="labels flipped, %",
        x_form="share",
        x_is_log=False,
        y_name="solve rate",
        y_form="share",
        lines=tuple(
            _make_line(model.model, [point.fraction for point in model.following], model.following)
            for model in ladder
        ),
    )


def _plot_over_size(ladder: Sequence[Comparison]) -> Plot:
    sizes = [float(model.n_params or math.nan) for model in ladder]
    lines = [
        _make_line(f"{100 * points[0].fraction:.0f} % flipped", sizes, points)
        for points in zip(*(model.following for model in ladder), strict=True)
    ]
    lines += [
        _make_line(cells[0].arm, sizes, cells)
        for cells in zip(*(model.cells for model in ladder), strict=True)
        if cells[0].arm.startswith(UNRELATED)
    ]
    return Plot(
        key="size",
        title="Solve rate over model size",
        caption="Labels flipped, or replaced by symbols that say nothing of the task",
        x_name="parameters",
        x_form="params",
        x_is_log=True,
        y_name="solve rate",
        y_form="share",
        lines=tuple(lines),
    )


def _make_line(name: str, x: Sequence[float], rates: Sequence[Following | Cell]) -> PlotLine:
    return PlotLine(
        key=name,
        name=name,
        x=tuple(x),
        y=tuple(rate.solve_rate for rate in rates),
        intervals=tuple(rate.interval for rate in rates),
    )
