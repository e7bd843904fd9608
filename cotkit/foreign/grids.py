"""Results of any files -> grids: one for each benchmark and each family that the files name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from cotkit.analysis.scale.inputs import Cell, Grid, Outcomes, Totals
from cotkit.foreign.sizes import rung
from cotkit.foreign.values import Ladder, Result, Scored

if TYPE_CHECKING:
    from cotkit.analysis.scale.inputs import Floats


def ladders(results: Sequence[Result], params: Mapping[str, int] | None = None) -> list[Ladder]:
    """Put results in order; ``params``: sizes that the user gave, model -> parameters.

    Families that tables name are kept apart. All other results make one ladder, as the user asked
    for them together. Where one cell of a ladder is a rate only, all of its cells become rates.

    Raises:
        BadInputError: one cell twice with two values, two versions of a task, or arms of one model
            that share no problem.
    """
    groups: dict[tuple[str, str | None], list[Result]] = {}
    for one in results:
        groups.setdefault((one.bench, one.ladder), []).append(one)
    return [_ladder(bench, family, of, params or {}) for (bench, family), of in groups.items()]


def _ladder(
    bench: str, family: str | None, results: Sequence[Result], params: Mapping[str, int]
) -> Ladder:
    _check_versions(results)
    cells: dict[tuple[str, str], Result] = {}
    for one in results:
        key = one.model, one.arm
        before = cells.get(key)
        if before is None:
            cells[key] = one
        elif before.of != one.of:
            raise one.place.bad(
                f"{one.model}, {one.arm}, {bench}: a second result, unlike the first",
                hint=f"the first is at {_where(before)}; leave one out",
            )
    notes = [note for one in results for note in one.notes]
    arms = tuple(dict.fromkeys(one.arm for one in results))
    of = {key: one.of for key, one in cells.items()}
    n_rates = sum(isinstance(one, Totals) for one in of.values())
    if 0 < n_rates < len(of):
        notes.append("some results are rates only, so no problems are paired: Newcombe throughout")
    ids: tuple[str, ...] = ()
    if n_rates == 0:
        ids = _shared(list(cells.values()))
        made: dict[tuple[str, str], Cell] = {
            key: _outcomes(one, ids) for key, one in of.items() if not isinstance(one, Totals)
        }
    else:
        made = {key: one if isinstance(one, Totals) else _totals(one) for key, one in of.items()}
    models = {one.model: one.size for one in results}
    rungs = tuple(rung(model, size, params) for model, size in models.items())
    unknown = [one.model for one in rungs if one.n_params is None]
    if unknown:
        notes.append(f"size unknown: {', '.join(unknown)} (--params MODEL=7B says it)")
    grid = Grid(bench=bench, rungs=rungs, cells=made, problem_ids=ids)
    return Ladder(family=family, grid=grid, arms=arms, notes=tuple(dict.fromkeys(notes)))


def _check_versions(results: Sequence[Result]) -> None:
    seen: dict[str, Result] = {}
    for one in results:
        if one.version is None:
            continue
        first = seen.setdefault(one.version[0], one)
        if first.version != one.version:
            raise one.place.bad(
                f"{' '.join(one.version)}, but another version in {_where(first)}",
                field="version",
                hint="results of two versions of a task are not compared",
            )


def _shared(results: Sequence[Result]) -> tuple[str, ...]:
    """Every problem of any result, in the order met; arms of one model must share some."""
    ids: dict[str, None] = {}
    by_model: dict[str, Result] = {}
    for one in results:
        assert not isinstance(one.of, Totals)
        first = by_model.setdefault(one.model, one)
        assert not isinstance(first.of, Totals)
        if first.of.keys().isdisjoint(one.of):
            raise one.place.bad(
                f"{one.model}: {one.arm} has no problem in common with {first.arm}",
                hint=f"{first.arm} is at {_where(first)}; ids are like {next(iter(first.of), '?')}",
            )
        ids |= dict.fromkeys(one.of)
    return tuple(ids)


def _outcomes(scored: Mapping[str, Scored], ids: Sequence[str]) -> Outcomes:
    rows = [scored.get(of) for of in ids]
    names = dict.fromkeys(name for row in scored.values() for name in row.metrics)
    costs = {
        name: _column([math.nan if row is None else getattr(row, name) for row in rows])
        for name in ("tokens", "usd", "seconds")
        if all(getattr(row, name) is not None for row in scored.values())
    }
    return Outcomes(
        correct=_column([math.nan if row is None else row.correct for row in rows]),
        metrics={
            name: _column(
                [math.nan if row is None else row.metrics.get(name, math.nan) for row in rows]
            )
            for name in names
        },
        tokens=costs.get("tokens"),
        usd=costs.get("usd"),
        seconds=costs.get("seconds"),
    )


def _column(values: Iterable[float]) -> Floats:
    import numpy as np

    return np.array(list(values), dtype=np.float64)


def _totals(scored: Mapping[str, Scored]) -> Totals:
    done = [row.correct for row in scored.values() if not math.isnan(row.correct)]
    return Totals(rate=sum(done) / len(done) if done else math.nan, n=len(done))


def _where(one: Result) -> str:
    return one.place.file if one.place.line is None else f"{one.place.file}:{one.place.line}"
