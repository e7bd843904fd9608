"""The bracket rule: from labelled sizes to where material help starts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np

from cotkit.analysis.scale.grid import LOG_AXES, AnalysisSetting, Rung
from cotkit.analysis.scale.jumps import EXACT, ColumnKey, MeanEstimate
from cotkit.analysis.scale.values import (
    Bracket,
    ModelBased,
    Onset,
    OnsetStatus,
    Point,
    SizeLabel,
    StatusAbove,
    Step,
)
from cotkit.stats.bootstrap import Floats, percentiles
from cotkit.stats.curves import fit_logistic, logistic

NO_HELP: frozenset[SizeLabel] = frozenset({"no_material_help", "harms"})
"""Labels that show that there is no material help."""
_OPEN: frozenset[SizeLabel] = frozenset({"undetermined", "some_help"})


def find_onset(
    points: Sequence[Point], margin: float, thresholds: Sequence[float] | None = None
) -> Onset:
    """Find where material help starts, by the labels; unknown sizes and holes do not count.

    ``upper`` is the smallest size labelled ``helps``, ``lower`` the largest below it labelled
    ``no_material_help`` or ``harms``. The claim is (lower, upper]: the smallest tested size whose
    gain reaches the margin lies there, unless material help came and went below ``lower``.

    Args:
        points: By size, the smallest first.
        margin: Smallest material gain.
        thresholds: Of the staircase; None: the intervals do not all hold at once, so there is
            neither bracket nor staircase.
    """
    tested = [point for point in points if point.x is not None and point.label != "missing"]
    first_help = next((i for i, point in enumerate(tested) if point.label == "helps"), None)
    below = tested if first_help is None else tested[:first_help]
    lower = next((point for point in reversed(below) if point.label in NO_HELP), None)
    first = next((point for point in tested if point.label in {"helps", "some_help"}), None)
    return Onset(
        status=_onset_status(tested, first_help, lower, margin),
        lower=None if lower is None or first_help is None else lower.rung,
        upper=None if first_help is None else tested[first_help].rung,
        first_detected=None if first is None else first.rung,
        after=None if first_help is None else _status_above(tested[first_help + 1 :]),
        harmed=tuple(point.rung for point in tested if point.label == "harms"),
        bracket=None if thresholds is None else _make_bracket(tested, margin),
        staircase=tuple(_make_step(tested, threshold) for threshold in thresholds or ()),
    )


def find_bracket(
    lows: Sequence[float], highs: Sequence[float], margin: float
) -> tuple[int, int, float] | None:
    """Return where a gain starts that no smaller size has, and that gain, whatever the margin.

    ``upper`` is the smallest size whose lower end exceeds the margin; ``lower`` the largest below
    it such that no interval up to there reaches the lower end of ``upper``. Where all intervals
    hold, no size up to ``lower`` gains more than the gain returned, and ``upper`` gains more: so
    for every margin between the two, the smallest size that reaches it lies in (lower, upper]. No
    shape of the curve is assumed, and the gain may be chosen after the data, as one family of
    intervals holds for all margins at once; ``upper`` may not.

    Args:
        lows: Lower ends of simultaneous intervals, the smallest size first.
        highs: Their upper ends.
        margin: Smallest material gain.

    Returns:
        Index of ``lower``, index of ``upper``, and the gain; None: nothing can be said.
    """
    upper = next((i for i, low in enumerate(lows) if low > margin), None)
    if upper is None:
        return None
    tops = list(itertools.accumulate(highs[:upper], max, initial=margin))[1:]
    below = [i for i, top in enumerate(tops) if top < lows[upper]]
    return (below[-1], upper, tops[below[-1]]) if below else None


def _make_bracket(tested: Sequence[Point], margin: float) -> Bracket | None:
    lows, highs = _interval_ends(tested)
    indices = find_bracket(lows, highs, margin)
    if indices is None:
        return None
    lower, upper, no_more_than = indices
    return Bracket(
        lower=tested[lower].rung,
        upper=tested[upper].rung,
        no_more_than=no_more_than,
        at_least=lows[upper],
    )


def _make_step(tested: Sequence[Point], threshold: float) -> Step:
    lows, highs = _interval_ends(tested)
    upper = next((i for i, low in enumerate(lows) if low >= threshold), None)
    tops = itertools.accumulate(highs[:upper], max)
    below = [i for i, top in enumerate(tops) if top < threshold]
    return Step(
        threshold=threshold,
        lower=tested[below[-1]].rung if below else None,
        upper=None if upper is None else tested[upper].rung,
    )


def _interval_ends(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [p.interval.low for p in points], [p.interval.high for p in points]


def may_hide_help(point: Point, margin: float) -> bool:
    """Return whether a size may hide material help.

    It may if help is neither shown nor excluded there and the problems are too few.
    """
    return point.label in _OPEN and not point.mde <= margin  # an MDE of NaN is beyond any margin


def _onset_status(
    tested: Sequence[Point], first_help: int | None, lower: Point | None, margin: float
) -> OnsetStatus:
    if first_help is not None:
        return "at_or_below" if lower is None else "bracket"
    undecided = not tested or any(may_hide_help(point, margin) for point in tested)
    return "cannot_be_decided" if undecided else "not_shown"


def _status_above(above: Sequence[Point]) -> StatusAbove | None:
    if not above:
        return None
    if any(point.label == "harms" for point in above):
        return "reversed"
    helped = all(point.label == "helps" for point in above)
    return "sustained" if helped else "not_shown_beyond"


# A number inside the bracket, where the curve is long, close and smooth enough to lend one.


MIN_SIZES = 5
WIDEST = 0.5
"""Decades that the ends of the bracket may lie apart."""
_REFUTED = 0.05
_GRID = 201  # places inside the bracket at which a fitted gain is looked at


def fit_crossing(
    onset: Onset,
    pair: tuple[str, str],
    columns: Mapping[ColumnKey, MeanEstimate],
    setting: AnalysisSetting,
) -> ModelBased | None:
    """Find where two logistic curves in log10 size differ by the margin, inside the bracket.

    One fit for each arm, over all sizes; the interval refits both on resampled problems, jointly.
    None unless there are 5 sizes, the bracket spans at most half a decade, Pearson's chi-square
    refutes neither fit, and the fits cross within the bracket, in 95 % of the resamples too
    (others count as its end that they exceed).
    """
    ladder, margin, level = setting.ladder, setting.question.margin, setting.question.level
    if onset.status != "bracket" or ladder.axis not in LOG_AXES:
        return None
    indices = [
        i
        for i, rung in enumerate(ladder.rungs[: ladder.n_known])
        if (rung.model, pair, EXACT) in columns
    ]
    x = np.asarray(ladder.scale_positions(indices))
    rungs = [ladder.rungs[i] for i in indices]
    if len(indices) < MIN_SIZES:
        return None
    low, high = x[_rung_index(rungs, onset.lower)], x[_rung_index(rungs, onset.upper)]
    if high - low > WIDEST + 1e-9:
        return None
    places = np.linspace(low, high, _GRID)
    gain, drawn_gain = np.zeros(_GRID), np.zeros((1, _GRID))
    for arm, sign in zip(pair, (1, -1), strict=True):
        along = [columns[rung.model, arm, EXACT] for rung in rungs]
        rates = np.asarray([column.mean for column in along])
        n = np.asarray([float(column.n) for column in along])
        if _is_refuted(x, rates, n):
            return None
        gain = gain + sign * _logistic_curve(x, rates, n, places)
        drawn = np.stack([column.draws for column in along], axis=1)
        drawn_gain = drawn_gain + sign * _logistic_curve(x, drawn, n, places)
    crossing = _first_reaching(gain[None], margin)
    drawn_at = _first_reaching(drawn_gain, margin)
    if crossing[0] in {-1, _GRID} or np.isin(drawn_at, (-1, _GRID)).mean() > 1 - level:
        return None
    crossings = places[np.clip(drawn_at, 0, _GRID - 1)]
    interval = percentiles(10**crossings, level)
    return ModelBased(x=float(10 ** places[crossing[0]]), interval=interval)


def chi_square_tail(value: float, df: int) -> float:
    """Return the chance of a chi-square above ``value`` (Wilson and Hilferty 1931).

    Good to about 0.01.
    """
    z = ((value / df) ** (1 / 3) - (1 - 2 / (9 * df))) / math.sqrt(2 / (9 * df))
    return 1 - NormalDist().cdf(z)


def _is_refuted(x: Floats, rates: Floats, n: Floats) -> bool:
    fitted = _logistic_curve(x, rates, n, x)
    statistic = float((n * (rates - fitted) ** 2 / (fitted * (1 - fitted))).sum())
    return chi_square_tail(statistic, len(x) - 2) < _REFUTED


def _logistic_curve(x: Floats, rates: Floats, n: Floats, positions: Floats) -> Floats:
    a, b = fit_logistic(x, rates, n)
    return logistic(np.asarray(a)[..., None] + np.asarray(b)[..., None] * positions)


def _first_reaching(gain: Floats, margin: float) -> Floats:
    """Return the index of the first place that reaches the margin.

    -1 if the very first place does, the length if no place does.
    """
    reached = gain >= margin
    index = np.where(reached.any(1), reached.argmax(1), gain.shape[1])
    return np.where(reached[:, 0], -1, index)


def _rung_index(rungs: list[Rung], rung: Rung | None) -> int:
    assert rung is not None
    return rungs.index(rung)
