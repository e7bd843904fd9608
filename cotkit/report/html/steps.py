"""A grid of gains: models by number of steps; the onset moves as problems take more of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from cotkit.analysis.difficulty import said_steps
from cotkit.analysis.results import Comparison, Difficulty, Label
from cotkit.report.content import LABELS
from cotkit.report.document import Column, Table, Value, Words
from cotkit.report.words import say_level, say_number

_MARKS: Mapping[Label, str] = MappingProxyType(
    {
        "helps": "▲",
        "some_help": "△",
        "harms": "▼",
        "no_material_help": "=",
        "undetermined": "?",
        "upper_bound": "!",
        "withheld": "!",
    }
)
"""Label -> its mark in a cell: not by colour alone."""


def step_grids(comparisons: Iterable[Comparison]) -> tuple[Table, ...]:
    """One grid for each benchmark, arm, control and grouping of steps, a row for each model."""
    found: dict[tuple[str, ...], list[tuple[str, Difficulty]]] = {}
    for one in comparisons:
        for steps in one.difficulty:
            groups = (said_steps(group) for group in steps.groups)
            key = (one.bench, one.bench_version, steps.arm, steps.control, *groups)
            found.setdefault(key, []).append((one.model, steps))
    return tuple(_grid(i, *item) for i, item in enumerate(found.items(), start=1))


def _grid(i: int, key: tuple[str, ...], rows: list[tuple[str, Difficulty]]) -> Table:
    bench, _, arm, control, *groups = key
    level = say_level(rows[0][1].groups[0].gain.interval.level)
    shown: dict[Label, None] = dict.fromkeys(
        group.gain.label for _, steps in rows for group in steps.groups
    )
    marks = ", ".join(f"{_MARKS[label]} {LABELS[label][0]}" for label in shown)
    return Table(
        key=f"steps-{i}",
        title=f"Gain by model and steps: {arm} over {control}",
        note=f"{bench}; points, by the steps of the worked solution; {marks}, by {level} intervals"
        " that hold together in each row",
        columns=(
            Column(key="model", header="model"),
            *(Column(key=f"steps_{group}", header=group) for group in groups),
        ),
        rows=tuple((Words(text=model, raw=model), *_cells(steps)) for model, steps in rows),
    )


def _cells(steps: Difficulty) -> Iterable[Value]:
    for group in steps.groups:
        text = f"{say_number(group.gain.gain, 'points')} {_MARKS[group.gain.label]}"
        yield Words(text=text, raw=text, tone=LABELS[group.gain.label][1])
