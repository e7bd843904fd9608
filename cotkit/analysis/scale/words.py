"""The sentence and the notes on one strategy on one ladder, in plain words with numbers."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cotkit.analysis.scale.gains import CEILING, GainCurves, Pair
from cotkit.analysis.scale.grid import AnalysisSetting, Axis, Ladder, Rung, ScaleQuestion
from cotkit.analysis.scale.onset import NO_HELP, may_hide_help
from cotkit.analysis.scale.values import Onset, OnsetStatus, Point, Step
from cotkit.analysis.sentences import MANY_TRUNCATED
from cotkit.analysis.values import Aside
from cotkit.scoring.chance import CHANCE
from cotkit.stats.bootstrap import MIN_CLUSTERS, fewest_clusters
from cotkit.stats.hypotheses import CORRELATION, problems_needed
from cotkit.stats.intervals import Interval, critical_value


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceFacts:
    """All that a sentence is made of."""

    arm: str
    """The strategy."""
    control: str
    """What it is measured against."""
    points: Sequence[Point]
    """Sizes that are known and measured, smallest first."""
    onset: Onset
    """By the rule."""
    margin: float
    """Smallest material gain."""
    axis: Axis
    """What size means."""
    assume_sustained: bool
    """Whether help that began is assumed not to stop."""
    assumed_afterwards: bool
    """Whether that was assumed when the results were there already."""
    several_families: bool
    """Whether the models differ in more than size."""
    trainings: str = ""
    """What the claim is about, where sizes have several trainings; empty: they have not."""
    is_recipe: bool = False
    """Whether it is about the recipe: other trainings, too."""

    @property
    def is_over_chance(self) -> bool:
        """Whether the control is what guessing solves."""
        return self.control == CHANCE


def scale_sentence(facts: SentenceFacts) -> str:
    """Write the answer: ``"cot starts to help between 268 M and 1.54 B parameters: ..."``."""
    if not facts.points:
        both = "" if facts.is_over_chance else " by both"
        return (
            f"Nothing can be said of {facts.arm} against {facts.control}: "
            f"no problem was completed{both} at any known size."
        )
    parts = [
        *_say_margin_free(facts),
        _SENTENCES[facts.onset.status](facts),
        *_say_harm(facts),
        *_say_above(facts),
        *_say_dependence(facts),
        *_say_model_based(facts),
        *_list_provisos(facts),
    ]
    return "; ".join(parts) + "."


def _say_margin_free(facts: SentenceFacts) -> list[str]:
    """Say where a larger gain than the margin starts, where the margin's own bracket says less."""
    onset, bracket = facts.onset, facts.onset.bracket
    unit = size_unit(facts.axis)
    if bracket is not None and bracket.is_clear:
        if onset.lower == bracket.lower and bracket.no_more_than <= facts.margin:
            return []  # the margin's bracket says all of it
        lower, upper = (
            format_size(_point_of(facts, rung), facts.axis)
            for rung in (bracket.lower, bracket.upper)
        )
        least = f"{upper} gains at least {_format_least(bracket.at_least)} points"
        if facts.is_over_chance:
            most = f"by no more than {format_most(bracket.no_more_than)} points up to {lower}"
            claim = f"{facts.arm} leaves chance between {lower} and {upper}{unit}"
            return [f"{claim} ({most}, by at least {_format_least(bracket.at_least)} at {upper})"]
        gain = f"A gain of more than {format_most(bracket.no_more_than)} points"
        pair = f"({facts.arm} over {facts.control})"
        return [f"{gain} {pair} starts between {lower} and {upper}{unit} ({least})"]
    steps = [step for step in onset.staircase if step.upper and step.lower]
    flights = itertools.groupby(steps, key=lambda step: (step.lower, step.upper))
    gains = [_say_steps(facts, list(flight)) for _, flight in flights]
    begins = f"{facts.arm} begins to gain over {facts.control}"
    if facts.is_over_chance:
        begins = f"{facts.arm} leaves chance"
    return [f"{begins}: {', '.join(gains)}{unit}"] if gains else []


def _say_steps(facts: SentenceFacts, steps: Sequence[Step]) -> str:
    """Say where gains begin that begin between the same sizes."""
    lower, upper = (
        format_size(_point_of(facts, rung), facts.axis) for rung in (steps[0].lower, steps[0].upper)
    )
    gains = join_words([format_margin(step.threshold) for step in steps])
    return f"{gains} points between {lower} and {upper}"


def _subject(facts: SentenceFacts) -> str:
    """Return the beginning of what is said at the margin: the first words, or after others."""
    margin = format_margin(facts.margin)
    if facts.is_over_chance:
        return f"by {margin} points" if _say_margin_free(facts) else f"{facts.arm} leaves chance"
    return (
        f"help ({margin} points) starts"
        if _say_margin_free(facts)
        else f"{facts.arm} starts to help"
    )


def _say_bracket(facts: SentenceFacts) -> str:
    lower, upper = _onset_point(facts, "lower"), _onset_point(facts, "upper")
    sizes = f"{format_size(lower, facts.axis)} and {format_size(upper, facts.axis)}"
    where = f"{sizes}{size_unit(facts.axis)}"
    none = "harm against" if lower.label == "harms" else "no material help over"
    if facts.is_over_chance:
        none = "less than" if lower.label == "harms" else "no material gain over"
    claim = (
        f"{_subject(facts)} between {where}: {none} {facts.control} at "
        f"{format_size_with_gain(lower, facts.axis)}, {format_gain(upper)} at"
        f" {format_size(upper, facts.axis)}"
    )
    below = [p for p in facts.points[: facts.points.index(lower)] if p.label not in NO_HELP]
    return claim + (f"; still open at {_join_sizes(facts, below)}" if below else "")


def _say_at_or_below(facts: SentenceFacts) -> str:
    upper = _onset_point(facts, "upper")
    below = facts.points[: facts.points.index(upper)]
    where = f"{format_size(upper, facts.axis)}{size_unit(facts.axis)}"
    claim = (
        f"{_subject(facts)} at or below {where}: {format_gain(upper)} over {facts.control} there"
    )
    if not below:
        ends = AXIS_WORDS[facts.axis]
        return (
            f"{claim}, the {ends.smallest} tested; only {ends.smaller}, shown "
            f"{'at chance' if facts.is_over_chance else 'not to be helped'}, could name a lower end"
        )
    nearest = below[-1]
    return (
        f"{claim}; no lower end can be named, for {format_size_with_gain(nearest, facts.axis)}"
        f" is open: "
        f"{_say_problems_needed(facts, nearest)}"
    )


def _say_not_shown(facts: SentenceFacts) -> str:
    largest = facts.points[-1]
    end = AXIS_WORDS[facts.axis].largest
    where = f"{format_size(largest, facts.axis)}{size_unit(facts.axis)}, the {end} tested"
    claim = f"{facts.arm} is not shown to {_say_help(facts)} up to {where}"
    if all(point.label in NO_HELP for point in facts.points):
        how = f"no gain of {format_margin(facts.margin)} points or more at any size"
        return f"{claim}: {how}, {format_gain(largest)} at the largest"
    best = max(facts.points, key=lambda point: point.gain)
    return f"{claim}: the largest gain is {format_gain(best)} at {format_size(best, facts.axis)}"


def _say_help(facts: SentenceFacts) -> str:
    return "leave chance" if facts.is_over_chance else f"help over {facts.control}"


def _say_undecided(facts: SentenceFacts) -> str:
    worst = max(
        (point for point in facts.points if may_hide_help(point, facts.margin)),
        key=lambda point: (math.isnan(point.mde), point.mde),
    )
    where = f"{format_size(facts.points[-1], facts.axis)}{size_unit(facts.axis)}"
    claim = "leaves chance" if facts.is_over_chance else f"helps over {facts.control}"
    return (
        f"whether {facts.arm} {claim} up to {where} cannot be decided: at "
        f"{format_size_with_gain(worst, facts.axis)} {say_detectable(worst)};"
        f" {_say_problems_needed(facts, worst)}"
    )


_SENTENCES: dict[OnsetStatus, Callable[[SentenceFacts], str]] = {
    "bracket": _say_bracket,
    "at_or_below": _say_at_or_below,
    "not_shown": _say_not_shown,
    "cannot_be_decided": _say_undecided,
}


def _say_harm(facts: SentenceFacts) -> list[str]:
    lower = facts.onset.lower
    upper = facts.onset.upper
    harmed = [point for point in facts.points if point.label == "harms" and point.rung != lower]
    if upper is not None:  # harm above is part of what _say_above says
        harmed = [
            p
            for p in harmed
            if facts.points.index(p) < facts.points.index(_onset_point(facts, "upper"))
        ]
    if not harmed:
        return []
    verb = "lies below chance" if facts.is_over_chance else "harms"
    return [f"it {verb} at " + join_words([format_size_with_gain(p, facts.axis) for p in harmed])]


def _say_above(facts: SentenceFacts) -> list[str]:
    if facts.onset.upper is None:
        return []
    above = facts.points[facts.points.index(_onset_point(facts, "upper")) + 1 :]
    if facts.onset.after is None:
        return [f"no {AXIS_WORDS[facts.axis].larger} was tested"]
    if facts.onset.after == "sustained":
        verb = "lies above chance" if facts.is_over_chance else "helps"
        return [f"it {verb} at every {AXIS_WORDS[facts.axis].larger} tested"]
    if facts.onset.after == "reversed":
        harmed = [point for point in above if point.label == "harms"]
        return [
            f"it does not last: {'below chance' if facts.is_over_chance else 'harm'} at "
            + join_words([format_size_with_gain(p, facts.axis) for p in harmed])
        ]
    unclear = [point for point in above if point.label != "helps"]
    why = " (a ceiling)" if all(point.is_ceiling for point in unclear) else ""
    what = "a material gain" if facts.is_over_chance else "material help"
    return [f"{what} is not shown again at {_join_sizes(facts, unclear)}{why}"]


def _say_dependence(facts: SentenceFacts) -> list[str]:
    """Say what the ends that are named hang on."""
    onset = facts.onset
    bracket = [] if onset.bracket is None else [onset.bracket.lower, onset.bracket.upper]
    ends = {onset.lower, onset.upper, *bracket}
    parts = [
        f"{format_size(point, facts.axis)} ({', '.join(point.depends_on)})"
        for point in facts.points
        if point.rung in ends and point.depends_on
    ]
    return [f"how answers are counted changes what is said of {join_words(parts)}"] if parts else []


def _say_model_based(facts: SentenceFacts) -> list[str]:
    fit = facts.onset.model_based
    if fit is None:
        return []
    x, low, high = (
        format_position(value, facts.axis) for value in (fit.x, fit.interval.low, fit.interval.high)
    )
    return [
        (
            f"a logistic fit puts the gain of {format_margin(facts.margin)} points at {x} "
            f"({low} to {high}; as good as that model)"
        )
    ]


def _list_provisos(facts: SentenceFacts) -> list[str]:
    provisos: list[str] = [facts.trainings] if facts.trainings else []
    if facts.assume_sustained:
        when = ", which was chosen after the results were there" if facts.assumed_afterwards else ""
        provisos.append(f"assuming that help, once begun, does not stop with size{when}")
    if facts.several_families:
        provisos.append(
            "the models are of several families, so more than size differs between them"
        )
    return provisos


def _say_problems_needed(facts: SentenceFacts, point: Point) -> str:
    """Say what it takes to tell a gain of the margin from none at a size."""
    if facts.is_recipe:
        return "more trainings of every size, rather than more problems, would tell"
    margin, level = facts.margin, point.interval.level
    gain = f"a gain of {format_margin(margin)} points from none"
    if (
        point.n_clusters is not None
        and (least := _clusters_needed(margin, level)) > point.n_clusters
    ):
        return (
            f"no number of problems in {point.n_clusters} clusters can tell {gain}, only more "
            f"clusters: {least:,} at least"
        )
    baseline = min(point.control_rate, 1 - margin - 1e-9)  # there must be room for such a gain
    correlation = None if facts.is_over_chance else CORRELATION
    n = problems_needed(margin, baseline, level, correlation=correlation)
    return f"about {n:,} problems would tell {gain}"


def _clusters_needed(margin: float, level: float) -> int:
    """Return how many clusters can show that a gain is below the margin.

    However many problems each holds, an end of an interval lies ``z^2 / (G + z^2)`` or more from
    the gain.
    """
    z = critical_value(level)
    return max(fewest_clusters(level), math.ceil(z * z * (1 - margin) / margin))


def _join_sizes(facts: SentenceFacts, points: Sequence[Point]) -> str:
    return join_words([format_size(point, facts.axis) for point in points])


def _onset_point(facts: SentenceFacts, end: str) -> Point:
    rung = facts.onset.lower if end == "lower" else facts.onset.upper
    return _point_of(facts, rung)


def _point_of(facts: SentenceFacts, rung: Rung | None) -> Point:
    return next(point for point in facts.points if point.rung == rung)


# Warnings beside a scale analysis.


def family_of(rungs: Sequence[Rung]) -> str | None:
    """Return the family that all models share; None: they do not, or one is unknown."""
    families = {rung.family for rung in rungs}
    return families.pop() if len(families) == 1 else None


def scale_notes(setting: AnalysisSetting, curves: GainCurves) -> tuple[str, ...]:
    """List all notes that a reader must see, the most serious first."""
    ladder = setting.ladder
    notes = [*_family_notes(ladder), *_size_notes(ladder)]
    notes += map(Aside, _level_notes(setting.question, curves))
    for pair, points in curves.points.items():
        notes += map(Aside, _pair_notes(pair, points))
    notes += map(Aside, _cluster_notes(setting, curves))
    if any(point.method == "newcombe" for point in _all_points(curves)):
        notes.append(
            "only totals are known of some models: their arms are taken as independent samples, "
            "which makes intervals too wide if they agree more than by chance"
        )
    return tuple(notes)


def _family_notes(ladder: Ladder) -> list[str]:
    if family_of(ladder.rungs) is not None:
        return []
    names = sorted({rung.family or "unknown" for rung in ladder.rungs})
    if names == ["unknown"]:
        return [
            (
                "the models' families are not known: if they differ in more than size, an onset on "
                "this axis says less than it seems to"
            )
        ]
    note = f"the models are of several families ({', '.join(names)})"
    if ladder.axis in {"params", "active-params"}:
        return [
            (
                f"{note}: they differ in data and training, too, and at one size that alone moves "
                "solve rates by tens of points; the onset is one of these models, not of size"
            )
        ]
    return [f"{note}: what else differs between them than {ladder.axis} may make the onset"]


def _size_notes(ladder: Ladder) -> list[str]:
    notes: list[str] = []
    unknown = [rung.model for rung in ladder.rungs[ladder.n_known :]]
    if unknown:
        notes.append(
            f"left out of the onset, for its place on the axis {ladder.axis} is not known: "
            f"{join_words(unknown)}"
        )
    bounds = [rung.model for rung in ladder.rungs if rung.flops_is_bound]
    if ladder.axis == "flops" and bounds:
        notes.append(f"the FLOPs of {join_words(bounds)} are upper bounds")
    return notes


def _level_notes(question: ScaleQuestion, curves: GainCurves) -> list[str]:
    if question.assume_sustained:
        return [
            (
                "it is assumed that help, once begun, does not stop with size: lower ends step "
                "down from the largest model; under a ceiling this finds hardly anything"
            )
        ]
    if curves.n_intervals < 2:
        return []
    return [
        (
            f"each of the {curves.n_intervals} intervals of gains is at "
            f"{100 * curves.level:.4g} %, so that all hold together at {100 * question.level:.4g} %"
        )
    ]


def _pair_notes(pair: Pair, points: Sequence[Point]) -> list[str]:
    arm, control = pair
    of_pair = f"{arm} over {control}"
    completed = "completed" if control == CHANCE else "completed by both"
    most = max((point.n for point in points), default=0)
    kinds = (
        ([p for p in points if p.n == 0], f"{of_pair} has holes: nothing was measured at"),
        (
            [p for p in points if 0 < p.n < most and p.method != "newcombe"],
            f"{of_pair}: fewer problems than elsewhere were {completed} at",
        ),
        (
            [p for p in points if p.is_floor and control != CHANCE],
            f"floor: {arm} and {control} solved nothing, so a gain near 0 says nothing, at",
        ),
        (
            [p for p in points if p.is_ceiling],
            (
                f"ceiling: {control} solves {100 * CEILING:.0f} % or more, so a small gain of "
                f"{arm} is no evidence against it, at"
            ),
        ),
    )
    notes = [f"{what} {join_words(_model_names(affected))}" for affected, what in kinds if affected]
    cut = [
        (arm, [p for p in points if (p.truncated or 0) >= MANY_TRUNCATED]),
        (control, [p for p in points if (p.control_truncated or 0) >= MANY_TRUNCATED]),
    ]
    return notes + [
        f"{name}: {100 * MANY_TRUNCATED:.0f} % of the attempts or more were cut at their token "
        f"limit before an answer at {join_words(_model_names(affected))}; raise --max-tokens"
        for name, affected in cut
        if affected
    ]


def _cluster_notes(setting: AnalysisSetting, curves: GainCurves) -> list[str]:
    methods = {point.method for point in _all_points(curves)}
    notes: list[str] = []
    if methods & {"bootstrap-t", "sign-flip"}:
        clusters = setting.grid.clusters
        names = None if setting.codes is None or clusters is None else len(set(clusters))
        notes.append(
            "several samples of a problem count as one problem"
            if names is None
            else f"problems share {names} clusters: intervals are by clusters, not by problems"
        )
    if "sign-flip" in methods:
        notes.append(
            f"fewer than {MIN_CLUSTERS} clusters: intervals are of the sign-flip permutation, "
            "which assumes that deviations are as likely up as down"
        )
    return notes


def _model_names(points: Iterable[Point]) -> list[str]:
    return [point.rung.model for point in points]


def _all_points(curves: GainCurves) -> list[Point]:
    return [point for points in curves.points.values() for point in points]


# Sizes, gains and lists as a sentence says them.


_UNIT: dict[Axis, str] = {
    "params": " parameters",
    "active-params": " active parameters",
    "flops": " training FLOPs",
    "tokens": " training tokens",
    "loss": " nats of loss",
    "ordinal": "",
}


class AxisWords(NamedTuple):
    """What the ends of an axis are called: only some axes are sizes."""

    smallest: str
    largest: str
    larger: str
    smaller: str


_SIZES = AxisWords("smallest size", "largest size", "larger size", "a smaller model")
AXIS_WORDS: Mapping[str, AxisWords] = defaultdict(
    lambda: _SIZES,
    ordinal=AxisWords("first model", "last model", "later model", "an earlier model"),
    tokens=AxisWords("first checkpoint", "last checkpoint", "later checkpoint", "an earlier one"),
    loss=AxisWords("highest loss", "lowest loss", "lower loss", "a model of higher loss"),
)
"""Axis -> its words."""


def size_unit(axis: Axis) -> str:
    """Return what follows a size, with the space before it; empty where models are named."""
    return _UNIT[axis]


def format_size(point: Point, axis: Axis) -> str:
    """Format a size without its unit: ``1.54 B``, ``3.1e+23``, ``2.31``, or a model's name."""
    if axis == "ordinal" or point.x is None:
        return point.rung.model
    return format_position(point.x, axis)


def format_position(x: float, axis: Axis) -> str:
    """Format a position without its unit."""
    if axis == "loss":
        return f"{-x:.3g}"
    if axis == "flops":
        return f"{x:.2g}"
    for scale, letter in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if x >= 0.9995 * scale:
            return f"{x / scale:.3g}{letter}"
    return f"{x:.3g}"


def format_points(fraction: float) -> str:
    """Format a signed gain in points; what would round to 0 keeps its sign and first digit."""
    points = 100 * fraction
    digits = ".1g" if 0 < abs(points) < 0.05 else ".1f"
    return f"{points + 0.0:+{digits}}"  # + 0.0 turns -0.0 into 0.0


def format_margin(fraction: float) -> str:
    """Format a margin in points."""
    return f"{100 * fraction:.3g}"


def format_most(fraction: float) -> str:
    """Format an upper bound in points; rounding never makes it smaller."""
    return f"{math.ceil(1000 * fraction - 1e-9) / 10:.3g}"


def _format_least(fraction: float) -> str:
    """Format a lower bound in points; rounding never makes it larger."""
    return f"{math.floor(1000 * fraction + 1e-9) / 10:.3g}"


def format_interval(interval: Interval) -> str:
    """Format both ends of an interval in points."""
    return f"{format_points(interval.low)} to {format_points(interval.high)}"


def format_gain(point: Point) -> str:
    """Format a gain and its interval: ``+62.5 points (+41.2 to +78.3)``."""
    return f"{format_points(point.gain)} points ({format_interval(point.interval)})"


def format_size_with_gain(point: Point, axis: Axis) -> str:
    """Format a size and its gain: ``268 M (+0.5 points, -1.2 to +1.9)``."""
    return (
        f"{format_size(point, axis)} ({format_points(point.gain)} points,"
        f" {format_interval(point.interval)})"
    )


def say_detectable(point: Point) -> str:
    """Say which gain this many problems could have detected."""
    if math.isnan(point.mde):
        return "no gain, however large, would surely have been seen"
    points = 100 * point.mde
    number = f"{points:.{0 if points >= 10 else 1}f}"
    return f"this run could only have seen gains of {number} points or more"


def join_words(words: Sequence[str]) -> str:
    """Join words as a sentence does: ``a``, ``a and b``, ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
