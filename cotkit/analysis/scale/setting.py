"""A grid and a question that fit each other, and what follows from both."""

from __future__ import annotations

from dataclasses import dataclass

from cotkit.analysis.resampling import Codes, unit_codes
from cotkit.analysis.scale.inputs import Grid, Question
from cotkit.analysis.scale.ladder import Ladder, check_question, make_ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every part of an analysis is given."""

    grid: Grid
    """The results."""
    question: Question
    """What is asked of them."""
    ladder: Ladder
    """The models in order of size."""
    codes: Codes | None
    """Cluster number of each problem; None: every problem stands alone."""

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm asked about, once, controls before what is measured against them."""
        return tuple(dict.fromkeys(x for pair in self.question.pairs for x in reversed(pair)))


def prepare(grid: Grid, question: Question) -> Setting:
    """Check both and order the models.

    Raises:
        UsageError: they cannot be analysed.
    """
    check_question(grid, question)
    names = grid.clusters
    is_clustered = names is not None and len(set(names)) < len(names)
    return Setting(
        grid=grid,
        question=question,
        ladder=make_ladder(grid, question.axis),
        codes=unit_codes(names) if names is not None and is_clustered else None,
    )
