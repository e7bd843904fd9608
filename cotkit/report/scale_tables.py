"""What a scale analysis says, arranged in sections; nothing is computed here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from cotkit.analysis.scale.frontier import Cost, find_cheapest, match_cost
from cotkit.analysis.scale.grid import Axis, Rung
from cotkit.analysis.scale.values import (
    Check,
    CostPoint,
    Jump,
    JumpWord,
    MetricPoint,
    Onset,
    OnsetAnswer,
    OnsetStatus,
    Point,
    Scale,
    SizeLabel,
    StatusAbove,
)
from cotkit.report.document import (
    Column,
    Curve,
    Document,
    Figure,
    Form,
    IntervalCell,
    Number,
    Strip,
    Table,
    Tone,
    Value,
    Words,
    say_level,
    say_number,
)
from cotkit.stats.intervals import Interval

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
_AFTER: dict[StatusAbove, str] = {
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
    documents = tuple(_scale_document(one, reach=reach, timing=timing) for one in scales)
    if len(scales) == 1:
        return documents
    first, titles = scales[0], _scale_titles(scales)
    overview = Document(
        headline=tuple(
            f"{title}: {answer.sentence}"
            for title, one in zip(titles, scales, strict=True)
            for answer in one.answers
        ),
        caption=(_say_curves(scales), *_caption_parts(first)),
        facts=(),
        tables=(_onsets_table(scales),),
        notes=(),
    )
    return overview, *(
        replace(document, headline=(title, *document.headline[len(one.answers) :]))
        for title, one, document in zip(titles, scales, documents, strict=True)
    )


def _scale_document(scale: Scale, *, reach: float | None, timing: bool) -> Document:
    origin = scale.origin
    family = f"family {scale.family}" if scale.family else "several or unknown families"
    n = max(len(answer.points) for answer in scale.answers)
    drawn = f"{say_number(scale.n_problems, 'count')} problems"
    if origin is not None:
        drawn = f"{say_number(scale.n_problems, 'count')} of {origin.n_total:,} problems"
    said = say_cheapest(scale.prices, reach, timing=timing) if reach else ()
    return Document(
        headline=(*(answer.sentence for answer in scale.answers), *said),
        caption=(
            f"{n} models of {family}",
            scale.bench,
            *((f"version {origin.bench_version}",) if origin else ()),
            drawn,
            *_caption_parts(scale),
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
            *(_sizes_table(answer, scale) for answer in scale.answers),
            _onsets_table([scale]),
            jump_table(scale),
            *panel_tables(scale),
            frontier_table(scale.prices, timing=timing),
            matched_table(scale.prices),
            check_table(scale),
            _runs_table(scale),
        ),
        notes=scale.notes,
    )


def _caption_parts(scale: Scale) -> Iterator[str]:
    yield f"size in {SIZES[scale.axis][0]}" if scale.axis != "ordinal" else "in the order given"
    yield f"margin {say_number(scale.margin, 'share')} points"
    if scale.origin is not None:
        yield f"reader {scale.origin.reader}"
    if scale.assume_sustained:
        yield "assumed: help, once begun, does not stop"


def _sizes_table(answer: OnsetAnswer, scale: Scale) -> Table:
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
        figures=make_figures(answer, scale.axis),
    )


def _size_row(answer: OnsetAnswer, point: Point, axis: Axis) -> tuple[Value, ...]:
    text, tone = LABELS[point.label]
    bound = "floor" if point.is_floor else "ceiling" if point.is_ceiling else ""
    return (
        name_cell(point.rung.model),
        size_of(point, axis),
        Number(value=point.gain, form="points"),
        IntervalCell(interval=point.interval, form="points"),
        Words(text=text, raw=point.label, tone=tone),
        Number(value=point.control_rate, form="share"),
        Number(value=point.arm_rate, form="share"),
        Number(value=point.n, form="count"),
        Number(value=point.n_better, form="count"),
        Number(value=point.n_worse, form="count"),
        Number(value=point.p_value, form="p"),
        Number(value=point.mde, form="share"),
        Words(text=bound or "-", raw=bound),
        name_cell(answer.arm),
        name_cell(answer.control),
    )


def _onsets_table(scales: Sequence[Scale]) -> Table:
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
                *((name_cell(scale.bench),) if several else ()),
                *((name_cell(scale.family or "several"),) if by_family else ()),
                *_onset_row(answer, answer.onset, scale.axis),
                *(_model_based_cells(answer.onset, scale) if fitted else ()),
            )
            for scale in scales
            for answer in scale.answers
        ),
    )


def _scale_titles(scales: Sequence[Scale]) -> list[str]:
    """What tells them apart: the benchmark, and the family where one benchmark has several."""
    if not _share_benches(scales):
        return [one.bench for one in scales]
    return [f"{one.bench}, {one.family or 'several families'}" for one in scales]


def _say_curves(scales: Sequence[Scale]) -> str:
    return f"{len(scales)} {'curves over size' if _share_benches(scales) else 'benchmarks'}"


def _share_benches(scales: Sequence[Scale]) -> bool:
    """Whether a benchmark has several curves: one for each family."""
    return len({one.bench for one in scales}) < len(scales)


def _model_based_cells(onset: Onset, scale: Scale) -> tuple[Value, ...]:
    form, level = SIZES[scale.axis][1], scale.level
    if onset.model_based is None:
        nothing = Interval(low=math.nan, high=math.nan, level=level)
        return Number(value=None, form=form), IntervalCell(interval=nothing, form=form)
    x, interval = onset.model_based.x, onset.model_based.interval
    return Number(value=x, form=form), IntervalCell(interval=interval, form=form)


def _onset_row(answer: OnsetAnswer, onset: Onset, axis: Axis) -> tuple[Value, ...]:
    def at(rung: Rung | None) -> Words:
        point = next((point for point in answer.points if point.rung == rung), None)
        if point is None:
            return Words(text="-", raw="")
        return Words(text=say_size(point, axis), raw=point.rung.model)

    return (
        name_cell(answer.arm),
        name_cell(answer.control),
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


def _runs_table(scale: Scale) -> Table:
    runs = scale.origin.runs if scale.origin is not None else {}
    return Table(
        key="runs",
        title="Runs",
        note="Of the store; cotkit show attempt RUN ARM PROBLEM prints an attempt",
        columns=(Column(key="model", header="model"), Column(key="run_id", header="run")),
        rows=tuple((name_cell(model), name_cell(run_id)) for model, run_id in runs.items()),
    )


# Solve rate and cost of every model and arm: what solves as much for less?


_COSTS: dict[Cost, tuple[str, Form]] = {
    "tokens": ("tokens", "tokens"),
    "usd": ("dollars", "usd"),
    "seconds": ("seconds", "seconds"),
}


def frontier_table(prices: Sequence[CostPoint], *, timing: bool) -> Table:
    """The cheapest in tokens first; dollars where known, seconds where ``timing`` asks for them."""
    costs = _known_costs(prices, timing=timing)
    levels = {say_level(price.interval.level) for price in prices}
    ordered = sorted(prices, key=lambda price: math.inf if price.tokens is None else price.tokens)
    shown = " and ".join(_COSTS[cost][0] for cost in costs)
    return Table(
        key="frontier",
        title="Solve rate and cost",
        note=f"Means per problem of {shown}, all turns, prompt and generated; best for: no other "
        "solves as much for less",
        columns=(
            Column(key="model", header="model"),
            Column(key="arm", header="arm"),
            Column(key="solve_rate", header="solve rate %"),
            Column(
                key="interval",
                header=f"{levels.pop()} interval" if len(levels) == 1 else "interval",
            ),
            *(Column(key=cost, header=_COSTS[cost][0]) for cost in costs),
            Column(key="best_for", header="best for"),
        ),
        rows=tuple(_price_row(price, costs) for price in ordered) if costs else (),
        strip=Strip(estimate="solve_rate", interval="interval", axis=(0.0, 1.0), margin=None),
    )


def matched_table(prices: Sequence[CostPoint]) -> Table:
    """What other strategies of the same model solve for the tokens of each arm."""
    return Table(
        key="equal_tokens",
        title="At equal tokens",
        note="Solve rate of the other strategy where it costs as many tokens a problem as the arm, "
        "on a straight line between its two nearest arms; nothing is extrapolated",
        columns=(
            Column(key="model", header="model"),
            Column(key="arm", header="arm"),
            Column(key="tokens", header="tokens"),
            Column(key="solve_rate", header="solve rate %"),
            Column(key="other", header="other strategy"),
            Column(key="other_rate", header="its solve rate %"),
            Column(key="between", header="between"),
        ),
        rows=tuple(
            (
                name_cell(price.rung.model),
                name_cell(price.arm),
                Number(value=price.tokens, form="tokens"),
                Number(value=price.rate, form="share"),
                name_cell(other.strategy),
                Number(value=other.rate, form="share"),
                name_cell(" and ".join(dict.fromkeys(other.between))),
            )
            for price in prices
            for other in match_cost(prices, price)
        ),
    )


def say_cheapest(prices: Sequence[CostPoint], reach: float, *, timing: bool) -> Iterator[str]:
    """One sentence for each cost that is shown: the cheapest that reaches a solve rate."""
    wanted = f"{say_number(reach, 'share')} %"
    for cost in _known_costs(prices, timing=timing):
        word, form = _COSTS[cost]
        found = find_cheapest(prices, reach, cost)
        if found is None:
            yield f"No model and strategy whose {word} are known solves {wanted}."
            continue
        unsure = "" if found.interval.low >= reach else f", but its interval begins below {wanted}"
        yield (
            f"The cheapest in {word} that solves {wanted} is {found.arm} on {found.rung.model}: "
            f"{say_number(found.rate, 'share')} % for {say_number(getattr(found, cost), form)} "
            f"{word} a problem{unsure}."
        )


def _known_costs(prices: Sequence[CostPoint], *, timing: bool) -> list[Cost]:
    return [
        cost
        for cost in _COSTS
        if (timing or cost != "seconds")
        and any(getattr(price, cost) is not None for price in prices)
    ]


def _price_row(price: CostPoint, costs: Sequence[Cost]) -> tuple[Value, ...]:
    best: list[Cost] = [cost for cost in costs if cost in price.on_frontier]
    return (
        name_cell(price.rung.model),
        name_cell(price.arm),
        Number(value=price.rate, form="share"),
        IntervalCell(interval=price.interval, form="share"),
        *(Number(value=getattr(price, cost), form=_COSTS[cost][1]) for cost in costs),
        Words(
            text=", ".join(_COSTS[cost][0] for cost in best) or "-",
            raw=", ".join(best),
            tone="good" if best else "plain",
        ),
    )


# Jump or artefact: the sharpness of each curve, and the side checks as what they are.


JUMP_WORDS: dict[JumpWord, tuple[str, Tone]] = {
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
        rows=tuple(_jump_row(jump, curve) for curve, jump in _iterate_jumps(scale)),
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
                name_cell(curve),
                name_cell(check.name),
                Number(value=check.value, form="value"),
                name_cell(check.sentence),
            )
            for curve, jump in _iterate_jumps(scale)
            for check in (_verdict_check(jump), *jump.checks)
        ),
    )


def _verdict_check(jump: Jump) -> Check:
    return Check(name=f"why {JUMP_WORDS[jump.verdict][0]}", value=None, sentence=jump.why)


def _iterate_jumps(scale: Scale) -> Iterator[tuple[str, Jump]]:
    seen: set[str] = set()
    for answer in scale.answers:
        for jump in answer.jumps:
            curve = jump.arm
            if jump.curve == "gain":
                curve = f"gain of {answer.arm} over {answer.control}"
            if curve not in seen:
                seen.add(curve)
                yield curve, jump


def _jump_row(jump: Jump, curve: str) -> tuple[Value, ...]:
    text, tone = JUMP_WORDS[jump.verdict]
    nothing = Interval(low=math.nan, high=math.nan, level=jump.exact.interval.level)
    other = jump.companion
    return (
        name_cell(curve),
        Words(text=text, raw=jump.verdict, tone=tone),
        Number(value=jump.exact.value, form="value"),
        IntervalCell(interval=jump.exact.interval, form="value"),
        Words(text=other.metric if other else "none", raw=other.metric if other else ""),
        Number(value=other.value if other else None, form="value"),
        IntervalCell(interval=other.interval if other else nothing, form="value"),
        IntervalCell(interval=jump.contrast or nothing, form="value"),
    )


# The metric panel: exact match and its companions on the same outputs, by arm and size.


def panel_tables(scale: Scale) -> Iterator[Table]:
    """One for each arm with companions: a row for each model, two columns for each metric."""
    arms = dict.fromkeys(mean.arm for mean in scale.metrics)
    for arm in arms:
        means = [mean for mean in scale.metrics if mean.arm == arm]
        metrics = tuple(dict.fromkeys(mean.metric for mean in means))
        if len(metrics) > 1:
            yield _panel_table(arm, metrics, means, scale)


def _panel_table(
    arm: str, metrics: Sequence[str], means: Sequence[MetricPoint], scale: Scale
) -> Table:
    at = {(mean.rung.model, mean.metric): mean for mean in means}
    return Table(
        key="metrics",
        title=f"The outputs of {arm} by other metrics",
        note="Means over problems, each interval for itself; higher is better in all of them",
        columns=(
            Column(key="model", header="model"),
            Column(key="size", header=SIZES[scale.axis][0]),
            *(column for metric in metrics for column in _metric_columns(metric)),
            Column(key="arm", header="arm"),
        ),
        rows=tuple(
            (
                name_cell(rung.model),
                size_of(point, scale.axis),
                *(
                    cell
                    for metric in metrics
                    for cell in _metric_cells(at.get((rung.model, metric)), scale.level)
                ),
                name_cell(arm),
            )
            for rung, point in points_by_rung(scale).items()
        ),
    )


def _metric_columns(metric: str) -> tuple[Column, Column]:
    words = metric.replace("_", " ")
    return (
        Column(key=metric, header=words, opens=True),
        Column(key=f"{metric}_interval", header="interval"),
    )


def _metric_cells(mean: MetricPoint | None, level: float) -> tuple[Value, Value]:
    if mean is None:
        nothing = Interval(low=math.nan, high=math.nan, level=level)
        return Number(value=None, form="value"), IntervalCell(interval=nothing, form="value")
    return Number(value=mean.value, form="value"), IntervalCell(
        interval=mean.interval, form="value"
    )


# Sizes in words, and the curve of an arm and its control over them.


SIZES: Mapping[Axis, tuple[str, Form]] = {
    "params": ("parameters", "params"),
    "active-params": ("active parameters", "params"),
    "flops": ("training FLOPs", "flops"),
    "loss": ("loss in nats", "value"),
    "ordinal": ("rank", "count"),
}
"""Axis -> what a size is called and how it is written."""

_LOGARITHMIC: frozenset[Axis] = frozenset({"params", "active-params", "flops"})


def name_cell(text: str) -> Words:
    """A cell with a name."""
    return Words(text=text, raw=text)


def size_of(point: Point, axis: Axis) -> Number:
    """The size of a point as people write it; a loss is no longer negated."""
    x = None if point.x is None else (-point.x if axis == "loss" else point.x)
    return Number(value=x, form=SIZES[axis][1])


def say_size(point: Point, axis: Axis) -> str:
    """A size in words: its number or, where that is only a rank, its model."""
    said = size_of(point, axis)
    return point.rung.model if axis == "ordinal" else say_number(said.value, said.form)


def points_by_rung(scale: Scale) -> dict[Rung, Point]:
    """Every model of an analysis, the smallest first -> a point that knows its size."""
    return {point.rung: point for answer in scale.answers for point in answer.points}


def make_figures(answer: OnsetAnswer, axis: Axis) -> tuple[Figure, ...]:
    """Its curve, if two places or more are known on the axis."""
    points = [point for point in answer.points if point.x is not None]
    return (_make_figure(answer, points, axis),) if len(points) > 1 else ()


def _make_figure(answer: OnsetAnswer, points: list[Point], axis: Axis) -> Figure:
    rungs = [point.rung for point in points]
    onset = answer.onset
    bracket = None
    if onset.lower is not None and onset.upper is not None:
        bracket = rungs.index(onset.lower), rungs.index(onset.upper)
    return Figure(
        x=tuple(_place_on_axis(point.x or 0.0, axis) for point in points),
        ticks=tuple(say_size(point, axis) for point in points),
        axis=SIZES[axis][0] + (", logarithmic" if axis in _LOGARITHMIC else ""),
        upper=Curve(name=answer.arm, y=tuple(point.arm_rate for point in points)),
        lower=Curve(name=answer.control, y=tuple(point.control_rate for point in points)),
        bracket=bracket,
    )


def _place_on_axis(x: float, axis: Axis) -> float:
    return math.log10(x) if axis in _LOGARITHMIC else x
