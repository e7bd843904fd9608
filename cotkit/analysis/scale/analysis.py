"""A grid and a question in, the whole scale analysis out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from cotkit.analysis.following import is_named_label_arm
from cotkit.analysis.scale.frontier import price_arms
from cotkit.analysis.scale.gains import (
    cell_interval,
    measure_curves,
    measure_trainings,
    totals_of,
)
from cotkit.analysis.scale.grid import (
    AnalysisSetting,
    ArmOutcomes,
    ResultGrid,
    ScaleQuestion,
    prepare_setting,
)
from cotkit.analysis.scale.jumps import EXACT, ColumnKey, MeanEstimate, find_jumps, resample_columns
from cotkit.analysis.scale.labels import label_sentence, relabel_points
from cotkit.analysis.scale.onset import find_onset, fit_crossing
from cotkit.analysis.scale.replicates import (
    Trainings,
    merge_trainings,
    recipe_errors,
    say_trainings,
)
from cotkit.analysis.scale.values import MetricPoint, OnsetAnswer, Point, Scale, ThinnedOnset
from cotkit.analysis.scale.words import SentenceFacts, family_of, scale_notes, scale_sentence
from cotkit.stats.bootstrap import percentiles


def analyse(grid: ResultGrid, question: ScaleQuestion, rng: np.random.Generator) -> Scale:
    """Say where each strategy starts to help, whether jumps are real, and what it all costs.

    Equal grids, questions and states of ``rng`` give equal answers.

    Raises:
        UsageError: fewer than two models of known size, two of equal size, an arm without any
            result, or a margin or level that is none.
    """
    trainings = merge_trainings(grid, question)
    grid = trainings.grid
    setting = prepare_setting(grid, question)
    errors = recipe_errors(trainings, question.pairs, setting.codes)
    curves = measure_curves(setting, rng, errors)
    drawn = resample_columns(setting, rng)
    return Scale(
        bench=grid.bench,
        family=family_of(setting.ladder.rungs),
        axis=question.axis,
        margin=question.margin,
        level=question.level,
        assume_sustained=question.assume_sustained,
        n_problems=_n_problems(grid),
        answers=tuple(
            _make_answer(pair, points, drawn, setting, rng, trainings=trainings, level=curves.level)
            for pair, points in curves.points.items()
        ),
        metrics=_metric_means(setting, drawn),
        prices=price_arms(setting),
        thinned=_thin(setting),
        notes=scale_notes(setting, curves),
    )


def _make_answer(
    pair: tuple[str, str],
    points: tuple[Point, ...],
    drawn: Mapping[ColumnKey, MeanEstimate],
    setting: AnalysisSetting,
    rng: np.random.Generator,
    *,
    trainings: Trainings,
    level: float,
) -> OnsetAnswer:
    question = setting.question
    thresholds = None if question.assume_sustained else question.thresholds
    onset = find_onset(points, question.margin, thresholds)
    onset = replace(onset, model_based=fit_crossing(onset, pair, drawn, setting))
    facts = SentenceFacts(
        arm=pair[0],
        control=pair[1],
        points=[point for point in points if point.x is not None and point.label != "missing"],
        onset=onset,
        margin=question.margin,
        axis=question.axis,
        assume_sustained=question.assume_sustained,
        assumed_afterwards=question.assumed_afterwards,
        several_families=len({rung.family for rung in setting.ladder.rungs}) > 1,
        trainings=say_trainings(trainings),
        is_recipe=trainings.is_recipe,
    )
    sentence = scale_sentence(facts)
    if is_named_label_arm(pair[0]):  # no gain of such an arm is help
        points = relabel_points(points, pair[0], question.margin)
        placed = [point for point in points if point.x is not None]
        sentence = label_sentence(*pair, placed, question.axis)
    return OnsetAnswer(
        arm=pair[0],
        control=pair[1],
        points=points,
        onset=onset,
        jumps=find_jumps(pair, drawn, setting, rng),
        sentence=sentence,
        trainings=measure_trainings(pair, trainings, setting, level),
    )


MIN_THINNED = 4
"""Known sizes of a ladder of which each half still has two."""


def _thin(setting: AnalysisSetting) -> tuple[ThinnedOnset, ...]:
    """Return what every other size alone would have said: from the smallest, from the second."""
    ladder, question = setting.ladder, setting.question
    if ladder.n_known < MIN_THINNED:
        return ()
    thresholds = None if question.assume_sustained else question.thresholds
    thinned: list[ThinnedOnset] = []
    for first in (0, 1):
        half = slice(first, ladder.n_known, 2)
        rungs = ladder.rungs[half]
        alone = replace(ladder, rungs=rungs, positions=ladder.positions[half])
        curves = measure_curves(
            replace(setting, ladder=alone), np.random.default_rng(0), counts_otherwise=False
        )
        thinned += [
            ThinnedOnset(
                arm=arm,
                control=control,
                rungs=rungs,
                onset=find_onset(points, question.margin, thresholds),
            )
            for (arm, control), points in curves.points.items()
        ]
    return tuple(thinned)


def _metric_means(
    setting: AnalysisSetting, drawn: Mapping[ColumnKey, MeanEstimate]
) -> tuple[MetricPoint, ...]:
    codes, level = setting.codes, setting.question.level
    points: list[MetricPoint] = []
    for rung in setting.ladder.rungs:
        for arm in setting.arms:
            cell = setting.grid.cells.get((rung.model, arm))
            totals = None if cell is None else totals_of(cell)
            if cell is None or totals is None:
                continue
            values = {EXACT: (totals.rate, cell_interval(cell, codes, level))}
            for metric in cell.metrics if isinstance(cell, ArmOutcomes) else ():
                column = drawn.get((rung.model, arm, metric))
                if metric != EXACT and column is not None:
                    values[metric] = column.mean, percentiles(column.draws, level)
            points += [
                MetricPoint(rung=rung, arm=arm, metric=metric, value=value, interval=interval)
                for metric, (value, interval) in values.items()
            ]
    return tuple(points)


def _n_problems(grid: ResultGrid) -> int:
    if grid.problem_ids:
        return len(grid.problem_ids)
    sizes = (totals_of(cell) for cell in grid.cells.values())
    return max((totals.n for totals in sizes if totals is not None), default=0)
