"""A scale analysis made by hand, so that its page can be looked at without any analysis."""

from __future__ import annotations

import math

from cotkit.analysis.scale.grid import Axis, Rung
from cotkit.analysis.scale.values import (
    CostPoint,
    Jump,
    MetricPoint,
    Onset,
    OnsetAnswer,
    Point,
    Scale,
    Sharpness,
    SizeLabel,
)
from cotkit.stats.intervals import Interval

SIZES = (2e9, 8e9, 2e10, 7e10, 2e11)
GAINS = (-0.02, 0.01, math.nan, 0.30, 0.42)
LABELS: tuple[SizeLabel, ...] = ("undetermined", "no_material_help", "missing", "helps", "helps")


def interval(middle: float, half: float) -> Interval:
    return Interval(low=middle - half, high=middle + half, level=0.95)


def rungs(prefix: str = "sim") -> tuple[Rung, ...]:
    return tuple(
        Rung(model=f"{prefix}-{size / 1e9:g}b", family="sim", n_params=int(size)) for size in SIZES
    )


def made_scale(*, prefix: str = "sim", arm: str = "cot", axis: Axis = "params") -> Scale:
    """Five sizes, one of them a hole; help starts between the second and the fourth."""
    ladder = rungs(prefix)
    places = SIZES if axis == "params" else (1.0, 2.0, 3.0, 4.0, 5.0)
    points = tuple(
        Point(
            rung=rung,
            x=x,
            n=0 if math.isnan(gain) else 200,
            arm_rate=0.1 + gain,
            arm_interval=interval(0.1 + gain, 0.04),
            control_rate=0.1 if not math.isnan(gain) else math.nan,
            control_interval=interval(0.1 + 0 * gain, 0.03),
            n_better=None,
            n_worse=None,
            gain=gain,
            interval=interval(gain, 0.07),
            method="none" if math.isnan(gain) else "tango",
            p_value=0.5 + 0 * gain,
            label=label,
            mde=0.08,
            is_floor=False,
            is_ceiling=False,
        )
        for rung, x, gain, label in zip(ladder, places, GAINS, LABELS, strict=True)
    )
    onset = Onset(
        status="bracket",
        lower=ladder[1],
        upper=ladder[3],
        first_detected=ladder[3],
        after="sustained",
        harmed=(),
    )
    sharp = Sharpness(
        metric="exact_match",
        value=0.4,
        interval=interval(0.4, 0.1),
        steepest=(ladder[1], ladder[3]),
    )
    jump = Jump(
        curve="arm",
        arm=arm,
        exact=sharp,
        companion=None,
        companions=(),
        contrast=None,
        verdict="undetermined",
        why="No metric of these outputs is linear in the log-probability.",
        checks=(),
    )
    sentence = f"{arm} helps from 70 B on: material help starts in (8 B, 70 B] of {prefix}."
    return Scale(
        bench="sums@1",
        family="sim",
        axis=axis,
        margin=0.02,
        level=0.95,
        assume_sustained=False,
        n_problems=200,
        answers=(
            OnsetAnswer(
                arm=arm,
                control="few-shot",
                points=points,
                onset=onset,
                jumps=(jump,),
                sentence=sentence,
            ),
        ),
        metrics=tuple(
            MetricPoint(
                rung=point.rung,
                arm=name,
                metric=metric,
                value=lift + rate,
                interval=interval(lift + rate, 0.05),
            )
            for metric, lift in (("exact_match", 0.0), ("edit_similarity", 0.3))
            for point in points
            for name, rate in ((arm, point.arm_rate), ("few-shot", point.control_rate))
        ),
        prices=tuple(
            CostPoint(
                rung=point.rung,
                arm=name,
                rate=rate,
                interval=interval(rate, 0.04),
                tokens=tokens * (1 + i / 10),
                usd=None,
                seconds=None,
                on_frontier=("tokens",) if name == arm else (),
            )
            for i, point in enumerate(points)
            if point.label != "missing"
            for name, rate, tokens in (
                (arm, point.arm_rate, 300.0),
                ("few-shot", point.control_rate, 250.0),
            )
        ),
        notes=("one model of the ladder was not measured: sim-20b",),
    )
