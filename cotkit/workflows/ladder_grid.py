"""From the runs of a ladder in the store to its results as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from cotkit.analysis.audit import contamination_rate
from cotkit.analysis.scale.grid import ArmOutcomes, Cell, ResultGrid, Rung
from cotkit.models.prices import Price
from cotkit.store import Columns, Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

_T = TypeVar("_T")

COMPANIONS: tuple[tuple[str, str, float, float], ...] = (
    ("digit_accuracy", "digit_accuracy", 0.0, 1.0),
    ("edit_similarity", "edit_similarity", 0.0, 1.0),
    ("brier_per_option", "1 - brier_per_option", 1.0, -1.0),
    ("gold_log_prob_per_token", "gold_log_prob_per_token", 0.0, 1.0),
    ("steps_right", "steps_right", 0.0, 1.0),
)
"""(metric of an attempt, name as a companion, a, b): the companion is ``a + b * metric``, so that
higher is better. These reward part of an answer; the first that both arms have decides on a jump.
"""


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
    """Who decided what is correct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderData:
    """What the store holds of a ladder."""

    grid: ResultGrid
    """As arrays."""
    n_failed: int
    """Attempts that failed or were never made, of arms that the runs have."""
    contaminated: tuple[tuple[str, str, float], ...]
    """(model, arm, share of its answers that reason) of cells left out because the arm asks for no
    reasoning and got some."""


def read_grid(store: Store, runs: Sequence[LadderRun], arms: LadderArms) -> LadderData:
    """Every cell of a ladder; an arm that a run does not have is a hole."""
    cells: dict[tuple[str, str], Cell] = {}
    steps: dict[str, int | None] = {}
    clusters: dict[str, str | None] = {}
    contaminated: list[tuple[str, str, float]] = []
    n_failed = 0
    for run in runs:
        for arm in store.arms(run.run_id):
            found = store.columns(run.run_id, arm)
            steps |= zip(found.problem_ids, found.n_steps, strict=True)
            clusters |= zip(found.problem_ids, found.clusters, strict=True)
            cell, n_missing = _make_outcomes(found, arms.problem_ids, run.price)
            n_failed += n_missing
            share = None
            if not arms.reasons[arm]:
                share = contamination_rate(store.replies(run.run_id, arm, arms.reader))
            if share is not None:
                contaminated.append((run.rung.model, arm, share))
                cell = _make_hole(len(arms.problem_ids))
            cells[run.rung.model, arm] = cell
    grid = ResultGrid(
        bench=arms.bench,
        rungs=tuple(run.rung for run in runs),
        cells=cells,
        problem_ids=arms.problem_ids,
        clusters=_cluster_names([clusters.get(one) for one in arms.problem_ids], arms.problem_ids),
        n_steps=_tuple_or_none([steps.get(one) for one in arms.problem_ids]),
    )
    return LadderData(grid=grid, n_failed=n_failed, contaminated=tuple(contaminated))


def _make_hole(n: int) -> ArmOutcomes:
    import numpy as np

    return ArmOutcomes(correct=np.full(n, np.nan))


def _make_outcomes(
    found: Columns, ids: tuple[str, ...], price: Price | None
) -> tuple[ArmOutcomes, int]:
    import numpy as np

    place = {one: i for i, one in enumerate(ids)} if found.problem_ids != ids else None
    at = None if place is None else np.array([place[one] for one in found.problem_ids], np.intp)

    def whole(values: Floats) -> Floats:
        if at is None:
            return values
        spread = np.full(len(ids), np.nan)
        spread[at] = values
        return spread

    correct = whole(found.correct)
    done = ~np.isnan(found.correct)
    metrics = {
        name: whole(np.where(done, a + b * found.metrics[metric], np.nan))
        for metric, name, a, b in COMPANIONS
        if metric in found.metrics and not np.isnan(found.metrics[metric][done]).any()
    }
    outcomes = ArmOutcomes(
        correct=correct,
        metrics=metrics,
        tokens=_known_or_none(whole(found.prompt_tokens + found.generated_tokens), correct),
        usd=None if price is None else _known_or_none(whole(_usd_column(found, price)), correct),
        seconds=_known_or_none(whole(found.seconds), correct),
    )
    return outcomes, int(np.isnan(correct).sum())


def _usd_column(found: Columns, price: Price) -> Floats:
    import numpy as np

    columns = found.prompt_tokens, found.shared_tokens, found.cache_write_tokens
    each = zip(*(one.tolist() for one in (*columns, found.generated_tokens)), strict=True)
    return np.array([price.cost(*tokens) for tokens in each], dtype=np.float64)


def _known_or_none(values: Floats, correct: Floats) -> Floats | None:
    """None if one of the attempts that were made does not say: a partial sum passes for cheap."""
    import numpy as np

    done = ~np.isnan(correct)
    return None if not done.any() or np.isnan(values[done]).any() else values


def _cluster_names(found: Sequence[str | None], ids: Sequence[str]) -> tuple[str, ...] | None:
    if not any(found):
        return None
    return tuple(one or problem for one, problem in zip(found, ids, strict=True))


def _tuple_or_none(found: Sequence[_T | None]) -> tuple[_T | None, ...] | None:
    return None if all(one is None for one in found) else tuple(found)
