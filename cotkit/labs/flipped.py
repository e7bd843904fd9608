"""Flipped and unrelated labels over a ladder: from which size on do models follow exemplars?

The label of each model is that of :mod:`cotkit.analysis.following` (arXiv:2303.03846, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cotkit.analysis.values import Comparison, Following, FollowingLabel
from cotkit.labs.findings import Finding, LabReport, Plot, PlotLine

UNRELATED = "unrelated-labels"
"""How the names of the arms with symbols in place of labels begin."""

_WORDS: dict[FollowingLabel, str] = {
    "follows": "follows the flips",
    "keeps_prior": "keeps to what it knows",
    "undetermined": "undetermined",
}


def judge_flipped(found: Sequence[Comparison]) -> LabReport:
    """What models do as the share of flipped labels grows; each comparison has the same arms.

    Args:
        found: One for each model, in the order given; put in order of size here, if all are known.
    """
    ladder = list(found)
    is_sized = all(one.n_params is not None for one in ladder)
    if is_sized:
        ladder.sort(key=lambda one: one.n_params or 0)
    first = ladder[0]
    labels: list[FollowingLabel | None] = [_fully_flipped_point(one).label for one in ladder]
    return LabReport(
        name="flipped",
        answers=(_answer_sentence(ladder, labels, is_sized=is_sized),),
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
        findings=tuple(_make_finding(one) for one in ladder),
        finding_name="solve rate, all labels flipped",
        plots=(
            _plot_over_fraction(ladder),
            *((_plot_over_size(ladder),) if is_sized and len(ladder) > 1 else ()),
        ),
        notes=tuple(dict.fromkeys(note for one in ladder for note in one.notes)),
    )


def _fully_flipped_point(of: Comparison) -> Following:
    """The point with all labels flipped."""
    return next(point for point in of.following if point.fraction == 1)


def _answer_sentence(
    ladder: Sequence[Comparison], labels: Sequence[FollowingLabel | None], *, is_sized: bool
) -> str:
    follow = [label == "follows" for label in labels]
    rates = ", ".join(
        f"{one.model} {100 * point.solve_rate:.0f} % of {point.n}"
        for one in ladder
        for point in [_fully_flipped_point(one)]
    )
    if not any(follow):
        claim = "no model is shown to follow flipped labels"
    elif all(follow):
        claim = "every model follows flipped labels"
    else:
        first = follow.index(True)
        who = ladder[first].model
        if is_sized and all(follow[first:]):
            claim = f"flipped labels are followed from {who} up, and not shown to be below"
        else:
            named = ", ".join(one.model for one, yes in zip(ladder, follow, strict=True) if yes)
            claim = f"flipped labels are followed by {named}, and not shown to be by the others"
    kept = [one.model for one, label in zip(ladder, labels, strict=True) if label == "keeps_prior"]
    if kept:
        claim += f" ({', '.join(kept)}: {'keeps' if len(kept) == 1 else 'keep'} to the true labels)"
    return f"{claim[0].upper()}{claim[1:]}; solve rates with all labels flipped: {rates}."


def _make_finding(of: Comparison) -> Finding:
    point = _fully_flipped_point(of)
    label = point.label or "undetermined"
    return Finding(
        what=of.model,
        value=point.solve_rate,
        interval=point.interval,
        form="share",
        word=label,
        verdict=_WORDS[label],
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
            PlotLine(
                key=one.model,
                name=one.model,
                x=tuple(point.fraction for point in one.following),
                y=tuple(point.solve_rate for point in one.following),
                intervals=tuple(point.interval for point in one.following),
            )
            for one in ladder
        ),
    )


def _plot_over_size(ladder: Sequence[Comparison]) -> Plot:
    sizes = tuple(float(one.n_params or math.nan) for one in ladder)
    lines: list[PlotLine] = []
    for i, point in enumerate(ladder[0].following):
        name = f"{100 * point.fraction:.0f} % flipped"
        of = [one.following[i] for one in ladder]
        lines.append(
            PlotLine(
                key=name,
                name=name,
                x=sizes,
                y=tuple(each.solve_rate for each in of),
                intervals=tuple(each.interval for each in of),
            )
        )
    for j, cell in enumerate(ladder[0].cells):
        if cell.arm.startswith(UNRELATED):
            cells = [one.cells[j] for one in ladder]
            lines.append(
                PlotLine(
                    key=cell.arm,
                    name=cell.arm,
                    x=sizes,
                    y=tuple(each.solve_rate for each in cells),
                    intervals=tuple(each.interval for each in cells),
                )
            )
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
