"""What an analysis says, as values: reports print these and compute nothing.

All rates and gains are fractions in 0..1 (gains in -1..1), never percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cotkit.analysis.disagreements import Disagreement
from cotkit.analysis.findings import (
    Audit,
    BesideExact,
    Bias,
    BiasChange,
    BiasCondition,
    BiasLabel,
    ChainStep,
    Difficulty,
    Direction,
    Following,
    FollowingLabel,
    Measured,
    MetricGain,
    MetricMean,
    Repeats,
    StepGroup,
    Transition,
    VoteCurve,
)
from cotkit.analysis.values import Cell, Gain, Interval, Label, Variant, Verdict

__all__ = [
    "Audit",
    "BesideExact",
    "Bias",
    "BiasChange",
    "BiasCondition",
    "BiasLabel",
    "Cell",
    "ChainStep",
    "Comparison",
    "Difficulty",
    "Direction",
    "Disagreement",
    "Following",
    "FollowingLabel",
    "Gain",
    "Interval",
    "Label",
    "Measured",
    "MetricGain",
    "MetricMean",
    "Repeats",
    "StepGroup",
    "Transition",
    "Variant",
    "Verdict",
    "VoteCurve",
]


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
    why_failed: str | None = None
    """The commonest reason of its failed attempts; None: none failed."""
    ended_by: Literal["budget", "decided"] | None = None
    """Why the run ended before all its problems were done; None: it did not."""
    following: tuple[Following, ...] = ()
    """For arms with flipped labels, by the share flipped."""
    repeats: tuple[Repeats, ...] = ()
    """For arms with several samples of a problem, for k = 1, 2, 4, ... samples."""
    difficulty: tuple[Difficulty, ...] = ()
    """One for each verdict, where the problems fall into two or more groups by number of steps."""
    chains: tuple[ChainStep, ...] = ()
    """Where chains of equations go wrong, by arm and step; empty where none are judged."""
    metrics: tuple[Measured, ...] = ()
    """The same outputs, measured in other ways; empty if only exact match is there."""
    bias: tuple[Bias, ...] = ()
    """For benchmarks of stereotypes: arms by condition, then the same by category."""
    bias_changes: tuple[BiasChange, ...] = ()
    """For benchmarks of stereotypes: each pair of ``verdicts`` and condition."""
    n_shot: Mapping[str, int] = field(default_factory=dict[str, int])
    """Arm -> exemplars that its prompts show; an arm that is not there: unknown."""
    disagreements: tuple[Disagreement, ...] = ()
    """Of arms that other tools scored: problems on which they differ, and why."""
