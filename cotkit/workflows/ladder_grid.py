"""Read the runs of a ladder from the store, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from cotkit.analysis.audit import contamination_rate
from cotkit.analysis.comparison import note_mute_readers
from cotkit.analysis.gains import UNREADABLE, Grading, Side, list_gradings
from cotkit.analysis.scale.grid import (
    ArmOutcomes,
    Cell,
    CountedScores,
    GuessRates,
    ResultGrid,
    Rung,
)
from cotkit.models.prices import Price
from cotkit.store import AttemptRow, Columns, Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

_T = TypeVar("_T")

COMPANIONS: tuple[tuple[str, str, float, float], ...] = (
    ("steps_right", "steps_right", 0.0, 1.0),
    ("digit_accuracy", "digit_accuracy", 0.0, 1.0),
    ("edit_similarity", "edit_similarity", 0.0, 1.0),
    ("multiple_choice_grade", "multiple_choice_grade", 0.0, 1.0),
    ("brier_per_option", "1 - brier_per_option", 1.0, -1.0),
    ("gold_log_prob_per_token", "gold_log_prob_per_token", 0.0, 1.0),
)
"""(metric of an attempt, name as a companion, a, b): the companion is ``a + b * metric``, so that
higher is better. These reward part of an answer; the first that both arms have decides on a jump:
steps where chains are judged, because digits of an answer that hangs on every step only repeat
exact match. The multiple-choice grade rewards none: it is judged beside the Brier score
(``jumps.STRICT``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderRun:
    """One run of a ladder."""

    rung: Rung
    """Its model."""
    run_id: str
    """In the store."""
    price: Price | None = None
    """What the model's tokens cost; None: unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderArms:
    """What all runs of a ladder have in common."""

    bench: str
    """As reports name it."""
    problem_ids: tuple[str, ...]
    """Planned, sorted."""
    reasons: Mapping[str, bool]
    """Every arm -> whether it asks for reasoning before the answer."""
    reader: str
    """The reader that decided what is correct."""
    answer_lengths: Mapping[str, int | None] = field(default_factory=dict[str, "int | None"])
    """Problem -> tokens of its gold answer (``scoring.measure.answer_length``)."""
    chance: Mapping[str, float] | None = None
    """Problem -> what guessing solves of it; None: nothing is measured against that."""
    may_think: frozenset[str] = frozenset()
    """Arms whose models were not told not to think."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderData:
    """What the store holds of a ladder."""

    grid: ResultGrid
    """As arrays."""
    n_failed: int
    """Attempts that failed or were never made, of arms that the runs have."""
    n_left_out: int
    """Of these, those that are not tried again unasked: a server refuses or cut their prompts."""
    contaminated: tuple[tuple[str, str, float], ...]
    """(model, arm, share of its answers that reason) of cells left out because the arm asks for no
    reasoning and got some."""
    mute_notes: tuple[str, ...] = ()
    """On readers that read nearly nothing with some model."""


def read_grid(store: Store, runs: Sequence[LadderRun], arms: LadderArms) -> LadderData:
    """Read every cell of a ladder; an arm that a run does not have is a hole."""
    cells: dict[tuple[str, str], Cell] = {}
    steps: dict[str, int | None] = {}
    clusters: dict[str, str | None] = {}
    contaminated: list[tuple[str, str, float]] = []
    mute_notes: dict[str, None] = {}
    n_failed = 0
    for run in runs:
        names = store.arms(run.run_id)
        rows = {arm: list(store.readings(run.run_id, arm)) for arm in names}
        gradings = list_gradings([row for of_arm in rows.values() for row in of_arm], arms.reader)
        mute_notes.update(dict.fromkeys(note_mute_readers(gradings)))
        for arm in names:
            columns = store.columns(run.run_id, arm)
            steps |= zip(columns.problem_ids, columns.n_steps, strict=True)
            clusters |= zip(columns.problem_ids, columns.clusters, strict=True)
            cell, n_missing = _make_outcomes(columns, arms.problem_ids, run.price)
            n_failed += n_missing
            share = None
            if not arms.reasons[arm]:
                replies = store.replies(run.run_id, arm, arms.reader)
                share = contamination_rate(replies, may_think=arm in arms.may_think)
            if share is not None:
                contaminated.append((run.rung.model, arm, share))
                cell = _make_hole(len(arms.problem_ids))
            else:
                cell = _count_otherwise(cell, rows[arm], gradings, arms.problem_ids)
            cells[run.rung.model, arm] = cell
    grid = ResultGrid(
        bench=arms.bench,
        rungs=tuple(run.rung for run in runs),
        cells=cells,
        problem_ids=arms.problem_ids,
        clusters=_cluster_names(
            [clusters.get(name) for name in arms.problem_ids], arms.problem_ids
        ),
        n_steps=_tuple_or_none([steps.get(name) for name in arms.problem_ids]),
        answer_lengths=_tuple_or_none([arms.answer_lengths.get(name) for name in arms.problem_ids]),
        guess=None if arms.chance is None else _guess_rates(arms.chance, arms.problem_ids),
    )
    return LadderData(
        grid=grid,
        n_failed=n_failed,
        n_left_out=sum(store.n_left_out(run.run_id) for run in runs),
        contaminated=tuple(contaminated),
        mute_notes=tuple(mute_notes),
    )


def average_draws(draws: Sequence[LadderData]) -> LadderData:
    """Return the mean over draws of exemplars and samples, problem by problem.

    A problem counts in a cell where every draw has it there.
    """
    first = draws[0]
    if len(draws) == 1:
        return first
    cells = {
        key: _average_cells(
            [cell for draw in draws if isinstance(cell := draw.grid.cells[key], ArmOutcomes)]
        )
        for key in first.grid.cells
        if all(key in draw.grid.cells for draw in draws)
    }
    return LadderData(
        grid=replace(first.grid, cells=cells),
        n_failed=sum(draw.n_failed for draw in draws),
        n_left_out=sum(draw.n_left_out for draw in draws),
        contaminated=tuple(dict.fromkeys(cell for draw in draws for cell in draw.contaminated)),
        mute_notes=tuple(dict.fromkeys(note for draw in draws for note in draw.mute_notes)),
    )


def _average_cells(cells: Sequence[ArmOutcomes]) -> ArmOutcomes:
    import numpy as np

    def mean(value_of: Callable[[ArmOutcomes], Floats | None]) -> Floats | None:
        """Return the mean of a column; None: not every draw has it."""
        columns = [column for cell in cells if (column := value_of(cell)) is not None]
        return None if len(columns) < len(cells) else np.mean(columns, axis=0)

    def mean_of(value_of: Callable[[ArmOutcomes], Floats]) -> Floats:
        return np.mean([value_of(cell) for cell in cells], axis=0)

    def shared(names: Callable[[ArmOutcomes], Collection[str]]) -> list[str]:
        return [name for name in names(cells[0]) if all(name in names(cell) for cell in cells)]

    return ArmOutcomes(
        correct=mean_of(lambda cell: cell.correct),
        metrics={
            name: mean_of(lambda cell, name=name: cell.metrics[name])
            for name in shared(lambda cell: cell.metrics.keys())
        },
        tokens=mean(lambda cell: cell.tokens),
        usd=mean(lambda cell: cell.usd),
        seconds=mean(lambda cell: cell.seconds),
        variants={
            name: CountedScores(
                as_arm=mean_of(lambda cell, name=name: cell.variants[name].as_arm),
                as_control=mean_of(lambda cell, name=name: cell.variants[name].as_control),
                is_lenient=cells[0].variants[name].is_lenient,
            )
            for name in shared(lambda cell: cell.variants.keys())
        },
        unreadable=mean(lambda cell: cell.unreadable),
        truncated=mean(lambda cell: cell.truncated),
    )


def _count_otherwise(
    cell: ArmOutcomes, rows: Sequence[AttemptRow], gradings: Sequence[Grading], ids: Sequence[str]
) -> ArmOutcomes:
    """Return a cell with every other way of counting it, and what of it could not be read."""
    import numpy as np

    by_problem = {row.problem_id: row for row in rows}

    def column(value_of: Callable[[AttemptRow], float | None]) -> Floats:
        values = [None if (row := by_problem.get(name)) is None else value_of(row) for name in ids]
        return np.array([np.nan if value is None else value for value in values], np.float64)

    def count(grading: Grading, side: Side) -> Floats:
        return column(
            lambda row: (
                None
                if row.outcome == "failed" and not grading.counts_failed
                else grading.is_right(row, side)
            )
        )

    def mark(outcomes: Collection[str]) -> Floats:
        return column(lambda row: None if row.outcome == "failed" else row.outcome in outcomes)

    return replace(
        cell,
        variants={
            grading.name: CountedScores(
                as_arm=count(grading, "arm"),
                as_control=count(grading, "control"),
                is_lenient=grading.is_lenient,
            )
            for grading in gradings[1:]
            if not grading.is_mute
        },
        unreadable=mark(UNREADABLE - {"truncated"}),
        truncated=mark({"truncated"}),
    )


def _guess_rates(chance: Mapping[str, float], ids: Sequence[str]) -> GuessRates:
    import numpy as np

    return GuessRates(rates=np.array([chance[name] for name in ids], dtype=np.float64))


def _make_hole(n: int) -> ArmOutcomes:
    import numpy as np

    return ArmOutcomes(correct=np.full(n, np.nan))


def _make_outcomes(
    columns: Columns, ids: tuple[str, ...], price: Price | None
) -> tuple[ArmOutcomes, int]:
    import numpy as np

    places = None
    if columns.problem_ids != ids:
        place_of = {problem: i for i, problem in enumerate(ids)}
        places = np.array([place_of[problem] for problem in columns.problem_ids], np.intp)

    def spread(values: Floats) -> Floats:
        """Return the values at the places of their problems, NaN elsewhere."""
        if places is None:
            return values
        all_values = np.full(len(ids), np.nan)
        all_values[places] = values
        return all_values

    correct = spread(columns.correct)
    is_made = ~np.isnan(columns.correct)
    metrics = {
        name: spread(np.where(is_made, a + b * columns.metrics[metric], np.nan))
        for metric, name, a, b in COMPANIONS
        if metric in columns.metrics and not np.isnan(columns.metrics[metric][is_made]).any()
    }
    outcomes = ArmOutcomes(
        correct=correct,
        metrics=metrics,
        tokens=_known_or_none(spread(columns.prompt_tokens + columns.generated_tokens), correct),
        usd=None if price is None else _known_or_none(spread(_usd_column(columns, price)), correct),
        seconds=_known_or_none(spread(columns.seconds), correct),
    )
    return outcomes, int(np.isnan(correct).sum())


def _usd_column(columns: Columns, price: Price) -> Floats:
    import numpy as np

    counts = (
        columns.prompt_tokens,
        columns.shared_tokens,
        columns.cache_write_tokens,
        columns.generated_tokens,
    )
    attempts = zip(*(column.tolist() for column in counts), strict=True)
    return np.array([price.cost(*tokens) for tokens in attempts], dtype=np.float64)


def _known_or_none(values: Floats, correct: Floats) -> Floats | None:
    """Return the values; None if one attempt does not say: a partial sum would pass for cheap."""
    import numpy as np

    is_made = ~np.isnan(correct)
    return None if not is_made.any() or np.isnan(values[is_made]).any() else values


def _cluster_names(clusters: Sequence[str | None], ids: Sequence[str]) -> tuple[str, ...] | None:
    """Return a cluster for each problem, itself where it is in none; None: none is in any."""
    if not any(clusters):
        return None
    return tuple(cluster or problem for cluster, problem in zip(clusters, ids, strict=True))


def _tuple_or_none(values: Sequence[_T | None]) -> tuple[_T | None, ...] | None:
    return None if all(value is None for value in values) else tuple(values)
