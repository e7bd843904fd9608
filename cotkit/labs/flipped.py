"""Judge flipped and unrelated labels over a ladder: from which size do models follow exemplars?

The label of each model is that of :mod:`cotkit.analysis.following` (arXiv:2303.03846, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cotkit.analysis.draws import DrawVariance
from cotkit.analysis.following import UNRELATED
from cotkit.analysis.values import Cell, Comparison, Following
from cotkit.labs.report import Finding, LabReport, Plot, PlotLine
from cotkit.report.document import say_ends, say_number
from cotkit.report.verdicts import verdict_cell
from cotkit.stats.intervals import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """How far the solve rate of a model falls from no label flipped to all."""

    k: int | None
    """Exemplars of each label."""
    value: float
    """On the same problems; the mean over the draws where there are several."""
    interval: Interval
    """Over problems, and over draws where there are several."""


def judge_flipped(
    comparisons: Sequence[Comparison], variances: Mapping[str, Sequence[DrawVariance]] | None = None
) -> LabReport:
    """Report what models do as the share of flipped labels grows.

    Args:
        comparisons: One for each model, all with the same arms, in the order of the report; put in
            order of size here if all sizes are known.
        variances: Model -> its gains under several exemplar draws, the first of which its
            comparison is of; None: one draw.
    """
    ladder = list(comparisons)
    is_sized = all(model.n_params is not None for model in ladder)
    if is_sized:
        ladder.sort(key=lambda model: model.n_params or 0)
    first = ladder[0]
    falls = [_measure_falls(model, (variances or {}).get(model.model, ())) for model in ladder]
    sizes = {len(v.gains) for of_model in (variances or {}).values() for v in of_model}
    n_draws = max(sizes, default=1)
    return LabReport(
        name="flipped",
        answers=(_answer_sentence(ladder, falls, is_sized=is_sized),),
        caption=(
            "arXiv:2303.03846, sections 3 and 4",
            f"{len(ladder)} models",
            f"{first.bench}@{first.bench_version}",
            f"{first.n_problems:,} problems",
            *((f"{n_draws} exemplar draws",) if n_draws > 1 else ()),
        ),
        facts=(
            ("lab", "flipped"),
            ("bench", first.bench),
            ("bench_version", first.bench_version),
            ("n_problems", first.n_problems),
            ("n_draws", n_draws),
        ),
        findings=tuple(map(_make_finding, ladder)),
        finding_name="solve rate, all labels flipped",
        plots=(
            _plot_over_fraction(ladder),
            *((_plot_over_size(ladder),) if is_sized and len(ladder) > 1 else ()),
            *_plot_falls(ladder, falls, is_sized=is_sized),
            *_plot_shots(ladder, falls),
        ),
        notes=tuple(
            dict.fromkeys(
                (
                    *(("curves are of the first exemplar draw",) if n_draws > 1 else ()),
                    *(note for model in ladder for note in model.notes),
                )
            )
        ),
    )


def _most_shots(model: Comparison) -> list[Following]:
    """Return the points of a model that show the most exemplars."""
    most = max((point.k or 0) for point in model.following)
    return [point for point in model.following if (point.k or 0) == most]


def _fully_flipped_point(model: Comparison) -> Following:
    """Return the point of a model with all labels flipped, and the most exemplars."""
    return next(point for point in _most_shots(model) if point.fraction == 1)


def _measure_falls(model: Comparison, variances: Sequence[DrawVariance]) -> list[Fall]:
    """Return the fall to all labels flipped, for each number of exemplars, fewest first."""
    by_arm = {variance.arm: variance for variance in variances}
    falls: list[Fall] = []
    for point in model.following:
        if point.fraction != 1 or point.fall is None or point.fall_interval is None:
            continue
        value, interval = point.fall, point.fall_interval
        if (variance := by_arm.get(point.arm)) is not None:
            value, over = 0.0 - variance.gain, variance.interval
            interval = replace(over, low=0.0 - over.high, high=0.0 - over.low)
        falls.append(Fall(k=point.k, value=value, interval=interval))
    return falls


def _say_falls(ladder: Sequence[Comparison], falls: Sequence[Sequence[Fall]]) -> str:
    parts = [
        f"{model.model} {say_number(of_model[-1].value, 'points')}"
        f" ({say_ends(of_model[-1].interval.low, of_model[-1].interval.high, 'points')})"
        for model, of_model in zip(ladder, falls, strict=True)
        if of_model
    ]
    return f"; fall from 0 to 100 % flipped, in points: {', '.join(parts)}" if parts else ""


def _answer_sentence(
    ladder: Sequence[Comparison], falls: Sequence[Sequence[Fall]], *, is_sized: bool
) -> str:
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
    claim = f"{claim[0].upper()}{claim[1:]}; solve rates with all labels flipped: {rates}"
    return f"{claim}{_say_falls(ladder, falls)}."


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
            _make_line(model.model, [point.fraction for point in points], points)
            for model, points in zip(ladder, map(_most_shots, ladder), strict=True)
        ),
    )


def _plot_over_size(ladder: Sequence[Comparison]) -> Plot:
    sizes = [float(model.n_params or math.nan) for model in ladder]
    lines = [
        _make_line(f"{100 * points[0].fraction:.0f} % flipped", sizes, points)
        for points in zip(*map(_most_shots, ladder), strict=True)
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


def _plot_falls(
    ladder: Sequence[Comparison], falls: Sequence[Sequence[Fall]], *, is_sized: bool
) -> list[Plot]:
    """Plot the fall over the models, one line for each number of exemplars."""
    if len(ladder) < 2 or not all(falls):
        return []
    sizes = [
        float(model.n_params or 0) if is_sized else float(i + 1) for i, model in enumerate(ladder)
    ]
    return [
        Plot(
            key="fall-size",
            title="Fall from no label flipped to all",
            caption="On the same problems: below 0 more are solved with wrong labels",
            x_name="parameters" if is_sized else "model, in the order given",
            x_form="params" if is_sized else "count",
            x_is_log=is_sized,
            y_name="fall",
            y_form="share",
            lines=tuple(
                _fall_line(f"k = {of_k[0].k}", sizes, of_k) for of_k in zip(*falls, strict=True)
            ),
        )
    ]


def _plot_shots(ladder: Sequence[Comparison], falls: Sequence[Sequence[Fall]]) -> list[Plot]:
    """Plot the fall over the number of exemplars, one line for each model."""
    if any(len(of_model) < 2 for of_model in falls):
        return []
    return [
        Plot(
            key="fall-shots",
            title="Fall over the number of exemplars",
            caption="From no label flipped to all; k: exemplars of each label",
            x_name="k",
            x_form="count",
            x_is_log=False,
            y_name="fall",
            y_form="share",
            lines=tuple(
                _fall_line(model.model, [float(fall.k or 0) for fall in of_model], of_model)
                for model, of_model in zip(ladder, falls, strict=True)
            ),
        )
    ]


def _fall_line(name: str, x: Sequence[float], falls: Sequence[Fall]) -> PlotLine:
    return PlotLine(
        key=name,
        name=name,
        x=tuple(x),
        y=tuple(fall.value for fall in falls),
        intervals=tuple(fall.interval for fall in falls),
    )


def _make_line(name: str, x: Sequence[float], rates: Sequence[Following | Cell]) -> PlotLine:
    return PlotLine(
        key=name,
        name=name,
        x=tuple(x),
        y=tuple(rate.solve_rate for rate in rates),
        intervals=tuple(rate.interval for rate in rates),
    )
