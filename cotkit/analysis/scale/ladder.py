"""The models of a grid in order of size, and what may not be asked of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cotkit.analysis.scale.inputs import Axis, Grid, Question, Rung
from cotkit.errors import UsageError

LOG_AXES: frozenset[Axis] = frozenset({"params", "active-params", "flops"})
"""Axes on which a decade is a step."""

_FLAG: dict[Axis, str] = {
    "params": "number of parameters",
    "active-params": "number of active parameters",
    "flops": "training FLOPs",
    "loss": "pretraining loss",
    "ordinal": "rank",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Rungs in order."""

    rungs: tuple[Rung, ...]
    """Smallest first, those of unknown size last."""
    positions: tuple[float | None, ...]
    """On the axis, in its unit; None: unknown."""
    axis: Axis
    """What size means."""

    @property
    def n_known(self) -> int:
        """Rungs whose position is known; they come first."""
        return sum(x is not None for x in self.positions)

    def scaled(self, indices: Sequence[int]) -> list[float]:
        """Positions of known rungs as curves are drawn over: log10 where a decade is a step."""
        known = [x for x in (self.positions[i] for i in indices) if x is not None]
        return [math.log10(x) for x in known] if self.axis in LOG_AXES else known


def make_ladder(grid: Grid, axis: Axis) -> Ladder:
    """Order the models.

    Raises:
        UsageError: fewer than two of known size, or two of equal size.
    """
    _check_names(grid)
    if len(grid.rungs) < 2:
        raise UsageError(
            f"a ladder needs at least two models, not {len(grid.rungs)}",
            hint="name more models of one family",
        )
    placed = [(rung, position(rung, i, axis)) for i, rung in enumerate(grid.rungs)]
    known = sorted(((x, rung) for rung, x in placed if x is not None), key=lambda pair: pair[0])
    unknown = [rung for rung, x in placed if x is None]
    for (x, rung), (other_x, other) in pairwise(known):
        if x == other_x:
            raise UsageError(
                f"{rung.model} and {other.model} have the same {_FLAG[axis]}",
                hint="leave one out, or order the models yourself with --x ordinal",
            )
    if len(known) < 2:
        names = ", ".join(rung.model for rung in unknown)
        raise UsageError(
            f"fewer than two models of known {_FLAG[axis]} (unknown: {names})",
            hint="use another --x, or order the models yourself with --x ordinal",
        )
    return Ladder(
        rungs=tuple(rung for _, rung in known) + tuple(unknown),
        positions=tuple(x for x, _ in known) + (None,) * len(unknown),
        axis=axis,
    )


def position(rung: Rung, index: int, axis: Axis) -> float | None:
    """Where a rung stands; ``index``: its place in the grid, which is its rank if that is asked."""
    if axis == "ordinal":
        return float(index + 1)
    if axis == "loss":
        return None if rung.loss is None else -rung.loss
    if axis == "flops":
        value = rung.train_flops
    elif axis == "active-params" and rung.n_active_params is not None:
        value = rung.n_active_params
    else:
        value = rung.n_params
    return float(value) if value else None


def check_question(grid: Grid, question: Question) -> None:
    """Refuse what has no answer.

    Raises:
        UsageError: a margin, level or number of resamples out of range; no pair, a pair of one
            arm, or an arm without any result.
    """
    if not 0 < question.margin < 1:
        raise UsageError(
            f"the margin is {100 * question.margin:g} points",
            hint="it must be above 0 and below 100 points; 2 is usual",
        )
    if not 0 < question.level < 1:
        raise UsageError(
            f"the level is {100 * question.level:g} %", hint="it must be above 0 and below 100 %"
        )
    if question.n_resamples < 100:
        raise UsageError(f"{question.n_resamples} resamples", hint="100 or more")
    if not question.pairs:
        raise UsageError("no strategy to measure against a control")
    measured = {arm for _, arm in grid.cells}
    for arm, control in question.pairs:
        if arm == control:
            raise UsageError(f"{arm} cannot be measured against itself")
        for name in (arm, control):
            if name not in measured:
                raise UsageError(
                    f"no results of {name} on {grid.bench}",
                    hint=f"there are: {', '.join(sorted(measured)) or 'none at all'}",
                )


def _check_names(grid: Grid) -> None:
    models = [rung.model for rung in grid.rungs]
    for model in models:
        if models.count(model) > 1:
            raise UsageError(f"{model} is twice in the ladder")
