"""Generated multi-step arithmetic: steps x digits x operators x shape, and published shapes."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product, zip_longest
from typing import ClassVar, TypeAlias, TypeVar, get_args

from cotkit.benchmarks._generated import read_range
from cotkit.benchmarks.arithmetic.generate import (
    POOL_SIZE,
    PRESETS,
    Maker,
    ProblemMaker,
    Shape,
    WorkedProblem,
    split_problems,
    stream_name,
    write_rationale,
)
from cotkit.errors import UnknownNameError, UsageError
from cotkit.types import AnswerKind, Problem, Question

GENERATOR_VERSION = 1
"""Changes whenever any problem does; ``tests/test_arithmetic.py`` holds hashes of the problems."""

_OPERATORS = "+-*/"
_OPERATOR_SETS = {"".join(some) for k in range(1, 5) for some in combinations(_OPERATORS, k)}
_MAX_N = 2000  # far fewer than there are in a set that is drawn rather than listed
_MAX_DIGITS = 15  # of a value: a float then still holds it exactly, so no reader can be blamed

_Cells: TypeAlias = tuple[tuple[str, Maker], ...]  # (name, maker)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """Problems with exact integer answers and their worked steps; nothing is downloaded.

    ``arithmetic:steps=3,digits=2,operators=+-`` is our grid; ``arithmetic:preset=gpt3-3d-add`` a
    published shape. Ours: a problem of ``steps`` operations has ``steps + 1`` numbers of ``digits``
    digits (none begins with 0); results may be negative; a division is exact, and neither divides
    by 1 nor gives 0 or 1. The first 32 different problems drawn are the exemplar pool and the next
    ``n`` the problems, so the two are disjoint, the pool does not depend on ``n``, and a larger
    ``n`` contains a smaller one.

    A range (``steps=1-8``, ``digits=1-3``) takes the problems and exemplars of its cells in turn:
    one of each cell, then the second of each; a small cell that runs out is not made up for.
    """

    steps: int | str | None = None
    """Operations in a problem, 1..8, or a range of them; None: 4."""
    digits: int | str | None = None
    """Digits of every number given, 1..5, or a range of them; None: 1."""
    operators: str | None = None
    """Any of ``+``, ``-``, ``x`` (or ``*``) and ``/``, written together; None: ``+``."""
    shape: Shape | None = None
    """``chain``: from left to right, in words (``Start with 12, add 7, then subtract 4.``);
    ``signs``: the same as ``12 + 7 - 4``, with ``+`` and ``-``, or ``x`` alone; ``nested``: signs
    with brackets around every inner operation; None: ``chain``."""
    preset: str | None = None
    """A published shape in place of the four above, e.g. ``gpt3-3d-add``, ``multistep-1-4``,
    ``modified-3d-add-plus-one``; None: our grid."""
    seed: int = 0
    """Which problems."""
    n: int = 1000
    """Problems, 1..2000; fewer where there are no more different ones."""
    name: str = field(default="arithmetic", init=False)
    answer_kind: AnswerKind = field(default="number", init=False)
    has_own_exemplars: ClassVar[bool] = True
    """``builtin:K`` draws from the pool here: word problems would show another task."""

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: names the field and its range.
            UnknownNameError: there is no such preset.
        """
        if not 1 <= self.n <= _MAX_N:
            raise ValueError(f"n is {self.n}, must be 1 to {_MAX_N}")
        if self.preset is None:
            for grid in self._grids:
                _check_grid(self, grid)
            return
        if self.preset not in PRESETS:
            raise UnknownNameError("preset of arithmetic", self.preset, PRESETS)
        for name in ("steps", "digits", "operators", "shape"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is fixed by preset={self.preset}, leave one of them out")

    @property
    def version(self) -> str:
        """Generator version and parameters: together they are the problems."""
        return f"{GENERATOR_VERSION}-{self._set}-seed{self.seed}-n{self.n}"

    def problems(self) -> Sequence[Problem]:
        """Return at most ``n`` problems, in the order in which they were drawn.

        Raises:
            UsageError: there are hardly more different problems than exemplars.
        """
        return self._parts[1]

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return 32 more, with their steps as rationale; raises as :meth:`problems` does."""
        return self._parts[0]

    @property
    def _parts(self) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
        if self.preset:
            return _make_split(((self.preset, PRESETS[self.preset]),), self.seed, self.n)
        return _make_split(tuple((grid.name, grid) for grid in self._grids), self.seed, self.n)

    @property
    def _grids(self) -> tuple[ProblemMaker, ...]:
        """Cells in order of steps, then digits."""
        signs = "+" if self.operators is None else self.operators.replace("x", "*")
        operators = "".join(sorted(signs, key=_OPERATORS.find))
        return tuple(
            ProblemMaker(
                steps=steps, digits=digits, operators=operators, shape=self.shape or "chain"
            )
            for steps, digits in product(
                read_range("steps", 4 if self.steps is None else self.steps, 1, 8),
                read_range("digits", 1 if self.digits is None else self.digits, 1, 5),
            )
        )

    @property
    def _set(self) -> str:
        """Name of the set, whatever its seed and size: ``1to8-steps-2-digits-add-sub-chain``."""
        if self.preset:
            return self.preset
        low, high = self._grids[0], self._grids[-1]
        steps = f"{low.steps}to{high.steps}" if low.steps < high.steps else str(low.steps)
        digits = f"{low.digits}to{high.digits}" if low.digits < high.digits else str(low.digits)
        return f"{steps}-steps-{digits}-digits-{low.kind}"


def _check_grid(bench: Arithmetic, grid: ProblemMaker) -> None:
    """Refuse a cell that has no problems, or values beyond the promised range."""
    if bench.shape not in {None, *get_args(Shape)}:
        raise ValueError(f"shape is {bench.shape!r}, must be chain, signs or nested")
    if grid.operators not in _OPERATOR_SETS:
        raise ValueError(f"operators is {bench.operators!r}, must be some of +-x/, each once")
    n_digits = grid.digits * (grid.steps + 1)
    if "*" in grid.operators and n_digits > _MAX_DIGITS:
        raise ValueError(
            f"steps is {grid.steps} and digits {grid.digits}: with x in operators a value may have"
            f" {n_digits} digits, more than {_MAX_DIGITS}"
        )
    if grid.shape == "signs" and grid.operators not in {"+", "-", "+-", "*"}:
        raise ValueError("shape is signs, where operators may be + and -, or x alone")
    if grid.operators == "/" and grid.steps > 1:
        raise ValueError(f"steps is {grid.steps}, but operators=/ divides exactly only once")


@functools.lru_cache(maxsize=8)
def _make_split(
    cells: _Cells, seed: int, n: int
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Return (pool, problems), of all cells in turn."""
    share = -(-n // len(cells))
    parts = [_split_cell(maker, name, seed, share) for name, maker in cells]
    pool, drawn = (tuple(_interleave(some)) for some in zip(*parts, strict=True))
    return pool[:POOL_SIZE], drawn[:n]


def _interleave(lists: Sequence[Sequence[_T]]) -> Iterator[_T]:
    """Yield the first of each, then the second of each, and so on until the longest has ended."""
    return (item for turn in zip_longest(*lists) for item in turn if item is not None)


def _split_cell(
    maker: Maker, name: str, seed: int, n: int
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Return (pool, problems) of one cell."""
    pool, drawn = split_problems(maker, f"{GENERATOR_VERSION}/{stream_name(name)}/{seed}", n)
    if not drawn:
        raise UsageError(
            f"{name} has {len(pool)} different problems, and {POOL_SIZE} are for exemplars",
            hint="more digits, steps or operators",
        )
    place = f"arithmetic/{name}-seed{seed}"
    return _make_problems(pool, f"{place}/exemplar/"), _make_problems(drawn, f"{place}/")


def _make_problems(drawn: Sequence[WorkedProblem], prefix: str) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            question=Question(id=f"{prefix}{number:04}", text=worked.text),
            gold=str(worked.value),
            rationale=write_rationale(worked.steps),
            n_steps=len(worked.steps),
        )
        for number, worked in enumerate(drawn, start=1)
    )
