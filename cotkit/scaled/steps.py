"""A grid taken apart by the number of steps that its problems take: does the onset move with it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from cotkit.analysis.difficulty import step_groups
from cotkit.analysis.scale.inputs import Cell, Grid, Outcomes
from cotkit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


def counts_by_steps(bench: str, n_steps: Sequence[int | None]) -> dict[tuple[int, int], int]:
    """Groups, as (fewest steps, most steps), and how many problems each has.

    The groups are those of a comparison (``analysis.difficulty``), fixed by counts alone.

    Raises:
        UsageError: there are not two groups.
    """
    counts = Counter(n for n in n_steps if n is not None)
    groups = step_groups(counts)
    if len(groups) < 2:
        raise UsageError(
            f"the problems of {bench} do not fall into two groups by their steps",
            hint="leave out --by-steps, or raise --limit",
        )
    return {
        (low, high): sum(n for steps, n in counts.items() if low <= steps <= high)
        for low, high in groups
    }


def by_steps(grid: Grid) -> tuple[Grid, ...]:
    """One grid for each group; problems of unknown steps are in none.

    Raises:
        UsageError: there are not two groups.
    """
    steps = grid.n_steps or ()
    return tuple(
        _part(
            replace(grid, bench=f"{grid.bench}, {_said(*group)}"),
            [i for i, n in enumerate(steps) if n is not None and group[0] <= n <= group[1]],
        )
        for group in counts_by_steps(grid.bench, steps)
    )


def _part(grid: Grid, at: Sequence[int]) -> Grid:
    def some(values: Floats | None) -> Floats | None:
        return None if values is None else values[list(at)]

    cells: Mapping[tuple[str, str], Cell] = {
        key: Outcomes(
            correct=cell.correct[list(at)],
            metrics={name: values[list(at)] for name, values in cell.metrics.items()},
            tokens=some(cell.tokens),
            usd=some(cell.usd),
            seconds=some(cell.seconds),
        )
        for key, cell in grid.cells.items()
        if isinstance(cell, Outcomes)
    }
    return replace(
        grid,
        cells=cells,
        problem_ids=tuple(grid.problem_ids[i] for i in at),
        clusters=None if grid.clusters is None else tuple(grid.clusters[i] for i in at),
        n_steps=None if grid.n_steps is None else tuple(grid.n_steps[i] for i in at),
    )


def _said(low: int, high: int) -> str:
    if low == high:
        return f"{low} step" if low == 1 else f"{low} steps"
    return f"{low} to {high} steps"
