"""Several trainings of one size: shown one by one, and as their mean.

Models of one family and one size (seeds, checkpoints of equal tokens) become one rung whose scores
are the means over its trainings, problem by problem. What is said of it is about these models;
where every size has three or more, about the recipe: others would be as these are.
"""

from __future__ import annotations

import math
import os.path
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cotkit.analysis.gains import GainEstimate
from cotkit.analysis.scale.grid import (
    ArmOutcomes,
    ArmTotals,
    Cell,
    CountedScores,
    ResultGrid,
    Rung,
    ScaleQuestion,
    are_trainings,
    rung_position,
)
from cotkit.scoring.chance import CHANCE
from cotkit.stats.bootstrap import Codes, Floats, robust_error, sums_by_unit
from cotkit.stats.hypotheses import t_critical, t_p_value
from cotkit.stats.intervals import Interval

_EXACT = 10**12  # problems of a rate without variance
FEWEST = 3
"""Trainings of every size from which on a claim is about the recipe."""
ENOUGH = 5
"""Trainings below which such a claim is rough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainings:
    """A grid whose trainings of one size were put together."""

    grid: ResultGrid
    """One rung a size."""
    groups: Mapping[str, tuple[Rung, ...]]
    """Model of a rung of several trainings -> these, in the order given."""
    cells: Mapping[tuple[str, str], Cell]
    """(model, arm) of every single training."""
    is_recipe: bool
    """Whether every size has as many trainings as a claim about the recipe takes."""

    def cell(self, model: str, arm: str) -> Cell | None:
        """Return what one training has of an arm; of chance, what guessing solves."""
        guess = self.grid.guess
        if arm != CHANCE or guess is None:
            return self.cells.get((model, arm))
        if self.grid.problem_ids:
            return ArmOutcomes(correct=guess.rates)
        return ArmTotals(rate=float(guess.rates.mean()), n=_EXACT)


def merge_trainings(grid: ResultGrid, question: ScaleQuestion) -> Trainings:
    """Put the trainings of one size together; a grid without any comes back as it is."""
    groups = group_trainings(grid.rungs, question)
    merged = {members[0].model: _merge_rungs(members, grid.rungs) for members in groups}
    by_model = {rung.model: members for members in groups for rung in members}
    rungs: list[Rung] = []
    cells: dict[tuple[str, str], Cell] = {
        key: cell for key, cell in grid.cells.items() if key[0] not in by_model
    }
    arms = tuple(dict.fromkeys(arm for _, arm in grid.cells))
    for rung in grid.rungs:
        members = by_model.get(rung.model)
        if members is None:
            rungs.append(rung)
        elif rung is members[0]:
            mean = merged[rung.model]
            rungs.append(mean)
            complete = _complete_trainings(members, arms, grid.cells)
            for arm in arms:
                parts = [cell for r in complete if (cell := grid.cells.get((r.model, arm)))]
                if parts:
                    cells[mean.model, arm] = _merge_cells(parts)
    return Trainings(
        grid=replace(grid, rungs=tuple(rungs), cells=cells) if groups else grid,
        groups={merged[members[0].model].model: members for members in groups},
        cells=grid.cells,
        is_recipe=bool(groups) and all(rung.n_trainings >= FEWEST for rung in rungs),
    )


def group_trainings(rungs: Sequence[Rung], question: ScaleQuestion) -> list[tuple[Rung, ...]]:
    """Return the rungs of one family, size and number of training tokens, where several are."""
    axis = question.axis
    placed = [(rung, x) for i, rung in enumerate(rungs) if (x := rung_position(rung, i, axis))]
    groups: list[list[tuple[Rung, float]]] = []
    for rung, x in placed:
        for group in groups:
            first, place = group[0]
            if x == place and are_trainings(first, rung, axis, replicates=question.replicates):
                group.append((rung, x))
                break
        else:
            groups.append([(rung, x)])
    return [tuple(rung for rung, _ in group) for group in groups if len(group) > 1]


def _merge_rungs(members: Sequence[Rung], rungs: Sequence[Rung]) -> Rung:
    """Return the rung of a size: the first training's, by what the names have in common."""
    names = [rung.model for rung in members]
    stem = os.path.commonprefix(names).rstrip("-_@. (")  # noqa: RUF071 - of characters
    stem = stem.removesuffix("seed").rstrip("-_@. (")
    if not stem or stem.endswith("/"):
        stem = names[0]
    name = f"{stem} ({len(members)} trainings)"
    others = {rung.model for rung in rungs}
    while name in others:
        name = f"{name}'"
    losses = [rung.loss for rung in members if rung.loss is not None]
    return replace(
        members[0],
        model=name,
        n_trainings=len(members),
        loss=sum(losses) / len(losses) if len(losses) == len(members) else None,
    )


def _complete_trainings(
    members: Sequence[Rung], arms: Sequence[str], cells: Mapping[tuple[str, str], Cell]
) -> list[Rung]:
    """Return the trainings that have results of every arm, so that all arms are of the same."""
    return [rung for rung in members if all(_has_results(cells.get((rung.model, a))) for a in arms)]


def _has_results(cell: Cell | None) -> bool:
    if isinstance(cell, ArmTotals):
        return cell.n > 0
    return cell is not None and not np.isnan(cell.correct).all()


def _merge_cells(parts: Sequence[Cell]) -> Cell:
    """Return means over trainings; a problem that one lacks, all lack.

    The mean of several rates varies no more than one rate of as many problems as each is of.
    """
    outcomes = [part for part in parts if isinstance(part, ArmOutcomes)]
    if len(outcomes) < len(parts):
        totals = [_totals(part) for part in parts]
        rate = sum(each.rate for each in totals) / len(totals)
        return ArmTotals(rate=rate, n=min(each.n for each in totals))
    return ArmOutcomes(
        correct=np.mean([part.correct for part in outcomes], axis=0),
        metrics={
            name: np.mean([part.metrics[name] for part in outcomes], axis=0)
            for name in outcomes[0].metrics
            if all(name in part.metrics for part in outcomes)
        },
        tokens=_mean_or_none([part.tokens for part in outcomes]),
        usd=_mean_or_none([part.usd for part in outcomes]),
        seconds=_mean_or_none([part.seconds for part in outcomes]),
        variants=_merge_variants(outcomes),
        unreadable=_mean_or_none([part.unreadable for part in outcomes]),
        truncated=_mean_or_none([part.truncated for part in outcomes]),
    )


def _merge_variants(parts: Sequence[ArmOutcomes]) -> dict[str, CountedScores]:
    """Return each way of counting as the mean over trainings; empty: one does not say.

    A problem that one of them leaves out, all leave out. A way that one lacks (failed attempts,
    where none failed) counts there as its own reader does.
    """
    if not all(part.variants for part in parts):
        return {}
    lenient = {name: way.is_lenient for part in parts for name, way in part.variants.items()}
    variants: dict[str, CountedScores] = {}
    for name, is_lenient in lenient.items():
        ways = [
            part.variants.get(name)
            or CountedScores(as_arm=part.correct, as_control=part.correct, is_lenient=is_lenient)
            for part in parts
        ]
        variants[name] = CountedScores(
            as_arm=np.mean([way.as_arm for way in ways], axis=0),
            as_control=np.mean([way.as_control for way in ways], axis=0),
            is_lenient=is_lenient,
        )
    return variants


def _totals(cell: Cell) -> ArmTotals:
    if isinstance(cell, ArmTotals):
        return cell
    scores = cell.correct[~np.isnan(cell.correct)]
    return ArmTotals(rate=float(scores.mean()), n=len(scores))


def _mean_or_none(columns: Sequence[Floats | None]) -> Floats | None:
    measured = [column for column in columns if column is not None]
    return np.mean(measured, axis=0) if len(measured) == len(columns) else None


# A claim about the recipe: other trainings, and other problems.


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeError:
    """How far the mean gain of a size may lie from that of the recipe."""

    n_trainings: int
    """T."""
    gain: float
    """Mean over the trainings."""
    error: float
    """Its standard error: over trainings and over problems."""

    def detectable(self, level: float) -> float:
        """Return the smallest gain that is found with power 0.8, about; NaN: none would be."""
        df = self.n_trainings - 1
        gain = (t_critical(level, df) + t_critical(0.6, df)) * self.error
        return gain if gain < 1 else math.nan

    def widen(self, estimate: GainEstimate) -> GainEstimate:
        """Return an estimate about the recipe: never narrower than that about these models.

        Student's interval on T - 1 degrees of freedom, and the hull of both.
        """
        level, interval = estimate.interval.level, estimate.interval
        half = t_critical(level, self.n_trainings - 1) * self.error
        return GainEstimate(
            interval=Interval(
                low=max(-1.0, min(interval.low, self.gain - half)),
                high=min(1.0, max(interval.high, self.gain + half)),
                level=level,
            ),
            p_value=max(estimate.p_value, t_p_value(self.gain, self.error, self.n_trainings - 1)),
        )


def recipe_errors(
    trainings: Trainings, pairs: Sequence[tuple[str, str]], codes: Codes | None
) -> dict[tuple[tuple[str, str], str], RecipeError]:
    """Return the error of each (pair, model) of a grid whose claims are about the recipe."""
    if not trainings.is_recipe:
        return {}
    errors: dict[tuple[tuple[str, str], str], RecipeError] = {}
    arms = tuple(dict.fromkeys(arm for _, arm in trainings.cells))
    for model, members in trainings.groups.items():
        complete = _complete_trainings(members, arms, trainings.cells)
        for pair in pairs:
            cells = [[trainings.cell(rung.model, name) for name in pair] for rung in complete]
            complete_pairs = [[cell for cell in both if cell is not None] for both in cells]
            if len(complete_pairs) >= 2 and all(len(both) == 2 for both in complete_pairs):
                errors[pair, model] = recipe_error(complete_pairs, codes)
    return errors


def recipe_error(cells: Sequence[Sequence[Cell]], codes: Codes | None) -> RecipeError:
    """Return mean and error over trainings, each (arm, control).

    With T trainings and n problems the variance is that of the trainings' gains over T, plus what
    the problems drawn add: the variance of the mean of the problems' means, less the part of it
    that is in the first already (residual mean square over T n; crossed random effects, Searle,
    Casella and McCulloch 1992). Of totals: the binomial variance of both mean rates.
    """
    n_trainings = len(cells)
    outcomes = [[cell.correct for cell in both if isinstance(cell, ArmOutcomes)] for both in cells]
    if any(len(both) < 2 for both in outcomes):
        totals = [[_totals(cell) for cell in both] for both in cells]
        gains = np.array([arm.rate - control.rate for arm, control in totals])
        of_problems = 0.0
        for i in (0, 1):
            rate = float(np.mean([both[i].rate for both in totals]))
            of_problems += rate * (1 - rate) / min(both[i].n for both in totals)
    else:
        matrix = np.stack([arm - control for arm, control in outcomes])
        completed = ~np.isnan(matrix).any(axis=0)
        matrix = matrix[:, completed]
        n = matrix.shape[1]
        if not n:
            return RecipeError(n_trainings=n_trainings, gain=math.nan, error=math.inf)
        gains, means = matrix.mean(axis=1), matrix.mean(axis=0)
        residuals = matrix - gains[:, None] - means[None, :] + means.mean()
        noise = float((residuals**2).sum()) / max(1, (n_trainings - 1) * (n - 1))
        units = None if codes is None else codes[completed]
        totals_by_unit = sums_by_unit(means[:, None], units)
        sizes = sums_by_unit(np.ones((n, 1)), units)
        of_means = float(robust_error(totals_by_unit, sizes)[0]) ** 2
        of_problems = max(0.0, of_means - noise / (n_trainings * n))
    of_trainings = float(gains.var(ddof=1)) / n_trainings
    return RecipeError(
        n_trainings=n_trainings,
        gain=float(gains.mean()),
        error=math.sqrt(of_trainings + of_problems),
    )


def say_trainings(trainings: Trainings) -> str:
    """Say what a claim is about; empty: every size was trained once."""
    counts = [len(members) for members in trainings.groups.values()]
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    number = f"{low}" if low == high else f"{low} to {high}"
    if trainings.is_recipe:
        rough = f", rough with fewer than {ENOUGH}" if low < ENOUGH else ""
        return f"about the recipe: the mean over {number} trainings of every size{rough}"
    sizes = len(trainings.groups)
    return (
        f"about these models: the mean of {number} trainings at {sizes} of "
        f"{len(trainings.grid.rungs)} sizes, not the recipe, which takes {FEWEST} of every size"
    )
