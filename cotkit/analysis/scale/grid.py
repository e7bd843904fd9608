"""What a scale analysis is given: results by model size, and what is asked of them.

All rates are fractions, never percent. What it says is in ``values.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

from cotkit.analysis.values import LEVEL
from cotkit.errors import UsageError
from cotkit.scoring.chance import CHANCE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cotkit.stats.bootstrap import Codes

    Floats: TypeAlias = NDArray[np.float64]


Axis = Literal["params", "active-params", "flops", "tokens", "loss", "ordinal"]
"""What size means. ``loss`` falls as models get better, so its positions are negated losses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One model of a ladder."""

    model: str
    """As reports name it."""
    family: str | None
    """Models that differ in size only, by intent; None if unknown."""
    n_params: int | None = None
    """Total parameters; None if unknown."""
    n_active_params: int | None = None
    """Parameters used per token; None: as ``n_params``."""
    train_flops: float | None = None
    """Training compute in FLOPs; None if unknown."""
    flops_is_bound: bool = False
    """Whether ``train_flops`` is an upper bound only."""
    loss: float | None = None
    """Pretraining loss in nats per token; None if unknown."""
    train_tokens: float | None = None
    """Tokens of pre-training; None if unknown."""
    n_trainings: int = 1
    """Trainings that it is the mean of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedScores:
    """An arm counted in another way: by another reader, or with unreadable answers for one side."""

    as_arm: Floats
    """[problems] scores where it is the arm; NaN: left out."""
    as_control: Floats
    """[problems] where it is the control."""
    is_lenient: bool
    """Whether it may cost certainty without changing the answer (``changes_answer``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmOutcomes:
    """One arm of one rung, problem by problem; arrays of length P in the order of the grid's ids.

    A problem that failed or was never asked is NaN in ``correct`` and in every metric.
    """

    correct: Floats
    """Share of the problem's samples that are correct, 0..1."""
    metrics: Mapping[str, Floats] = field(default_factory=dict[str, "Floats"])
    """Metric name -> value of each problem; higher is better for all of them (companions)."""
    tokens: Floats | None = None
    """Prompt and generated tokens of each problem; None if unknown."""
    usd: Floats | None = None
    """Dollars of each problem; None if unknown."""
    seconds: Floats | None = None
    """Backend seconds of each problem; None if unknown."""
    variants: Mapping[str, CountedScores] = field(default_factory=dict[str, "CountedScores"])
    """Other ways of counting, by name; empty: not known."""
    unreadable: Floats | None = None
    """1 where no answer could be read (or it was refused), 0 else; None: not known."""
    truncated: Floats | None = None
    """1 where the answer was cut at its limit before that, 0 else; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTotals:
    """One arm of one rung where only a rate is known (published tables)."""

    rate: float
    """Solve rate, 0..1."""
    n: int
    """Problems it is of."""


Cell: TypeAlias = ArmOutcomes | ArmTotals
"""What is known of one arm at one size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuessRates:
    """What guessing solves, the same at every size: exact, without variance."""

    rates: Floats
    """Of each problem of the grid, 0..1; of totals, one number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultGrid:
    """Results of one ladder on one benchmark."""

    bench: str
    """Benchmark name and version, as reports name it."""
    rungs: tuple[Rung, ...]
    """The models, in any order; for the axis ``ordinal`` from the weakest to the strongest."""
    cells: Mapping[tuple[str, str], Cell]
    """(model, arm) -> what was measured; a key that is not there is a hole."""
    problem_ids: tuple[str, ...] = ()
    """Of the arrays of ``ArmOutcomes``, length P; empty where there are only ``ArmTotals``."""
    clusters: tuple[str, ...] | None = None
    """Cluster of each problem; None: every problem on its own."""
    n_steps: tuple[int | None, ...] | None = None
    """Steps of each problem; None: unknown."""
    answer_lengths: tuple[int | None, ...] | None = None
    """Digits of each gold number or words of each gold text, the L of p^L; None: unknown."""
    guess: GuessRates | None = None
    """The control of pairs over `CHANCE`; None: it is not known."""


THRESHOLDS = (0.05, 0.10, 0.20, 0.30)
"""Gains whose beginnings the staircase names, unless others are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleQuestion:
    """What is asked of a grid; chosen before the run."""

    pairs: tuple[tuple[str, str], ...]
    """(arm, control); each has its own onset."""
    margin: float
    """Smallest gain that counts as material, in (0, 1)."""
    level: float = LEVEL
    """Of all intervals of one pair's curve together, and of the report over the pairs (Sidak)."""
    axis: Axis = "params"
    """What size means."""
    assume_sustained: bool = False
    """Step down from the largest size, each at the full level: only where help that once began is
    assumed not to stop."""
    assumed_afterwards: bool = False
    """Whether that was assumed when the results were there already, which the report says."""
    n_resamples: int = 2000
    """Of every bootstrap."""
    thresholds: tuple[float, ...] = THRESHOLDS
    """Gains of the staircase, rising, each in (0, 1]."""
    replicates: bool = False
    """Whether models of equal size and unknown family are trainings of one recipe."""


# The models of a grid in order of size, and what may not be asked of them.


LOG_AXES: frozenset[Axis] = frozenset({"params", "active-params", "flops", "tokens"})
"""Axes on which a decade is a step."""

_FLAG: dict[Axis, str] = {
    "params": "number of parameters",
    "active-params": "number of active parameters",
    "flops": "training FLOPs",
    "tokens": "number of training tokens",
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

    def scale_positions(self, indices: Sequence[int]) -> list[float]:
        """Return the positions of known rungs that curves are drawn over.

        These are log10 of the size on axes where a decade is a step.
        """
        positions = [x for x in (self.positions[i] for i in indices) if x is not None]
        return [math.log10(x) for x in positions] if self.axis in LOG_AXES else positions


def make_ladder(grid: ResultGrid, axis: Axis) -> Ladder:
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
    placed = [(rung, rung_position(rung, i, axis)) for i, rung in enumerate(grid.rungs)]
    ordered = sorted(((x, rung) for rung, x in placed if x is not None), key=lambda pair: pair[0])
    unknown = [rung for rung, x in placed if x is None]
    for (x, rung), (other_x, other) in pairwise(ordered):
        if x == other_x:
            raise UsageError(
                f"{rung.model} and {other.model} have the same {_FLAG[axis]}",
                hint=say_way_out(rung, other, axis),
            )
    if len(ordered) < 2:
        names = ", ".join(rung.model for rung in unknown)
        raise UsageError(
            f"fewer than two models of known {_FLAG[axis]} (unknown: {names})",
            hint="use another --x, or order the models yourself with --x ordinal",
        )
    return Ladder(
        rungs=tuple(rung for _, rung in ordered) + tuple(unknown),
        positions=tuple(x for x, _ in ordered) + (None,) * len(unknown),
        axis=axis,
    )


def rung_position(rung: Rung, index: int, axis: Axis) -> float | None:
    """Return where a rung stands on an axis; None: unknown.

    ``index``: its place in the grid, which is its rank on the axis of ranks.
    """
    if axis == "ordinal":
        return float(index + 1)
    if axis == "loss":
        return None if rung.loss is None else -rung.loss
    if axis == "flops":
        value = rung.train_flops
    elif axis == "tokens":
        value = rung.train_tokens
    elif axis == "active-params" and rung.n_active_params is not None:
        value = rung.n_active_params
    else:
        value = rung.n_params
    return float(value) if value else None


def are_trainings(rung: Rung, other: Rung, axis: Axis, *, replicates: bool) -> bool:
    """Return whether two rungs at one place of an axis are trainings of one size.

    They are if they are of one family, size and number of training tokens, on an axis on which two
    sizes can be equal; ``replicates``: families that are not known count as one.
    """
    is_one_family = rung.family == other.family and (rung.family is not None or replicates)
    sizes = (rung.n_params, rung.train_tokens), (other.n_params, other.train_tokens)
    return axis in LOG_AXES and is_one_family and sizes[0] == sizes[1]


def say_way_out(rung: Rung, other: Rung, axis: Axis) -> str:
    """Return what to do about two models of one size that are not trainings of one recipe."""
    if rung.family is None and other.family is None:
        return "trainings of one recipe: --replicates; else leave one out, or --x ordinal"
    if rung.family == other.family and rung.train_tokens != other.train_tokens:
        return "checkpoints of one training: --x tokens, or --x flops"
    if axis in LOG_AXES and rung.family != other.family:
        return "two families are compared by --over; else leave one out, or --x ordinal"
    return "leave one out, or --x ordinal for the order given"


def check_question(grid: ResultGrid, question: ScaleQuestion) -> None:
    """Refuse a question that has no answer.

    Raises:
        UsageError: a margin, level, threshold or number of resamples out of range; no pair, a pair
            of one arm, or an arm without any result.
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
    check_thresholds(question.thresholds)
    _check_pairs(grid, question)


def _check_pairs(grid: ResultGrid, question: ScaleQuestion) -> None:
    if not question.pairs:
        raise UsageError("no strategy to measure against a control")
    measured = {arm for _, arm in grid.cells}
    if grid.guess is not None:
        measured.add(CHANCE)
    elif any(control == CHANCE for _, control in question.pairs):
        raise UsageError(
            f"what guessing solves on {grid.bench} is not known, so nothing can leave chance",
            hint="a CSV says it in a column: chance, or choices (options of each problem)",
        )
    for arm, control in question.pairs:
        if arm == control:
            raise UsageError(f"{arm} cannot be measured against itself")
        for name in (arm, control):
            if name not in measured:
                raise UsageError(
                    f"no results of {name} on {grid.bench}",
                    hint=f"there are: {', '.join(sorted(measured)) or 'none at all'}",
                )


def check_thresholds(thresholds: Sequence[float]) -> None:
    """Refuse gains of a staircase that do not rise from above 0 to 1 at most.

    Raises:
        UsageError: they do not.
    """
    steps = (0.0, *thresholds)
    if not (all(a < b for a, b in pairwise(steps)) and steps[-1] <= 1):
        listed = ", ".join(f"{100 * x:g}" for x in thresholds)
        raise UsageError(
            f"thresholds must rise from above 0 to 100 points at most, unlike {listed}",
            hint="--thresholds 5,10,20,30",
        )


def _check_names(grid: ResultGrid) -> None:
    models = [rung.model for rung in grid.rungs]
    for model in models:
        if models.count(model) > 1:
            raise UsageError(f"{model} is twice in the ladder")


# A grid and a question that fit each other, and what follows from both.


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSetting:
    """What every part of an analysis is given."""

    grid: ResultGrid
    """The results."""
    question: ScaleQuestion
    """What is asked of them."""
    ladder: Ladder
    """The models in order of size."""
    codes: Codes | None
    """Cluster number of each problem; None: every problem stands alone."""

    def cell(self, model: str, arm: str) -> Cell | GuessRates | None:
        """Return what is known of an arm of a model; None: a hole."""
        return self.grid.guess if arm == CHANCE else self.grid.cells.get((model, arm))

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm asked about, once, controls before what is measured against them."""
        return tuple(dict.fromkeys(x for pair in self.question.pairs for x in reversed(pair)))


def prepare_setting(grid: ResultGrid, question: ScaleQuestion) -> AnalysisSetting:
    """Check grid and question, and order the models.

    Raises:
        UsageError: they cannot be analysed.
    """
    check_question(grid, question)
    names = grid.clusters
    codes = None
    if names is not None and len(set(names)) < len(names):
        from cotkit.stats.bootstrap import unit_codes

        codes = unit_codes(names)
    return AnalysisSetting(
        grid=grid,
        question=question,
        ladder=make_ladder(grid, question.axis),
        codes=codes,
    )
