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
    """[problems] tokens of the companion in each answer (`lengths_of`); None: unknown."""
    level: float
    """Of intervals."""


_WHOLE = frozenset({"1 - brier_per_option", "gold_log_prob_per_token"})
"""Companions that weigh whole options: they have no tokens."""


def lengths_of(grid: ResultGrid, companion: str) -> Floats | None:
    """Return the length L of each problem's answer in tokens of a companion; None: unknown.

    Digits of a number or words of a text; of ``steps_right``, the steps of the chain. A companion
    that weighs whole options has none.
    """
    if companion == "steps_right":
        lengths = grid.n_steps
    else:
        lengths = None if companion in _WHOLE else grid.answer_lengths
    if not lengths or None in lengths:
        return None
    return np.asarray(lengths, dtype=np.float64)


def run_checks(curve: CompanionCurve, rng: np.random.Generator) -> tuple[Check, ...]:
    """Run all checks that this curve allows."""
    checks = [_check_score(curve, rng), _check_linearity(curve)]
    if not curve.is_gain:
        checks = [_check_power_law(curve), _check_resolution(curve), _check_bend(curve), *checks]
    return tuple(check for check in checks if check is not None)


def _predict_rates(curve: CompanionCurve) -> Floats | None:
    """Return the mean over problems of q^L at each size, where q is the companion's mean.

    None if q is not a probability or L is unknown.
    """
    q = curve.companion
    if q is None or curve.lengths is None or (q < 0).any() or (q > 1).any():
        return None
    return (q[:, None] ** curve.lengths).mean(1)


def _length_name(curve: CompanionCurve) -> str:
    return "steps" if curve.companion_name == "steps_right" else "answer length"


def _check_power_law(curve: CompanionCurve) -> Check | None:
    predicted = _predict_rates(curve)
    if predicted is None or curve.lengths is None:
        return None
    agree = [
        (interval := wilson(float(rate * n), float(n), curve.level)).low <= p <= interval.high
        for p, rate, n in zip(predicted, curve.exact, curve.n, strict=True)
    ]
    return Check(
        name="p^L prediction",
        value=float(np.mean(agree)),
        sentence=(
            f"{curve.companion_name}^L, L the {_length_name(curve)} ({curve.lengths.mean():.3g} in "
            f"the mean), lies in the interval of exact match at {sum(agree)} of {len(agree)} "
            f"sizes; {_NOTHING}"
        ),
    )


def _check_resolution(curve: CompanionCurve) -> Check | None:
    flat = np.flatnonzero(curve.exact == 0)
    if not flat.size:
        return None
    unseen = max(zero_hits_upper(int(curve.n[i]), curve.level) for i in flat)
    sentence = (
        f"no hit at {flat.size} of {len(curve.exact)} sizes, which excludes only rates above "
        f"{100 * unseen:.2g} %"
    )
    predicted = _predict_rates(curve)
    if predicted is not None:
        below = sum(bool(predicted[i] < 1 / curve.n[i]) for i in flat)
        sentence += f"; {curve.companion_name}^L would be below one hit at {below} of these"
    return Check(name="resolution limit", value=unseen, sentence=sentence)


def _check_bend(curve: CompanionCurve) -> Check | None:
    inside = (curve.exact > 0) & (curve.exact < 1)
    if curve.axis not in LOG_AXES or inside.sum() < 3:
        return None
    slopes = np.diff(np.log(-np.log(curve.exact[inside]))) / np.diff(curve.x[inside])
    low, high = float(slopes.min()), float(slopes.max())
    return Check(
        name="log(-log) line",
        value=high - low,
        sentence=(
            f"log(-log of exact match) over log10 size has slopes from {low:.2f} to {high:.2f} "
            f"between {int(inside.sum())} sizes; a smooth law of scale has one slope"
        ),
    )


def _check_score(curve: CompanionCurve, rng: np.random.Generator) -> Check:
    steps = len(curve.exact) - 1
    score = float(breakthroughness(curve.exact)) / steps
    null, fit = _null_scores(curve, rng)
    share = float(np.mean(null <= score))
    return Check(
        name="emergence score",
        value=score,
        sentence=(
            f"E/(N-1) is {score:.3g}, above {100 * share:.0f} % of data drawn from "
            f"{fit}; a straight line has 1, and a smooth curve may have any score"
        ),
    )


def _null_scores(curve: CompanionCurve, rng: np.random.Generator) -> tuple[Floats, str]:
    """Score curves drawn around a fit that needs no jump, over N - 1; also name the fit."""
    steps = len(curve.exact) - 1
    if curve.is_gain:  # a straight line over the axis, with the noise of the gains
        line = np.polyval(np.polyfit(curve.x, curve.exact, 1), curve.x)
        drawn, fit = rng.normal(line, curve.noise, size=(_NULL_RUNS, len(line))), "a straight line"
    else:
        predicted = _predict_rates(curve)
        rising = isotonic(curve.exact, curve.n)
        rates, fit = (rising, "an isotonic fit") if predicted is None else (predicted, "p^L")
        n = curve.n.astype(np.int64)
        drawn = rng.binomial(n, np.clip(rates, 0, 1), size=(_NULL_RUNS, len(n))) / n
    return breakthroughness(drawn) / steps, fit


def _check_linearity(curve: CompanionCurve) -> Check:
    value = float(linearity(curve.exact)) / (len(curve.exact) - 1)
    return Check(
        name="linearity",
        value=value,
        sentence=(
            f"BIG-bench linearity over N-1 is {value:.2f}; a line of equal gaps has 1, a single "
            f"step {1 / math.sqrt(len(curve.exact) - 1):.2f}"
        ),
    )
