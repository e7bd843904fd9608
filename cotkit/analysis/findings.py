"""What an analysis says beside its verdicts: one group of values for each table of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cotkit.analysis.values import Gain, Interval


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
    """What k independent samples of each problem come to."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StepGroup:
    """An arm against its control on the problems of some number of steps."""

    lowest: int
    """Fewest steps of its problems."""
    highest: int
    """Most steps of its problems."""
    n_correct: int
    """Of the ``gain.n``, solved by the arm."""
    n_control_correct: int
    """Of the ``gain.n``, solved by the control."""
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
class Measured:
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
