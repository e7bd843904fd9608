"""Two models of a size on the same problems: their solve rates, their gains, and the differences.

Base against tuned, quantised against whole, distilled against its teacher: one model at a size
against one, or a ladder against another at every size that both have. Ladders are never pooled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from cotkit.analysis.gains import (
    GainEstimate,
    PairedSample,
    estimate_from_totals,
    estimate_gains,
    measure_difference,
)
from cotkit.analysis.scale.gains import cell_interval, measure_pair, totals_of
from cotkit.analysis.scale.grid import LOG_AXES, ArmOutcomes, Axis, Cell, ResultGrid, Rung
from cotkit.analysis.scale.words import (
    format_interval,
    format_points,
    format_position,
    join_words,
)
from cotkit.analysis.values import LEVEL
from cotkit.errors import UsageError
from cotkit.stats.bootstrap import Codes, unit_codes
from cotkit.stats.hypotheses import sidak_level
from cotkit.stats.intervals import Interval

ContrastLabel = Literal["higher", "lower", "alike", "undetermined"]
"""What the interval of a difference shows: above 0, below 0, or neither and within the margin."""

SAME_SIZE = 0.1
"""Share by which two sizes of two families may differ and count as one: 7 B and 6.7 B do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPair:
    """A model and the one it is compared with."""

    model: Rung
    """The first."""
    reference: Rung
    """The second: differences are the first less the second."""
    x: float | None
    """Position of the first on the axis; None: there is no axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One quantity of two models, and its difference. Rates and gains are fractions."""

    pair: ModelPair
    """Whose."""
    arm: str
    """The strategy."""
    control: str | None
    """What its gain is measured against; None: the quantity is the solve rate of the arm."""
    n: int
    """Problems that count: completed by both models in every arm concerned."""
    value: float
    """Of the first model."""
    value_interval: Interval
    """For itself alone."""
    reference: float
    """Of the second model."""
    reference_interval: Interval
    """For itself alone."""
    difference: float
    """First less second."""
    interval: Interval
    """Of the difference, by pairs; holds together with all others of the report."""
    p_value: float
    """Two-sided, of no difference."""
    method: str
    """How the interval was made."""
    label: ContrastLabel
    """From ``interval`` and the margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelContrasts:
    """All contrasts of two models, or of two ladders."""

    bench: str
    """As reports name it."""
    names: tuple[str, str]
    """The models or families."""
    axis: Axis | None
    """What size means; None: two models, without an axis."""
    margin: float
    """Smallest difference that counts as material."""
    level: float
    """Of all differences together."""
    n_problems: int
    """Problems asked."""
    contrasts: tuple[Contrast, ...]
    """By size, the smallest first; the rates of a size, then its gains."""
    sentences: tuple[str, ...]
    """The answers in plain words."""
    notes: tuple[str, ...]
    """Warnings a reader must see."""
    runs: Mapping[str, str]
    """Model -> its run of the store; empty: not of runs."""

    def of_gains(self) -> tuple[Contrast, ...]:
        """Return the differences of gains."""
        return tuple(each for each in self.contrasts if each.control is not None)


def match_sizes(
    ladder: Sequence[tuple[Rung, float | None]],
    other: Sequence[tuple[Rung, float | None]],
    axis: Axis,
) -> tuple[ModelPair, ...]:
    """Pair the models of two ladders that have a size in common, the smallest first.

    On axes where a decade is a step, sizes within a tenth of each other are common, the nearest
    first; on others, equal positions.

    Args:
        ladder: Models with their positions; None: unknown.
        other: The same of the ladder that it is compared with.
        axis: What the positions mean.

    Raises:
        UsageError: no common size; names those there are.
    """
    distances = sorted(
        (distance, x, i, j)
        for i, (_, x) in enumerate(ladder)
        for j, (_, y) in enumerate(other)
        if x is not None and y is not None and (distance := _distance(x, y, axis)) is not None
    )
    matched: dict[int, int] = {}
    for _, _, i, j in distances:
        if i not in matched and j not in matched.values():
            matched[i] = j
    if not matched:
        sizes, other_sizes = (
            ", ".join(f"{abs(x):.3g}" for _, x in side if x is not None) or "unknown"
            for side in (ladder, other)
        )
        raise UsageError(
            f"the two ladders have no size in common ({sizes}; {other_sizes})",
            hint="two models are compared by cotkit compare --models A,B",
        )
    pairs = [
        ModelPair(model=ladder[i][0], reference=other[j][0], x=ladder[i][1])
        for i, j in matched.items()
    ]
    return tuple(sorted(pairs, key=lambda pair: pair.x or 0.0))


def _distance(x: float, y: float, axis: Axis) -> float | None:
    """Return how far two positions are apart; None: they are two sizes."""
    if axis not in LOG_AXES:
        return 0.0 if x == y else None
    ratio = max(x, y) / min(x, y) - 1
    return ratio if ratio <= SAME_SIZE else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastQuestion:
    """What is asked of two models or ladders."""

    names: tuple[str, str]
    """The models or families, as reports name them."""
    pairs: tuple[tuple[str, str], ...]
    """(arm, control) whose gains are compared."""
    margin: float
    """Smallest difference that counts as material, in (0, 1)."""
    level: float = LEVEL
    """Of all differences together."""
    axis: Axis | None = None
    """What size means; None: no axis."""
    seed: int = 0
    """Of the bootstraps."""


def contrast_models(
    grid: ResultGrid, models: Sequence[ModelPair], question: ContrastQuestion
) -> ModelContrasts:
    """Compare models pair by pair, on the problems that both completed.

    The difference of two solve rates is a paired gain (:mod:`cotkit.analysis.gains`); that of two
    gains is the mean over problems of (arm less control) of the first model, less that of the
    second, by the normal interval or the bootstrap of the same module; where it varies over few
    problems, as the sum over steps s of (share with s or more) less (share with -s or less),
    each by Tango's interval. Where only totals are known,
    rates count as independent, and the ends of two gains are put together by squares
    (Zou and Donner 2008). Šidák over all differences.

    Args:
        grid: Cells of all models, on the same problems.
        models: Pairs, the smallest first.
        question: What to compare, and how sure.

    Raises:
        UsageError: a margin out of range, or no two models with an arm in common.
    """
    if not 0 < question.margin < 1:
        raise UsageError(
            f"the margin is {100 * question.margin:g} points",
            hint="it must be above 0 and below 100 points; 2 is usual",
        )
    codes = None
    if grid.clusters is not None and len(set(grid.clusters)) < len(grid.clusters):
        codes = unit_codes(grid.clusters)
    table = _CellTable(cells=grid.cells, codes=codes)
    arms = dict.fromkeys(name for pair in question.pairs for name in reversed(pair))
    measured = [
        measurement
        for pair in models
        for measurement in (
            *(table.measure_rate(pair, arm) for arm in arms),
            *(table.measure_gain(pair, arm, control) for arm, control in question.pairs),
        )
        if measurement is not None
    ]
    if not measured:
        raise UsageError(
            f"{question.names[0]} and {question.names[1]} have no problem in common",
            hint="both need results of one arm on the same problems",
        )
    each = sidak_level(question.level, len(measured))
    paired = [m.sample for m in measured if m.sample is not None]
    estimates = iter(estimate_gains(paired, each, rng=np.random.default_rng(question.seed)))
    contrasts = tuple(
        _make_contrast(m, next(estimates) if m.sample is not None else None, table, each, question)
        for m in measured
    )
    answer = ModelContrasts(
        bench=grid.bench,
        names=question.names,
        axis=question.axis,
        margin=question.margin,
        level=question.level,
        n_problems=len(grid.problem_ids) or max(contrast.n for contrast in contrasts),
        contrasts=contrasts,
        sentences=(),
        notes=tuple(_contrast_notes(contrasts, models, codes)),
        runs={},
    )
    return replace(answer, sentences=tuple(_say_contrasts(answer)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measurement:
    """A quantity of two models before its interval."""

    pair: ModelPair
    arm: str
    control: str | None
    n: int
    value: float
    reference: float
    sample: PairedSample | None = None
    """None: only totals are known."""


_Cells: TypeAlias = Mapping[tuple[str, str], Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CellTable:
    """The cells of all models, and the cluster of each problem."""

    cells: _Cells
    codes: Codes | None

    def measure_rate(self, pair: ModelPair, arm: str) -> _Measurement | None:
        """Compare the solve rates of an arm; None: a model lacks it."""
        cells = [self.cells.get((rung.model, arm)) for rung in (pair.model, pair.reference)]
        both = measure_pair(cells[0], cells[1], self.codes, LEVEL)
        if both is None:
            return None
        return _Measurement(
            pair=pair,
            arm=arm,
            control=None,
            n=min(both.arm.n, both.control.n),
            value=both.arm.rate,
            reference=both.control.rate,
            sample=both.sample,
        )

    def measure_gain(self, pair: ModelPair, arm: str, control: str) -> _Measurement | None:
        """Compare the gains of an arm over its control; None: a model lacks one of them."""
        cells = [
            self.cells.get((rung.model, name))
            for rung in (pair.model, pair.reference)
            for name in (arm, control)
        ]
        outcomes = [cell.correct for cell in cells if isinstance(cell, ArmOutcomes)]
        if len(outcomes) < len(cells):
            totals = [totals_of(cell) for cell in cells if cell is not None]
            rates = [(each.rate, each.n) for each in totals if each is not None]
            if len(rates) < len(cells):
                return None
            return _Measurement(
                pair=pair,
                arm=arm,
                control=control,
                n=min(n for _, n in rates),
                value=rates[0][0] - rates[1][0],
                reference=rates[2][0] - rates[3][0],
            )
        completed = np.flatnonzero(~np.isnan(np.stack(outcomes)).any(axis=0))
        if not len(completed):
            return None
        first, second = (outcomes[i][completed] - outcomes[i + 1][completed] for i in (0, 2))
        return _Measurement(
            pair=pair,
            arm=arm,
            control=control,
            n=len(completed),
            value=float(first.mean()),
            reference=float(second.mean()),
            sample=measure_difference(
                first.tolist(),
                second.tolist(),
                (completed if self.codes is None else self.codes[completed]).tolist(),
                n_units=len(outcomes[0]) if self.codes is None else int(self.codes.max()) + 1,
                is_clustered=self.codes is not None,
            ),
        )

    def gain_interval(self, rung: Rung, arm: str, control: str, level: float) -> Interval:
        """Return the interval of the gain of one model for itself."""
        cells = [self.cells.get((rung.model, name)) for name in (arm, control)]
        both = measure_pair(cells[0], cells[1], self.codes, level)
        assert both is not None, "its gain was measured"
        if both.sample is None:
            gains = both.arm.rate, both.arm.n, both.control.rate, both.control.n
            return estimate_from_totals(*gains, level).interval
        [estimate] = estimate_gains([both.sample], level)
        return estimate.interval

    def rate_interval(self, rung: Rung, arm: str, level: float) -> Interval:
        """Return the interval of the solve rate of one model for itself."""
        return cell_interval(self.cells[rung.model, arm], self.codes, level)


def _make_contrast(
    measured: _Measurement,
    estimate: GainEstimate | None,
    table: _CellTable,
    level: float,
    question: ContrastQuestion,
) -> Contrast:
    pair, arm, control = measured.pair, measured.arm, measured.control
    if control is None:
        intervals = [table.rate_interval(r, arm, level) for r in (pair.model, pair.reference)]
    else:
        intervals = [
            table.gain_interval(r, arm, control, level) for r in (pair.model, pair.reference)
        ]
    method = "totals" if measured.sample is None else measured.sample.method
    if estimate is None:
        estimate = _estimate_unpaired(measured, table, intervals, level)
    return Contrast(
        pair=pair,
        arm=arm,
        control=control,
        n=measured.n,
        value=measured.value,
        value_interval=intervals[0],
        reference=measured.reference,
        reference_interval=intervals[1],
        difference=measured.value - measured.reference,
        interval=estimate.interval,
        p_value=estimate.p_value,
        method=method,
        label=label_difference(estimate.interval, question.margin),
    )


def _estimate_unpaired(
    measured: _Measurement, table: _CellTable, intervals: Sequence[Interval], level: float
) -> GainEstimate:
    """Return what totals say of a difference: models, and arms, count as independent."""
    first, second = intervals
    if measured.control is None:
        rungs = measured.pair.model, measured.pair.reference
        totals = [totals_of(table.cells[rung.model, measured.arm]) for rung in rungs]
        rates = [number for each in totals if each is not None for number in (each.rate, each.n)]
        return estimate_from_totals(rates[0], int(rates[1]), rates[2], int(rates[3]), level)
    difference = measured.value - measured.reference
    low = math.hypot(measured.value - first.low, second.high - measured.reference)
    high = math.hypot(first.high - measured.value, measured.reference - second.low)
    interval = Interval(
        low=max(-2.0, difference - low), high=min(2.0, difference + high), level=level
    )
    return GainEstimate(interval=interval, p_value=math.nan)


def label_difference(interval: Interval, margin: float) -> ContrastLabel:
    """Label what an interval of a difference shows: a direction, else sameness by the margin."""
    if interval.low > 0:
        return "higher"
    if interval.high < 0:
        return "lower"
    return "alike" if -margin < interval.low and interval.high < margin else "undetermined"


# The answers in plain words.


_WORDS: Mapping[ContrastLabel, str] = {
    "higher": "higher",
    "lower": "lower",
    "alike": "the same to within the margin",
    "undetermined": "undetermined whether higher or lower",
}


def _say_contrasts(answer: ModelContrasts) -> Iterator[str]:
    """Yield a sentence for the gains of each arm, then for its solve rates."""
    rates = [contrast for contrast in answer.contrasts if contrast.control is None]
    groups: dict[tuple[str, str | None], list[Contrast]] = {}
    for contrast in (*answer.of_gains(), *rates):
        groups.setdefault((contrast.arm, contrast.control), []).append(contrast)
    for (arm, control), contrasts in groups.items():
        what = f"solve rate of {arm}" if control is None else f"gain of {arm} over {control}"
        first, second = answer.names
        by_label: dict[ContrastLabel, list[str]] = {}
        for contrast in contrasts:
            by_label.setdefault(contrast.label, []).append(_say_contrast(contrast, answer.axis))
        claims = [
            f"{_WORDS[label]} {join_words(by_label[label])}"
            for label in _WORDS
            if label in by_label
        ]
        yield f"The {what}, {first} against {second}: {'; '.join(claims)}."


def _say_contrast(contrast: Contrast, axis: Axis | None) -> str:
    difference = f"{format_points(contrast.difference)} points"
    numbers = f"{difference}, {format_interval(contrast.interval)}"
    if axis is None:
        values = [
            f"{100 * value:.1f}" if contrast.control is None else format_points(value)
            for value in (contrast.value, contrast.reference)
        ]
        return f"({numbers}: {values[0]} against {values[1]})"
    return f"at {format_pair(contrast.pair, axis)} ({numbers})"


def format_pair(pair: ModelPair, axis: Axis) -> str:
    """Format the size that two models have in common; on the axis of ranks, their names."""
    if axis == "ordinal" or pair.x is None:
        return f"{pair.model.model} and {pair.reference.model}"
    return format_position(pair.x, axis)


def _contrast_notes(
    contrasts: Sequence[Contrast], models: Sequence[ModelPair], codes: Codes | None
) -> Iterator[str]:
    if len(contrasts) > 1:
        each = contrasts[0].interval.level
        yield (
            f"each of the {len(contrasts)} intervals of differences is at {100 * each:.4g} %, so "
            "that all hold together; those of one model are at the same level, each for itself"
        )
    unequal = [
        f"{pair.model.model} and {pair.reference.model}"
        for pair in models
        if pair.model.n_params != pair.reference.n_params
        and None not in {pair.model.n_params, pair.reference.n_params}
        and pair.x is not None
    ]
    if unequal:
        yield f"counted as one size, though not quite equal: {', '.join(unequal)}"
    if codes is not None:
        yield "problems share clusters: intervals are by clusters, not by problems"
    if any(contrast.method == "totals" for contrast in contrasts):
        yield (
            "only totals are known, so nothing is paired: models and arms count as independent, "
            "which is too wide where they agree on the same problems"
        )
    most = max(contrast.n for contrast in contrasts)
    fewer = [
        contrast for contrast in contrasts if contrast.n < most and contrast.method != "totals"
    ]
    if fewer:
        names = dict.fromkeys(f"{c.pair.model.model} and {c.pair.reference.model}" for c in fewer)
        yield f"fewer problems than elsewhere were completed by both: {', '.join(names)}"
