"""What a scale analysis says. All rates and gains are fractions, never percent.

A ``ResultGrid`` and a ``ScaleQuestion`` (``grid.py``) go in; a ``Scale`` comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cotkit.analysis.scale.grid import Axis, Rung
from cotkit.analysis.values import Bias, BiasChange, NotebookDisplay
from cotkit.scoring.chance import CHANCE
from cotkit.stats.intervals import Interval
from cotkit.types import Outcome

SizeLabel = Literal[
    "helps",
    "some_help",
    "harms",
    "no_material_help",
    "undetermined",
    "missing",
    "falls",
    "keeps_prior",
    "better",
    "no_better",
    "worse",
]
"""As ``values.Label``; ``missing``: a hole in the curve, nothing was measured there."""

OnsetStatus = Literal["bracket", "at_or_below", "not_shown", "cannot_be_decided"]
"""``bracket``: in (lower, upper]; ``at_or_below`` upper; ``not_shown`` up to the largest size;
``cannot_be_decided``: no size is labelled ``helps``, and one that is neither shown to help nor not
to help has an MDE above the margin."""

StatusAbove = Literal["sustained", "not_shown_beyond", "reversed"]
"""What lies above the upper end: all help; a size where help is not shown; a size that harms."""

JumpWord = Literal["real_jump", "metric_artefact", "no_jump", "undetermined"]
"""Of the sharpness contrast between exact match and a linear companion; ``no_jump``: exact match
itself is shown not to be sharp, so that there is nothing to explain."""

Curve = Literal["arm", "control", "gain"]
"""Whose curve over size a sharpness belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One pair at one size."""

    rung: Rung
    """The model."""
    x: float | None
    """Position on the axis, in its unit (parameters, FLOPs, negated loss, rank from 1); None:
    unknown, so the rung is left out of the onset."""
    n: int
    """Problems that both completed; of totals, the smaller n. 0: a hole."""
    arm_rate: float
    """Solve rate of the arm over those problems; NaN in a hole."""
    arm_interval: Interval
    """Wilson (fractional or clustered scores: at the number of trials that they are worth), at the
    report's level for this cell alone."""
    control_rate: float
    """Solve rate of the control over the same."""
    control_interval: Interval
    """As ``arm_interval``."""
    n_better: int | None
    """Problems that only the arm solved; None: pairs are not known, or scores are fractional."""
    n_worse: int | None
    """Problems that only the control solved."""
    gain: float
    """Difference of the rates; NaN in a hole."""
    interval: Interval
    """Simultaneous (Sidak) over the sizes of this curve and the pairs of the report."""
    method: Literal["tango", "wilson", "newcombe", "bootstrap-t", "sign-flip", "normal", "none"]
    """How the interval was made."""
    p_value: float
    """Two-sided: McNemar mid-p, or of the method; NaN in a hole."""
    label: SizeLabel
    """From ``interval`` and the margin."""
    mde: float
    """Smallest gain this n finds with power 0.8 at the control's rate and the interval's level."""
    is_floor: bool
    """Neither arm solved anything: a gain of 0 says nothing."""
    is_ceiling: bool
    """The control solves 90 % or more."""
    n_clusters: int | None = None
    """Clusters that the problems come in; None: every problem stands alone, or it is not known."""
    depends_on: tuple[str, ...] = ()
    """Other ways of counting by which the direction of the label differs, as of `Verdict`."""
    unreadable: float | None = None
    """Share of the arm's answers in which none could be read, cut ones apart; None: not known."""
    truncated: float | None = None
    """Share of the arm's answers that were cut at their limit before one; None: not known."""
    control_unreadable: float | None = None
    """The same of the control; None over chance, too."""
    control_truncated: float | None = None
    """The same of the control; None over chance, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBased:
    """A crossing inside the bracket, by a logistic fit in log10 size: as good as that model."""

    x: float
    """Where the fitted gain reaches the margin, in the axis's unit."""
    interval: Interval
    """Percentile bootstrap over problems, same unit."""


MIN_CLEARANCE = 0.01
"""Of a bracket that is worth a sentence: its two gains are a point apart, or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """Where a gain of more than ``no_more_than`` starts, whatever the margin: in (lower, upper]."""

    lower: Rung
    """Largest size below ``upper`` up to which no size gains ``at_least``."""
    upper: Rung
    """Smallest size labelled ``helps``."""
    no_more_than: float
    """No size up to ``lower`` gains more, a fraction; the margin or more."""
    at_least: float
    """What ``upper`` gains at least, a fraction."""

    @property
    def is_clear(self) -> bool:
        """Whether it says much: else the staircase takes its place."""
        clearance = self.at_least - self.no_more_than
        return clearance >= MIN_CLEARANCE and 2 * self.no_more_than <= self.at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where a gain of a threshold begins: in (lower, upper]."""

    threshold: float
    """The gain, a fraction."""
    lower: Rung | None
    """Largest size below ``upper`` up to which no size gains as much; None: there is none."""
    upper: Rung | None
    """Smallest size that surely gains as much; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """Where material help starts, by the bracket rule."""

    status: OnsetStatus
    """What can be said."""
    lower: Rung | None
    """Largest size below ``upper`` shown to have no material help or harm; None: there is none."""
    upper: Rung | None
    """Smallest size labelled ``helps``; None: there is none."""
    first_detected: Rung | None
    """Smallest size whose gain is surely above 0; None: there is none."""
    after: StatusAbove | None
    """What lies above ``upper``; None without it, or if no larger size was measured."""
    harmed: tuple[Rung, ...]
    """Sizes labelled ``harms``."""
    model_based: ModelBased | None = None
    """Only for 5 or more sizes, neighbours of the bracket at most half a decade apart, fit not
    refuted."""
    bracket: Bracket | None = None
    """Where a larger gain starts; None: no lower end can be named at any gain, or help is assumed
    to be sustained, so that the intervals do not all hold at once."""
    staircase: tuple[Step, ...] = ()
    """Where a gain of each threshold begins, the smallest first; as ``bracket``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinnedOnset:
    """What half of the sizes alone would have said, with their own simultaneous intervals."""

    arm: str
    """The arm."""
    control: str
    """What it is measured against."""
    rungs: tuple[Rung, ...]
    """The sizes that are left, smallest first."""
    onset: Onset
    """By the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharpness:
    """How much of a curve's range lies in its steepest gap, beyond that gap's share of the axis."""

    metric: str
    """Metric name; ``exact_match`` is the solve rate."""
    value: float
    """0: a straight line in log size; to 1: a step. NaN where the curve has no range."""
    interval: Interval
    """Percentile bootstrap over problems, jointly with the other metrics."""
    steepest: tuple[Rung, Rung] | None
    """The sizes on either side of the steepest gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A side check: printed, never decisive."""

    name: str
    """E.g. ``"p^L prediction"``."""
    value: float | None
    """Its number; None: it says so in words only."""
    sentence: str
    """What it is and what it does not show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """Is a curve's jump real, or made by the metric?"""

    curve: Curve
    """Whose curve."""
    arm: str
    """The arm, control or, of a gain, the arm measured against its control."""
    exact: Sharpness
    """Of exact match."""
    companion: Sharpness | None
    """Of the linear companion that decides (the first of ``companions``); None: there is none."""
    companions: tuple[Sharpness, ...]
    """Of all companions."""
    contrast: Interval | None
    """Of exact minus deciding companion."""
    verdict: JumpWord
    """By the rule; ``undetermined`` has its reason in ``why``."""
    why: str
    """The reason in one sentence."""
    checks: tuple[Check, ...]
    """Side checks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakthrough:
    """How the solve rate of an arm on one task of several breaks through over size."""

    bench: str
    """The task."""
    family: str | None
    """Of the models."""
    arm: str
    """The arm."""
    control: str
    """What its onset is measured against."""
    n_sizes: int
    """Sizes of known place with results."""
    best: float
    """Highest solve rate."""
    worst: float
    """Lowest solve rate."""
    is_shown: bool
    """Whether the intervals of these two do not touch: else the scores are of noise."""
    breakthroughness: float
    """Signed range over the root of the median squared gap; of a straight line sizes less 1."""
    linearity: float
    """Signed range over the root of the mean squared gap; likewise."""
    sharpness: Sharpness | None
    """Of the solve rate; None: only totals are known."""
    verdict: JumpWord | None
    """Is the jump real? None: only totals are known."""
    onset: Onset
    """Where it starts to help, or leaves chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasBySize:
    """How stereotyped the answers of each size are, and what an arm does to that."""

    scores: tuple[tuple[Rung, Bias], ...]
    """(model, bias) of every arm under both conditions, over all categories, by size."""
    changes: tuple[tuple[Rung, BiasChange], ...]
    """(model, change) of every pair under both conditions; their intervals hold at once over all
    sizes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPoint:
    """One metric of one arm at one size, for the metric panel."""

    rung: Rung
    """The model."""
    arm: str
    """The arm."""
    metric: str
    """``exact_match`` or a companion."""
    value: float
    """Mean over problems; NaN in a hole."""
    interval: Interval
    """For this mean alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPoint:
    """One (model, arm) on the frontier of solve rate and cost."""

    rung: Rung
    """The model."""
    arm: str
    """The arm."""
    rate: float
    """Solve rate."""
    interval: Interval
    """Wilson."""
    tokens: float | None
    """Mean tokens per problem, prompt and generated; None if unknown."""
    usd: float | None
    """Mean dollars per problem; None if unknown."""
    seconds: float | None
    """Mean backend seconds per problem; None if unknown."""
    on_frontier: tuple[Literal["tokens", "usd", "seconds"], ...]
    """Costs for which no other solves as much for less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnsetAnswer:
    """What is said of one strategy on one ladder."""

    arm: str
    """The strategy."""
    control: str
    """What it is measured against."""
    points: tuple[Point, ...]
    """By size, the smallest first; holes included; unknown sizes last."""
    onset: Onset
    """By the rule."""
    jumps: tuple[Jump, ...]
    """For arm, control and gain; empty where only totals are known."""
    sentence: str
    """The answer in plain words, numbers included."""
    trainings: tuple[Point, ...] = ()
    """Each training of a size that has several, its interval for itself alone; ``points`` have
    their means."""

    @property
    def is_over_chance(self) -> bool:
        """Whether the control is what guessing solves."""
        return self.control == CHANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrigin:
    """Where the results of a scale analysis come from, if they are of runs of the store."""

    reader: str
    """The reader that decided what is correct."""
    bench_version: str
    """Version of the benchmark."""
    n_total: int
    """Problems that the benchmark has."""
    runs: Mapping[str, str]
    """Model -> the run of the store that it is of."""
    n_shot: Mapping[str, int]
    """Arm -> exemplars that its prompts show."""
    is_unwalled: bool = False
    """Whether code that a model wrote ran without a sandbox: it could see the answers."""
    addresses: Mapping[str, str] = field(default_factory=dict[str, str])
    """Model -> where it was asked, of those whose address is no provider's own."""
    outcomes: Mapping[str, Mapping[Outcome, int]] = field(
        default_factory=dict[str, Mapping[Outcome, int]]
    )
    """Arm -> outcome -> how many attempts of all models ended so; an attempt that was never made
    counts as failed."""
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    """How the runs were made, name -> value, as far as they have it in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCurve:
    """Solve rates of one family of models by one strategy, as a paper prints them."""

    family: str
    """As the paper names it."""
    arm: str
    """The strategy that asks as the paper did."""
    points: tuple[tuple[str, int | None, float], ...]
    """(model, parameters, solve rate), as the table has them; None: its size was not published."""
    source: str
    """The paper."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Scale(NotebookDisplay):
    """A whole scale analysis of one ladder."""

    bench: str
    """As the grid names it."""
    family: str | None
    """Of all rungs; None: they are of several, or it is not known, which weakens every claim (a
    note says so)."""
    axis: Axis
    """What size means."""
    margin: float
    """Smallest material gain."""
    level: float
    """Of the report."""
    assume_sustained: bool
    """Whether help that began is assumed not to stop."""
    n_problems: int
    """Problems of the grid; of totals, the largest n."""
    answers: tuple[OnsetAnswer, ...]
    """One for each pair."""
    metrics: tuple[MetricPoint, ...]
    """Exact match and companions by size and arm."""
    prices: tuple[CostPoint, ...]
    """Every (model, arm), for the frontier."""
    notes: tuple[str, ...]
    """Warnings a reader must see: several families, holes, floors, ceilings, unknown sizes, FLOPs
    that are bounds, clusters."""
    origin: RunOrigin | None = None
    """Where they come from; None: not from runs."""
    bias: BiasBySize | None = None
    """Of benchmarks of stereotypes; None: it is none."""
    thinned: tuple[ThinnedOnset, ...] = ()
    """What every other size alone would have said; empty: there are fewer than four."""
    published: tuple[PublishedCurve, ...] = ()
    """What a paper found with the same strategies on the same benchmark, to be shown beside."""


class Scales(tuple[Scale, ...], NotebookDisplay):
    """Several analyses, shown as one report."""

    __slots__ = ()
