"""What an analysis says, as values: reports print these and compute nothing.

All rates and gains are fractions in 0..1 (gains in -1..1), never percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cotkit.types import Outcome

Label = Literal[
    "helps", "some_help", "harms", "no_material_help", "undetermined", "upper_bound", "withheld"
]
"""Against a margin d > 0, from the interval of the gain: lower > d; lower > 0; upper < 0;
upper < d; anything else. The first that holds (SCIENCE: labels of the onset rule). ``upper_bound``,
whatever the interval: the arm sees the gold answers, so its gain is no help and is not ranked.
``withheld``, whatever the interval: the arm or its control did not do what it says (`Audit`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""
    level: float
    """Coverage it claims, e.g. 0.95."""


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
    """Discordant pairs: the arm right, the control wrong (b)."""
    n_worse: int
    """Discordant pairs: the control right, the arm wrong (c)."""
    gain: float
    """``(b - c) / n``."""
    interval: Interval
    """Tango score interval at the simultaneous (Sidak) level over the report's gains."""
    p_value: float
    """McNemar mid-p, two-sided."""
    p_holm: float
    """The same, adjusted by Holm over the report's gains."""
    label: Label
    """From ``interval`` and the margin."""
    mde: float
    """Smallest gain this n finds with power 0.8 at the control's solve rate and this level."""


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
class Comparison:
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
    audits: tuple[Audit, ...] = ()
    """One for each arm, in the order of ``cells``."""
    is_sequential: bool = False
    """Whether the intervals of the gains are confidence sequences, which may be looked at all
    along, and their p-values likewise."""
    ended_by: Literal["budget", "decided"] | None = None
    """Why the run ended before all its problems were done; None: it did not."""
    following: tuple[Following, ...] = ()
    """For arms with flipped labels, by the share flipped."""
