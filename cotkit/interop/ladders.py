"""Results of papers and other tools as ladders, and the scale analysis of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cotkit.analysis.scale.contrasts import (
    ContrastQuestion,
    ModelContrasts,
    contrast_models,
    match_sizes,
)
from cotkit.analysis.scale.grid import (
    THRESHOLDS,
    ArmOutcomes,
    Axis,
    Cell,
    ResultGrid,
    Rung,
    ScaleQuestion,
    rung_position,
)
from cotkit.analysis.scale.values import Scale
from cotkit.analysis.values import LEVEL
from cotkit.errors import UnknownNameError, UsageError
from cotkit.interop.csv_file import read_csv
from cotkit.interop.inspect_ import logs
from cotkit.interop.inspect_.logs import read_inspect
from cotkit.interop.lm_eval import results
from cotkit.interop.lm_eval.results import read_lm_eval
from cotkit.interop.published import find_table, load_ladders, normalise_name
from cotkit.interop.results import LadderResults, Result, make_ladders, pair_arms
from cotkit.run.spec import DEFAULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsQuestion:
    """What to analyse of results that were read."""

    bench: str | None = None
    """Only this benchmark; None: every one."""
    family: str | None = None
    """Only this family; None: every one, each on a curve of its own."""
    strategies: tuple[str, ...] = ()
    """Only these; empty: those of the table, or every arm that has a control."""
    baseline: str | None = None
    """The control of all arms; None: each arm's own."""
    params: Mapping[str, int] = field(default_factory=dict[str, int])
    """Model -> parameters, as the user gave them."""
    losses: Mapping[str, float] = field(default_factory=dict[str, float])
    """Model -> pretraining loss in nats per token."""
    axis: Axis | None = None
    """What size means; None: parameters, or what a published table says."""
    margin: float = DEFAULTS.margin
    """Smallest gain that counts as material."""
    level: float = LEVEL
    """Of all intervals of one family over its benchmarks."""
    assume_sustained: bool = False
    """As of ``ScaleQuestion``."""
    thresholds: tuple[float, ...] = THRESHOLDS
    """As of ``ScaleQuestion``."""
    replicates: bool = False
    """As of ``ScaleQuestion``."""
    seed: int = 0
    """Of the bootstraps."""


def analyse_published(
    name: str, question: ResultsQuestion, *, include_unverified: bool = False
) -> list[Scale]:
    """Analyse a table that ships with cotkit, family by family.

    Raises:
        UnknownNameError: no such table, benchmark, family, strategy or model.
        UsageError: nothing is left, or no family has two models of known size.
    """
    ladders = load_ladders(
        name,
        bench=question.bench,
        family=question.family,
        strategies=question.strategies,
        baseline=question.baseline,
        include_unverified=include_unverified,
        params=question.params,
    )
    question = replace(question, axis=question.axis or find_table(name).axis)
    return _analyse_ladders(_add_losses(ladders, question), question)


def analyse_sources(sources: Sequence[str], question: ResultsQuestion) -> list[Scale]:
    """Analyse results of other tools.

    Raises:
        BadInputError: a file is not as it must be: names file, line and field.
        UnknownNameError: no such benchmark, family, arm or model.
        UsageError: a source cannot be read, or no ladder has two models of known size.
    """
    ladders = read_sources(
        sources, bench=question.bench, family=question.family, params=question.params
    )
    return _analyse_ladders(_add_losses(ladders, question), question)


def load_results(
    published: str | None,
    sources: Sequence[str],
    question: ResultsQuestion,
    *,
    include_unverified: bool = False,
) -> list[LadderResults]:
    """Return all ladders of a table or of sources, of every family.

    Raises:
        CotkitError: as :func:`analyse_published` and :func:`analyse_sources`.
    """
    if published is None:
        ladders = read_sources(sources, bench=question.bench, params=question.params)
    else:
        ladders = load_ladders(
            published,
            bench=question.bench,
            strategies=question.strategies,
            baseline=question.baseline,
            include_unverified=include_unverified,
            params=question.params,
            keeps_single=True,
        )
    return _add_losses(ladders, question)


def contrast_families(
    ladders: Sequence[LadderResults], over: str, question: ResultsQuestion
) -> list[ModelContrasts]:
    """Compare the family that the question names with another, benchmark by benchmark.

    Raises:
        UnknownNameError: no such family.
        UsageError: no family is named, both are the same, or no benchmark has a common size.
    """
    axis = question.axis or "params"
    families = {rung.family or "unknown" for ladder in ladders for rung in ladder.grid.rungs}
    if question.family is None:
        raise UsageError(
            f"which family is compared with {over}?", hint="--family NAME --over OTHER"
        )
    names = _match_family(question.family, families), _match_family(over, families)
    if names[0] == names[1]:
        raise UsageError(f"{names[0]} cannot be compared with itself", hint="--over OTHER")
    sides = [
        {
            filtered.grid.bench: filtered
            for ladder in ladders
            if (filtered := _filter_family(ladder, name)).grid.rungs
        }
        for name in names
    ]
    benches = [bench for bench in sides[0] if bench in sides[1]]
    if not benches:
        raise UsageError(f"{names[0]} and {names[1]} have no benchmark in common")
    answers: list[ModelContrasts] = []
    refusals: list[UsageError] = []
    for bench in benches:
        first, second = sides[0][bench], sides[1][bench]
        placed = [
            [(rung, rung_position(rung, i, axis)) for i, rung in enumerate(side.grid.rungs)]
            for side in (first, second)
        ]
        try:
            pairs = match_sizes(placed[0], placed[1], axis)
        except UsageError as refusal:
            refusals.append(refusal)
            continue
        arms = [
            (arm, control)
            for arm, control in _ladder_pairs(first, question)
            if {arm, control} <= set(second.arms)
        ]
        answer = contrast_models(
            _join_grids(first.grid, second.grid),
            pairs,
            ContrastQuestion(
                names=names,
                pairs=tuple(arms),
                margin=question.margin,
                level=question.level ** (1 / len(benches)),
                axis=axis,
                seed=question.seed,
            ),
        )
        notes = dict.fromkeys((*first.notes, *second.notes, *answer.notes))
        answers.append(replace(answer, notes=tuple(notes)))
    if not answers:
        raise refusals[0]
    return answers


def _join_grids(first: ResultGrid, second: ResultGrid) -> ResultGrid:
    """Return the models of both on one list of problems."""
    ids = tuple(dict.fromkeys((*first.problem_ids, *second.problem_ids)))
    cells: dict[tuple[str, str], Cell] = {
        key: _spread_cell(cell, grid.problem_ids, ids)
        for grid in (first, second)
        for key, cell in grid.cells.items()
    }
    clusters = None
    if first.clusters is not None and second.clusters is not None:
        cluster_of = dict(zip(first.problem_ids, first.clusters, strict=True))
        cluster_of |= zip(second.problem_ids, second.clusters, strict=True)
        clusters = tuple(cluster_of[name] for name in ids)
    rungs = (*first.rungs, *second.rungs)
    return ResultGrid(
        bench=first.bench, rungs=rungs, cells=cells, problem_ids=ids, clusters=clusters
    )


def _spread_cell(cell: Cell, ids: tuple[str, ...], all_ids: tuple[str, ...]) -> Cell:
    """Return the scores of a cell at the places of their problems among all, NaN elsewhere."""
    if not isinstance(cell, ArmOutcomes) or ids == all_ids:
        return cell
    import numpy as np

    place_of = {name: i for i, name in enumerate(all_ids)}
    correct = np.full(len(all_ids), np.nan)
    correct[[place_of[name] for name in ids]] = cell.correct
    return ArmOutcomes(correct=correct)


def _match_family(name: str, families: Iterable[str]) -> str:
    for family in families:
        if normalise_name(family) == normalise_name(name):
            return family
    raise UnknownNameError("family", name, families)


def _analyse_ladders(ladders: Sequence[LadderResults], question: ResultsQuestion) -> list[Scale]:
    import numpy as np

    from cotkit.analysis.scale.analysis import analyse

    axis = question.axis or "params"
    usable = [ladder for ladder in ladders if _count_positions(ladder, axis) > 1]
    if not usable:
        ways = [note for ladder in ladders for note in ladder.notes if "(--" in note]
        if any(len(ladder.grid.rungs) > 1 for ladder in ladders):
            ways.append("--x ordinal takes the models in the order read")
        raise UsageError(
            "no family has two models of known size", hint="; ".join(dict.fromkeys(ways)) or None
        )
    notes: list[str] = []
    if unusable := dict.fromkeys(
        ladder.family or ladder.grid.bench for ladder in ladders if ladder not in usable
    ):
        notes.append(f"left out, fewer than two models of known size: {', '.join(unusable)}")
    n_benches = len({ladder.grid.bench for ladder in usable})
    if len(usable) > n_benches:
        notes.append("intervals hold together within a family, not over families")
    if n_benches > 1:
        notes.append(f"intervals hold together over the {n_benches} benchmarks")
    scales: list[Scale] = []
    for ladder in usable:
        scale_question = ScaleQuestion(
            pairs=_ladder_pairs(ladder, question),
            margin=question.margin,
            level=question.level ** (1 / n_benches),
            axis=axis,
            assume_sustained=question.assume_sustained,
            assumed_afterwards=question.assume_sustained,  # the file was there before
            thresholds=question.thresholds,
            replicates=question.replicates,
        )
        scale = analyse(ladder.grid, scale_question, np.random.default_rng(question.seed))
        scales.append(replace(scale, notes=(*ladder.notes, *notes, *scale.notes)))
    return scales


def _ladder_pairs(ladder: LadderResults, question: ResultsQuestion) -> tuple[tuple[str, str], ...]:
    if ladder.controls is not None:
        return pair_arms(ladder.arms, controls=ladder.controls)
    return pair_arms(ladder.arms, strategies=question.strategies, baseline=question.baseline)


def _add_losses(ladders: Sequence[LadderResults], question: ResultsQuestion) -> list[LadderResults]:
    """Add the losses that the user gave; every model that the user named must be there."""
    models = {rung.model for ladder in ladders for rung in ladder.grid.rungs}
    for name in (*question.params, *question.losses):
        if name not in models:
            raise UnknownNameError("model", name, models)
    return [
        replace(
            ladder,
            grid=replace(ladder.grid, rungs=_rungs_with_loss(ladder.grid.rungs, question.losses)),
        )
        for ladder in ladders
    ]


def _rungs_with_loss(rungs: Sequence[Rung], losses: Mapping[str, float]) -> tuple[Rung, ...]:
    return tuple(replace(rung, loss=losses.get(rung.model)) for rung in rungs)


def _count_positions(ladder: LadderResults, axis: Axis) -> int:
    return sum(rung_position(rung, i, axis) is not None for i, rung in enumerate(ladder.grid.rungs))


# One ``--from``: ``[ARM=]lm-eval:DIR``, ``[ARM=]inspect:FILE`` or ``[ARM=]csv:FILE``, then options:
# ``cot=lm-eval:out,task=gsm8k_cot,bench=gsm8k,filter=strict-match``.

_SOURCE = re.compile(
    r"(?:(?P<arm>.+?)=)?(?P<kind>lm[-_]eval|inspect|csv):(?P<path>[^,]+)(?P<rest>(?:,.*)?)"
)
_OPTIONS = {
    "lm-eval": ("task", "metric", "filter", "bench"),
    "inspect": ("scorer", "bench"),
    "csv": ("metric",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsSource:
    """One ``--from``."""

    kind: str
    """``lm-eval``, ``inspect`` or ``csv``."""
    path: Path
    """File or folder."""
    arm: str | None
    """The strategy, as the user names it; of a CSV, the only one to read."""
    options: Mapping[str, str]
    """The options after the path."""


def parse_source(text: str) -> ResultsSource:
    """Parse one ``--from``.

    Raises:
        UsageError: it is not of the form, or its kind has no such option.
    """
    match = _SOURCE.fullmatch(text.strip())
    if match is None:
        hint = "ARM=lm-eval:DIR, ARM=inspect:FILE or csv:FILE"
        raise UsageError(f"--from {text!r} cannot be read", hint=hint)
    kind = match["kind"].replace("_", "-")
    options: dict[str, str] = {}
    for part in filter(None, match["rest"].split(",")):
        key, equals, value = part.partition("=")
        if key not in _OPTIONS[kind]:
            raise UnknownNameError(f"option of {kind}", key, _OPTIONS[kind])
        if not equals or not value:
            raise UsageError(f"--from {text!r}: {key} has no value", hint=f"{key}=NAME")
        options[key] = value
    return ResultsSource(kind=kind, path=Path(match["path"]), arm=match["arm"], options=options)


def read_source(source: ResultsSource) -> list[Result]:
    """Read the results of one source.

    Raises:
        BadInputError: names file, line and field.
    """
    if source.kind == "lm-eval":
        return read_lm_eval(source.path, results.LmEvalSelection(arm=source.arm, **source.options))
    if source.kind == "inspect":
        return read_inspect(source.path, logs.InspectSelection(arm=source.arm, **source.options))
    return read_csv(source.path, arm=source.arm, metric=source.options.get("metric"))


def read_sources(
    sources: Sequence[str],
    *,
    bench: str | None = None,
    family: str | None = None,
    params: Mapping[str, int] | None = None,
) -> list[LadderResults]:
    """Read the ladders of all sources together.

    Args:
        sources: As the user wrote them.
        bench: Only this benchmark; None: every one.
        family: Only this family, by the files or the catalogue; None: all.
        params: Model -> parameters, as the user gave them.

    Raises:
        BadInputError: names file, line and field.
        UsageError: a source cannot be read, or nothing is left.
        UnknownNameError: no such benchmark or family.
    """
    results = [result for text in sources for result in read_source(parse_source(text))]
    if bench is not None:
        names = {result.bench for result in results}
        results = [result for result in results if result.bench.lower() == bench.lower()]
        if not results:
            raise UnknownNameError("benchmark", bench, names)
    ladders = make_ladders(results, params)
    if family is not None:
        names = {rung.family or "unknown" for ladder in ladders for rung in ladder.grid.rungs}
        filtered = [_filter_family(ladder, family) for ladder in ladders]
        ladders = [ladder for ladder in filtered if ladder.grid.rungs]
        if not ladders:
            raise UnknownNameError("family", family, names)
    return ladders


def _filter_family(ladder: LadderResults, family: str) -> LadderResults:
    rungs = tuple(rung for rung in ladder.grid.rungs if rung.family == family)
    names = {rung.model for rung in rungs}
    cells = {key: cell for key, cell in ladder.grid.cells.items() if key[0] in names}
    return replace(ladder, family=family, grid=replace(ladder.grid, rungs=rungs, cells=cells))
