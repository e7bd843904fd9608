"""Draw problems that a generator makes, of several lengths in turn: the same on every machine."""

from __future__ import annotations

import functools
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import ClassVar, TypeAlias

from cotkit.errors import UsageError
from cotkit.types import Problem

POOL_SIZE = 32
"""Exemplars that can be drawn."""

_NAMES = """
Ada Abel Aidan Akira Alma Amos Anja Arlo Astrid Aziz Beatrix Bilal Bjorn Boaz Bruno Carl
Cedric Chloe Cleo Dag Daphne Darko Deniz Dov Edith Eamon Emir Esther Ezra Faith Farouk Felix
Fritz Gail Gideon Goro Greta Hamza Hanif Heath Hugo Ibrahim Ines Ingrid Isaac Ivo Jakub
Jasper Joaquin Jody Josef Judith Kaito Karim Keith Kenji Klaus Kwame Lars Leif Lev Lilith
Loic Lotte Ludwig Mabel Malik Marek Maxim Mercy Milan Mirko Naomi Nasir Nell Niklas Noor
Olaf Omar Oskar Otto Pablo Pavel Inez Phoebe Piotr Quinn Rafiq Ralph Ravi Rex Rosalind Rufus
Ruth Samir Selim Seth Silas Stefan Sven Tariq Tessa Theo Tobias Ulf Ursula Vance Viktor
Wanda Wolf Xavi Yasmin Yusuf Zack Zelda Zubin
"""
NAMES = tuple(_NAMES.split())
"""Given names from many places, all different, with many different last letters."""

Choose: TypeAlias = Callable[[int], int]
"""Asked with n it answers with a number from 0 to n - 1."""
Maker: TypeAlias = Callable[[Choose, int, int, str], Problem]
"""Makes a problem of (choose, length, how many of that length came before, id)."""


def read_range(name: str, value: int | str, lowest: int, highest: int) -> range:
    """Read ``3`` or ``1-8`` as a range.

    Raises:
        ValueError: it is neither, or out of range.
    """
    match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", str(value))
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not lowest <= low <= high <= highest:
        example = f"{lowest}-{lowest + 2}"
        raise ValueError(
            f"{name} is {value}, must be {lowest} to {highest}, or a range such as {example}"
        )
    return range(low, high + 1)


def name_range(lengths: range) -> str:
    """Return ``3`` or ``2to6``."""
    return f"{lengths[0]}to{lengths[-1]}" if len(lengths) > 1 else str(lengths[0])


def choose_by_hash(tag: str) -> Choose:
    """Return independent choices that depend on the tag alone."""
    numbers = count()

    def choose(n: int) -> int:
        # With 8 bytes a choice, the bias of the modulo is negligible.
        data = hashlib.shake_256(f"{tag}/{next(numbers)}".encode()).digest(8)
        return int.from_bytes(data, "big") % n

    return choose


def pick_names(choose: Choose, k: int) -> list[str]:
    """Choose k different names."""
    names = list(NAMES)
    return [names.pop(choose(len(names))) for _ in range(k)]


_MAX_MISSES = 1000


def make_split(
    maker: Maker, place: str, lengths: range, pool_lengths: range, n: int
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Return (pool, problems): 32 exemplars, then n problems that are not among them.

    Lengths are taken in turn. The pool does not depend on n, and a larger n contains a smaller one.

    Raises:
        UsageError: there are fewer different problems.
    """
    questions: set[str] = set()

    def make(prefix: str, stream: str, sizes: Sequence[int], n_made: int) -> tuple[Problem, ...]:
        choose = choose_by_hash(f"{place}/{stream}")
        problems: list[Problem] = []
        misses = 0
        while len(problems) < n_made:
            turn, which = divmod(len(problems), len(sizes))
            problem = maker(choose, sizes[which], turn, f"{prefix}{len(problems) + 1:04}")
            if problem.question.text in questions:
                misses += 1
                if misses > _MAX_MISSES:
                    raise UsageError(
                        f"{place} has hardly more than {len(questions)} different problems",
                        hint="a smaller n, or longer problems",
                    )
                continue
            questions.add(problem.question.text)
            problems.append(problem)
            misses = 0
        return tuple(problems)

    pool = make(
        f"{place}/exemplar/", f"exemplars-{name_range(pool_lengths)}", pool_lengths, POOL_SIZE
    )
    return pool, make(f"{place}/", "problems", lengths, n)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedBenchmark(ABC):
    """The common part of benchmarks whose problems have a length: names that are joined, people."""

    seed: int = 0
    """Which problems."""
    n: int = 500
    """Problems, 1..2000."""
    name: str = field(default="", init=False)
    length_name: ClassVar[str]
    """What a length is a number of: the field that holds it; ``exemplar_...`` is of exemplars."""
    max_n: ClassVar[int] = 2000
    max_length: ClassVar[int] = 20
    has_own_exemplars: ClassVar[bool] = True
    """``builtin:K`` draws from the pool here: word problems would show another task."""

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: names the field and its range.
        """
        if not 1 <= self.n <= self.max_n:
            raise ValueError(f"n is {self.n}, must be 1 to {self.max_n}")
        _ = self._lengths, self._pool_lengths

    @staticmethod
    @abstractmethod
    def make_problem(choose: Choose, length: int, turn: int, problem_id: str) -> Problem:
        """Make a problem; ``turn``: how many of its length came before."""

    @property
    def version(self) -> str:
        """Generator version and parameters: together they are the problems."""
        lengths = f"{name_range(self._lengths)}-shown{name_range(self._pool_lengths)}"
        return f"1-{self.length_name}{lengths}-seed{self.seed}-n{self.n}"

    def problems(self) -> Sequence[Problem]:
        """Return ``n`` problems, the lengths in turn."""
        return self._split()[1]

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return 32 more, with their rationales."""
        return self._split()[0]

    def _split(self) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
        lengths = self._lengths
        place = f"{self.name}/{name_range(lengths)}-{self.length_name}-seed{self.seed}"
        return _make_split_once(self.make_problem, place, lengths, self._pool_lengths, self.n)

    @property
    def _lengths(self) -> range:
        return self._read_range(self.length_name)

    @property
    def _pool_lengths(self) -> range:
        field = f"exemplar_{self.length_name}"
        return self._lengths if getattr(self, field) is None else self._read_range(field)

    def _read_range(self, field: str) -> range:
        return read_range(field, getattr(self, field), 2, self.max_length)


_make_split_once = functools.lru_cache(maxsize=16)(make_split)
