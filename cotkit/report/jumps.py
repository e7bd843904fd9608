"""Jump or artefact: the sharpness of each curve, and the side checks as what they are."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cotkit.analysis.scale.values import Check, Jump, JumpWord, Scale
from cotkit.analysis.values import Interval
from cotkit.report.curve import name
from cotkit.report.document import Column, Number, Span, Table, Tone, Value, Words

WORDS: dict[JumpWord, tuple[str, Tone]] = {
    "real_jump": ("real jump", "good"),
    "metric_artefact": ("metric artefact", "warn"),
    "undetermined": ("undetermined", "quiet"),
}
"""Verdict -> its words and tone."""


def jump_table(scale: Scale) -> Table:
    """One row for each curve; a control of several arms has one."""
    return Table(
        key="jumps",
        title="Is the jump real?",
        note="Sharpness: share of the range in the steepest gap, beyond that gap's share of the "
        "axis; 0: a straight line, to 1: a step. Real jump: the companion's interval lies above "
        "0.5; metric artefact: exact match is surely sharper and the companion's lies below 0.4",
        columns=(
            Column(key="curve", header="curve"),
            Column(key="verdict", header="verdict"),
            Column(key="exact", header="exact match"),
            Column(key="exact_interval", header="interval"),
            Column(key="companion", header="companion", opens=True),
            Column(key="companion_sharpness", header="its sharpness"),
            Column(key="companion_interval", header="interval"),
            Column(key="contrast", header="exact minus companion"),
        ),
        rows=tuple(_row(jump, curve) for curve, jump in _jumps(scale)),
    )


def check_table(scale: Scale) -> Table:
    """The reason of every verdict, and every side check."""
    return Table(
        key="checks",
        title="Why, and side checks",
        note="Side checks are printed, never decisive",
        columns=(
            Column(key="curve", header="curve"),
            Column(key="check", header="check"),
            Column(key="value", header="value"),
            Column(key="says", header="what it says"),
        ),
        rows=tuple(
            (
                name(curve),
                name(check.name),
                Number(value=check.value, form="value"),
                name(check.sentence),
            )
            for curve, jump in _jumps(scale)
            for check in (_why(jump), *jump.checks)
        ),
    )


def _why(jump: Jump) -> Check:
    return Check(name=f"why {WORDS[jump.verdict][0]}", value=None, sentence=jump.why)


def _jumps(scale: Scale) -> Iterator[tuple[str, Jump]]:
    seen: set[str] = set()
    for answer in scale.answers:
        for jump in answer.jumps:
            curve = jump.arm
            if jump.curve == "gain":
                curve = f"gain of {answer.arm} over {answer.control}"
            if curve not in seen:
                seen.add(curve)
                yield curve, jump


def _row(jump: Jump, curve: str) -> tuple[Value, ...]:
    text, tone = WORDS[jump.verdict]
    nothing = Interval(low=math.nan, high=math.nan, level=jump.exact.interval.level)
    other = jump.companion
    return (
        name(curve),
        Words(text=text, raw=jump.verdict, tone=tone),
        Number(value=jump.exact.value, form="value"),
        Span(interval=jump.exact.interval, form="value"),
        Words(text=other.metric if other else "none", raw=other.metric if other else ""),
        Number(value=other.value if other else None, form="value"),
        Span(interval=other.interval if other else nothing, form="value"),
        Span(interval=jump.contrast or nothing, form="value"),
    )
