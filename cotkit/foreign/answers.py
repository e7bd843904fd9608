"""Ladders of results that are there -> what the scale analysis says of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cotkit.analysis.scale.inputs import Axis, Question, Rung
from cotkit.analysis.scale.ladder import position
from cotkit.analysis.scale.values import Scale
from cotkit.errors import UnknownNameError, UsageError
from cotkit.foreign.pairs import pairs
from cotkit.foreign.published import load
from cotkit.foreign.sources import read_sources
from cotkit.foreign.values import Ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
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


def published_scales(name: str, asked: Asked, *, include_unverified: bool = False) -> list[Scale]:
    """What a table that ships with cotkit says, family by family.

    Raises:
        UnknownNameError: no such table, benchmark, family, strategy or model.
        UsageError: nothing is left, or no family has two models of known size.
    """
    found = load(
        name,
        bench=asked.bench,
        family=asked.family,
        strategies=asked.strategies,
        baseline=asked.baseline,
        include_unverified=include_unverified,
        params=asked.params,
    )
    return _scales(_placed(found, asked), asked)


def source_scales(written: Sequence[str], asked: Asked) -> list[Scale]:
    """What results of other tools say.

    Raises:
        BadInputError: a file is not as it must be: names file, line and field.
        UnknownNameError: no such benchmark, family, arm or model.
        UsageError: a source cannot be read, or no ladder has two models of known size.
    """
    found = read_sources(written, bench=asked.bench, family=asked.family, params=asked.params)
    return _scales(_placed(found, asked), asked)


def _scales(ladders: Sequence[Ladder], asked: Asked) -> list[Scale]:
    import numpy as np

    from cotkit.analysis.scale.analysis import analyse

    kept = [one for one in ladders if _n_known(one, asked.axis) > 1]
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
                Question(
                    pairs=_pairs(ladder, asked),
                    margin=asked.margin,
                    level=asked.level ** (1 / n_benches),
                    axis=asked.axis,
                    assume_sustained=asked.assume_sustained,
                ),
                np.random.default_rng(asked.seed),
            )
        ]
    ]


def _pairs(ladder: Ladder, asked: Asked) -> tuple[tuple[str, str], ...]:
    if ladder.controls is not None:
        return pairs(ladder.arms, controls=ladder.controls)
    return pairs(ladder.arms, strategies=asked.strategies, baseline=asked.baseline)


def _placed(ladders: Sequence[Ladder], asked: Asked) -> list[Ladder]:
    """With the losses that the user gave; every model the user named must be there."""
    known = {rung.model for one in ladders for rung in one.grid.rungs}
    for name in (*asked.params, *asked.losses):
        if name not in known:
            raise UnknownNameError("model", name, known)
    return [
        replace(one, grid=replace(one.grid, rungs=tuple(_with_loss(one.grid.rungs, asked.losses))))
        for one in ladders
    ]


def _with_loss(rungs: Sequence[Rung], losses: Mapping[str, float]) -> Iterator[Rung]:
    for rung in rungs:
        yield replace(rung, loss=losses.get(rung.model))


def _n_known(ladder: Ladder, axis: Axis) -> int:
    return sum(position(rung, i, axis) is not None for i, rung in enumerate(ladder.grid.rungs))
