"""What an analysis is made of: intervals, cells, gains and the verdicts on them.

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
    n_samples: int | None = None
    """Attempts, where problems have several; ``outcomes`` and ``n_correct`` then count these, and
    ``solve_rate`` is the mean over problems of each one's share. None: one attempt each."""


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
