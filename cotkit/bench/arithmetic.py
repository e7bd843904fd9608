"""Generated multi-step arithmetic: steps x digits x operators x shape, and published shapes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import get_args

from cotkit.bench._arithmetic import POOL_SIZE, Maker, Worked, rationale, split
from cotkit.bench._arithmetic_shapes import PRESETS, Grid, Shape, stream_of
from cotkit.errors import UnknownNameError, UsageError
from cotkit.types import AnswerKind, Problem, Question

GENERATOR_VERSION = 1
"""Changes whenever any problem does; ``tests/test_arithmetic.py`` holds hashes of the problems."""

_OPERATORS = "+-*/"
_SETS = {"".join(some) for k in range(1, 5) for some in combinations(_OPERATORS, k)}
_MAX_N = 2000  # far fewer than there are in a set that is drawn rather than listed
_MAX_DIGITS = 15  # of a value: a float then still holds it exactly, so no reader can be blamed


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """Problems with exact integer answers and their worked steps; nothing is downloaded.

    ``arithmetic:steps=3,digits=2,operators=+-`` is our grid; ``arithmetic:preset=gpt3-3d-add`` a
    published shape. Ours: a problem of ``steps`` operations has ``steps + 1`` numbers of ``digits``
    digits (none begins with 0); results may be negative; a division is exact, and neither divides
    by 1 nor gives 0 or 1. The first 32 different problems drawn are the exemplar pool and the next
    ``n`` the problems, so the two are disjoint, the pool does not depend on ``n``, and a larger
    ``n`` contains a smaller one.
    """

    steps: int | None = None
    """Operations in a problem, 1..8; None: 3."""
    digits: int | None = None
    """Digits of every number given, 1..5; None: 2."""
    operators: str | None = None
    """Any of ``+``, ``-``, ``x`` (or ``*``) and ``/``, written together; None: ``+-``."""
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
    """Registry name."""
    answer_kind: AnswerKind = field(default="number", init=False)
    """Every gold answer is an integer."""
    has_own_exemplars: bool = field(default=True, init=False)
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
            _check(self, self._grid)
            return
        if self.preset not in PRESETS:
            raise UnknownNameError("preset of arithmetic", self.preset, PRESETS)
        for given in ("steps", "digits", "operators", "shape"):
            if getattr(self, given) is not None:
                raise ValueError(f"{given} is fixed by preset={self.preset}, leave one of them out")

    @property
    def version(self) -> str:
        """Generator version and parameters: together they are the problems."""
        return f"{GENERATOR_VERSION}-{self._set}-seed{self.seed}-n{self.n}"

    def problems(self) -> Sequence[Problem]:
        """At most ``n`` problems, in the order in which they were drawn.

        Raises:
            UsageError: there are hardly more different problems than exemplars.
        """
        return self._parts[1]

    def exemplar_pool(self) -> Sequence[Problem]:
        """32 more, with their steps as rationale; raises as :meth:`problems` does."""
        return self._parts[0]

    @property
    def _parts(self) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
        maker = PRESETS[self.preset] if self.preset else self._grid
        return _split(maker, self._set, self.seed, self.n)

    @property
    def _grid(self) -> Grid:
        given = "+-" if self.operators is None else self.operators.replace("x", "*")
        return Grid(
            steps=3 if self.steps is None else self.steps,
            digits=2 if self.digits is None else self.digits,
            operators="".join(sorted(given, key=_OPERATORS.find)),
            shape=self.shape or "chain",
        )

    @property
    def _set(self) -> str:
        """Name of the set, whatever its seed and size."""
        return self.preset or self._grid.name


def _check(bench: Arithmetic, grid: Grid) -> None:
    """Refuse a grid that has no problems, or values beyond the promised range."""
    if not 1 <= grid.steps <= 8:
        raise ValueError(f"steps is {grid.steps}, must be 1 to 8")
    if not 1 <= grid.digits <= 5:
        raise ValueError(f"digits is {grid.digits}, must be 1 to 5")
    if bench.shape not in {None, *get_args(Shape)}:
        raise ValueError(f"shape is {bench.shape!r}, must be chain, signs or nested")
    if grid.operators not in _SETS:
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
def _split(
    maker: Maker, name: str, seed: int, n: int
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """(pool, problems)."""
    pool, drawn = split(maker, f"{GENERATOR_VERSION}/{stream_of(name)}/{seed}", n)
    if not drawn:
        raise UsageError(
            f"{name} has {len(pool)} different problems, and {POOL_SIZE} are for exemplars",
            hint="more digits, steps or operators",
        )
    place = f"arithmetic/{name}-seed{seed}"
    return _problems(pool, f"{place}/exemplar/"), _problems(drawn, f"{place}/")


def _problems(drawn: Sequence[Worked], prefix: str) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            question=Question(id=f"{prefix}{at:04}", text=worked.text),
            gold=str(worked.value),
            rationale=rationale(worked.steps),
            n_steps=len(worked.steps),
        )
        for at, worked in enumerate(drawn, start=1)
    )
