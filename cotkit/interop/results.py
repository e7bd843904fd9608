"""Results of files, and the ladders that they make: values, sizes, pairs of arms, metrics."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cotkit.analysis.scale.grid import (
    ArmOutcomes,
    ArmTotals,
    Cell,
    GuessRates,
    ResultGrid,
    Rung,
)
from cotkit.errors import BadInputError, Location, UnknownNameError, UsageError
from cotkit.models.catalogue import find_by_last_parts
from cotkit.registry import entries, parse_spec
from cotkit.scoring.chance import CHANCE

if TYPE_CHECKING:
    from cotkit.analysis.scale.grid import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """The size of a model, as far as a file gives it."""

    family: str | None = None
    """As the file names it; None: not given."""
    n_params: int | None = None
    """Total parameters; None: not given."""
    train_flops: float | None = None
    """Training compute; None: not given."""


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
    cluster: str | None = None
    """Problems that share this name are not independent; None: on its own."""
    chance: float | None = None
    """What guessing solves, 0..1; None if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One arm of one model on one benchmark."""

    place: Location
    """Where it was read."""
    model: str
    """As the file names it."""
    bench: str
    """As the file or the user names it."""
    arm: str
    """The strategy, as the file or the user names it."""
    size: ModelSize
    """The size of the model."""
    scores: ArmTotals | Mapping[str, ProblemScore]
    """A rate, or every problem by its id."""
    ladder: str | None = None
    """The family that a table names; None: none. Results of two ladders are never on one curve."""
    version: tuple[str, str] | None = None
    """Task and its version, where the file gives them: two versions are not compared."""
    notes: tuple[str, ...] = ()
    """What was chosen where the file left a choice."""
    chance: float | None = None
    """Of a rate: what guessing solves, 0..1; None if unknown."""


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
    """What a reader must know of how the files were read."""
    controls: Mapping[str, str] | None = None
    """Arm -> control, as a published table has it; None: no table has it."""


def make_ladders(
    results: Sequence[Result], params: Mapping[str, int] | None = None
) -> list[LadderResults]:
    """Make a ladder of the results of each benchmark and each family that the files name.

    Families that tables name are kept apart. All other results make one ladder, as the user asked
    for them together. Where one cell of a ladder is a rate only, all of its cells become rates.
    ``params``: sizes that the user gave, model -> parameters.

    Raises:
        BadInputError: one cell twice with two values, two versions of a task, or arms of one model
            that share no problem.
    """
    groups: dict[tuple[str, str | None], list[Result]] = {}
    for result in results:
        groups.setdefault((result.bench, result.ladder), []).append(result)
    return [
        _build_ladder(bench, family, group, params or {})
        for (bench, family), group in groups.items()
    ]


def _build_ladder(
    bench: str, family: str | None, results: Sequence[Result], params: Mapping[str, int]
) -> LadderResults:
    _check_versions(results)
    firsts: dict[tuple[str, str], Result] = {}
    for result in results:
        first = firsts.setdefault((result.model, result.arm), result)
        if first.scores != result.scores:
            raise result.place.make_error(
                f"{result.model}, {result.arm}, {bench}: a second result, unlike the first",
                hint=f"the first is at {_format_place(first)}; leave one out",
            )
    notes = [note for result in results for note in result.notes]
    guess = _find_guess(results)
    firsts = {key: result for key, result in firsts.items() if result.arm != CHANCE}
    arms = tuple(dict.fromkeys(result.arm for result in firsts.values()))
    by_cell = {key: result.scores for key, result in firsts.items()}
    n_rates = sum(isinstance(scores, ArmTotals) for scores in by_cell.values())
    if 0 < n_rates < len(by_cell):
        notes.append("some results are rates only, so no problems are paired: Newcombe throughout")
    ids: tuple[str, ...] = ()
    if n_rates == 0:
        ids = _collect_problem_ids(list(firsts.values()))
        cells: dict[tuple[str, str], Cell] = {
            key: _make_outcomes(scores, ids)
            for key, scores in by_cell.items()
            if not isinstance(scores, ArmTotals)
        }
    else:
        cells = {
            key: scores if isinstance(scores, ArmTotals) else _make_totals(scores)
            for key, scores in by_cell.items()
        }
    models = {result.model: result.size for result in firsts.values()}
    rungs = tuple(make_rung(model, size, params) for model, size in models.items())
    unknown = [rung.model for rung in rungs if rung.n_params is None]
    if unknown:
        notes.append(f"size unknown: {', '.join(unknown)} (--params MODEL=7B gives it)")
    grid = ResultGrid(
        bench=bench,
        rungs=rungs,
        cells=cells,
        problem_ids=ids,
        clusters=_collect_clusters(list(firsts.values()), ids),
        guess=_guess_rates(guess, ids),
    )
    return LadderResults(family=family, grid=grid, arms=arms, notes=tuple(dict.fromkeys(notes)))


def _find_guess(results: Sequence[Result]) -> Mapping[str, float] | float | None:
    """Return what guessing solves of each problem, or of a rate; None: some result does not say.

    An arm that is called ``chance`` is that, and is no arm.

    Raises:
        BadInputError: two results differ in it.
    """
    of_rates: dict[float, Result] = {}
    of_problems: dict[str, tuple[float, Result]] = {}
    for result in sorted(results, key=lambda result: result.arm != CHANCE):
        if isinstance(result.scores, ArmTotals):
            chance = result.scores.rate if result.arm == CHANCE else result.chance
            if chance is not None:
                of_rates.setdefault(chance, result)
            continue
        for problem, score in result.scores.items():
            chance = score.correct if result.arm == CHANCE else score.chance
            if chance is None:
                continue
            first, other = of_problems.setdefault(problem, (chance, result))
            if first != chance:
                raise _differing_chance(result, other)
    if len(of_rates) > 1:
        first, second, *_ = of_rates.values()
        raise _differing_chance(second, first)
    needed = {
        problem
        for result in results
        if not isinstance(result.scores, ArmTotals)
        for problem in result.scores
    }
    if of_rates and not needed:
        return next(iter(of_rates))
    return (
        {p: chance for p, (chance, _) in of_problems.items()}
        if needed <= of_problems.keys()
        else None
    )


def _differing_chance(result: Result, other: Result) -> BadInputError:
    return result.place.make_error(
        f"another chance than at {_format_place(other)}",
        field="chance",
        hint="guessing solves the same whatever model and strategy",
    )


def _guess_rates(
    guess: Mapping[str, float] | float | None, ids: Sequence[str]
) -> GuessRates | None:
    if guess is None or (guess == {} and not ids):
        return None
    if isinstance(guess, Mapping):
        return GuessRates(rates=_column(guess[name] for name in (ids or guess)))
    return GuessRates(rates=_column([guess]))


def _collect_clusters(results: Sequence[Result], ids: Sequence[str]) -> tuple[str, ...] | None:
    """Return the cluster of each problem, itself where it has none; None: none has any.

    Raises:
        BadInputError: one problem is in two clusters.
    """
    clusters: dict[str, tuple[str | None, Result]] = {}
    for result in results:
        if isinstance(result.scores, ArmTotals):
            continue
        for problem, score in result.scores.items():
            first, other = clusters.setdefault(problem, (score.cluster, result))
            if first is None:
                clusters[problem] = score.cluster, result
            elif score.cluster not in {first, None}:
                raise result.place.make_error(
                    f"{problem} is in another cluster at {_format_place(other)}",
                    field="cluster",
                    hint="a problem is in one cluster, the same in every arm",
                )
    if not any(clusters[name][0] for name in ids):
        return None
    return tuple(clusters[name][0] or name for name in ids)


def _check_versions(results: Sequence[Result]) -> None:
    first_of_task: dict[str, Result] = {}
    for result in results:
        if result.version is None:
            continue
        first = first_of_task.setdefault(result.version[0], result)
        if first.version != result.version:
            raise result.place.make_error(
                f"{' '.join(result.version)}, but another version in {_format_place(first)}",
                field="version",
                hint="results of two versions of a task are not compared",
            )


def _collect_problem_ids(results: Sequence[Result]) -> tuple[str, ...]:
    """Return every problem of any result, in their order; arms of one model must share some."""
    ids: dict[str, None] = {}
    by_model: dict[str, Result] = {}
    for result in results:
        assert not isinstance(result.scores, ArmTotals)
        first = by_model.setdefault(result.model, result)
        assert not isinstance(first.scores, ArmTotals)
        if first.scores.keys().isdisjoint(result.scores):
            raise result.place.make_error(
                f"{result.model}: {result.arm} has no problem in common with {first.arm}",
                hint=(
                    f"{first.arm} is at {_format_place(first)}; ids are like"
                    f" {next(iter(first.scores), '?')}"
                ),
            )
        ids |= dict.fromkeys(result.scores)
    return tuple(ids)


def _make_outcomes(scores: Mapping[str, ProblemScore], ids: Sequence[str]) -> ArmOutcomes:
    rows = [scores.get(problem_id) for problem_id in ids]
    names = dict.fromkeys(name for score in scores.values() for name in score.metrics)
    costs = {
        name: _column([math.nan if row is None else getattr(row, name) for row in rows])
        for name in ("tokens", "usd", "seconds")
        if all(getattr(score, name) is not None for score in scores.values())
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


def _make_totals(scores: Mapping[str, ProblemScore]) -> ArmTotals:
    values = [score.correct for score in scores.values() if not math.isnan(score.correct)]
    return ArmTotals(rate=sum(values) / len(values) if values else math.nan, n=len(values))


def _format_place(result: Result) -> str:
    place = result.place
    return str(place.file) if place.line is None else f"{place.file}:{place.line}"


# The size of a model: as the user gave it, else as the file has it, else as the catalogue has it.
def make_rung(model: str, size: ModelSize, params: Mapping[str, int]) -> Rung:
    """Make the rung of a model: sizes of the user first, then of the file, then the catalogue."""
    entry = find_by_last_parts(model)
    n_params = params.get(model, size.n_params)
    is_mixture = entry is not None and entry.n_active_params != entry.n_params
    return Rung(
        model=model,
        family=size.family or (entry.family if entry else None),
        n_params=n_params or (entry.n_params if entry else None),
        n_active_params=entry.n_active_params if entry and is_mixture else None,
        train_flops=size.train_flops or (entry.training_flops if entry else None),
        train_tokens=entry.training_tokens if entry else None,
        flops_is_bound=bool(entry and size.train_flops is None and entry.training_tokens_is_bound),
    )


# Which arm is measured against which, where results come from files.
_PLAIN = frozenset({"standard", "direct", "baseline", "zero-shot", "few-shot", "generate"})
"""Names that others give to prompting without reasoning."""


def pair_arms(
    arms: Sequence[str],
    *,
    strategies: Sequence[str] = (),
    baseline: str | None = None,
    controls: Mapping[str, str] | None = None,
) -> tuple[tuple[str, str], ...]:
    """Return (arm, control) for every arm that has one.

    The control is the baseline if one is named; else the one in ``controls``; else that of cotkit's
    strategy of that name; else the only arm with a name like ``standard``.

    Args:
        arms: Every arm of the results.
        strategies: Only these; empty: every arm that has a control.
        baseline: The control of all arms; ``chance`` is none of them.
        controls: Arm -> control, as a published table has it.

    Raises:
        UnknownNameError: a strategy or the baseline is no arm.
        UsageError: no pair, or a strategy that was named has no control here.
    """
    for name in (*strategies, *([baseline] if baseline else [])):
        if name not in arms and not (name == baseline == CHANCE):
            is_baseline = name == baseline and name not in strategies
            raise UnknownNameError("arm", name, [*arms, *([CHANCE] if is_baseline else [])])
    control_of = controls if controls is not None else _find_controls(arms)
    pairs: list[tuple[str, str]] = []
    for arm in strategies or arms:
        control = baseline or control_of.get(arm)
        if control is not None and control in {*arms, CHANCE} and control != arm:
            pairs.append((arm, control))
        elif strategies:
            hint = f"--baseline one of: {', '.join(name for name in arms if name != arm) or 'none'}"
            raise UsageError(f"what is {arm} measured against?", hint=hint)
    if not pairs:
        hint = f"--baseline ARM; arms: {', '.join(arms)}"
        raise UsageError("no arm has its control among the results", hint=hint)
    return tuple(pairs)


def _find_controls(arms: Sequence[str]) -> Mapping[str, str]:
    strategy_controls = {entry.name: entry.control for entry in entries("strategy")}
    by_name = {parse_spec(arm).name: arm for arm in reversed(arms)}
    plain = [arm for arm in arms if parse_spec(arm).name in _PLAIN]
    control_of: dict[str, str] = {}
    for arm in arms:
        control = by_name.get(strategy_controls.get(parse_spec(arm).name, ""))
        if control is not None and control != arm:
            control_of[arm] = control
        elif len(plain) == 1 and arm not in plain:
            control_of[arm] = plain[0]
    return control_of


# Which metrics are a share of problems solved, and the unit of their values.
_RATE = re.compile(
    r"(?P<name>accuracy|acc|exact_match|em|solve_rate|pass@1|pass_at_1|multiple_choice_grade|"
    r"error_rate)(?:_(?!pct$|percent$)\w+?)?(?P<unit>_pct|_percent|%)?"
)

LINEAR_METRICS = ("digit_accuracy", "edit_similarity", "gold_log_prob_per_token", "steps_right")
"""Metrics that reward part of an answer, higher is better: only such can tell whether a jump is
real. The first that the results have decides."""


def is_rate(metric: str) -> bool:
    """Return whether a metric of this name is a share of problems (its count makes an interval)."""
    return _RATE.fullmatch(metric.lower()) is not None


def is_percent(metric: str) -> bool:
    """Return whether values of a metric of this name are in percent."""
    match = _RATE.fullmatch(metric.lower())
    return match is not None and bool(match["unit"])


def to_rate(metric: str, value: float, place: Location) -> float:
    """Return the share of problems solved, 0..1: percent by its name, errors turned round.

    Raises:
        BadInputError: out of range for its unit.
    """
    match = _RATE.fullmatch(metric.lower())
    assert match is not None
    share = value / 100 if match["unit"] else value
    if not 0 <= share <= 1:  # also NaN
        most = "100" if match["unit"] else "1"
        raise place.make_error(
            f"{value:g} is not in 0 to {most}",
            field="value",
            hint=f"{metric} is a fraction; percent is named {metric}_pct"
            if not match["unit"]
            else f"{metric} is percent",
        )
    return 1 - share if match["name"] == "error_rate" else share
