"""BIG-bench's breakthrough over several tasks (Srivastava et al. 2022, arXiv:2206.04615)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from cotkit.analysis.scale.jumps import JUMP_ABOVE
from cotkit.analysis.scale.values import Breakthrough, OnsetAnswer, Scale
from cotkit.stats.curves import breakthroughness, linearity

_SHARP = f"sharper than {JUMP_ABOVE:g} over size"


def rank_breakthroughs(scales: Sequence[Scale]) -> tuple[Breakthrough, ...]:
    """Return how much each task's solve rate breaks through over size, the most first.

    Those whose best and worst size are not told apart by their own intervals come last: their
    scores are of noise. The scores do not change when rates are set against chance, which moves
    and stretches a curve.

    Args:
        scales: One for each task; a strategy has a curve in each.
    """
    curves = [
        curve for scale in scales for answer in scale.answers for curve in _score(scale, answer)
    ]
    return tuple(
        sorted(
            curves,
            key=lambda curve: (
                not curve.is_shown,
                -curve.breakthroughness,
                -(curve.best - curve.worst),
                curve.bench,
                curve.arm,
            ),
        )
    )


def _score(scale: Scale, answer: OnsetAnswer) -> Iterator[Breakthrough]:
    points = [point for point in answer.points if point.x is not None and point.n]
    if len(points) < 2:
        return
    rates = np.asarray([point.arm_rate for point in points])
    best, worst = points[int(rates.argmax())], points[int(rates.argmin())]
    jump = next((j for j in answer.jumps if j.curve == "arm" and j.arm == answer.arm), None)
    yield Breakthrough(
        bench=scale.bench,
        family=scale.family,
        arm=answer.arm,
        control=answer.control,
        n_sizes=len(points),
        best=best.arm_rate,
        worst=worst.arm_rate,
        is_shown=best.arm_interval.low > worst.arm_interval.high,
        breakthroughness=float(breakthroughness(rates)),
        linearity=float(linearity(rates)),
        sharpness=None if jump is None else jump.exact,
        verdict=None if jump is None else jump.verdict,
        onset=answer.onset,
    )


def say_breakthroughs(curves: Sequence[Breakthrough]) -> str:
    """Say which share of the tasks jump, and of how many that is real."""
    jumping = [curve for curve in curves if is_jump(curve)]
    if not jumping:
        return f"None of the {len(curves)} curves jumps: no solve rate is surely {_SHARP}."
    percent = f"{100 * len(jumping) / len(curves):.3g} %"
    names = ", ".join(dict.fromkeys(curve.bench for curve in jumping))
    n_real = sum(curve.verdict == "real_jump" for curve in jumping)
    n_artefacts = sum(curve.verdict == "metric_artefact" for curve in jumping)
    return (
        f"{len(jumping)} of {len(curves)} curves jump ({percent}: {names}), their solve rates "
        f"surely {_SHARP}; {n_real} of these really, {n_artefacts} by the metric alone, of "
        f"{len(jumping) - n_real - n_artefacts} it is undetermined."
    )


def is_jump(curve: Breakthrough) -> bool:
    """Return whether the solve rate of a curve surely lies in one step of size more than not."""
    sharpness = curve.sharpness
    return (
        curve.is_shown
        and sharpness is not None
        and not math.isnan(sharpness.value)
        and sharpness.interval.low > JUMP_ABOVE
    )
