"""The metric panel: exact match and its companions on the same outputs, by arm and size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from cotkit.analysis.scale.values import Mean, Scale
from cotkit.analysis.values import Interval
from cotkit.report.curve import SIZES, name, size_of, sizes_of
from cotkit.report.document import Column, Number, Span, Table, Value


def panel_tables(scale: Scale) -> Iterator[Table]:
    """One for each arm with companions: a row for each model, two columns for each metric."""
    arms = dict.fromkeys(mean.arm for mean in scale.metrics)
    for arm in arms:
        means = [mean for mean in scale.metrics if mean.arm == arm]
        metrics = tuple(dict.fromkeys(mean.metric for mean in means))
        if len(metrics) > 1:
            yield _table(arm, metrics, means, scale)


def _table(arm: str, metrics: Sequence[str], means: Sequence[Mean], scale: Scale) -> Table:
    at = {(mean.rung.model, mean.metric): mean for mean in means}
    return Table(
        key="metrics",
        title=f"The outputs of {arm} by other metrics",
        note="Means over problems, each interval for itself; higher is better in all of them",
        columns=(
            Column(key="model", header="model"),
            Column(key="size", header=SIZES[scale.axis][0]),
            *(column for metric in metrics for column in _columns(metric)),
            Column(key="arm", header="arm"),
        ),
        rows=tuple(
            (
                name(rung.model),
                size_of(point, scale.axis),
                *(
                    cell
                    for metric in metrics
                    for cell in _cells(at.get((rung.model, metric)), scale.level)
                ),
                name(arm),
            )
            for rung, point in sizes_of(scale).items()
        ),
    )


def _columns(metric: str) -> tuple[Column, Column]:
    words = metric.replace("_", " ")
    return (
        Column(key=metric, header=words, opens=True),
        Column(key=f"{metric}_interval", header="interval"),
    )


def _cells(mean: Mean | None, level: float) -> tuple[Value, Value]:
    if mean is None:
        nothing = Interval(low=math.nan, high=math.nan, level=level)
        return Number(value=None, form="value"), Span(interval=nothing, form="value")
    return Number(value=mean.value, form="value"), Span(interval=mean.interval, form="value")
