"""Exact match beside its companions over model size: is a jump real, or made by the metric?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cotkit.analysis.scale.inputs import Rung
from cotkit.analysis.scale.values import JumpWord, Mean, Scale
from cotkit.report.html.figure import WIDTH, Drawn, axes, draw, legend, short
from cotkit.report.html.sizes import arms_of, line, over_size, place, say_size
from cotkit.report.words import printable, say_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_JUMPS: Mapping[JumpWord, str] = {
    "real_jump": "a real jump",
    "metric_artefact": "made by the metric",
    "undetermined": "undetermined",
}
_PANEL = 150  # pixels of one row of metrics


def panel(key: str, title: str, scale: Scale) -> Drawn:
    """Exact match and its companions over size, one small figure each."""
    metrics = list(dict.fromkeys(mean.metric for mean in scale.metrics))
    arms = list(dict.fromkeys([*arms_of(scale), *(mean.arm for mean in scale.metrics)]))
    sizes = {
        point.rung: place(point.x, scale.axis)
        for answer in scale.answers
        for point in answer.points
        if point.x is not None
    }
    verdicts = [
        f"{jump.curve if jump.curve != 'arm' else 'solve rate'} of {jump.arm}: "
        f"{_JUMPS[jump.verdict]} ({jump.why.rstrip('.')})"
        for answer in scale.answers
        for jump in answer.jumps
        if jump.curve != "control"
    ]
    said = "; ".join(
        f"{mean.metric}, {mean.arm}, {mean.rung.model}: {say_number(mean.value, 'value')}"
        for mean in scale.metrics
    )
    rows = math.ceil(len(metrics) / 2)
    return draw(
        key,
        title=title,
        caption="; ".join([*verdicts, f"{scale.bench}; lines: each mean's own interval"]),
        says=printable(said),
        height=16 * len(arms) + 16 + _PANEL * rows,
        paint=lambda figure: _paint_panel(figure, scale, metrics, arms, sizes),
    )


def _paint_panel(
    figure: Figure,
    scale: Scale,
    metrics: Sequence[str],
    arms: Sequence[str],
    sizes: Mapping[Rung, float],
) -> None:
    half, head = WIDTH / 2, 16 * len(arms) + 16
    height = head + _PANEL * math.ceil(len(metrics) / 2)
    for i, metric in enumerate(metrics):
        left, top = 40 + half * (i % 2), head + _PANEL * (i // 2) + 22
        bottom = height - top - (_PANEL - 22 - 26)
        on = axes(figure, left=left, right=WIDTH - left - half + 50, top=top, bottom=bottom)
        of = [mean for mean in scale.metrics if mean.metric == metric and mean.rung in sizes]
        ordered = sorted({mean.rung: sizes[mean.rung] for mean in of}.items(), key=lambda s: s[1])
        ticks = [(x, say_size(rung, x, scale.axis)) for rung, x in ordered]
        over_size(on, [x for x, _ in ticks], [name for _, name in ticks], room=48)
        on.set_title(short(printable(metric.replace("_", " ")), 26), fontsize=11, pad=6)
        on.margins(y=0.12)
        on.locator_params(axis="y", nbins=4)
        for j, arm in enumerate(arms):
            _line_of(on, [mean for mean in of if mean.arm == arm], sizes, j, arm)
        if not i:
            legend(on, above=top - 16 * len(arms))


def _line_of(
    on: Axes, means: Sequence[Mean], sizes: Mapping[Rung, float], i: int, name: str
) -> None:
    ordered = sorted(means, key=lambda mean: sizes[mean.rung])
    at = [sizes[mean.rung] for mean in ordered]
    values = [(mean.value, mean.interval) for mean in ordered]
    line(on, at, values, i, name, times=1)
