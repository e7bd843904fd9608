"""Integer vectors on two sides of a random plane: a task that no prior helps (Wei et al. 2023)."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice

from cotkit.types import AnswerKind, Problem, Question

LABELS = ("Bar", "Foo")
"""On or above the plane is ``Foo``, as in the paper; in alphabetical order."""
POOL_PER_LABEL = 32
"""Exemplars that can be drawn for each label."""

_HIGHEST = 1000
_N_PROBES = 400
_MIN_SHARE = 0.25  # of the probes on either side; a plane through a corner would teach nothing
_MAX_N = 2000  # with the pool still far fewer than the points there are on a side in 2 dimensions


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearClassification:
    """Vectors x of integers 1..1000; the label is ``Foo`` if a . x >= a . p, else ``Bar``.

    Source: arXiv:2303.03846, section 6. The weights a and the pivot point p have entries drawn
    uniformly from 1..1000, as have the vectors. Ours: the plane is drawn again until a quarter of
    400 probe vectors lies on each side; the labels are balanced; and every number comes from
    SHAKE-256, so it is the same on every machine. Vectors are drawn one after another, repeats
    passed over: of each label the first 32 are the exemplar pool and the next n/2 the problems, so
    the two are disjoint, the pool does not depend on n, and a larger n contains a smaller one.
    """

    dims: int = 16
    """Entries of a vector, 2..64."""
    seed: int = 0
    """Which plane and which vectors."""
    n: int = 200
    """Problems, half of each label: an even number, 2..2000."""
    name: str = field(default="linear-classification", init=False)
    answer_kind: AnswerKind = field(default="choice", init=False)

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: names the field and its range.
        """
        if not 2 <= self.dims <= 64:
            raise ValueError(f"dims is {self.dims}, must be 2 to 64")
        if not 2 <= self.n <= _MAX_N or self.n % 2:
            raise ValueError(f"n is {self.n}, must be an even number from 2 to {_MAX_N}")

    @property
    def version(self) -> str:
        """Generator version and parameters: together they are the problems."""
        return f"1-dims{self.dims}-seed{self.seed}-n{self.n}"

    def problems(self) -> Sequence[Problem]:
        """Return ``n`` problems, in the order in which they were drawn."""
        return _make_split(self.dims, self.seed, self.n)[1]

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return 32 of each label, without rationales."""
        return _make_split(self.dims, self.seed, self.n)[0]


@functools.lru_cache(maxsize=8)
def _make_split(dims: int, seed: int, n: int) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Return (pool, problems)."""
    place = f"linear-classification/{dims}d-seed{seed}"
    weights, threshold = _draw_plane(dims, seed)
    room = dict.fromkeys(LABELS, POOL_PER_LABEL + n // 2)
    pool: list[Problem] = []
    problems: list[Problem] = []
    drawn: set[tuple[int, ...]] = set()
    for vector in _draw_vectors(dims, seed, "points"):
        label = LABELS[_dot(weights, vector) >= threshold]
        if vector in drawn or not room[label]:
            continue
        drawn.add(vector)
        is_exemplar = room[label] > n // 2
        room[label] -= 1
        part, split = (pool, "exemplar/") if is_exemplar else (problems, "")
        question = Question(
            id=f"{place}/{split}{len(part) + 1:03}",
            text=", ".join(map(str, vector)),
            choices=LABELS,
            answer_kind="choice",
        )
        part.append(Problem(question=question, gold=label))
        if not any(room.values()):
            break
    return tuple(pool), tuple(problems)


def _draw_plane(dims: int, seed: int) -> tuple[tuple[int, ...], int]:
    """Draw the weights and the threshold of a plane."""
    probes = list(islice(_draw_vectors(dims, seed, "probes"), _N_PROBES))
    drawn = zip(
        _draw_vectors(dims, seed, "weights"), _draw_vectors(dims, seed, "pivots"), strict=True
    )
    for weights, pivot in drawn:
        threshold = _dot(weights, pivot)
        n_above = sum(_dot(weights, probe) >= threshold for probe in probes)
        if _MIN_SHARE <= n_above / _N_PROBES <= 1 - _MIN_SHARE:
            return weights, threshold
    raise AssertionError("the streams have no end")


def _draw_vectors(dims: int, seed: int, stream: str) -> Iterator[tuple[int, ...]]:
    """Yield independent vectors without end."""
    for index in count():
        tag = f"linear-classification v1/{dims}/{seed}/{stream}/{index}"
        # With 8 bytes an entry, the bias of the modulo is negligible.
        data = hashlib.shake_256(tag.encode()).digest(8 * dims)
        entries = (int.from_bytes(data[i : i + 8], "big") for i in range(0, 8 * dims, 8))
        yield tuple(entry % _HIGHEST + 1 for entry in entries)


def _dot(weights: tuple[int, ...], vector: tuple[int, ...]) -> int:
    return sum(weight * entry for weight, entry in zip(weights, vector, strict=True))
