"""What a scale analysis says, arranged in sections; nothing is computed here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cotkit.analysis.scale.inputs import Axis, Rung
from cotkit.analysis.scale.values import (
    After,
    Answer,
    Onset,
    OnsetStatus,
    Point,
    Scale,
    SizeLabel,
)
from cotkit.analysis.values import Interval
from cotkit.report.curve import SIZES, figures, name, say_size, size_of
from cotkit.report.document import (
    Column,
    Document,
    Number,
    Span,
    Strip,
    Table,
    Tone,
    Value,
    Words,
)
from cotkit.report.frontier import frontier_table, matched_table, say_reached
from cotkit.report.jumps import check_table, jump_table
from cotkit.report.panel import panel_tables
from cotkit.report.words import say_level, say_number

LABELS: dict[SizeLabel, tuple[str, Tone]] = {
    "helps": ("helps", "good"),
    "some_help": ("some help", "good"),
    "harms": ("harms", "bad"),
    "no_material_help": ("no material help", "plain"),
    "undetermined": ("undetermined", "quiet"),
    "missing": ("missing", "warn"),
}
"""Label -> its words and tone."""

_SIZES_NOTE = (
    "Intervals of the gain simultaneous over sizes and gains; rates of the problems that both "
    "completed; better, worse: problems that only the arm, only the control solved; MDE: smallest "
    "gain found with power 0.8; floor: nothing solved; ceiling: the control solves 90 % or more"
)
_MODEL_BASED = (
    Column(key="model_based", header="by a logistic fit", opens=True),
    Column(key="model_based_interval", header="its interval"),
)
_STATUS: dict[OnsetStatus, str] = {
    "bracket": "between two sizes",
    "at_or_below": "at or below a size",
    "not_shown": "not shown",
    "cannot_be_decided": "cannot be decided",
}
_AFTER: dict[After, str] = {
    "sustained": "helps",
    "not_shown_beyond": "not shown",
    "reversed": "harms",
}


def scale_documents(
    scales: Sequence[Scale], *, reach: float | None, timing: bool
) -> tuple[Document, ...]:
    """One document for each analysis; of several, one more before them that sums them up.

    Args:
        scales: One for each benchmark.
        reach: A solve rate: the cheapest model and strategy that reach it are named.
        timing: Adds the measured seconds to the frontier.
    """
    documents = tuple(_document(one, reach=reach, timing=timing) for one in scales)
    if len(scales) == 1:
        return documents
    first, titles = scales[0], _titles(scales)
    overview = Document(
        headline=tuple(
            f"{title}: {answer.sentence}"
            for title, one in zip(titles, scales, strict=True)
            for answer in one.answers
        ),
        caption=(_n_curves(scales), *_asked(first)),
        facts=(),
        tables=(_onsets(scales),),
        notes=(),
    )
    return overview, *(
        replace(document, headline=(title, *document.headline[len(one.answers) :]))
        for title, one, document in zip(titles, scales, documents, strict=True)
    )


def _document(scale: Scale, *, reach: float | None, timing: bool) -> Document:
    origin = scale.origin
    family = f"family {scale.family}" if scale.family else "several or unknown families"
    n = max(len(answer.points) for answer in scale.answers)
    drawn = f"{say_number(scale.n_problems, 'count')} problems"
    if origin is not None:
        drawn = f"{say_number(scale.n_problems, 'count')} of {origin.n_total:,} problems"
    said = say_reached(scale.prices, reach, timing=timing) if reach else ()
    return Document(
        headline=(*(answer.sentence for answer in scale.answers), *said),
        caption=(
            f"{n} models of {family}",
            scale.bench,
            *((f"version {origin.bench_version}",) if origin else ()),
            drawn,
            *_asked(scale),
        ),
        facts=(
            ("bench", scale.bench),
            ("bench_version", origin.bench_version if origin else None),
            ("family", scale.family),
            ("axis", scale.axis),
            ("margin", scale.margin),
            ("level", scale.level),
            ("assume_sustained", scale.assume_sustained),
            ("n_problems", scale.n_problems),
            ("reader", origin.reader if origin else None),
        ),
        tables=(
            *(_sizes(answer, scale) for answer in scale.answers),
            _onsets([scale]),
            jump_table(scale),
            *panel_tables(scale),
            frontier_table(scale.prices, timing=timing),
            matched_table(scale.prices),
            check_table(scale),
            _runs(scale),
        ),
        notes=scale.notes,
    )


def _asked(scale: Scale) -> Iterator[str]:
    yield f"size in {SIZES[scale.axis][0]}" if scale.axis != "ordinal" else "in the order given"
    yield f"margin {say_number(scale.margin, 'share')} points"
    if scale.origin is not None:
        yield f"reader {scale.origin.reader}"
    if scale.assume_sustained:
        yield "assumed: help, once begun, does not stop"


def _sizes(answer: Answer, scale: Scale) -> Table:
    levels = {say_level(point.interval.level) for point in answer.points}
    return Table(
        key="sizes",
        title=f"Gain of {answer.arm} over {answer.control} by size",
        note=_SIZES_NOTE if answer is scale.answers[-1] else "",
        columns=(
            Column(key="model", header="model"),
            Column(key="size", header=SIZES[scale.axis][0]),
            Column(key="gain", header="gain points"),
            Column(
                key="interval",
                header=f"{levels.pop()} interval" if len(levels) == 1 else "interval",
            ),
            Column(key="label", header="verdict"),
            Column(key="control_rate", header="control %", opens=True),
            Column(key="arm_rate", header="arm %"),
            Column(key="n", header="n"),
            Column(key="n_better", header="better"),
            Column(key="n_worse", header="worse"),
            Column(key="p_value", header="p"),
            Column(key="mde", header="MDE"),
            Column(key="bound", header="bound"),
            Column(key="arm", header="arm"),
            Column(key="control", header="control"),
        ),
        rows=tuple(_size_row(answer, point, scale.axis) for point in answer.points),
        strip=Strip(estimate="gain", interval="interval", axis=None, margin=scale.margin),
        figures=figures(answer, scale.axis),
    )


def _size_row(answer: Answer, point: Point, axis: Axis) -> tuple[Value, ...]:
    text, tone = LABELS[point.label]
    bound = "floor" if point.is_floor else "ceiling" if point.is_ceiling else ""
    return (
        name(point.rung.model),
        size_of(point, axis),
        Number(value=point.gain, form="points"),
        Span(interval=point.interval, form="points"),
        Words(text=text, raw=point.label, tone=tone),
        Number(value=point.control_rate, form="share"),
        Number(value=point.arm_rate, form="share"),
        Number(value=point.n, form="count"),
        Number(value=point.n_better, form="count"),
        Number(value=point.n_worse, form="count"),
        Number(value=point.p_value, form="p"),
        Number(value=point.mde, form="share"),
        Words(text=bound or "-", raw=bound),
        name(answer.arm),
        name(answer.control),
    )


def _onsets(scales: Sequence[Scale]) -> Table:
    several, by_family = len(scales) > 1, _share_benches(scales)
    fitted = any(a.onset.model_based is not None for scale in scales for a in scale.answers)
    return Table(
        key="onsets",
        title="Where material help begins" + (", by benchmark" if several else ""),
        note="Above: the largest size below the next one that is shown to have no material help; "
        "up to: the smallest size that surely helps by more than the margin; first detected: "
        "the smallest whose gain is surely above 0; larger sizes: what lies above",
        columns=(
            *((Column(key="bench", header="benchmark"),) if several else ()),
            *((Column(key="family", header="family"),) if by_family else ()),
            Column(key="arm", header="arm"),
            Column(key="control", header="control"),
            Column(key="status", header="material help begins"),
            Column(key="lower", header="above"),
            Column(key="upper", header="up to"),
            Column(key="first_detected", header="first detected"),
            Column(key="after", header="larger sizes"),
            Column(key="harmed", header="harms at"),
            *(_MODEL_BASED if fitted else ()),
        ),
        rows=tuple(
            (
                *((name(scale.bench),) if several else ()),
                *((name(scale.family or "several"),) if by_family else ()),
                *_onset_row(answer, answer.onset, scale.axis),
                *(_fit(answer.onset, scale) if fitted else ()),
            )
            for scale in scales
            for answer in scale.answers
        ),
    )


def _titles(scales: Sequence[Scale]) -> list[str]:
    """What tells them apart: the benchmark, and the family where one benchmark has several."""
    if not _share_benches(scales):
        return [one.bench for one in scales]
    return [f"{one.bench}, {one.family or 'several families'}" for one in scales]


def _n_curves(scales: Sequence[Scale]) -> str:
    return f"{len(scales)} {'curves over size' if _share_benches(scales) else 'benchmarks'}"


def _share_benches(scales: Sequence[Scale]) -> bool:
    """Whether a benchmark has several curves: one for each family."""
    return len({one.bench for one in scales}) < len(scales)


def _fit(onset: Onset, scale: Scale) -> tuple[Value, ...]:
    form, level = SIZES[scale.axis][1], scale.level
    if onset.model_based is None:
        nothing = Interval(low=math.nan, high=math.nan, level=level)
        return Number(value=None, form=form), Span(interval=nothing, form=form)
    x, interval = onset.model_based.x, onset.model_based.interval
    return Number(value=x, form=form), Span(interval=interval, form=form)


def _onset_row(answer: Answer, onset: Onset, axis: Axis) -> tuple[Value, ...]:
    def at(rung: Rung | None) -> Words:
        point = next((point for point in answer.points if point.rung == rung), None)
        if point is None:
            return Words(text="-", raw="")
        return Words(text=say_size(point, axis), raw=point.rung.model)

    return (
        name(answer.arm),
        name(answer.control),
        Words(text=_STATUS[onset.status], raw=onset.status),
        at(onset.lower),
        at(onset.upper),
        at(onset.first_detected),
        Words(text=_AFTER[onset.after] if onset.after else "-", raw=onset.after or ""),
        Words(
            text=", ".join(at(rung).text for rung in onset.harmed) or "-",
            raw=", ".join(rung.model for rung in onset.harmed),
        ),
    )


def _runs(scale: Scale) -> Table:
    runs = scale.origin.runs if scale.origin is not None else {}
    return Table(
        key="runs",
        title="Runs",
        note="Of the store; cotkit show attempt RUN ARM PROBLEM prints an attempt",
        columns=(Column(key="model", header="model"), Column(key="run_id", header="run")),
        rows=tuple((name(model), name(run_id)) for model, run_id in runs.items()),
    )
