"""Which figures a report has, the one that says most first; a name has one colour in all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cotkit.analysis.scale.contrasts import ModelContrasts
from cotkit.analysis.scale.frontier import price_comparisons
from cotkit.analysis.scale.spending import Spending
from cotkit.analysis.scale.values import Scale
from cotkit.analysis.values import Comparison
from cotkit.report.html.contrast_charts import draw_contrasts
from cotkit.report.html.figure import Chart, Style, series_styles
from cotkit.report.html.gain_charts import (
    draw_forest,
    draw_gains_by_steps,
    make_gain_row,
    make_size_row,
)
from cotkit.report.html.samples import name_runs
from cotkit.report.html.size_charts import (
    draw_curve,
    draw_frontiers,
    draw_multiples,
    draw_panel,
    list_arms,
)
from cotkit.report.html.sweep_charts import draw_spending, draw_sweep
from cotkit.report.scale_tables import title_scales
from cotkit.report.sweep_tables import group_sweeps


def list_charts(
    comparisons: Sequence[Comparison] = (),
    scales: Sequence[Scale] = (),
    contrasts: Sequence[ModelContrasts] = (),
    spending: Spending | None = None,
    *,
    timing: bool = False,
) -> list[Chart]:
    """Return the figures of a report: of contrasts, else of spending, scales or comparisons.

    ``timing``: adds solve rate against measured seconds.
    """
    if contrasts:
        return draw_contrasts(contrasts)
    if spending is not None:
        prices, styles = spending.points, series_styles(point.arm for point in spending.points)
        frontiers = draw_frontiers(
            "frontier", prices, spending.bench, styles, timing=False, is_ladder=False
        )
        return [draw_spending(spending), *(c for c in frontiers if c.key.endswith("usd"))]
    if scales:
        return list(_chart_scales(scales, timing=timing))
    return list(_chart_comparisons(comparisons, timing=timing))


def _chart_comparisons(comparisons: Sequence[Comparison], *, timing: bool) -> Iterator[Chart]:
    several = len(comparisons) > 1
    rows = [
        make_gain_row(verdict.gain, name if several else None)
        for comparison, name in zip(comparisons, name_runs(comparisons), strict=True)
        for verdict in comparison.verdicts
    ]
    if rows:
        yield draw_forest("forest", "Gain over the control", rows, comparisons[0].margin)
    gains = [verdict.gain for comparison in comparisons for verdict in comparison.verdicts]
    cells = [cell.arm for comparison in comparisons for cell in comparison.cells]
    styles = series_styles([*(gain.arm for gain in gains), *cells])
    benches: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        benches.setdefault(f"{comparison.bench}@{comparison.bench_version}", []).append(comparison)
    for i, (bench, members) in enumerate(benches.items(), start=1):
        prices = price_comparisons(members)
        yield from draw_frontiers(
            f"frontier-{i}", prices, bench, styles, timing=timing, is_ladder=False
        )
    if not several:
        (comparison,) = comparisons
        for i, group in enumerate(group_sweeps(comparison.sweeps), start=1):
            yield draw_sweep(f"sweep-{i}", group, comparison.margin)
    if not several and comparisons[0].difficulty:
        (comparison,) = comparisons
        yield draw_gains_by_steps("steps", comparison.difficulty, comparison.margin, styles)


def _chart_scales(scales: Sequence[Scale], *, timing: bool) -> Iterator[Chart]:
    """Yield the figures of scale analyses: their intervals of the gains are others than runs'."""
    styles = series_styles(arm for scale in scales for arm in list_arms(scale))
    titles = title_scales(scales) if len(scales) > 1 else [""]
    if len(scales) > 1 or len(scales[0].answers) > 1:
        yield from draw_multiples("rates", scales, styles)
    for i, (scale, title) in enumerate(zip(scales, titles, strict=True), start=1):
        yield from _chart_scale(i, scale, f" ({title})" if title else "", styles, timing=timing)


def _chart_scale(
    i: int, scale: Scale, suffix: str, styles: Mapping[str, Style], *, timing: bool
) -> Iterator[Chart]:
    for j, answer in enumerate(scale.answers, start=1):
        pair = f"{answer.arm} over {answer.control}{suffix}"
        if any(point.x is not None for point in answer.points):
            yield draw_curve(f"curve-{i}-{j}", f"By model size: {pair}", scale, answer, styles)
        rows = list(map(make_size_row, answer.points))
        yield draw_forest(f"forest-{i}-{j}", f"Gain: {pair}", rows, scale.margin)
    if len({mean.metric for mean in scale.metrics}) > 1:
        title = f"The same outputs, measured differently{suffix}"
        yield draw_panel(f"metrics-{i}", title, scale, styles)
    yield from draw_frontiers(
        f"frontier-{i}", scale.prices, scale.bench, styles, timing=timing, is_ladder=True
    )
