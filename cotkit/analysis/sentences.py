"""The verdict on one arm in plain English, numbers included."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cotkit.analysis.counting import Counting
from cotkit.analysis.results import Gain


def sentence(gain: Gain, margin: float, depends_on: Sequence[Counting]) -> str:
    """The answer for one arm, e.g. ``"cot helps: +35.0 points over few-shot (95 % ...)."``."""
    if gain.n == 0:
        return (
            f"{gain.arm} against {gain.control} cannot be decided: "
            "no problem was completed by both."
        )
    return f"{_claim(gain, margin)}{_dependence(depends_on)}."


def _claim(gain: Gain, margin: float) -> str:
    points, evidence = f"{_points(gain.gain)} points", _evidence(gain)
    over, against = (f"{points} {word} {gain.control} ({evidence})" for word in ("over", "against"))
    if gain.label == "upper_bound":
        return f"upper bound (sees the gold answers): {gain.arm}: {over}"
    if gain.label == "helps":
        return f"{gain.arm} helps: {over}"
    if gain.label == "some_help":
        return f"{gain.arm} helps, perhaps by less than {100 * margin:.3g} points: {over}"
    if gain.label == "harms":
        return f"{gain.arm} harms: {against}"
    if gain.label == "no_material_help":
        return f"{gain.arm} gives no material help (under {100 * margin:.3g} points): {against}"
    undecided = f"{gain.arm} against {gain.control} cannot be decided"
    return f"{undecided}: {points} ({evidence}); {_sight(gain)}"


def _evidence(gain: Gain) -> str:
    low, high = _points(gain.interval.low), _points(gain.interval.high)
    return (
        f"{_percent(gain)} interval {low} to {high}; {gain.n_better} better, "
        f"{gain.n_worse} worse of {gain.n}; {_p(gain.p_holm)}"
    )


def _sight(gain: Gain) -> str:
    if math.isnan(gain.mde):
        return "no gain, however large, would surely have been seen"
    points = 100 * gain.mde
    return (
        "this run could only have seen gains of "
        f"{points:.{0 if points >= 10 else 1}f} points or more"
    )


def _dependence(depends_on: Sequence[Counting]) -> str:
    readers = [counting.reader for counting in depends_on if counting.kind == "reader"]
    treatments = [counting.name for counting in depends_on if counting.kind == "treatment"]
    return (f"; depends on the reader ({', '.join(readers)})" if readers else "") + (
        f"; depends on how unreadable answers count ({', '.join(treatments)})" if treatments else ""
    )


def _points(fraction: float) -> str:
    return f"{round(100 * fraction, 1) + 0.0:+.1f}"  # + 0.0 turns -0.0 into 0.0


def _percent(gain: Gain) -> str:
    return f"{100 * gain.interval.level:.4g} %"


def _p(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"
