"""What a file of results says, before and after it is put in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cotkit.analysis.scale.inputs import Grid, Totals
from cotkit.errors import BadInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands, for errors."""

    file: str
    """Path, with the member of an archive after ``!``."""
    line: int | None = None
    """From 1; None: the file is one value."""

    def bad(self, problem: str, *, field: str | None = None, hint: str) -> BadInputError:
        """An error at this place."""
        return BadInputError(self.file, problem, line=self.line, field=field, hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a file says of a model's size."""

    family: str | None = None
    """As the file names it; None: not said."""
    n_params: int | None = None
    """Total parameters; None: not said."""
    train_flops: float | None = None
    """Training compute; None: not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One problem by one arm of one model; means over its samples."""

    correct: float
    """Share of samples that are correct, 0..1; NaN: failed."""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    """Other metrics, for all of which higher is better."""
    tokens: float | None = None
    """Prompt and generated tokens; None if unknown."""
    usd: float | None = None
    """Dollars; None if unknown."""
    seconds: float | None = None
    """Seconds the model took; None if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one arm of one model came to on one benchmark."""

    place: Place
    """Where it was read."""
    model: str
    """As the file names it."""
    bench: str
    """As the file or the user names it."""
    arm: str
    """The strategy, as the file or the user names it."""
    size: Size
    """What the file says of the model."""
    of: Totals | Mapping[str, Scored]
    """A rate, or every problem by its id."""
    ladder: str | None = None
    """Results of two ladders are never on one curve: the family that a table names; None: of the
    one that has no name."""
    version: tuple[str, str] | None = None
    """Task and its version, where the file says it: two versions of a task are not compared."""
    notes: tuple[str, ...] = ()
    """What was chosen where the file left a choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Results that may be read as one curve over size."""

    family: str | None
    """As the files name it; None: they name none."""
    grid: Grid
    """For ``cotkit.analysis.scale``."""
    arms: tuple[str, ...]
    """Every arm, in the order read."""
    notes: tuple[str, ...]
    """What a reader must know of how it was read."""
    controls: Mapping[str, str] | None = None
    """Arm -> what it is measured against, where the table says it; None: it does not."""
