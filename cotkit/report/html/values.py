"""What a page is made of: comparisons with their samples, and scale analyses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cotkit.analysis.results import Comparison
from cotkit.types import Outcome, Problem, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One problem and what the arms made of it."""

    problem: Problem
    """With its gold answer: the page is for people."""
    takes: tuple[Take, ...]
    """At most one for each arm; an arm that has none was not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One run on a page."""

    comparison: Comparison
    """What the analysis found."""
    samples: tuple[Sample, ...]
    """In the order of the benchmark; empty: the page has no sample browser for it."""


def names_of(parts: Sequence[Part]) -> list[str]:
    """What to call each run: its model, and as much more as tells it from the others."""
    runs = [part.comparison for part in parts]
    several = len({run.bench for run in runs}) > 1
    names = [f"{run.model} · {run.bench}" if several else run.model for run in runs]
    return [
        f"{name} · {run.run_id}" if names.count(name) > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]
