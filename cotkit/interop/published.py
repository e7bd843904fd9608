"""Tables typed from papers that ship with cotkit: ``published/``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cotkit.analysis.scale.grid import Axis
from cotkit.analysis.scale.values import PublishedCurve
from cotkit.errors import UnknownNameError, UsageError
from cotkit.interop.csv_file import RATES, CsvRow, read_rates, read_rows
from cotkit.interop.results import LadderResults, Result, is_rate, make_ladders, to_rate
from cotkit.paths import resource
from cotkit.registry import parse_spec
from cotkit.scoring.chance import CHANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """One entry of ``published/tables.toml``."""

    name: str
    """The name that users write."""
    title: str
    """What it shows, in one line."""
    paper: str
    """Authors, year, number, tables."""
    answers: tuple[str, ...]
    """Strategies analysed unless the user names others."""
    controls: Mapping[str, str]
    """Strategy -> its control."""
    n_items: Mapping[str, int]
    """Benchmark -> number of problems, for rows without one."""
    chance: Mapping[str, float]
    """Benchmark -> solve rate of guessing, the control where that is ``chance``."""
    axis: Axis = "params"
    """What size means unless the user says it; ``ordinal`` where sizes were never published."""
    strategies_here: Mapping[str, str] = field(default_factory=dict[str, str])
    """Strategy of the paper -> the spec here that asks as it did."""
    benches_here: Mapping[str, str] = field(default_factory=dict[str, str])
    """Benchmark of the paper -> the spec here of the same problems."""


def load_tables() -> dict[str, PublishedTable]:
    """Return every table by its name."""
    text = resource("published/tables.toml").read_text(encoding="utf-8")
    tables: dict[str, dict[str, Any]] = tomllib.loads(text)
    return {
        name: PublishedTable(
            name=name,
            title=fields["title"],
            paper=fields["paper"],
            answers=tuple(fields["answers"]),
            controls=fields["controls"],
            n_items=fields["n_items"],
            chance=fields.get("chance", {}),
            axis=fields.get("axis", "params"),
            strategies_here=fields.get("strategies_here", {}),
            benches_here=fields.get("benches_here", {}),
        )
        for name, fields in tables.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedThreshold:
    """From which size on authors say that something emerges; they give no interval."""

    ability: str
    """A task, or a strategy."""
    is_strategy: bool
    """Whether it is a way of prompting or tuning, not a task."""
    model: str
    """The smallest model that the authors count as having it."""
    n_params: int
    """Its parameters."""
    train_flops: float
    """Its training compute."""
    source: str
    """Paper and table."""


def load_thresholds() -> list[ClaimedThreshold]:
    """Return the claims of Wei et al. 2022 (arXiv:2206.07682, Table 1), in its order."""
    return [
        ClaimedThreshold(
            ability=row.need("bench"),
            is_strategy=row.need("strategy") == "strategy",
            model=row.need("model"),
            n_params=row.count("params") or 0,
            train_flops=row.number("value"),
            source=row.need("source"),
        )
        for row in read_rows(resource("published/thresholds2022.csv"))
    ]


def find_table(name: str) -> PublishedTable:
    """Return the table of a name; case, ``-`` and ``_`` do not matter.

    Raises:
        UnknownNameError: there is none.
    """
    tables = load_tables()
    for table in tables.values():
        if normalise_name(table.name) == normalise_name(name):
            return table
    raise UnknownNameError("published table", name, tables)


def load_ladders(
    name: str,
    *,
    bench: str | None = None,
    family: str | None = None,
    strategies: Sequence[str] = (),
    baseline: str | None = None,
    include_unverified: bool = False,
    params: Mapping[str, int] | None = None,
    keeps_single: bool = False,
) -> list[LadderResults]:
    """Return the ladders of a table, one for each family and benchmark with the strategies.

    Args:
        name: Of the table.
        bench: Only this benchmark; None: every one.
        family: Only this family; None: every one. With neither, results at one size are left out.
        strategies: Only these; empty: the table's own ``answers``.
        baseline: The control of all, or ``chance``; None: the controls of the table.
        include_unverified: Whether rows that were not checked count, too.
        params: Model -> parameters, by the user.
        keeps_single: Whether results at one size stay in any case.

    Raises:
        UnknownNameError: no such table, benchmark, family or strategy.
        UsageError: only unverified rows, or none with a number of problems.
    """
    table = find_table(name)
    path = resource(f"published/{table.name}.csv")
    rows = read_rows(path, (*RATES, "family", "bench", "status"))
    rows = [row for row in rows if is_rate(row.need("metric"))]
    rows = _filter_rows(rows, "bench", bench, "benchmark")
    rows = _filter_rows(rows, "family", family, "family")
    controls = table.controls
    if baseline is not None:
        arms = dict.fromkeys(row.need("strategy") for row in rows)
        control = _match_strategy(baseline, table, [*arms, CHANCE])
        controls = dict.fromkeys(arms, control)
    answers = tuple(_match_strategy(name, table, controls) for name in strategies) or table.answers
    arms_needed = {*answers, *(controls[arm] for arm in answers)}
    rows = [row for row in rows if row.need("strategy") in arms_needed]
    counted, notes = _usable_rows(table, rows, include_unverified=include_unverified)
    ladders = [
        replace(ladder, controls={arm: controls[arm] for arm in answers})
        for ladder in make_ladders(list(_read_results(counted, path, table)), params)
        if any(_has_pair(ladder, arm, controls[arm]) for arm in answers)
    ]
    if all(controls[arm] == CHANCE for arm in answers):
        ladders, notes = _keep_known_chance(table, ladders, notes)
    if not ladders:
        raise UsageError(f"{table.name}: no model here has both a strategy and its control")
    curves = [ladder for ladder in ladders if len(ladder.grid.rungs) > 1]
    everything = bench is None and family is None and not keeps_single
    if curves and everything and (n := len(ladders) - len(curves)):
        notes.append(f"{n} results at one size only are left out (--bench or --family shows them)")
        ladders = curves
    return [replace(ladder, notes=(*notes, *ladder.notes)) for ladder in ladders]


def _read_results(rows: Sequence[CsvRow], path: Path, table: PublishedTable) -> Iterator[Result]:
    """Yield the results of a table, with what guessing solves of their benchmarks."""
    chances = {
        normalise_name(bench): chance
        for bench, chance in tomllib.loads(
            resource("published/chance.toml").read_text(encoding="utf-8")
        ).items()
    }
    for result in read_rates(rows, path, sizes=table.n_items):
        chance = table.chance.get(result.bench, chances.get(normalise_name(result.bench)))
        yield result if chance is None else replace(result, chance=chance)


def _keep_known_chance(
    table: PublishedTable, ladders: Sequence[LadderResults], notes: Sequence[str]
) -> tuple[list[LadderResults], list[str]]:
    """Return the ladders whose chance is known, and the notes with one on the others.

    Raises:
        UsageError: it is known of none.
    """
    usable = [ladder for ladder in ladders if ladder.grid.guess is not None]
    others = sorted({ladder.grid.bench for ladder in ladders if ladder.grid.guess is None})
    if not usable:
        raise UsageError(
            f"{table.name}: what guessing solves is not known of {', '.join(others)}",
            hint="published/chance.toml lists the benchmarks of which it is",
        )
    left_out = f"left out, what guessing solves is not known: {', '.join(others)}"
    return usable, [*notes, *([left_out] if others else [])]


def _usable_rows(
    table: PublishedTable, rows: Sequence[CsvRow], *, include_unverified: bool
) -> tuple[list[CsvRow], list[str]]:
    """Return the rows that count, and notes on the others."""
    sure = [row for row in rows if include_unverified or not is_unverified(row)]
    if not sure:
        hint = "--include-unverified" if rows else f"strategies: {', '.join(table.controls)}"
        raise UsageError(f"{table.name} has no such row that was verified", hint=hint)
    counted = [row for row in sure if row.n_items or row.need("bench") in table.n_items]
    if not counted:
        hint = "an interval needs it: choose another --bench"
        raise UsageError(f"{table.name}: the paper does not give the number of problems", hint=hint)
    notes = [f"published: {table.paper}"]
    if n := sum(map(is_unverified, sure)):
        notes.append(f"{n} of {len(sure)} rows are unverified: from memory, not from the paper")
    if n := len(rows) - len(sure):
        notes.append(f"{n} unverified rows are left out (--include-unverified counts them)")
    if n := len(sure) - len(counted):
        notes.append(f"{n} rows are left out: the paper does not give their number of problems")
    return counted, notes


def _match_strategy(strategy: str, table: PublishedTable, names: Iterable[str]) -> str:
    for name in names:
        if normalise_name(name) == normalise_name(strategy):
            return name
    raise UnknownNameError(f"strategy of {table.name}", strategy, names)


def is_unverified(row: CsvRow) -> bool:
    """Return whether a row was not checked, by its status."""
    return not row.fields["status"].startswith(("verified", "computed"))


def _filter_rows(rows: list[CsvRow], column: str, value: str | None, kind: str) -> list[CsvRow]:
    if value is None:
        return rows
    matching = [row for row in rows if normalise_name(row.need(column)) == normalise_name(value)]
    if not matching:
        raise UnknownNameError(kind, value, {row.need(column) for row in rows})
    return matching


def _has_pair(ladder: LadderResults, arm: str, control: str) -> bool:
    cells = ladder.grid.cells
    needed = {arm, control} - {CHANCE}
    return any({(rung.model, name) for name in needed} <= set(cells) for rung in ladder.grid.rungs)


def find_curves(name: str, bench: str, arms: Iterable[str]) -> tuple[PublishedCurve, ...]:
    """Return what a table has of arms on a benchmark; rows that were not checked are left out.

    Args:
        name: Of the table.
        bench: Benchmark spec, as the user wrote it.
        arms: Strategy specs.

    Raises:
        UnknownNameError: no such table.
    """
    table = find_table(name)
    benches = {name for name, spec in table.benches_here.items() if _is_same_spec(spec, bench)}
    arm_of = {
        strategy: arm
        for arm in arms
        for strategy, spec in table.strategies_here.items()
        if _is_same_spec(spec, arm)
    }
    curves: dict[tuple[str, str], list[tuple[str, int | None, float]]] = {}
    for row in read_rows(resource(f"published/{table.name}.csv"), (*RATES, "status")):
        arm, metric = arm_of.get(row.need("strategy")), row.need("metric")
        if arm and row.need("bench") in benches and is_rate(metric) and not is_unverified(row):
            rate = to_rate(metric, row.number("value"), row.place)
            point = row.need("model"), row.count("params"), rate
            curves.setdefault((row.fields.get("family") or "?", arm), []).append(point)
    return tuple(
        PublishedCurve(family=family, arm=arm, points=tuple(points), source=table.paper)
        for (family, arm), points in curves.items()
    )


def _is_same_spec(spec: str, other: str) -> bool:
    """Return whether two specs mean the same, but for parameters that only the second has."""
    first, second = parse_spec(spec), parse_spec(other)
    return first.name == second.name and first.params.items() <= second.params.items()


def normalise_name(name: str) -> str:
    """Return a name without case, hyphens, underscores and spaces."""
    return name.strip().lower().replace("-", "").replace("_", "").replace(" ", "")
