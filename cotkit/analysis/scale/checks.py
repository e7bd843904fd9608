"""Side checks of a jump: printed as what they are, never decisive."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cotkit.analysis.scale.grid import LOG_AXES, Axis, ResultGrid
from cotkit.analysis.scale.values import Check
from cotkit.stats.bootstrap import Floats
from cotkit.stats.curves import breakthroughness, isotonic, linearity
from cotkit.stats.intervals import wilson, zero_hits_upper

_NULL_RUNS = 2000
_NOTHING = "agreement shows that exact match is a function of that metric, not that nothing jumps"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionCurve:
    """A curve of exact match and its companion."""

    is_gain: bool
    """Whether it is of a gain, not of a rate."""
    axis: Axis
    """What size means."""
    x: Floats
    """[sizes], as curves are drawn over."""
    exact: Floats
    """[sizes] means."""
    n: Floats
    """[sizes] problems."""
    noise: Floats
    """[sizes] standard errors of ``exact``."""
    companion: Floats | None
    """[sizes] means of the deciding companion."""
    companion_name: str | None
    """Its name."""
    lengths: Floats | None
    """[problems] tokens of the answers, or their steps; None: unknown."""
    length_name: str
    """What those are."""
    level: float
    """Of intervals."""


def lengths_of(grid: ResultGrid) -> tuple[Floats | None, str]:
    """L of each problem, where known for all: the length of its answer, else its steps."""
    known = ((grid.answer_lengths, "answer length"), (grid.n_steps, "steps"))
    for lengths, name in known:
        if lengths and None not in lengths:
            return np.asarray(lengths, dtype=np.float64), name
    return None, ""


def run_checks(of: CompanionCurve, rng: np.random.Generator) -> tuple[Check, ...]:
    """All checks that this curve allows."""
    found = [_check_score(of, rng), _check_linearity(of)]
    if not of.is_gain:
        found = [_check_power_law(of), _check_resolution(of), _check_bend(of), *found]
    return tuple(check for check in found if check is not None)


def _predict_rates(of: CompanionCurve) -> Floats | None:
    """Mean over problems of q^L, q the companion's mean; None where q is no chance or L unknown."""
    q = of.companion
    if q is None or of.lengths is None or (q < 0).any() or (q > 1).any():
        return None
    return (q[:, None] ** of.lengths).mean(1)


def _check_power_law(of: CompanionCurve) -> Check | None:
    predicted = _predict_rates(of)
    if predicted is None or of.lengths is None:
        return None
    agree = [
        (found := wilson(float(rate * n), float(n), of.level)).low <= p <= found.high
        for p, rate, n in zip(predicted, of.exact, of.n, strict=True)
    ]
    return Check(
        name="p^L prediction",
        value=float(np.mean(agree)),
        sentence=(
            f"{of.companion_name}^L, L the {of.length_name} ({of.lengths.mean():.3g} in the mean), "
            f"lies in the interval of exact match at {sum(agree)} of {len(agree)} sizes; {_NOTHING}"
        ),
    )


def _check_resolution(of: CompanionCurve) -> Check | None:
    flat = np.flatnonzero(of.exact == 0)
    if not flat.size:
        return None
    unseen = max(zero_hits_upper(int(of.n[i]), of.level) for i in flat)
    sentence = (
        f"no hit at {flat.size} of {len(of.exact)} sizes, which excludes only rates above "
        f"{100 * unseen:.2g} %"
    )
    predicted = _predict_rates(of)
    if predicted is not None:
        below = sum(bool(predicted[i] < 1 / of.n[i]) for i in flat)
        sentence += f"; {of.companion_name}^L would be below one hit at {below} of these"
    return Check(name="resolution limit", value=unseen, sentence=sentence)


def _check_bend(of: CompanionCurve) -> Check | None:
    inside = (of.exact > 0) & (of.exact < 1)
    if of.axis not in LOG_AXES or inside.sum() < 3:
        return None
    slopes = np.diff(np.log(-np.log(of.exact[inside]))) / np.diff(of.x[inside])
    low, high = float(slopes.min()), float(slopes.max())
    return Check(
        name="log(-log) line",
        value=high - low,
        sentence=(
            f"log(-log of exact match) over log10 size has slopes from {low:.2f} to {high:.2f} "
            f"between {int(inside.sum())} sizes; a smooth law of scale has one slope"
        ),
    )


def _check_score(of: CompanionCurve, rng: np.random.Generator) -> Check:
    steps = len(of.exact) - 1
    score = float(breakthroughness(of.exact)) / steps
    null, fit = _null_scores(of, rng)
    share = float(np.mean(null <= score))
    return Check(
        name="emergence score",
        value=score,
        sentence=(
            f"E/(N-1) is {score:.3g}, at the {100 * share:.0f}th percentile of data drawn from "
            f"{fit}; a straight line has 1, and a smooth curve may have any score"
        ),
    )


def _null_scores(of: CompanionCurve, rng: np.random.Generator) -> tuple[Floats, str]:
    """Scores, over N - 1, of curves drawn around a fit that needs no jump."""
    steps = len(of.exact) - 1
    if of.is_gain:  # a straight line over the axis, with the noise of the gains
        line = np.polyval(np.polyfit(of.x, of.exact, 1), of.x)
        drawn, fit = rng.normal(line, of.noise, size=(_NULL_RUNS, len(line))), "a straight line"
    else:
        predicted = _predict_rates(of)
        rising = isotonic(of.exact, of.n)
        curve, fit = (rising, "an isotonic fit") if predicted is None else (predicted, "p^L")
        n = of.n.astype(np.int64)
        drawn = rng.binomial(n, np.clip(curve, 0, 1), size=(_NULL_RUNS, len(n))) / n
    return breakthroughness(drawn) / steps, fit


def _check_linearity(of: CompanionCurve) -> Check:
    value = float(linearity(of.exact)) / (len(of.exact) - 1)
    return Check(
        name="linearity",
        value=value,
        sentence=(
            f"BIG-bench linearity over N-1 is {value:.2f}; a line of equal gaps has 1, a single "
            f"step {1 / math.sqrt(len(of.exact) - 1):.2f}"
        ),
    )
