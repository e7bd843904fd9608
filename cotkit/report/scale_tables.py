"""What a scale analysis says, arranged in sections; nothing is computed here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from cotkit.analysis.bias import CONDITION_NAMES, say_by_size
from cotkit.analysis.scale.breakthrough import (
    is_jump,
    rank_breakthroughs,
    say_breakthroughs,
)
from cotkit.analysis.scale.frontier import Cost, find_cheapest, match_cost
from cotkit.analysis.scale.grid import LOG_AXES, THRESHOLDS, Axis, Rung
from cotkit.analysis.scale.values import (
    Breakthrough,
    Check,
    CostPoint,
    Jump,
    MetricPoint,
    Onset,
    OnsetAnswer,
    OnsetStatus,
    Point,
    Scale,
    StatusAbove,
    Step,
    ThinnedOnset,
)
from cotkit.analysis.scale.words import AXIS_WORDS, format_margin, join_words
from cotkit.report.comparison_tables import (
    left_out_warnings,
    outcome_warnings,
    settings_table,
)
from cotkit.report.document import (
    UNWALLED,
    Curve,
    Document,
    Field,
    Figure,
    Form,
    Number,
    Screen,
    Strip,
    Table,
    Words,
    make_table,
    missing_interval,
    say_address,
    say_number,
)
from cotkit.report.sweep_tables import MOST_CURVES
from cotkit.report.verdicts import VERDICTS, verdict_cell
from cotkit.types import Outcome

SIZES: Mapping[Axis, tuple[str, Form]] = {
    "params": ("parameters", "params"),
    "active-params": ("active parameters", "params"),
    "flops": ("training FLOPs", "flops"),
    "tokens": ("training tokens", "params"),
    "loss": ("loss in nats", "value"),
    "ordinal": ("rank", "count"),
}
"""Axis -> what a size is called and how it is written."""


def scale_documents(
    scales: Sequence[Scale], *, reach: float | None, timing: bool
) -> tuple[Document, ...]:
    """Return a document for each analysis; of several, one more before them sums them up.

    Args:
        scales: One for each benchmark.
        reach: A solve rate: the cheapest model and strategy that reach it are named.
        timing: Adds the measured seconds to the frontier.
    """
    documents = tuple(_scale_document(scale, reach=reach, timing=timing) for scale in scales)
    if len(scales) == 1:
        return documents
    titles = title_scales(scales)
    curves = rank_breakthroughs(scales)
    overview = Document(
        headline=(
            *(
                f"{title}: {answer.sentence}"
                for title, scale in zip(titles, scales, strict=True)
                for answer in scale.answers
            ),
            *((say_breakthroughs(curves),) if any(curve.sharpness for curve in curves) else ()),
        ),
        caption=(
            f"{len(scales)} {'curves over size' if _share_benches(scales) else 'benchmarks'}",
            *_caption_parts(scales[0]),
        ),
        facts=(),
        tables=(_onsets_table(scales), _breakthrough_table(curves, scales)),
        notes=(),
        warnings=tuple(scale_warnings(scales)),
        screen=Screen(tables=(_answer_table(scales),)),
    )
    return overview, *(
        replace(document, headline=(title, *document.headline[len(scale.answers) :]))
        for title, scale, document in zip(titles, scales, documents, strict=True)
    )


def _scale_document(scale: Scale, *, reach: float | None, timing: bool) -> Document:
    origin = scale.origin
    family = f"family {scale.family}" if scale.family else "several or unknown families"
    n = max(len(answer.points) for answer in scale.answers)
    drawn = f"{say_number(scale.n_problems, 'count')} problems"
    if origin is not None:
        drawn = f"{say_number(scale.n_problems, 'count')} of {origin.n_total:,} problems"
    cheapest = say_cheapest(scale.prices, reach, timing=timing) if reach else ()
    return Document(
        headline=(*(answer.sentence for answer in scale.answers), *_say_bias(scale), *cheapest),
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
            *([_trainings_table(scale)] if any(a.trainings for a in scale.answers) else []),
            _dependence_table(scale),
            _onsets_table([scale]),
            _staircase_table(scale),
            _thinned_table(scale),
            _jumps_table(scale),
            *_metric_tables(scale),
            *_bias_tables(scale),
            *([_published_table(scale)] if scale.published else []),
            _frontier_table(scale.prices, timing=timing),
            _equal_tokens_table(scale.prices),
            _checks_table(scale),
            _runs_table(scale),
            *([settings_table(origin.settings)] if origin and origin.settings else []),
        ),
        notes=scale.notes,
        warnings=tuple(scale_warnings([scale])),
        screen=Screen(
            tables=(_answer_table([scale]),),
            figures=_make_screen_figures(scale),
            lines=tuple(_say_staircases(scale)),
        ),
    )


# What stands first: counts that change how the answer is read, the curves, the numbers in short.


def scale_warnings(scales: Sequence[Scale]) -> Iterator[str]:
    """Yield phrases: attempts without an answer, and sizes that say nothing or little.

    Of one scale for each gain, of several together.
    """
    yield from left_out_warnings([note for scale in scales for note in scale.notes])
    outcomes: dict[str, Counter[Outcome]] = {}
    for scale in scales:
        for arm, counts in (scale.origin.outcomes if scale.origin is not None else {}).items():
            outcomes.setdefault(arm, Counter()).update(counts)
    yield from outcome_warnings(outcomes)
    answers = [answer for scale in scales for answer in scale.answers]
    points = {f"{a.arm} over {a.control}: ": a.points for a in answers}
    if len(scales) > 1:
        points = {"": tuple(point for answer in answers for point in answer.points)}
    for name, of_gain in points.items():
        for what, n in (
            ("nothing measured", sum(p.n == 0 for p in of_gain)),
            ("floor", sum(p.is_floor for p in of_gain)),
            ("ceiling", sum(p.is_ceiling for p in of_gain)),
        ):
            if n:
                yield f"{name}{what} at {n} of {len(of_gain)} sizes"


def _say_staircases(scale: Scale) -> Iterator[str]:
    """Yield where gains of the thresholds begin, if there is one arm or they were chosen."""
    for answer in scale.answers:
        steps = answer.onset.staircase
        is_chosen = tuple(step.threshold for step in steps) != THRESHOLDS
        if not steps or not (is_chosen or len(scale.answers) == 1):
            continue
        sizes = {point.rung: say_size(point, scale.axis) for point in answer.points}
        parts: list[str] = []
        for (lower, upper), flight in groupby(steps, key=lambda step: (step.lower, step.upper)):
            where = "are shown at no size"
            if upper is not None:
                where = f"begin at or below {sizes[upper]}"
            if upper is not None and lower is not None:
                where = f"begin between {sizes[lower]} and {sizes[upper]}"
            points = join_words([format_margin(step.threshold) for step in flight])
            parts.append(f"{points} points {where}")
        yield f"gains of {answer.arm}: {'; '.join(parts)}"


def _answer_table(scales: Sequence[Scale]) -> Table:
    """Return a row for each arm: where help begins, and what it gains at the largest size."""
    by_family = _share_benches(scales)
    by_bench = len(scales) > 1 and (not by_family or len({s.bench for s in scales}) > 1)
    rows = [
        (scale, answer, largest)
        for scale in scales
        for answer in scale.answers
        for largest in [_largest_point(answer)]
        if largest is not None
    ]
    costs = {(price.rung.model, price.arm): price for scale in scales for price in scale.prices}
    is_over_chance = all(answer.is_over_chance for _, answer, _ in rows)
    no_help, helps = ("at chance at", "above it at") if is_over_chance else _NO_HELP_AND_HELPS
    is_priced = any(price.usd is not None for price in costs.values())

    def make_row(scale: Scale, answer: OnsetAnswer, point: Point) -> Iterator[Field]:
        onset, cost = answer.onset, costs.get((point.rung.model, answer.arm))
        usd = None if cost is None else cost.usd
        yield Field("bench", "benchmark", scale.bench, when=by_bench)
        yield Field("family", "family", scale.family or "several", when=by_family)
        yield Field("arm", "arm", answer.arm)
        yield Field("lower", no_help, _size_of(onset.lower, answer, scale))
        yield Field("upper", helps, _size_of(onset.upper, answer, scale))
        yield Field("arm_rate", "solve rate %", point.arm_rate, "share", opens=True)
        yield Field("arm_interval", "interval", point.arm_interval, "share", drawn=True)
        yield Field("gain", "gain points", point.gain, "points")
        yield Field("interval", "{level} interval", point.interval, "points")
        verdict = verdict_cell(point.label, over_chance=answer.is_over_chance)
        yield Field("label", "verdict", verdict)
        yield Field("tokens", "tokens", None if cost is None else cost.tokens, "tokens")
        yield Field("usd", "$ per 1,000", usd, "usd_per_1000", when=is_priced)

    sizes = {say_size(largest, scale.axis) for scale, _, largest in rows}
    end = AXIS_WORDS[scales[0].axis].largest
    where = f"at {sizes.pop()}, the {end}" if len(sizes) == 1 else f"at the {end}"
    return make_table(
        "answer",
        "",
        (make_row(*row) for row in rows),
        note=f"From the solve rate on: {where}; tokens: prompt and generated, mean per problem",
        strip=Strip(estimate="arm_rate", interval="arm_interval", axis=(0.0, 1.0), margin=None),
    )


def _largest_point(answer: OnsetAnswer) -> Point | None:
    """Return the largest size that was measured; None: none of known size was."""
    measured = [point for point in answer.points if point.x is not None and point.n]
    return measured[-1] if measured else None


def _size_of(rung: Rung | None, answer: OnsetAnswer, scale: Scale) -> Words:
    """Return the size of an end of a bracket; a dash where there is none."""
    if rung is None:
        return _words_or_dash("")
    point = next(point for point in answer.points if point.rung == rung)
    return Words(text=say_size(point, scale.axis), raw=rung.model)


def _make_screen_figures(scale: Scale) -> tuple[Figure, ...]:
    """Return one figure with the curves of all arms; none for too many, or one known size."""
    answers = scale.answers
    if len(answers) == 1:
        return make_figures(answers[0], scale.axis)
    points = [point for point in answers[0].points if point.x is not None]
    rungs = [[p.rung for p in answer.points if p.x is not None] for answer in answers]
    if len(points) < 2 or len(answers) > MOST_CURVES or any(r != rungs[0] for r in rungs):
        return ()
    controls = {answer.control: answer for answer in reversed(answers)}
    arms = {answer.arm: answer for answer in reversed(answers)}
    return (
        Figure(
            x=tuple(_place_on_axis(point.x or 0.0, scale.axis) for point in points),
            ticks=tuple(say_size(point, scale.axis) for point in points),
            axis=SIZES[scale.axis][0] + (", logarithmic" if scale.axis in LOG_AXES else ""),
            arms=tuple(
                Curve(name=name, y=_rates(answer, is_control=False))
                for name, answer in reversed(arms.items())
            ),
            controls=tuple(
                Curve(name=name, y=_rates(answer, is_control=True))
                for name, answer in reversed(controls.items())
                if name not in arms
            ),
            brackets=tuple(
                mark
                for answer in answers
                for mark in _mark_bracket(_say_begins(answer), answer.onset, points)
            ),
        ),
    )


def _say_begins(answer: OnsetAnswer) -> str:
    return f"{answer.arm} {'leaves chance' if answer.is_over_chance else 'helps'}"


def _rates(answer: OnsetAnswer, *, is_control: bool) -> tuple[float, ...]:
    points = (point for point in answer.points if point.x is not None)
    return tuple(point.control_rate if is_control else point.arm_rate for point in points)


def _caption_parts(scale: Scale) -> Iterator[str]:
    yield f"size in {SIZES[scale.axis][0]}" if scale.axis != "ordinal" else "in the order given"
    yield f"margin {say_number(scale.margin, 'share')} points"
    if scale.origin is not None:
        yield f"reader {scale.origin.reader}"
        for model, address in scale.origin.addresses.items():
            yield f"{model} {say_address(address)[0]}"
        if scale.origin.is_unwalled:
            yield UNWALLED
    if scale.assume_sustained:
        yield "assumed: help, once begun, does not stop"


def title_scales(scales: Sequence[Scale]) -> list[str]:
    """Return what tells them apart: the benchmark, and the family where one has several."""
    if not _share_benches(scales):
        return [scale.bench for scale in scales]
    return [f"{scale.bench}, {scale.family or 'several families'}" for scale in scales]


def _share_benches(scales: Sequence[Scale]) -> bool:
    """Return whether a benchmark has several curves: one for each family."""
    return len({scale.bench for scale in scales}) < len(scales)


# The gain at every size, and the size at which it begins to matter.


def _sizes_table(answer: OnsetAnswer, scale: Scale) -> Table:
    """Return the gains of one arm; only the last such table says how to read them."""
    is_over_chance = answer.is_over_chance
    note = (
        "Intervals of the gain simultaneous over sizes and gains; rates of the problems that both "
        "completed; better, worse: problems that only the arm, only the control solved; MDE: "
        "smallest gain found with power 0.8; floor: nothing solved; ceiling: the control solves "
        "90 % or more"
    )
    return make_table(
        "sizes",
        f"Gain of {answer.arm} over {answer.control} by size",
        (
            (
                Field("model", "model", point.rung.model),
                Field("size", SIZES[scale.axis][0], size_cell(point, scale.axis)),
                Field("gain", "gain points", point.gain, "points"),
                Field("interval", "{level} interval", point.interval, "points"),
                Field("label", "verdict", verdict_cell(point.label, over_chance=is_over_chance)),
                Field("control_rate", "control %", point.control_rate, "share", opens=True),
                Field("arm_rate", "arm %", point.arm_rate, "share"),
                Field("n", "n", point.n),
                Field(
                    "n_trainings",
                    "trainings",
                    point.rung.n_trainings,
                    when=bool(answer.trainings),
                ),
                Field("n_better", "better", point.n_better, when=not is_over_chance),
                Field("n_worse", "worse", point.n_worse, when=not is_over_chance),
                Field("p_value", "p", point.p_value, "p"),
                Field("mde", "MDE", point.mde, "share"),
                Field("bound", "bound", _bound_cell(point)),
                Field("arm", "arm", answer.arm),
                Field("control", "control", answer.control),
            )
            for point in answer.points
        ),
        note=note if answer is scale.answers[-1] else "",
        strip=Strip(estimate="gain", interval="interval", axis=None, margin=scale.margin),
        figures=make_figures(answer, scale.axis),
    )


def _trainings_table(scale: Scale) -> Table:
    """Return every training of sizes that have several, one by one."""
    return make_table(
        "trainings",
        "Each training",
        (
            (
                Field("model", "model", point.rung.model),
                Field("size", SIZES[scale.axis][0], size_cell(point, scale.axis)),
                Field("gain", "gain points", point.gain, "points"),
                Field("interval", "{level} interval", point.interval, "points"),
                Field("label", "verdict", verdict_cell(point.label)),
                Field("control_rate", "control %", point.control_rate, "share", opens=True),
                Field("arm_rate", "arm %", point.arm_rate, "share"),
                Field("n", "n", point.n),
                Field("arm", "arm", answer.arm),
                Field("control", "control", answer.control),
            )
            for answer in scale.answers
            for point in answer.trainings
        ),
        note="One training of a size each, its interval of problems and for itself alone; the "
        "table of sizes has their means",
        strip=Strip(estimate="gain", interval="interval", axis=None, margin=scale.margin),
    )


def _dependence_table(scale: Scale) -> Table:
    """Return what of the answers could not be read at each size, and what hangs on that."""
    is_known = any(point.unreadable is not None for a in scale.answers for point in a.points)
    return make_table(
        "dependence",
        "Does it hold at every size?",
        (
            (
                Field("model", "model", point.rung.model),
                Field("arm", "arm", answer.arm),
                Field("control", "control", answer.control),
                Field("unreadable", "unreadable %", point.unreadable, "share"),
                Field("truncated", "cut %", point.truncated, "share"),
                Field(
                    "control_unreadable",
                    "control unreadable %",
                    point.control_unreadable,
                    "share",
                    opens=True,
                ),
                Field("control_truncated", "control cut %", point.control_truncated, "share"),
                Field("depends_on", "changed by", _words_or_dash(", ".join(point.depends_on))),
            )
            for answer in scale.answers
            for point in answer.points
            if is_known and point.n
        ),
        note="Answers in which none could be read, and those cut at their token limit before one; "
        "changed by: ways of counting by which the verdict's direction differs",
    )


def _bound_cell(point: Point) -> Words:
    bound = "floor" if point.is_floor else "ceiling" if point.is_ceiling else ""
    return _words_or_dash(bound)


def _words_or_dash(text: str, raw: str | None = None) -> Words:
    """Return a cell that may be empty for programs (``raw``), and shows a dash to people then."""
    return Words(text=text or "-", raw=text if raw is None else raw)


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


_NO_HELP_AND_HELPS = "no help at", "helps at"
"""Headers of the sizes between which help begins."""


def _onsets_table(scales: Sequence[Scale]) -> Table:
    several, by_family = len(scales) > 1, _share_benches(scales)
    is_fitted = any(a.onset.model_based is not None for scale in scales for a in scale.answers)
    return make_table(
        "onsets",
        "Where material help begins" + (", by benchmark" if several else ""),
        (
            (
                Field("bench", "benchmark", scale.bench, when=several),
                Field("family", "family", scale.family or "several", when=by_family),
                *_onset_fields(answer, scale, is_fitted=is_fitted),
            )
            for scale in scales
            for answer in scale.answers
        ),
        note="No help at: the largest size below the next one that is shown to have no material "
        "help; helps at: the smallest size that surely helps by more than the margin; first "
        "detected: the smallest whose gain is surely above 0; larger sizes: what lies above. Gains "
        "at most: so much at any size up to the one beside it; the next size gains at least the "
        "number after it",
    )


def _onset_fields(answer: OnsetAnswer, scale: Scale, *, is_fitted: bool) -> tuple[Field, ...]:
    onset, form = answer.onset, SIZES[scale.axis][1]
    sizes = {point.rung: say_size(point, scale.axis) for point in answer.points}

    def size_at(rung: Rung | None) -> Words:
        return _words_or_dash("") if rung is None else Words(text=sizes[rung], raw=rung.model)

    harmed = ", ".join(sizes[rung] for rung in onset.harmed)
    fit = onset.model_based
    fit_interval = missing_interval(scale.level) if fit is None else fit.interval
    bracket = onset.bracket
    return (
        Field("arm", "arm", answer.arm),
        Field("control", "control", answer.control),
        Field(
            "status", "material help begins", Words(text=_STATUS[onset.status], raw=onset.status)
        ),
        Field("lower", _NO_HELP_AND_HELPS[0], size_at(onset.lower)),
        Field("upper", _NO_HELP_AND_HELPS[1], size_at(onset.upper)),
        Field("first_detected", "first detected", size_at(onset.first_detected)),
        Field(
            "after",
            "larger sizes",
            _words_or_dash(_AFTER[onset.after] if onset.after else "", onset.after or ""),
        ),
        Field(
            "harmed", "harms at", _words_or_dash(harmed, ", ".join(r.model for r in onset.harmed))
        ),
        Field(
            "model_based",
            "by a logistic fit",
            None if fit is None else fit.x,
            form,
            opens=True,
            when=is_fitted,
        ),
        Field("model_based_interval", "its interval", fit_interval, form, when=is_fitted),
        Field(
            "no_more_than",
            "gains at most",
            None if bracket is None else bracket.no_more_than,
            "share",
            opens=True,
        ),
        Field("bracket_lower", "up to", size_at(None if bracket is None else bracket.lower)),
        Field("bracket_upper", "and at", size_at(None if bracket is None else bracket.upper)),
        Field("at_least", "at least", None if bracket is None else bracket.at_least, "share"),
    )


def _breakthrough_table(curves: Sequence[Breakthrough], scales: Sequence[Scale]) -> Table:
    """Return the curves of several benchmarks, the one that breaks through most first."""
    by_family = _share_benches(scales)
    nothing = missing_interval(scales[0].level)
    return make_table(
        "breakthrough",
        "Which curves break through",
        (
            (
                Field("rank", "rank", rank),
                Field("bench", "benchmark", curve.bench),
                Field("family", "family", curve.family or "several", when=by_family),
                Field("arm", "arm", curve.arm),
                Field("breakthroughness", "breakthroughness", curve.breakthroughness, "value"),
                Field("linearity", "linearity", curve.linearity, "value"),
                Field("n_sizes", "sizes", curve.n_sizes),
                Field("worst", "lowest %", curve.worst, "share", opens=True),
                Field("best", "highest %", curve.best, "share"),
                Field(
                    "is_shown",
                    "range",
                    Words(
                        text="shown" if curve.is_shown else "noise?",
                        raw="shown" if curve.is_shown else "noise",
                    ),
                ),
                Field(
                    "sharpness",
                    "sharpness",
                    curve.sharpness.value if curve.sharpness else None,
                    "value",
                    opens=True,
                ),
                Field(
                    "sharpness_interval",
                    "interval",
                    curve.sharpness.interval if curve.sharpness else nothing,
                    "value",
                ),
                Field("jumps", "jumps", "yes" if is_jump(curve) else "no"),
                Field("verdict", "is it real?", verdict_cell(curve.verdict)),
            )
            for rank, curve in enumerate(curves, start=1)
        ),
        note="Of solve rates; range over the root of the median (breakthroughness) or mean "
        "(linearity) squared gap between sizes: a straight line has sizes - 1 in both, a step more "
        "in the first; the same against chance. Noise?: best and worst size are not told apart",
    )


def _thinned_table(scale: Scale) -> Table:
    """Return the brackets that half of the sizes would have given."""
    sizes = {p.rung: say_size(p, scale.axis) for answer in scale.answers for p in answer.points}

    def size_at(rung: Rung | None) -> Words:
        return _words_or_dash("") if rung is None else Words(text=sizes[rung], raw=rung.model)

    def make_row(thinned: ThinnedOnset) -> tuple[Field, ...]:
        onset, bracket = thinned.onset, thinned.onset.bracket
        return (
            Field("arm", "arm", thinned.arm),
            Field("control", "control", thinned.control),
            Field(
                "sizes",
                "sizes left",
                Words(
                    text=", ".join(sizes[rung] for rung in thinned.rungs),
                    raw=", ".join(rung.model for rung in thinned.rungs),
                ),
            ),
            Field("status", "begins", Words(text=_STATUS[onset.status], raw=onset.status)),
            Field("lower", _NO_HELP_AND_HELPS[0], size_at(onset.lower)),
            Field("upper", _NO_HELP_AND_HELPS[1], size_at(onset.upper)),
            Field(
                "no_more_than",
                "gains at most",
                None if bracket is None else bracket.no_more_than,
                "share",
                opens=True,
            ),
            Field("bracket_lower", "up to", size_at(None if bracket is None else bracket.lower)),
            Field("bracket_upper", "and at", size_at(None if bracket is None else bracket.upper)),
        )

    return make_table(
        "thinned",
        "With half of the sizes",
        map(make_row, scale.thinned),
        note="What every other size alone would have said, with intervals of its own; as above",
    )


def _staircase_table(scale: Scale) -> Table:
    """Return where a gain of each threshold begins, for each arm."""

    def make_row(answer: OnsetAnswer, step: Step) -> tuple[Field, ...]:
        sizes = {point.rung: say_size(point, scale.axis) for point in answer.points}

        def size_at(rung: Rung | None) -> Words:
            return _words_or_dash("") if rung is None else Words(text=sizes[rung], raw=rung.model)

        return (
            Field("arm", "arm", answer.arm),
            Field("control", "control", answer.control),
            Field("threshold", "gain points", step.threshold, "share"),
            Field("lower", "less up to", size_at(step.lower)),
            Field("upper", "surely at", size_at(step.upper)),
        )

    return make_table(
        "staircase",
        "Where a gain of so many points begins",
        (make_row(answer, step) for answer in scale.answers for step in answer.onset.staircase),
        note="Less up to: no size up to there gains as much; surely at: this size does; no shape "
        "of the curve is assumed, and all of it holds at once",
    )


# Jump or artefact: the sharpness of each curve, and the side checks as what they are.


def _jumps_table(scale: Scale) -> Table:
    """Return a row for each curve; a control of several arms has one."""
    jumps = list(_iterate_jumps(scale))
    has_grades = any(jump.exact.metric != "exact_match" for _, jump in jumps)
    return make_table(
        "jumps",
        "Is the jump real?",
        (_jump_fields(name, jump, has_grades=has_grades) for name, jump in jumps),
        note="Sharpness: share of the range in the steepest gap, beyond that gap's share of the "
        "axis; 0: a straight line, to 1: a step. No jump: exact match's interval lies below "
        "0.5; real jump: it lies above, and so does the companion's; metric artefact: it lies "
        "above, exact match is surely sharper, and the companion's lies below 0.4",
    )


def _jump_fields(curve: str, jump: Jump, *, has_grades: bool) -> tuple[Field, ...]:
    companion, nothing = jump.companion, missing_interval(jump.exact.interval.level)
    metric = companion.metric if companion else ""
    sharpness = companion.value if companion else None
    interval = companion.interval if companion else nothing
    return (
        Field("curve", "curve", curve),
        Field("verdict", "verdict", verdict_cell(jump.verdict)),
        Field("exact", "its sharpness" if has_grades else "exact match", jump.exact.value, "value"),
        Field("exact_interval", "interval", jump.exact.interval, "value"),
        Field("companion", "companion", Words(text=metric or "none", raw=metric), opens=True),
        Field("companion_sharpness", "its sharpness", sharpness, "value"),
        Field("companion_interval", "interval", interval, "value"),
        Field("contrast", "exact minus companion", jump.contrast or nothing, "value"),
    )


def _checks_table(scale: Scale) -> Table:
    """Return the reason of every verdict, and every side check."""
    return make_table(
        "checks",
        "Why, and side checks",
        (
            (
                Field("curve", "curve", curve),
                Field("check", "check", check.name),
                Field("value", "value", check.value, "value"),
                Field("says", "what it says", check.sentence),
            )
            for curve, jump in _iterate_jumps(scale)
            for check in (_verdict_check(jump), *jump.checks)
        ),
        note="Side checks are printed, never decisive",
    )


def _verdict_check(jump: Jump) -> Check:
    return Check(name=f"why {VERDICTS[jump.verdict].words}", value=None, sentence=jump.why)


def _iterate_jumps(scale: Scale) -> Iterator[tuple[str, Jump]]:
    """Yield each curve once, by name, with its jump."""
    jumps: dict[str, Jump] = {}
    for answer in scale.answers:
        for jump in answer.jumps:
            gain = f"gain of {answer.arm} over {answer.control}"
            name = gain if jump.curve == "gain" else jump.arm
            if jump.exact.metric != "exact_match":
                name += f" ({jump.exact.metric.replace('_', ' ')})"
            jumps.setdefault(name, jump)
    yield from jumps.items()


# The metric panel: exact match and its companions on the same outputs, by arm and size.


def _metric_tables(scale: Scale) -> Iterator[Table]:
    """Yield a table for each arm with companions: models by metrics."""
    for arm in dict.fromkeys(mean.arm for mean in scale.metrics):
        means = {(mean.rung.model, mean.metric): mean for mean in scale.metrics if mean.arm == arm}
        metrics = tuple(dict.fromkeys(metric for _, metric in means))
        if len(metrics) > 1:
            yield _metric_table(arm, metrics, means, scale)


def _metric_table(
    arm: str,
    metrics: Sequence[str],
    means: Mapping[tuple[str, str], MetricPoint],
    scale: Scale,
) -> Table:
    points = {point.rung: point for answer in scale.answers for point in answer.points}
    return make_table(
        "metrics",
        f"The outputs of {arm} by other metrics",
        (
            (
                Field("model", "model", rung.model),
                Field("size", SIZES[scale.axis][0], size_cell(point, scale.axis)),
                *(
                    field
                    for metric in metrics
                    for field in _mean_fields(metric, means.get((rung.model, metric)), scale.level)
                ),
                Field("arm", "arm", arm),
            )
            for rung, point in points.items()
        ),
        note="Means over problems, each interval for itself; higher is better in all of them",
    )


def _mean_fields(metric: str, mean: MetricPoint | None, level: float) -> tuple[Field, Field]:
    value, interval = (mean.value, mean.interval) if mean else (None, missing_interval(level))
    return (
        Field(metric, metric.replace("_", " "), value, "value", opens=True),
        Field(f"{metric}_interval", "interval", interval, "value"),
    )


# Bias by size: how stereotyped the answers of each size are, and what an arm does to that.


def _say_bias(scale: Scale) -> Iterator[str]:
    if scale.bias is not None:
        sizes = {p.rung: say_size(p, scale.axis) for a in scale.answers for p in a.points}
        changes = [(sizes[rung], change) for rung, change in scale.bias.changes]
        yield from (f"{sentence[0].upper()}{sentence[1:]}." for sentence in say_by_size(changes))


def _bias_tables(scale: Scale) -> Iterator[Table]:
    if scale.bias is None:
        return
    points = {point.rung: point for answer in scale.answers for point in answer.points}

    def place(rung: Rung) -> tuple[Field, Field]:
        return (
            Field("model", "model", rung.model),
            Field("size", SIZES[scale.axis][0], size_cell(points[rung], scale.axis)),
        )

    yield make_table(
        "bias",
        "Bias by size",
        (
            (
                *place(rung),
                Field("arm", "arm", bias.arm),
                Field("condition", "context", CONDITION_NAMES[bias.condition]),
                Field("score", "bias", bias.score, "change"),
                Field("interval", "{level} interval", bias.interval, "change"),
                Field("accuracy", "right %", bias.accuracy, "share", opens=True),
                Field("n", "n", bias.n),
                Field("n_unread", "unread", bias.n_unread),
                Field("n_clusters", "templates", bias.n_clusters),
            )
            for rung, bias in scale.bias.scores
        ),
        note="-1 always against the stereotype, 0 none, 1 always by it (arXiv:2110.08193); each "
        "interval for itself, over templates",
    )
    yield make_table(
        "bias_changes",
        "What it does to bias, by size",
        (
            (
                *place(rung),
                Field("arm", "arm", change.arm),
                Field("control", "control", change.control),
                Field("condition", "context", CONDITION_NAMES[change.condition]),
                Field("before", "control's bias", change.before, "change", opens=True),
                Field("after", "arm's bias", change.after, "change"),
                Field("change", "change of size", change.change, "change"),
                Field("interval", "{level} interval", change.interval, "change"),
                Field("label", "verdict", verdict_cell(change.label)),
            )
            for rung, change in scale.bias.changes
        ),
        note="On the items that both completed; below 0: less biased; intervals hold at once over "
        "sizes, arms and contexts",
    )


# Solve rate and cost of every model and arm: what solves as much for less?


_COSTS: dict[Cost, tuple[str, str, Form]] = {
    "tokens": ("tokens", "tokens", "tokens"),
    "usd": ("dollars", "$ per 1,000", "usd_per_1000"),
    "seconds": ("seconds", "seconds", "seconds"),
}
"""Cost -> its name, its column's header, and how its numbers are written."""


def _frontier_table(prices: Sequence[CostPoint], *, timing: bool) -> Table:
    """Return the cheapest in tokens first; dollars where known, seconds where ``timing`` asks."""
    costs = _known_costs(prices, timing=timing)
    ordered = sorted(prices, key=lambda price: math.inf if price.tokens is None else price.tokens)
    return make_table(
        "frontier",
        "Solve rate and cost",
        (
            (
                Field("model", "model", price.rung.model),
                Field("arm", "arm", price.arm),
                Field("solve_rate", "solve rate %", price.rate, "share"),
                Field("interval", "{level} interval", price.interval, "share"),
                *(
                    Field(cost, *_COSTS[cost][1:2], getattr(price, cost), _COSTS[cost][2])
                    for cost in costs
                ),
                Field("best_for", "best for", _best_cell(price, costs)),
            )
            for price in (ordered if costs else ())
        ),
        note=f"Means per problem of {' and '.join(_COSTS[cost][0] for cost in costs)}, all turns, "
        "prompt and generated; best for: no other solves as much for less",
        strip=Strip(estimate="solve_rate", interval="interval", axis=(0.0, 1.0), margin=None),
    )


def _best_cell(price: CostPoint, costs: Sequence[Cost]) -> Words:
    best: list[Cost] = [cost for cost in costs if cost in price.on_frontier]
    return Words(
        text=", ".join(_COSTS[cost][0] for cost in best) or "-",
        raw=", ".join(best),
        tone="good" if best else "plain",
    )


def _equal_tokens_table(prices: Sequence[CostPoint]) -> Table:
    """Return what other strategies of the same model solve for the tokens of each arm."""
    return make_table(
        "equal_tokens",
        "At equal tokens",
        (
            (
                Field("model", "model", price.rung.model),
                Field("arm", "arm", price.arm),
                Field("tokens", "tokens", price.tokens),
                Field("solve_rate", "solve rate %", price.rate, "share"),
                Field("other", "other strategy", other.strategy),
                Field("other_rate", "its solve rate %", other.rate, "share"),
                Field("between", "between", " and ".join(dict.fromkeys(other.between))),
            )
            for price in prices
            for other in match_cost(prices, price)
        ),
        note="Solve rate of the other strategy where it costs as many tokens a problem as the arm, "
        "on a straight line between its two nearest arms; nothing is extrapolated",
    )


def say_cheapest(prices: Sequence[CostPoint], reach: float, *, timing: bool) -> Iterator[str]:
    """Yield a sentence for each cost that is known: the cheapest that reaches a solve rate."""
    goal = f"{say_number(reach, 'share')} %"
    for cost in _known_costs(prices, timing=timing):
        word, _, form = _COSTS[cost]
        each = "per 1,000 problems" if form == "usd_per_1000" else "a problem"
        cheapest = find_cheapest(prices, reach, cost)
        if cheapest is None:
            yield f"No model and strategy whose {word} are known solves {goal}."
            continue
        is_sure = cheapest.interval.low >= reach
        yield (
            f"The cheapest in {word} that solves {goal} is {cheapest.arm} on "
            f"{cheapest.rung.model}: {say_number(cheapest.rate, 'share')} % for "
            f"{say_number(getattr(cheapest, cost), form)} {word} {each}"
            f"{'' if is_sure else f', but its interval begins below {goal}'}."
        )


def _known_costs(prices: Sequence[CostPoint], *, timing: bool) -> list[Cost]:
    return [
        cost
        for cost in _COSTS
        if (timing or cost != "seconds")
        and any(getattr(price, cost) is not None for price in prices)
    ]


def _published_table(scale: Scale) -> Table:
    """Return what a paper found, family by family, the smallest model first."""
    sources = dict.fromkeys(curve.source for curve in scale.published)
    rows = [
        (curve, model, n_params, rate)
        for curve in scale.published
        for model, n_params, rate in sorted(curve.points, key=lambda point: point[1] or 0)
    ]
    return make_table(
        "published",
        "Published beside it",
        (
            (
                Field("family", "family", curve.family),
                Field("model", "model", model),
                Field("size", "parameters", n_params, "params"),
                Field("arm", "arm", curve.arm),
                Field("rate", "solve rate %", rate, "share"),
            )
            for curve, model, n_params, rate in rows
        ),
        note=f"{'; '.join(sources)}; other models, prompts and problems than those here",
    )


def _runs_table(scale: Scale) -> Table:
    runs = scale.origin.runs if scale.origin is not None else {}
    addresses = scale.origin.addresses if scale.origin is not None else {}
    return make_table(
        "runs",
        "Runs",
        (
            (
                Field("model", "model", model),
                Field("run_id", "run", run_id),
                Field("base_url", "asked at", addresses.get(model), when=bool(addresses)),
            )
            for model, run_id in runs.items()
        ),
        note="Of the store; cotkit show attempt RUN ARM PROBLEM prints an attempt",
    )


# Sizes in words, and the curve of an arm and its control over them.


def size_cell(point: Point, axis: Axis) -> Number:
    """Return the size of a point as people write it; a loss is no longer negated."""
    x = None if point.x is None else (-point.x if axis == "loss" else point.x)
    return Number(value=x, form=SIZES[axis][1])


def say_size(point: Point, axis: Axis) -> str:
    """Return a size in words: its number or, where that is only a rank, its model."""
    size = size_cell(point, axis)
    return point.rung.model if axis == "ordinal" else say_number(size.value, size.form)


def make_figures(answer: OnsetAnswer, axis: Axis) -> tuple[Figure, ...]:
    """Return the curve of an answer, if two places or more are known on the axis."""
    points = [point for point in answer.points if point.x is not None]
    return (_make_figure(answer, points, axis),) if len(points) > 1 else ()


def shaded_ends(onset: Onset) -> tuple[Rung, Rung] | None:
    """Return the ends of what a figure shades: the margin-free bracket where it says much.

    Else that of the margin; None: no lower end is named.
    """
    if onset.bracket is not None and onset.bracket.is_clear:
        return onset.bracket.lower, onset.bracket.upper
    return None if onset.lower is None or onset.upper is None else (onset.lower, onset.upper)


def _make_figure(answer: OnsetAnswer, points: list[Point], axis: Axis) -> Figure:
    return Figure(
        x=tuple(_place_on_axis(point.x or 0.0, axis) for point in points),
        ticks=tuple(say_size(point, axis) for point in points),
        axis=SIZES[axis][0] + (", logarithmic" if axis in LOG_AXES else ""),
        arms=(Curve(name=answer.arm, y=_rates(answer, is_control=False)),),
        controls=(Curve(name=answer.control, y=_rates(answer, is_control=True)),),
        brackets=_mark_bracket(
            "leaves chance" if answer.is_over_chance else "help begins", answer.onset, points
        ),
    )


def _mark_bracket(
    words: str, onset: Onset, points: Sequence[Point]
) -> tuple[tuple[str, int, int], ...]:
    """Return the mark of where help begins; none where no lower end is named."""
    ends = shaded_ends(onset)
    if ends is None:
        return ()
    rungs = [point.rung for point in points]
    return ((words, rungs.index(ends[0]), rungs.index(ends[1])),)


def _place_on_axis(x: float, axis: Axis) -> float:
    return math.log10(x) if axis in LOG_AXES else x
