"""Ladders of results that are there -> what the scale analysis says of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cotkit.analysis.scale.grid import Axis, Rung, ScaleQuestion, rung_position
from cotkit.analysis.scale.values import Scale
from cotkit.errors import UnknownNameError, UsageError
from cotkit.interop.csv_file import read_csv
from cotkit.interop.inspect_ import logs
from cotkit.interop.inspect_.logs import read_inspect
from cotkit.interop.lm_eval import results
from cotkit.interop.lm_eval.results import read_lm_eval
from cotkit.interop.published import load_ladders
from cotkit.interop.results import LadderResults, Result, make_ladders, pair_arms


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsQuestion:
    """What is asked of results that are there."""

    bench: str | None = None
    """Only this benchmark; None: every one."""
    family: str | None = None
    """Only this family; None: every one, each on a curve of its own."""
    strategies: tuple[str, ...] = ()
    """Only these; empty: the table's own, or every arm that has a control."""
    baseline: str | None = None
    """What all are measured against; None: each one's control."""
    params: Mapping[str, int] = field(default_factory=dict[str, int])
    """Model -> parameters, where the user says it."""
    losses: Mapping[str, float] = field(default_factory=dict[str, float])
    """Model -> pretraining loss in nats per token."""
    axis: Axis = "params"
    """What size means."""
    margin: float = 0.02
    """Smallest gain that counts as material."""
    level: float = 0.95
    """Of all intervals of one family over its benchmarks."""
    assume_sustained: bool = False
    """As of ``Question``."""
    seed: int = 0
    """Of the bootstraps."""


def published_scales(
    name: str, asked: ResultsQuestion, *, include_unverified: bool = False
) -> list[Scale]:
    """What a table that ships with cotkit says, family by family.

    Raises:
        UnknownNameError: no such table, benchmark, family, strategy or model.
        UsageError: nothing is left, or no family has two models of known size.
    """
    found = load_ladders(
        name,
        bench=asked.bench,
        family=asked.family,
        strategies=asked.strategies,
        baseline=asked.baseline,
        include_unverified=include_unverified,
        params=asked.params,
    )
    return _analyse_ladders(_add_losses(found, asked), asked)


def source_scales(written: Sequence[str], asked: ResultsQuestion) -> list[Scale]:
    """What results of other tools say.

    Raises:
        BadInputError: a file is not as it must be: names file, line and field.
        UnknownNameError: no such benchmark, family, arm or model.
        UsageError: a source cannot be read, or no ladder has two models of known size.
    """
    found = read_sources(written, bench=asked.bench, family=asked.family, params=asked.params)
    return _analyse_ladders(_add_losses(found, asked), asked)


def _analyse_ladders(ladders: Sequence[LadderResults], asked: ResultsQuestion) -> list[Scale]:
    import numpy as np

    from cotkit.analysis.scale.analysis import analyse

    kept = [one for one in ladders if _count_known(one, asked.axis) > 1]
    if not kept:
        ways = [note for one in ladders for note in one.notes if "(--" in note]
        if any(len(one.grid.rungs) > 1 for one in ladders):
            ways.append("--x ordinal takes the models in the order read")
        raise UsageError(
            "no family has two models of known size", hint="; ".join(dict.fromkeys(ways)) or None
        )
    notes: list[str] = []
    if left := dict.fromkeys(one.family or one.grid.bench for one in ladders if one not in kept):
        notes.append(f"left out, fewer than two models of known size: {', '.join(left)}")
    n_benches = len({one.grid.bench for one in kept})
    if len(kept) > n_benches:
        notes.append("intervals hold together within a family, not over families")
    if n_benches > 1:
        notes.append(f"and over the {n_benches} benchmarks")
    return [
        replace(scale, notes=(*ladder.notes, *notes, *scale.notes))
        for ladder in kept
        for scale in [
            analyse(
                ladder.grid,
                ScaleQuestion(
                    pairs=_ladder_pairs(ladder, asked),
                    margin=asked.margin,
                    level=asked.level ** (1 / n_benches),
                    axis=asked.axis,
                    assume_sustained=asked.assume_sustained,
                ),
                np.random.default_rng(asked.seed),
            )
        ]
    ]


def _ladder_pairs(ladder: LadderResults, asked: ResultsQuestion) -> tuple[tuple[str, str], ...]:
    if ladder.controls is not None:
        return pair_arms(ladder.arms, controls=ladder.controls)
    return pair_arms(ladder.arms, strategies=asked.strategies, baseline=asked.baseline)


def _add_losses(ladders: Sequence[LadderResults], asked: ResultsQuestion) -> list[LadderResults]:
    """With the losses that the user gave; every model the user named must be there."""
    known = {rung.model for one in ladders for rung in one.grid.rungs}
    for name in (*asked.params, *asked.losses):
        if name not in known:
            raise UnknownNameError("model", name, known)
    return [
        replace(
            one, grid=replace(one.grid, rungs=tuple(_rungs_with_loss(one.grid.rungs, asked.losses)))
        )
        for one in ladders
    ]


def _rungs_with_loss(rungs: Sequence[Rung], losses: Mapping[str, float]) -> Iterator[Rung]:
    for rung in rungs:
        yield replace(rung, loss=losses.get(rung.model))


def _count_known(ladder: LadderResults, axis: Axis) -> int:
    return sum(rung_position(rung, i, axis) is not None for i, rung in enumerate(ladder.grid.rungs))


# ``--from``: ``[ARM=]lm-eval:DIR``, ``[ARM=]inspect:FILE``, ``[ARM=]csv:FILE``, with options.
#
# Options follow the path: ``cot=lm-eval:out,task=gsm8k_cot,bench=gsm8k,filter=strict-match``.


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
    """One ``--from``, read."""

    kind: str
    """``lm-eval``, ``inspect`` or ``csv``."""
    path: Path
    """File or folder."""
    arm: str | None
    """What the user calls the strategy; of a CSV, the only one to be read."""
    options: Mapping[str, str]
    """What follows the path."""


def parse_source(written: str) -> ResultsSource:
    """Read one ``--from``.

    Raises:
        UsageError: it is not of the form, or has an option that its kind has not.
    """
    found = _SOURCE.fullmatch(written.strip())
    if found is None:
        hint = "ARM=lm-eval:DIR, ARM=inspect:FILE or csv:FILE"
        raise UsageError(f"--from {written!r} cannot be read", hint=hint)
    kind = found["kind"].replace("_", "-")
    options: dict[str, str] = {}
    for part in filter(None, found["rest"].split(",")):
        key, equals, value = part.partition("=")
        if key not in _OPTIONS[kind]:
            raise UnknownNameError(f"option of {kind}", key, _OPTIONS[kind])
        if not equals or not value:
            raise UsageError(f"--from {written!r}: {key} has no value", hint=f"{key}=NAME")
        options[key] = value
    return ResultsSource(kind=kind, path=Path(found["path"]), arm=found["arm"], options=options)


def read_source(source: ResultsSource) -> list[Result]:
    """The results of one source.

    Raises:
        BadInputError: names file, line and field.
    """
    if source.kind == "lm-eval":
        return read_lm_eval(source.path, results.LmEvalSelection(arm=source.arm, **source.options))
    if source.kind == "inspect":
        return read_inspect(source.path, logs.InspectSelection(arm=source.arm, **source.options))
    return read_csv(source.path, arm=source.arm, metric=source.options.get("metric"))


def read_sources(
    written: Sequence[str],
    *,
    bench: str | None = None,
    family: str | None = None,
    params: Mapping[str, int] | None = None,
) -> list[LadderResults]:
    """The ladders of all sources together.

    Args:
        written: As the user wrote them.
        bench: Only this benchmark; None: every one.
        family: Only this family, by the files or the catalogue; None: all.
        params: Model -> parameters, by the user.

    Raises:
        BadInputError: names file, line and field.
        UsageError: a source cannot be read, or nothing is left.
        UnknownNameError: no such benchmark or family.
    """
    results = [one for text in written for one in read_source(parse_source(text))]
    if bench is not None:
        known = {one.bench for one in results}
        results = [one for one in results if one.bench.lower() == bench.lower()]
        if not results:
            raise UnknownNameError("benchmark", bench, known)
    found = make_ladders(results, params)
    if family is not None:
        known = {rung.family or "unknown" for one in found for rung in one.grid.rungs}
        found = [one for one in (_filter_family(one, family) for one in found) if one.grid.rungs]
        if not found:
            raise UnknownNameError("family", family, known)
    return found


def _filter_family(ladder: LadderResults, family: str) -> LadderResults:
    kept = tuple(one for one in ladder.grid.rungs if one.family == family)
    names = {one.model for one in kept}
    cells = {key: cell for key, cell in ladder.grid.cells.items() if key[0] in names}
    return replace(ladder, family=family, grid=replace(ladder.grid, rungs=kept, cells=cells))
