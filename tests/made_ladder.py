"""A scale analysis made by hand with everything in it: two strategies, a hole, a floor, prices."""

from __future__ import annotations

import math
from dataclasses import replace

from cotkit.analysis.scale.grid import Rung
from cotkit.analysis.scale.values import (
    Bracket,
    Check,
    CostPoint,
    Jump,
    JumpWord,
    MetricPoint,
    ModelBased,
    Onset,
    OnsetAnswer,
    Point,
    RunOrigin,
    Scale,
    Sharpness,
    SizeLabel,
    Step,
)
from cotkit.stats.intervals import Interval

NAN = math.nan
SIZES = (1e8, 1e9, 1e10, 1e11)
RUNGS = tuple(
    Rung(model=f"made-{i}", family="made", n_params=round(size)) for i, size in enumerate(SIZES)
)
COT = ((0.0, 0.0), (0.04, 0.05), (NAN, NAN), (0.20, 0.70))
VOTE = ((0.0, 0.0), (0.05, 0.04), (0.30, 0.45), (0.91, 0.80))
LABELS: dict[str, tuple[SizeLabel, ...]] = {
    "cot": ("undetermined", "no_material_help", "missing", "helps"),
    "vote": ("undetermined", "undetermined", "helps", "harms"),
}


def made_ladder() -> Scale:
    """CoT helps in (1 B, 100 B], with a hole at 10 B; a vote helps at 10 B, then harms."""
    return Scale(
        bench="sums",
        family="made",
        axis="params",
        margin=0.02,
        level=0.95,
        assume_sustained=False,
        n_problems=200,
        answers=(
            OnsetAnswer(
                arm="cot",
                control="few-shot",
                points=tuple(_point("cot", i, *COT[i]) for i in range(4)),
                onset=Onset(
                    status="bracket",
                    lower=RUNGS[1],
                    upper=RUNGS[3],
                    first_detected=RUNGS[3],
                    after=None,
                    harmed=(),
                    model_based=ModelBased(x=3.2e10, interval=_around(3.2e10, 1e10)),
                    bracket=Bracket(
                        lower=RUNGS[1], upper=RUNGS[3], no_more_than=0.07, at_least=0.44
                    ),
                    staircase=(
                        Step(threshold=0.05, lower=None, upper=RUNGS[3]),
                        Step(threshold=0.3, lower=RUNGS[1], upper=RUNGS[3]),
                    ),
                ),
                jumps=(
                    _jump("cot", "metric_artefact", 0.55, 0.15),
                    _jump("few-shot", "undetermined", 0.40, None),
                ),
                sentence="cot starts to help between 1 B and 100 B parameters.",
            ),
            OnsetAnswer(
                arm="vote",
                control="cot",
                points=tuple(_point("vote", i, *VOTE[i]) for i in range(4)),
                onset=Onset(
                    status="at_or_below",
                    lower=None,
                    upper=RUNGS[2],
                    first_detected=RUNGS[2],
                    after="reversed",
                    harmed=(RUNGS[3],),
                ),
                jumps=(_jump("few-shot", "undetermined", 0.40, None),),
                sentence="vote starts to help at or below 10 B parameters; it does not last.",
            ),
        ),
        metrics=tuple(
            MetricPoint(
                rung=rung,
                arm=arm,
                metric=metric,
                value=rates[i][1] + lift,
                interval=_around(rates[i][1] + lift, 0.05),
            )
            for arm, rates in (("cot", COT), ("vote", VOTE))
            for i, rung in enumerate(RUNGS)
            for metric, lift in (("exact_match", 0.0), ("digit_accuracy", 0.1))
        ),
        prices=tuple(
            CostPoint(
                rung=rung,
                arm=arm,
                rate=rates[i][1],
                interval=_around(rates[i][1], 0.05),
                tokens=tokens,
                usd=tokens / 1e6 * (i + 1),
                seconds=tokens / 1000,
                on_frontier=("tokens", "usd") if i == 3 and arm == "cot" else (),
            )
            for arm, rates, tokens in (("cot", COT, 600.0), ("vote", VOTE, 3000.0))
            for i, rung in enumerate(RUNGS)
            if not math.isnan(rates[i][1])
        ),
        notes=("cot over few-shot has holes: nothing was measured at made-2",),
        origin=RunOrigin(
            reader="flexible",
            bench_version="7",
            n_total=1000,
            runs={rung.model: f"{i}" * 12 for i, rung in enumerate(RUNGS)},
            n_shot={"cot": 8, "few-shot": 8, "vote": 8},
        ),
    )


def awkward_ladder() -> Scale:
    """Names that would break a page, and a loss axis."""
    made = made_ladder()
    rungs = {rung: replace(rung, model=f"org/[b]_{i}|β\x1b[2J") for i, rung in enumerate(RUNGS)}
    (first, _) = made.answers
    points = tuple(
        replace(point, rung=rungs[point.rung], x=-3.0 + 0.5 * i)
        for i, point in enumerate(first.points)
    )
    onset = replace(
        first.onset, lower=points[1].rung, upper=points[3].rung, first_detected=None, after=None
    )
    onset = replace(
        onset,
        model_based=None,
        bracket=Bracket(
            lower=points[1].rung, upper=points[3].rung, no_more_than=0.07, at_least=0.44
        ),
        staircase=(Step(threshold=0.3, lower=None, upper=points[3].rung),),
    )
    answer = replace(
        first, arm="c_o|t", points=points, onset=onset, sentence="c_o|t <helps> & 5 %."
    )
    return replace(
        made, axis="loss", family=None, answers=(answer,), metrics=(), prices=(), origin=None
    )


def _around(middle: float, half: float) -> Interval:
    return Interval(low=middle - half, high=middle + half, level=0.95)


def _point(arm: str, i: int, control: float, ours: float) -> Point:
    gain = ours - control
    label = LABELS[arm][i]
    is_hole = label == "missing"
    return Point(
        rung=RUNGS[i],
        x=SIZES[i],
        n=0 if is_hole else 200,
        arm_rate=ours,
        arm_interval=_around(ours, 0.04),
        control_rate=control,
        control_interval=_around(control, 0.04),
        n_better=None if is_hole else round(200 * max(gain, 0)) + 2,
        n_worse=None if is_hole else round(200 * max(-gain, 0)) + 2,
        gain=gain,
        interval=_around(gain, 0.06),
        method="none" if is_hole else "tango",
        p_value=NAN if is_hole else 0.0004 + abs(i - 3) / 10,
        label=label,
        mde=NAN if is_hole else 0.08,
        is_floor=ours == control == 0,
        is_ceiling=control >= 0.9,
    )


def _jump(arm: str, verdict: JumpWord, exact: float, companion: float | None) -> Jump:
    def sharpness(metric: str, value: float) -> Sharpness:
        return Sharpness(
            metric=metric,
            value=value,
            interval=_around(value, 0.1),
            steepest=(RUNGS[1], RUNGS[3]),
        )

    found = None if companion is None else sharpness("digit_accuracy", companion)
    return Jump(
        curve="arm" if arm == "cot" else "control",
        arm=arm,
        exact=sharpness("exact_match", exact),
        companion=found,
        companions=() if found is None else (found,),
        contrast=None if companion is None else _around(exact - companion, 0.15),
        verdict=verdict,
        why=f"The reason for {arm}.",
        checks=(Check(name="linearity", value=0.5, sentence="A line has 1."),),
    )
