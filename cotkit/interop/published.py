"""Tables typed from papers that ship with cotkit: ``published/``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cotkit.errors import UnknownNameError, UsageError
from cotkit.interop.csv_file import RATES, CsvRow, read_rates, read_rows
from cotkit.interop.results import LadderResults, is_rate, make_ladders
from cotkit.paths import resource


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """What ``published/tables.toml`` says of one table."""

    name: str
    """What users write."""
    title: str
    """What it shows, in one line."""
    paper: str
    """Authors, year, number, tables."""
    answers: tuple[str, ...]
    """Strategies analysed unless others are asked for."""
    controls: Mapping[str, str]
    """Strategy -> what it is measured against."""
    n_items: Mapping[str, int]
    """Benchmark -> problems, for rows that do not say."""


def load_tables() -> dict[str, PublishedTable]:
    """Every table by its name."""
    text = resource("published/tables.toml").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = tomllib.loads(text)
    return {
        name: PublishedTable(
            name=name,
            title=fields["title"],
            paper=fields["paper"],
            answers=tuple(fields["answers"]),
            controls=fields["controls"],
            n_items=fields["n_items"],
        )
        for name, fields in found.items()
    }


def find_table(name: str) -> PublishedTable:
    """The table of this name; case, ``-`` and ``_`` do not matter.

    Raises:
        UnknownNameError: there is none.
    """
    known = load_tables()
    for one in known.values():
        if _normalise_name(one.name) == _normalise_name(name):
            return one
    raise UnknownNameError("published table", name, known)


def load_ladders(
    name: str,
    *,
    bench: str | None = None,
    family: str | None = None,
    strategies: Sequence[str] = (),
    baseline: str | None = None,
    include_unverified: bool = False,
    params: Mapping[str, int] | None = None,
) -> list[LadderResults]:
    """The ladders of a table, one for each family and benchmark that have the strategies.

    Args:
        name: Of the table.
        bench: Only this benchmark; None: every one.
        family: Only this family; None: every one. With neither, results at one size are left out.
        strategies: What is asked about; empty: the table's own ``answers``.
        baseline: What they are measured against; None: what the table says.
        include_unverified: Whether rows of unsure status count, too.
        params: Model -> parameters, by the user.

    Raises:
        UnknownNameError: no such table, benchmark, family or strategy.
        UsageError: only unverified rows, or none with a number of problems.
    """
    of = find_table(name)
    path = resource(f"published/{of.name}.csv")
    rows = read_rows(path, (*RATES, "family", "bench", "status"))
    rows = [row for row in rows if is_rate(row.need("metric"))]
    rows = _filter_rows(rows, "bench", bench, "benchmark")
    rows = _filter_rows(rows, "family", family, "family")
    controls = of.controls
    if baseline is not None:
        named = dict.fromkeys(row.need("strategy") for row in rows)
        controls = dict.fromkeys(named, _match_strategy(baseline, of, named))
    answers = tuple(_match_strategy(one, of, controls) for one in strategies) or of.answers
    wanted = {*answers, *(controls[one] for one in answers)}
    rows = [row for row in rows if row.need("strategy") in wanted]
    counted, notes = _usable_rows(of, rows, include_unverified=include_unverified)
    found = [
        replace(one, controls={arm: controls[arm] for arm in answers})
        for one in make_ladders(list(read_rates(counted, path, sizes=of.n_items)), params)
        if any(_has_pair(one, arm, controls[arm]) for arm in answers)
    ]
    if not found:
        raise UsageError(f"{of.name}: no model here has both a strategy and its control")
    curves = [one for one in found if len(one.grid.rungs) > 1]
    if curves and bench is None and family is None and (n := len(found) - len(curves)):
        notes.append(f"{n} results at one size only are left out (--bench or --family shows them)")
        found = curves
    return [replace(one, notes=(*notes, *one.notes)) for one in found]


def _usable_rows(
    of: PublishedTable, rows: Sequence[CsvRow], *, include_unverified: bool
) -> tuple[list[CsvRow], list[str]]:
    """The rows that count, and what is said of the others."""
    sure = [row for row in rows if include_unverified or not is_unverified(row)]
    if not sure:
        hint = "--include-unverified" if rows else f"strategies: {', '.join(of.controls)}"
        raise UsageError(f"{of.name} has no such row that was verified", hint=hint)
    counted = [row for row in sure if row.fields["n_items"] or row.need("bench") in of.n_items]
    if not counted:
        hint = "an interval needs it: choose another --bench"
        raise UsageError(f"{of.name}: the paper does not say of how many problems", hint=hint)
    notes = [f"published: {of.paper}"]
    if n := sum(map(is_unverified, sure)):
        notes.append(f"{n} of {len(sure)} rows are unverified: from memory, not from the paper")
    if n := len(rows) - len(sure):
        notes.append(f"{n} unverified rows are left out (--include-unverified counts them)")
    if n := len(sure) - len(counted):
        notes.append(f"{n} rows are left out: the paper does not say of how many problems they are")
    return counted, notes


def _match_strategy(strategy: str, of: PublishedTable, known: Iterable[str]) -> str:
    for one in known:
        if _normalise_name(one) == _normalise_name(strategy):
            return one
    raise UnknownNameError(f"strategy of {of.name}", strategy, known)


def is_unverified(row: CsvRow) -> bool:
    """Whether a row's status says that it was not checked."""
    return not row.fields["status"].startswith(("verified", "computed"))


def _filter_rows(rows: list[CsvRow], column: str, wanted: str | None, kind: str) -> list[CsvRow]:
    if wanted is None:
        return rows
    kept = [row for row in rows if _normalise_name(row.need(column)) == _normalise_name(wanted)]
    if not kept:
        raise UnknownNameError(kind, wanted, {row.need(column) for row in rows})
    return kept


def _has_pair(ladder: LadderResults, arm: str, control: str) -> bool:
    cells = ladder.grid.cells
    return any({(one.model, arm), (one.model, control)} <= set(cells) for one in ladder.grid.rungs)


def _normalise_name(name: str) -> str:
    return name.strip().lower().replace("-", "").replace("_", "").replace(" ", "")
