"""A ladder: which models a family has, how large each is, and whether they can be put in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from cotkit.analysis.scale.grid import (
    ArmOutcomes,
    Axis,
    Cell,
    GuessRates,
    ResultGrid,
    Rung,
    are_trainings,
    rung_position,
    say_way_out,
)
from cotkit.analysis.steps import group_steps
from cotkit.backends.simulated import FAMILY as SIMULATED
from cotkit.errors import UnknownNameError, UsageError
from cotkit.inputs import parse_count
from cotkit.models import catalogue
from cotkit.models.folder import read_training
from cotkit.protocols import Backend
from cotkit.run.identity import Content, difference
from cotkit.types import BackendInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


_NEEDED: Mapping[Axis, tuple[str, str]] = {
    "params": ("number of parameters", "--params MODEL=8B, or --x ordinal for the order given"),
    "active-params": (
        "number of parameters",
        "--params MODEL=8B, or --x ordinal for the order given",
    ),
    "flops": ("training compute", "--x params, or --x ordinal for the order given"),
    "tokens": ("number of training tokens", "--x params, or --x ordinal for the order given"),
    "loss": ("pretraining loss", "--loss MODEL=2.31"),
}
"""Axis (not ``ordinal``) -> the size that it needs of a model, and what to do without it."""


def family_models(family: str) -> tuple[str, ...]:
    """Return the models of a family as users name them, the smallest first.

    ``NAME:key=value`` is the same family with a setting: each of its models has it.

    Raises:
        UnknownNameError: no family has this name.
    """
    family, colon, settings = family.partition(":")
    return tuple(f"{model}{colon}{settings}" for model in _list_models(family))


def _list_models(family: str) -> tuple[str, ...]:
    if family == "simulated":
        return SIMULATED
    entries = sorted(catalogue.entries(), key=lambda entry: entry.n_params)
    names = tuple(entry.name for entry in entries if entry.family == family)
    if not names:
        families = {"simulated", *(entry.family for entry in entries)}
        raise UnknownNameError("family", family, families)
    return names


def is_family(name: str) -> bool:
    """Return whether :func:`family_models` has models of this name."""
    name = name.partition(":")[0]
    return name == "simulated" or any(entry.family == name for entry in catalogue.entries())


FREE_LIMIT = 500
"""Problems that models which cost nothing are asked when the user names no limit."""


def cost_nothing(models: Sequence[str | Backend]) -> bool:
    """Return whether all models are simulated or ours, which ship with cotkit."""
    return all(_family_of(model) in {"simulated", "pocket", "pocket-thinker"} for model in models)


def _family_of(model: str | Backend) -> str | None:
    if not isinstance(model, str):
        return model.info.family
    if model.startswith("simulated/"):
        return "simulated"
    try:
        return catalogue.find(model).family
    except UnknownNameError:
        return None


def rung_of(info: BackendInfo, loss: float | None = None, n_params: int | None = None) -> Rung:
    """Return a model's size and compute.

    As the user gives it (``n_params``), else as its backend says it, else as the catalogue does,
    which knows a model behind a server by the last parts of its name.
    """
    rung = Rung(
        model=info.model,
        family=info.family,
        n_params=n_params or info.n_params,
        n_active_params=info.n_active_params if n_params is None else None,
        loss=loss,
    )
    entry = None
    try:
        entry = catalogue.find(info.model)
    except UnknownNameError:
        if info.backend != "hf":  # a folder may have any name
            entry = catalogue.find_by_last_parts(info.model)
    if entry is None:
        return _add_training(rung)
    return replace(
        rung,
        family=rung.family or entry.family,
        n_params=rung.n_params or entry.n_params,
        n_active_params=rung.n_active_params or entry.n_active_params,
        train_tokens=entry.training_tokens,
        train_flops=entry.training_flops,
        flops_is_bound=entry.training_flops is not None and entry.training_tokens_is_bound,
    )


def _add_training(rung: Rung) -> Rung:
    """Return the rung of a model folder with family and training of its recipe, if it has one."""
    name, revision = catalogue.split_revision(rung.model)
    folder = Path(name).expanduser() / (revision or "")
    training = read_training(folder)
    if training is None:
        return rung
    n = rung.n_params
    return replace(
        rung,
        family=rung.family or training.family,
        train_tokens=training.tokens,
        train_flops=None if n is None else 6 * n * training.tokens,
    )


def read_sizes(texts: Sequence[str]) -> dict[str, int]:
    """Read the values of ``--params MODEL=7B``: model -> parameters.

    Raises:
        UsageError: one is not of this form.
    """
    sizes: dict[str, int] = {}
    for text in texts:
        model, equals, count = text.rpartition("=")
        n = parse_count(count)
        if not equals or not model or n is None:
            raise UsageError(f"--params {text!r} cannot be read", hint="--params MODEL=7B")
        if sizes.setdefault(model, n) != n:
            raise UsageError(f"--params gives {model} two sizes", hint="leave one out")
    return sizes


def check_count(n_models: int) -> None:
    """Refuse a ladder of fewer than two models, before any model is looked for.

    Raises:
        UsageError: fewer than two models.
    """
    if n_models < 2:
        raise UsageError(
            f"a ladder needs two models or more, not {n_models}",
            hint="--models A,B,C or --family NAME",
        )


def check_ladder(rungs: Sequence[Rung], axis: Axis, *, replicates: bool = False) -> None:
    """Refuse models that have no order, before anything is generated.

    Models of one family and size are trainings of it; ``replicates``: so are models of equal size
    and unknown family.

    Raises:
        UsageError: fewer than two models, one given twice, or two of equal or unknown size.
    """
    check_count(len(rungs))
    if again := _find_duplicate(rung.model for rung in rungs):
        raise UsageError(f"{again} is given twice", hint="name each model once")
    by_position: dict[float, Rung] = {}
    for index, rung in enumerate(rungs):
        position = rung_position(rung, index, axis)
        if position is None:
            what, hint = _NEEDED[axis]
            raise UsageError(f"the {what} of {rung.model} is not known", hint=hint)
        other = by_position.setdefault(position, rung)
        if other is not rung and not are_trainings(other, rung, axis, replicates=replicates):
            raise UsageError(
                f"{other.model} and {rung.model} have the same {_NEEDED[axis][0]}",
                hint=say_way_out(other, rung, axis),
            )
    if len(by_position) < 2:
        raise UsageError(
            f"all {len(rungs)} models are of one size", hint="a ladder needs two sizes or more"
        )


def _find_duplicate(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


# Whether runs may stand on one curve: they must differ in the model alone.


def check_alike(runs: Sequence[tuple[str, Content]]) -> None:
    """Refuse runs that differ in what they asked, or how it was read.

    Runs of cotkit 0.1 and later ones are compared in what both record.

    Args:
        runs: Id and content of each; an arm that only some have is not compared.

    Raises:
        UsageError: names the first field that differs.
    """
    (first, content), *others = runs
    for run_id, other in others:
        if (field := difference(content, other)) is not None:
            raise UsageError(
                f"runs {first} and {run_id} cannot stand on one curve: they differ in {field}",
                hint="cotkit scale --models runs them alike; what is done is not made again",
            )


# A grid taken apart by how long its problems are: does the onset move with it?


Grouping: TypeAlias = Literal["steps", "length"]
"""By the steps of the problems, or by the length of their answers (digits of a number, words of a
text: the target length of arXiv:2304.15004)."""

_GROUPED: Mapping[Grouping, tuple[str, str]] = {
    "steps": ("steps", "--by-steps"),
    "length": ("answer length", "--by-length"),
}


def group_problems(
    bench: str, grouping: Grouping, numbers: Sequence[int | None]
) -> dict[str, list[int]]:
    """Return the places of the problems of each group, by its name; those unknown are in none.

    The groups are those of a comparison (``analysis.steps``), fixed by counts alone.

    Raises:
        UsageError: there are not two groups.
    """
    counts = Counter(n for n in numbers if n is not None)
    groups = group_steps(counts)
    if len(groups) < 2:
        what, option = _GROUPED[grouping]
        raise UsageError(
            f"the problems of {bench} do not fall into two groups by their {what}",
            hint=f"leave out {option}, or raise --limit",
        )
    return {
        _name_group(grouping, low, high): [
            i for i, n in enumerate(numbers) if n is not None and low <= n <= high
        ]
        for low, high in groups
    }


def split_grid(grid: ResultGrid, grouping: Grouping) -> tuple[ResultGrid, ...]:
    """Return one grid for each group; problems of which it is not known are in none.

    Raises:
        UsageError: there are not two groups.
    """
    numbers = grid.n_steps if grouping == "steps" else grid.answer_lengths
    return tuple(
        _select_problems(replace(grid, bench=f"{grid.bench}, {name}"), places)
        for name, places in group_problems(grid.bench, grouping, numbers or ()).items()
    )


def _select_problems(grid: ResultGrid, places: Sequence[int]) -> ResultGrid:
    indices = list(places)

    def select(values: Floats | None) -> Floats | None:
        return None if values is None else values[indices]

    cells: Mapping[tuple[str, str], Cell] = {
        key: ArmOutcomes(
            correct=cell.correct[indices],
            metrics={name: values[indices] for name, values in cell.metrics.items()},
            tokens=select(cell.tokens),
            usd=select(cell.usd),
            seconds=select(cell.seconds),
            variants={
                name: replace(
                    counted,
                    as_arm=counted.as_arm[indices],
                    as_control=counted.as_control[indices],
                )
                for name, counted in cell.variants.items()
            },
            unreadable=select(cell.unreadable),
            truncated=select(cell.truncated),
        )
        for key, cell in grid.cells.items()
        if isinstance(cell, ArmOutcomes)
    }
    guess = None if grid.guess is None else GuessRates(rates=grid.guess.rates[indices])
    return replace(
        grid,
        cells=cells,
        guess=guess,
        problem_ids=tuple(grid.problem_ids[i] for i in places),
        clusters=None if grid.clusters is None else tuple(grid.clusters[i] for i in places),
        n_steps=None if grid.n_steps is None else tuple(grid.n_steps[i] for i in places),
        answer_lengths=None
        if grid.answer_lengths is None
        else tuple(grid.answer_lengths[i] for i in places),
    )


def _name_group(grouping: Grouping, low: int, high: int) -> str:
    if grouping == "length":
        return f"answer length {low}" if low == high else f"answer lengths {low} to {high}"
    if low == high:
        return f"{low} step" if low == 1 else f"{low} steps"
    return f"{low} to {high} steps"
