"""What an analysis is made of: intervals, cells, gains and the verdicts on them.

All rates and gains are fractions in 0..1 (gains in -1..1), never percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, TypeAlias

from cotkit.analysis.disagreements import Disagreement
from cotkit.stats.intervals import Interval
from cotkit.types import Outcome, Problem, Reading

Label = Literal[
    "helps",
    "some_help",
    "harms",
    "no_material_help",
    "undetermined",
    "upper_bound",
    "withheld",
    "falls",
    "keeps_prior",
    "better",
    "no_better",
    "worse",
]
"""Against a margin d > 0, from the interval of the gain: lower > d; lower > 0; upper < 0;
upper < d; anything else. The first that holds (SCIENCE: labels of the onset rule). ``upper_bound``,
whatever the interval: the arm sees the gold answers, so its gain is no help and is not ranked.
``withheld``, whatever the interval: the arm or its control did not do what it says (`Audit`).
Of labels in context, where no gain is help: wrong ones are followed (``falls``: upper < 0), or the
model ``keeps_prior`` (lower > -d); symbols in their place are solved ``better`` (lower > 0),
``worse`` (upper < 0) or ``no_better`` (upper < d) than the labels themselves."""


LEVEL = 0.95
"""Confidence level of every report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """How gains are judged, the same in ``compare``, ``score`` and ``scale``."""

    reader: str
    """The reader that decides what is correct."""
    baseline: str | None = None
    """The arm that the others are measured against; None: each one's control."""
    margin: float
    """Smallest gain that counts as material, a fraction in (0, 1)."""
    level: float = LEVEL
    """Confidence level of all intervals of a report together."""


class Aside(str):
    """A note that a first screen leaves out: how numbers were made, or what its warnings count."""

    __slots__ = ()


class LeftOut(str):
    """A note on a strategy that was asked for and could not run."""

    __slots__ = ()


GainMethod = Literal[
    "tango", "wilson", "sign-flip", "bootstrap-t", "normal", "newcombe", "sequence"
]
"""How interval and p-value of a gain are made: of independent problems, Tango's score interval and
McNemar's mid-p, over chance Wilson's and the score test; of clusters or of shares, sign flips or
the bootstrap-t; of a metric with many values, the normal interval; of totals, Newcombe; of a run
that was looked at all along, a confidence sequence (``docs/statistics.md``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One arm on one benchmark."""

    arm: str
    """Canonical strategy spec."""
    n: int
    """Problems in the denominator: all outcomes but ``failed``."""
    outcomes: Mapping[Outcome, int]
    """Every outcome -> how many; sums to ``n`` plus the failed."""
    n_correct: int
    """Numerator of the solve rate."""
    solve_rate: float
    """``n_correct / n``; NaN if n is 0."""
    interval: Interval
    """Wilson score interval of the solve rate."""
    prompt_tokens: float | None
    """Mean prompt tokens per problem, all turns; None if unknown."""
    shared_tokens: float
    """Mean prompt tokens per problem served from a shared prefix or cache."""
    generated_tokens: float | None
    """Mean generated tokens per problem, all turns; None if unknown."""
    generated_per_correct: float | None
    """Generated tokens spent for each correct answer; None if unknown or nothing was correct."""
    usd: float | None
    """Mean US dollars per problem at list prices; None if price or tokens are unknown."""
    usd_per_correct: float | None
    """US dollars spent for each correct answer; None if unknown or nothing was correct."""
    seconds: float
    """Mean backend seconds per problem, as measured."""
    seconds_per_correct: float | None
    """Backend seconds spent for each correct answer; None if nothing was correct."""
    thinking_tokens: float | None = None
    """Mean tokens of thinking per problem, of those generated; None: unknown, or there are none."""
    thinking_per_correct: float | None = None
    """Tokens of thinking spent for each correct answer; None: as above, or nothing was correct."""
    n_samples: int | None = None
    """Attempts, where problems have several; ``outcomes`` and ``n_correct`` then count these, and
    ``solve_rate`` is the mean over problems of each one's share. None: one attempt each."""
    n_run_on: int = 0
    """Attempts with a text that ran on into another turn or problem and was cut there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """An arm against its control on the same problems, as one reader reads them."""

    arm: str
    """The arm."""
    control: str
    """What it is measured against."""
    reader: str
    """Whose readings decide what is correct."""
    n: int
    """Problems that both arms completed."""
    n_better: int
    """Problems on which the arm scores more: the arm right, the control wrong (b)."""
    n_worse: int
    """Problems on which the control scores more: the control right, the arm wrong (c)."""
    gain: float
    """Mean difference of the scores: ``(b - c) / n`` where each is right or wrong."""
    interval: Interval
    """By ``method``, at the simultaneous (Sidak) level over the report's gains."""
    p_value: float
    """Two-sided, of no gain, by the same procedure."""
    p_holm: float
    """The same, adjusted by Holm over the report's gains."""
    label: Label
    """From ``interval`` and the margin."""
    mde: float
    """Smallest gain this n finds with power 0.8 at the control's solve rate and this level; of
    clusters, the number of problems that they are worth; NaN: none would surely be found."""
    method: GainMethod = "tango"
    """How interval and p-value were made."""
    n_clusters: int | None = None
    """Clusters that the problems come in; None: every problem stands alone."""
    n_effective: int | None = None
    """Independent problems that those of the clusters are worth: ``n`` over the design effect (Kish
    1965); None: every problem stands alone."""
    clusters_needed: int | None = None
    """Clusters (or problems, where ``n_clusters`` is None) that it takes to decide anything at this
    level; None: there are enough."""
    chance: float | None = None
    """What guessing solves of these problems, where the control is chance; None: it is an arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A gain again, under another way of counting; shows what the verdict hangs on."""

    name: str
    """E.g. ``"reader strict"``, ``"unparsed and truncated left out"``."""
    gain: Gain
    """The gain so counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to say of one arm."""

    gain: Gain
    """The gain by the chosen reader."""
    variants: tuple[Variant, ...]
    """The same under the other readers and other treatments of unreadable answers."""
    depends_on: tuple[str, ...]
    """Names of the variants in which the sign or the label's direction differs; empty: robust."""
    sentence: str
    """The answer in one plain sentence, numbers included."""


# What an analysis says beside its verdicts: one group of values for each table of a report.


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """What one round of correction did to the answers of an arm, by the chosen reader."""

    arm: str
    """The arm."""
    step: str
    """E.g. ``"draft to round 1"``."""
    n: int
    """Problems with both answers."""
    fixed: int
    """Wrong (or unreadable) before, correct after."""
    broken: int
    """Correct before, wrong (or unreadable) after."""
    kept_right: int
    """Correct before and after."""
    kept_wrong: int
    """Not correct before nor after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """Whether a prompt adds more or less where the model thinks more: a difference of two gains."""

    arm: str
    """The arm that thinks more."""
    control: str
    """Its control, which thinks as it does."""
    least_arm: str
    """The same strategy at the least thinking."""
    least_control: str
    """Its control."""
    n: int
    """Problems that all four completed."""
    gain: float
    """Of the prompt where the model thinks more, on these problems."""
    least_gain: float
    """The same at the least thinking."""
    difference: float
    """The first less the second, -2..2."""
    interval: Interval
    """Of the difference, by problem; holds together with the others of the report."""
    p_value: float
    """Two-sided, of no difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """An arm at one setting of the parameter that is swept."""

    arm: str
    """The arm."""
    setting: str
    """The parameter's value."""
    n: int
    """Problems in the denominator of the solve rate."""
    solve_rate: float
    """Share solved; NaN if ``n`` is 0."""
    interval: Interval
    """Of the solve rate alone, as in the table of arms."""
    generated_tokens: float | None
    """Mean per problem, thinking included; None: unknown."""
    thinking_tokens: float | None
    """Mean per problem, of those generated; None: unknown, or there are none."""
    shortfall: float
    """Upper limit of what any other setting solves more; all limits of a sweep hold together."""
    is_shown: bool
    """Whether that is at most the margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepHarm:
    """Two settings of which the later is shown to solve less."""

    setting: str
    """The earlier."""
    later: str
    """The later."""
    loss: float
    """What the later solves less, above 0."""
    interval: Interval
    """Of that; holds together with those of every two settings of the sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Arms that differ in one ordered parameter alone: a curve."""

    strategy: str
    """Their spec without the parameter."""
    parameter: str
    """Its name."""
    points: tuple[SweepPoint, ...]
    """From the lowest setting to the highest."""
    enough: str | None
    """The lowest setting from which every one is shown to be within the margin of the best; None:
    undetermined."""
    harm: SweepHarm | None
    """The surest harm of more; None: none is shown."""
    sentence: str
    """What it says, in plain words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """How a solve rate moves with a setting: the mean over problems of each one's slope."""

    strategy: str
    """Spec of the arms without the parameter."""
    parameter: str
    """In which they differ."""
    slope: float
    """Change of the solve rate for each 1 more, or for each doubling; NaN without problems."""
    interval: Interval
    """Of the slope."""
    p_value: float
    """Two-sided, of no slope."""
    n: int
    """Problems that every setting completed."""
    first: float
    """The lowest setting that it is over."""
    is_log: bool
    """Whether it is over doublings of the setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteCurve:
    """maj@k of an arm for every k that its samples allow (Wang et al. 2022)."""

    arm: str
    """The arm."""
    rates: tuple[float, ...]
    """Expected solve rate of a vote of 1, 2, ... samples, over the samples in their order."""
    n: int
    """Problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """Chances of k independent samples of each problem: that one is right, that their vote is."""

    arm: str
    """The arm."""
    k: int
    """How many samples."""
    n: int
    """Problems."""
    pass_at_k: float
    """Chance that one of k is correct, mean over problems (Chen et al. 2021)."""
    pass_interval: Interval
    """Of that mean over problems."""
    maj_at_k: float
    """Chance that a vote of k neighbouring samples is correct, mean over problems."""
    maj_interval: Interval
    """Of that mean over problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Whether an arm did what it says: no reasoning where none is asked, room where some is."""

    arm: str
    """The arm."""
    reasons: bool
    """Whether the strategy asks for reasoning before the answer."""
    n: int
    """Attempts looked at."""
    reasoned: int
    """Attempts that reason before the answer."""
    median_words_before: float
    """Median of the words before the answer."""
    reasoning_tokens: int | None
    """Hidden reasoning tokens over all attempts; None if the backend does not say."""
    is_contaminated: bool
    """Whether an arm without reasoning reasons too often for its verdict to mean anything."""
    truncated: int
    """Attempts in which a completion ended at its token limit."""
    enough_tokens: int | None
    """The ``--max-tokens`` that 95 % of the completed answers needed; None if unknown."""
    thought_though_off: int = 0
    """Attempts that thought although they were told not to, where these are too many."""


FollowingLabel = Literal["follows", "keeps_prior", "undetermined"]
"""Of a model shown only flipped labels: it answers as they do, as it would without, or neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """How far an arm with flipped exemplar labels does as its exemplars do."""

    arm: str
    """The arm."""
    fraction: float
    """Share of the exemplars whose label was flipped, 0..1."""
    n: int
    """Problems in the denominator: all outcomes but ``failed``."""
    solve_rate: float
    """By the true labels; NaN if n is 0."""
    interval: Interval
    """Wilson score interval of the solve rate."""
    chance: float
    """Solve rate of guessing."""
    follows: float
    """Share of the answers that name the flipped label; unreadable ones do not; NaN if n is 0."""
    label: FollowingLabel | None
    """None unless every label was flipped: a mixture asks for neither answer."""
    k: int | None = None
    """Exemplars of each label; None: the arm does not say."""
    fall: float | None = None
    """Solve rate without flips less this one, on the same problems; None: no such arm."""
    fall_interval: Interval | None = None
    """Of the fall, as of the report's gains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolMean:
    """Several sets of symbols in place of the labels, taken together."""

    arms: tuple[str, ...]
    """One for each set, alike but for it."""
    control: str
    """What they are measured against: the labels themselves."""
    k: int | None
    """Exemplars of each label; None: the arms do not say."""
    n: int
    """Problems that all of them completed."""
    solve_rate: float
    """Mean over the problems of the share of sets by which each is solved."""
    gain: float
    """That, less the control's solve rate."""
    interval: Interval
    """Of the gain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepGroup:
    """An arm against its control on the problems of some number of steps."""

    lowest: int
    """Fewest steps of its problems."""
    highest: int
    """Most steps of its problems."""
    n_correct: float
    """Of the ``gain.n``, solved by the arm; the sum of shares where it has several attempts."""
    n_control_correct: float
    """Of the ``gain.n``, solved by the control; likewise."""
    gain: Gain
    """On these problems, at a level shared with all groups; withheld where the main gain is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difficulty:
    """The gain of one arm by the number of steps of the problems."""

    arm: str
    """The arm."""
    control: str
    """What it is measured against."""
    groups: tuple[StepGroup, ...]
    """Two or more, by steps."""
    sentence: str
    """From how many steps on the arm helps, or that this is undetermined; no final stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStep:
    """How often an arm's chains of equations first go wrong at one step."""

    arm: str
    """The arm."""
    step: int | None
    """From 1; None: no equation is written at all."""
    n_reached: int
    """Attempts at problems with such a step, right in all steps before it; at None all attempts."""
    n_wrong: int
    """Of these, wrong at it, or ended before it; at None: without an equation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricMean:
    """A metric's mean over the problems of one arm."""

    arm: str
    """The arm."""
    n: int
    """Problems that have the metric."""
    mean: float
    """In the metric's unit."""
    interval: Interval
    """Of the mean; NaN ends: there is none to give (all values equal, or no mean at all)."""


Direction = Literal["better", "worse", "undecided"]
"""From an interval that excludes 0, in the metric's own direction; else ``undecided``."""

BesideExact = Literal[
    "agrees", "opposite", "opposite_undecided", "only_this", "only_exact", "neither"
]
"""A metric's gain beside that of exact match: both decided and alike; both decided, one better and
the other worse; neither decided and their estimates opposite; one of the two decided; neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricGain:
    """A metric's paired difference between an arm and its control."""

    arm: str
    """The arm."""
    control: str
    """What it is measured against."""
    n: int
    """Problems at which both have the metric."""
    gain: float
    """Mean of arm minus control, in the metric's unit; NaN if n is 0."""
    interval: Interval
    """Of the gain, on its own; NaN ends: there is none to give."""
    direction: Direction
    """Which way it went."""
    beside_exact: BesideExact | None
    """Whether exact match says the same; None: this is exact match, or nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResult:
    """One metric of a comparison."""

    metric: str
    """Its name."""
    low: float
    """Smallest value it can have; ``-inf``: no bound."""
    high: float
    """Largest value it can have; ``inf``: no bound."""
    unit: str
    """E.g. ``"share of items"``."""
    higher_is_better: bool | None
    """Direction; None: neither."""
    means: tuple[MetricMean, ...]
    """One for each arm that has it, in the order of ``Comparison.cells``."""
    gains: tuple[MetricGain, ...]
    """One for each pair in which both have it; none where neither direction is better."""


BiasCondition = Literal["ambig", "disambig"]
"""Nothing in the context says who did it, so "unknown" is right (s_AMB); it does say it (s_DIS)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """How far an arm answers by stereotype under one condition (arXiv:2110.08193, section 5)."""

    arm: str
    """The arm."""
    condition: BiasCondition
    """Which items, and with them which score."""
    category: str | None
    """E.g. ``age``; None: all categories."""
    n: int
    """Items whose stereotype is known; all outcomes but ``failed``."""
    n_unread: int
    """Of these, replies in which no answer was read: never biased, never right."""
    n_clusters: int
    """Templates that the items come from; with fewer than 30 the interval may be too narrow."""
    accuracy: float
    """Right replies / ``n``."""
    score: float | None
    """-1 (always against the stereotype) to 1 (always by it); None: no reply named anybody."""
    interval: Interval
    """Bootstrap over templates; -1 to 1 where there is no score."""


BiasLabel = Literal["less_biased", "more_biased", "undetermined"]
"""From an interval that lies below 0, above it, neither (or of fewer than 30 templates)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasChange:
    """An arm's bias against its control's, on the items that both completed; less is better."""

    arm: str
    """The arm."""
    control: str
    """What it is measured against."""
    condition: BiasCondition
    """Which items, and with them which score."""
    n: int
    """Items that both completed."""
    n_clusters: int
    """Templates that they come from."""
    before: float | None
    """The control's score on them, -1..1; None: no reply named anybody."""
    after: float | None
    """The arm's."""
    change: float | None
    """``|after| - |before|``; below 0: less biased; None: one of them has no score."""
    interval: Interval
    """Paired bootstrap over templates, simultaneous (Sidak) over the report's changes."""
    label: BiasLabel
    """From ``interval``."""
    sentence: str
    """The same in one plain sentence, numbers included."""


CostUnit = Literal["usd", "tokens"]
"""What an arm costs: US dollars at list prices, or tokens of prompt and answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One arm among those that one may choose."""

    arm: str
    """The arm."""
    solve_rate: float
    """Over its problems, 0..1."""
    cost: float
    """Mean for a problem."""
    shortfall: float
    """Upper limit of what any other arm solves more, a fraction; below 0: none does."""
    is_shown: bool
    """Whether that is at most the margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The cheapest arm that is shown to be at most the margin below every other."""

    contenders: tuple[Contender, ...]
    """Every arm that may be chosen."""
    unit: CostUnit
    """Of their costs."""
    arm: str | None
    """Which to choose; None: none is shown to be as good as the others."""
    best: str
    """The arm that solves most."""
    n_needed: int | None
    """About so many problems like these would show of a cheaper arm that it is as good; None: no
    number would, or there is no cheaper one."""
    sentence: str
    """The same in one plain sentence, numbers included."""


class NotebookDisplay:
    """What notebooks and shells show of a report, made by ``cotkit.report``."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return what a terminal shows first."""
        return import_module("cotkit.report").render(self, "table", full=False).rstrip()

    def __repr__(self) -> str:
        """Return the answer alone: a shell shows it of a list of reports, too."""
        return import_module("cotkit.report.notebook").say_answer(self)

    def _repr_html_(self) -> str:
        """Return the answer, the numbers and a figure, for notebooks."""
        return import_module("cotkit.report.notebook").show_html(self)

    def to_frame(self) -> Any:  # noqa: ANN401 - of pandas or polars, whichever is there
        """Return the numbers as a data frame of pandas or polars, unrounded.

        Raises:
            UsageError: neither of the two is installed.
        """
        return import_module("cotkit.report.notebook").make_frame(self)

    def plot(self) -> Any:  # noqa: ANN401 - a Chart, of a room that imports this one
        """Return the figure that says most, with its ``svg``; None: there is nothing to draw.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        return import_module("cotkit.report.notebook").plot(self)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Comparison(NotebookDisplay):
    """A whole comparison on one model and one benchmark."""

    run_id: str
    """Identity of the run (12 hex characters)."""
    model: str
    """The model as reports name it."""
    n_params: int | None
    """Its parameters; None if unknown."""
    bench: str
    """Benchmark name."""
    bench_version: str
    """Its version."""
    n_problems: int
    """Problems drawn."""
    n_total: int
    """Problems the benchmark has."""
    reader: str
    """The chosen reader."""
    margin: float
    """Smallest gain that counts as material, 0..1."""
    cells: tuple[Cell, ...]
    """Every arm, controls first, in the order asked."""
    verdicts: tuple[Verdict, ...]
    """One for each arm that is not a control only."""
    notes: tuple[str, ...]
    """Warnings a reader of the report must see, e.g. failed attempts left out."""
    transitions: tuple[Transition, ...] = ()
    """For arms that correct themselves, one for each round."""
    votes: tuple[VoteCurve, ...] = ()
    """For arms that vote."""
    trends: tuple[Trend, ...] = ()
    """Of arms that differ in one number alone, three or more of them."""
    interactions: tuple[Interaction, ...] = ()
    """Whether thinking changes what prompts add, where a strategy ran at several settings."""
    sweeps: tuple[Sweep, ...] = ()
    """Of strategies that ran at three or more settings of an ordered parameter."""
    audits: tuple[Audit, ...] = ()
    """One for each arm, in the order of ``cells``."""
    is_sequential: bool = False
    """Whether the intervals of the gains are confidence sequences, which may be looked at all
    along, and their p-values likewise."""
    n_refused_for_good: int = 0
    """Of the failed attempts, those whose prompts a server refuses; they are not tried again."""
    is_unwalled: bool = False
    """Whether code that the model wrote ran without a sandbox: it could see the answers."""
    address: str | None = None
    """Where the model was asked, if that is no provider's own address."""
    why_failed: str | None = None
    """The most common reason of its failed attempts; None: none failed."""
    ended_by: Literal["budget", "decided"] | None = None
    """Why the run ended before all its problems were done; None: it did not."""
    following: tuple[Following, ...] = ()
    """For arms with flipped labels, by exemplars of each label and the share flipped."""
    symbol_means: tuple[SymbolMean, ...] = ()
    """Where symbols of several sets stand in place of the labels: the mean over the sets."""
    repeats: tuple[Repeats, ...] = ()
    """For arms with several samples of a problem, for k = 1, 2, 4, ... samples."""
    difficulty: tuple[Difficulty, ...] = ()
    """One for each verdict, where the problems fall into two or more groups by number of steps."""
    chains: tuple[ChainStep, ...] = ()
    """Where chains of equations go wrong, by arm and step; empty where none are judged."""
    metrics: tuple[MetricResult, ...] = ()
    """The same outputs, measured in other ways; empty if only exact match is there."""
    bias: tuple[Bias, ...] = ()
    """For benchmarks of stereotypes: arms by condition, then the same by category."""
    bias_changes: tuple[BiasChange, ...] = ()
    """For benchmarks of stereotypes: each pair of ``verdicts`` and condition."""
    server: Mapping[str, str] = field(default_factory=dict[str, str])
    """What a server said of itself: ``model`` (served, with its fingerprint), ``engine``,
    ``version``, ``window`` in tokens, ``slots`` side by side; empty: nothing, or there is none."""
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    """What its run was made with: command, version, model, options, prompts; empty: of no run."""
    n_shot: Mapping[str, int] = field(default_factory=dict[str, int])
    """Arm -> exemplars that its prompts show; an arm that is not there: unknown."""
    disagreements: tuple[Disagreement, ...] = ()
    """Of arms that other tools scored: problems on which they differ, and why."""
    decision: Decision | None = None
    """Which arm to use; None: what they cost is not known, or the run was looked at all along."""


# A comparison with the samples that it was made from: what a page shows.


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleAttempt:
    """One attempt of one arm, as the sample browser shows it."""

    arm: str
    """One of the arms of the comparison's ``cells``."""
    outcome: Outcome
    """By the reader that the run chose."""
    text: str
    """What the readers read; empty if failed."""
    readings: Mapping[str, Reading]
    """Reader name -> what it read; empty if failed."""
    correct_by: Mapping[str, bool]
    """Reader name -> whether that equals the gold answer; empty if failed."""
    error: str | None
    """Why it failed, or why it holds no answer."""
    n_generated_tokens: int | None
    """Over all turns; None if unknown."""
    drafts: tuple[tuple[Outcome, str], ...]
    """Earlier rounds, or all the samples of a vote: outcome and text of each."""
    thoughts: tuple[str, ...] = ()
    """What was reasoned apart from the text, completion by completion; empty: nothing was."""
    n_reasoning_tokens: int | None = None
    """Of the generated tokens; None: unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSample:
    """One problem and what the arms made of it."""

    problem: Problem
    """With its gold answer: the page is for people."""
    takes: tuple[SampleAttempt, ...]
    """At most one for each arm; an arm that has none was not asked."""


PromptsByArm: TypeAlias = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""Of each arm its name and the messages of a prompt; a message is (role, text)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRun:
    """One run on a page."""

    comparison: Comparison
    """What the analysis found."""
    samples: tuple[PageSample, ...]
    """In the order of the benchmark; empty: the page has no sample browser for it."""
    prompts: PromptsByArm = ()
    """The first prompt of each arm, for the first problem."""
