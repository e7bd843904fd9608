"""The metric panel: exact match and its companions on the same outputs, by arm and size."""

from __future__ import annotations

import math

from cotkit.analysis.scale.values import Mean, Scale
from cotkit.analysis.values import Interval
from cotkit.report.curve import SIZES, name, size_of, sizes_of
from cotkit.report.document import Column, Number, Span, Table, Value


def panel_table(scale: Scale) -> Table:
    """One row for each arm and model, two columns for each metric; empty without companions."""
    metrics = tuple(dict.fromkeys(mean.metric for mean in scale.metrics))
    at = {(mean.arm, mean.rung.model, mean.metric): mean for mean in scale.metrics}
    arms = dict.fromkeys(mean.arm for mean in scale.metrics)
    sizes = sizes_of(scale)
    return Table(
        key="metrics",
        title="The same outputs by other metrics",
        note="Means over problems, each interval for itself; higher is better in all of them",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="model", header="model"),
            Column(key="size", header=SIZES[scale.axis][0]),
            *(column for metric in metrics for column in _columns(metric)),
        ),
        rows=tuple(
            (
                name(arm),
                name(rung.model),
                size_of(point, scale.axis),
                *(
                    cell
                    for metric in metrics
                    for cell in _cells(at.get((arm, rung.model, metric)), scale.level)
                ),
            )
            for arm in arms
            for rung, point in sizes.items()
        )
        if len(metrics) > 1
        else (),
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
