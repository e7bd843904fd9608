"""What a file of results says, before and after it is put in order."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from cotkit.analysis.scale.grid import ArmOutcomes, ArmTotals, Cell, ResultGrid, Rung
from cotkit.errors import BadInputError, UnknownNameError, UsageError
from cotkit.models.catalogue import CatalogueEntry, find, find_by_hub_id
from cotkit.registry import entries, parse_spec

if TYPE_CHECKING:
    from cotkit.analysis.scale.grid import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLocation:
    """Where something stands, for errors."""

    file: str
    """Path, with the member of an archive after ``!``."""
    line: int | None = None
    """From 1; None: the file is one value."""

    def bad(self, problem: str, *, field: str | None = None, hint: str) -> BadInputError:
        """An error at this place."""
        return BadInputError(self.file, problem, line=self.line, field=field, hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """What a file says of a model's size."""

    family: str | None = None
    """As the file names it; None: not said."""
    n_params: int | None = None
    """Total parameters; None: not said."""
    train_flops: float | None = None
    """Training compute; None: not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemScore:
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

    place: FileLocation
    """Where it was read."""
    model: str
    """As the file names it."""
    bench: str
    """As the file or the user names it."""
    arm: str
    """The strategy, as the file or the user names it."""
    size: ModelSize
    """What the file says of the model."""
    of: ArmTotals | Mapping[str, ProblemScore]
    """A rate, or every problem by its id."""
    ladder: str | None = None
    """Results of two ladders are never on one curve: the family that a table names; None: of the
    one that has no name."""
    version: tuple[str, str] | None = None
    """Task and its version, where the file says it: two versions of a task are not compared."""
    notes: tuple[str, ...] = ()
    """What was chosen where the file left a choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderResults:
    """Results that may be read as one curve over size."""

    family: str | None
    """As the files name it; None: they name none."""
    grid: ResultGrid
    """For ``cotkit.analysis.scale``."""
    arms: tuple[str, ...]
    """Every arm, in the order read."""
    notes: tuple[str, ...]
    """What a reader must know of how it was read."""
    controls: Mapping[str, str] | None = None
    """Arm -> what it is measured against, where the table says it; None: it does not."""


# Results of any files -> grids: one for each benchmark and each family that the files name.


def make_ladders(
    results: Sequence[Result], params: Mapping[str, int] | None = None
) -> list[LadderResults]:
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
    return [
        _build_ladder(bench, family, of, params or {}) for (bench, family), of in groups.items()
    ]


def _build_ladder(
    bench: str, family: str | None, results: Sequence[Result], params: Mapping[str, int]
) -> LadderResults:
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
                hint=f"the first is at {_format_place(before)}; leave one out",
            )
    notes = [note for one in results for note in one.notes]
    arms = tuple(dict.fromkeys(one.arm for one in results))
    of = {key: one.of for key, one in cells.items()}
    n_rates = sum(isinstance(one, ArmTotals) for one in of.values())
    if 0 < n_rates < len(of):
        notes.append("some results are rates only, so no problems are paired: Newcombe throughout")
    ids: tuple[str, ...] = ()
    if n_rates == 0:
        ids = _all_problem_ids(list(cells.values()))
        made: dict[tuple[str, str], Cell] = {
            key: _make_outcomes(one, ids)
            for key, one in of.items()
            if not isinstance(one, ArmTotals)
        }
    else:
        made = {
            key: one if isinstance(one, ArmTotals) else _make_totals(one) for key, one in of.items()
        }
    models = {one.model: one.size for one in results}
    rungs = tuple(make_rung(model, size, params) for model, size in models.items())
    unknown = [one.model for one in rungs if one.n_params is None]
    if unknown:
        notes.append(f"size unknown: {', '.join(unknown)} (--params MODEL=7B says it)")
    grid = ResultGrid(bench=bench, rungs=rungs, cells=made, problem_ids=ids)
    return LadderResults(family=family, grid=grid, arms=arms, notes=tuple(dict.fromkeys(notes)))


def _check_versions(results: Sequence[Result]) -> None:
    seen: dict[str, Result] = {}
    for one in results:
        if one.version is None:
            continue
        first = seen.setdefault(one.version[0], one)
        if first.version != one.version:
            raise one.place.bad(
                f"{' '.join(one.version)}, but another version in {_format_place(first)}",
                field="version",
                hint="results of two versions of a task are not compared",
            )


def _all_problem_ids(results: Sequence[Result]) -> tuple[str, ...]:
    """Every problem of any result, in the order met; arms of one model must share some."""
    ids: dict[str, None] = {}
    by_model: dict[str, Result] = {}
    for one in results:
        assert not isinstance(one.of, ArmTotals)
        first = by_model.setdefault(one.model, one)
        assert not isinstance(first.of, ArmTotals)
        if first.of.keys().isdisjoint(one.of):
            raise one.place.bad(
                f"{one.model}: {one.arm} has no problem in common with {first.arm}",
                hint=(
                    f"{first.arm} is at {_format_place(first)}; ids are like"
                    f" {next(iter(first.of), '?')}"
                ),
            )
        ids |= dict.fromkeys(one.of)
    return tuple(ids)


def _make_outcomes(scored: Mapping[str, ProblemScore], ids: Sequence[str]) -> ArmOutcomes:
    rows = [scored.get(of) for of in ids]
    names = dict.fromkeys(name for row in scored.values() for name in row.metrics)
    costs = {
        name: _column([math.nan if row is None else getattr(row, name) for row in rows])
        for name in ("tokens", "usd", "seconds")
        if all(getattr(row, name) is not None for row in scored.values())
    }
    return ArmOutcomes(
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


def _make_totals(scored: Mapping[str, ProblemScore]) -> ArmTotals:
    done = [row.correct for row in scored.values() if not math.isnan(row.correct)]
    return ArmTotals(rate=sum(done) / len(done) if done else math.nan, n=len(done))


def _format_place(one: Result) -> str:
    return one.place.file if one.place.line is None else f"{one.place.file}:{one.place.line}"


# How large a model is: as the user says, as the file says, as the catalogue knows.


_COUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?(?:e\+?\d{1,2})?)(?P<unit>[kmbt]?)", re.IGNORECASE)
_MOST = 10**18
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


def read_count(text: str) -> int | None:
    """``7B``, ``350M``, ``1.5e9`` or plain digits; None: no whole number from 1 to 10^18."""
    found = _COUNT.fullmatch(text.strip().replace("_", "").replace(",", ""))
    if found is None:
        return None
    value = Decimal(found["number"]) * _UNITS[found["unit"].lower()]
    return int(value) if 1 <= value <= _MOST and value == value.to_integral_value() else None


def read_sizes(given: Sequence[str]) -> dict[str, int]:
    """What ``--params MODEL=7B`` says: model -> parameters.

    Raises:
        UsageError: it says something else.
    """
    sizes: dict[str, int] = {}
    for text in given:
        model, equals, count = text.rpartition("=")
        n = read_count(count)
        if not equals or not model or n is None:
            raise UsageError(f"--params {text!r} cannot be read", hint="--params MODEL=7B")
        sizes[model] = n
    return sizes


def make_rung(model: str, size: ModelSize, given: Mapping[str, int]) -> Rung:
    """A model with what is known of it: the user's word first, then the file's, the catalogue's."""
    known = _find_in_catalogue(model)
    n_params = given.get(model, size.n_params)
    is_mixture = known is not None and known.n_active_params != known.n_params
    return Rung(
        model=model,
        family=size.family or (known.family if known else None),
        n_params=n_params or (known.n_params if known else None),
        n_active_params=known.n_active_params if known and is_mixture else None,
        train_flops=size.train_flops or (known.training_flops if known else None),
        flops_is_bound=bool(known and size.train_flops is None and known.training_tokens_is_bound),
    )


def _find_in_catalogue(model: str) -> CatalogueEntry | None:
    """Other tools write ``hf/OWNER/NAME``; the catalogue has ``OWNER/NAME`` and short names."""
    parts = model.split("/")
    for name in dict.fromkeys((model, "/".join(parts[1:]), "/".join(parts[-2:]), parts[-1])):
        if (entry := find_by_hub_id(name)) is not None:
            return entry
        try:
            return find(name)
        except UnknownNameError:
            continue
    return None


# Which arm is measured against which, where results come from files.


_PLAIN = frozenset({"standard", "direct", "baseline", "zero-shot", "few-shot"})
"""What other people call prompting without reasoning."""


def pair_arms(
    arms: Sequence[str],
    *,
    strategies: Sequence[str] = (),
    baseline: str | None = None,
    controls: Mapping[str, str] | None = None,
) -> tuple[tuple[str, str], ...]:
    """(arm, control) for every arm that has one.

    The control is the baseline if one is named; else what ``controls`` says; else that of cotkit's
    strategy of that name; else the only arm with a name like ``standard``.

    Args:
        arms: Every arm there is.
        strategies: Only these are asked about; empty: every arm that has a control.
        baseline: What all are measured against.
        controls: Arm -> control, as a published table has it.

    Raises:
        UnknownNameError: a strategy or the baseline is no arm.
        UsageError: no pair, or a strategy that was asked about has no control here.
    """
    for name in (*strategies, *([baseline] if baseline else [])):
        if name not in arms:
            raise UnknownNameError("arm", name, arms)
    known = controls if controls is not None else _controls(arms)
    found: list[tuple[str, str]] = []
    for arm in strategies or arms:
        control = baseline or known.get(arm)
        if control is not None and control in arms and control != arm:
            found.append((arm, control))
        elif strategies:
            hint = f"--baseline one of: {', '.join(one for one in arms if one != arm) or 'none'}"
            raise UsageError(f"what is {arm} measured against?", hint=hint)
    if not found:
        hint = f"--baseline ARM; arms: {', '.join(arms)}"
        raise UsageError("no arm has its control among the results", hint=hint)
    return tuple(found)


def _controls(arms: Sequence[str]) -> Mapping[str, str]:
    ours = {entry.name: entry.control for entry in entries("strategy")}
    by_name = {parse_spec(arm).name: arm for arm in reversed(arms)}
    plain = [arm for arm in arms if parse_spec(arm).name in _PLAIN]
    known: dict[str, str] = {}
    for arm in arms:
        control = by_name.get(ours.get(parse_spec(arm).name, ""))
        if control is not None and control != arm:
            known[arm] = control
        elif len(plain) == 1 and arm not in plain:
            known[arm] = plain[0]
    return known


# Which metrics are a share of problems solved, and in which unit a value is written.


_RATE = re.compile(
    r"(?P<name>accuracy|acc|exact_match|em|solve_rate|pass@1|pass_at_1|multiple_choice_grade|"
    r"error_rate)(?:_(?!pct$|percent$)\w+?)?(?P<unit>_pct|_percent|%)?"
)

LINEAR_METRICS = ("digit_accuracy", "edit_similarity", "gold_log_prob_per_token", "steps_right")
"""Metrics that reward part of an answer, higher is better: only such say whether a jump is real.
The first that there is decides."""


def is_rate(metric: str) -> bool:
    """Whether a metric of this name is a share of problems, so that its count makes an interval."""
    return _RATE.fullmatch(metric.lower()) is not None


def to_rate(metric: str, value: float, place: FileLocation) -> float:
    """The share of problems solved, 0..1: percent by its name, errors turned round.

    Raises:
        BadInputError: out of range for its unit.
    """
    found = _RATE.fullmatch(metric.lower())
    assert found is not None
    share = value / 100 if found["unit"] else value
    if not 0 <= share <= 1:  # also NaN
        most = "100" if found["unit"] else "1"
        raise place.bad(
            f"{value:g} is not in 0 to {most}",
            field="value",
            hint=f"{metric} is a fraction; percent is named {metric}_pct"
            if not found["unit"]
            else f"{metric} is percent",
        )
    return 1 - share if found["name"] == "error_rate" else share
