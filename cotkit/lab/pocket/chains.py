"""Chains of additions and subtractions, many at once, and which of them may be trained on."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cotkit.bench.arithmetic import Arithmetic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cotkit.lab.pocket.recipe import Recipe
    from cotkit.types import Problem

_TERM = re.compile(r"(add|subtract) (\d+)")
_START = re.compile(r"Start with (\d+)")
_OPERATORS = ("+", "-", "+-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """N problems, each of at most S operations."""

    start: NDArray[np.int64]
    """Shape [N]: the first number."""
    signs: NDArray[np.int64]
    """Shape [N, S]: 1 to add, -1 to subtract, 0 beyond the problem's last operation."""
    terms: NDArray[np.int64]
    """Shape [N, S]: what is added or subtracted; 0 beyond the last."""

    @property
    def values(self) -> NDArray[np.int64]:
        """Shape [N, S + 1]: the start and the result of every step."""
        import numpy as np

        return np.cumsum(np.column_stack([self.start, self.signs * self.terms]), axis=1)

    def keys(self, digits: int) -> NDArray[np.int64]:
        """One number for each different problem whose numbers have so many digits, shape [N].

        Where it takes more than 64 bits, two problems may share one: then one more is held out.
        """
        import numpy as np

        base = 2 * 10**digits
        keys = self.start.copy()
        for sign, term in zip(self.signs.T, self.terms.T, strict=True):
            keys = keys * base + np.where(sign > 0, term, np.where(sign < 0, term + base // 2, 0))
        return keys


def draw(rng: np.random.Generator, n_steps: NDArray[np.int64], recipe: Recipe) -> Chains:
    """A problem for each number of steps, shape [N]; held-out ones are drawn again."""
    import numpy as np

    chains = _draw(rng, n_steps, recipe)
    held_out = held_out_keys(recipe)
    while (at := np.flatnonzero(_among(chains.keys(recipe.digits), held_out))).size:
        again = _draw(rng, n_steps[at], recipe)
        chains.start[at], chains.signs[at], chains.terms[at] = again.start, again.signs, again.terms
    return chains


def _draw(rng: np.random.Generator, n_steps: NDArray[np.int64], recipe: Recipe) -> Chains:
    import numpy as np

    shape = (n_steps.size, recipe.max_steps)
    low, high = 10 ** (recipe.digits - 1), 10**recipe.digits
    there = np.arange(recipe.max_steps) < n_steps[:, None]
    return Chains(
        start=rng.integers(low, high, n_steps.size),
        signs=np.where(rng.integers(0, 2, shape) == 0, 1, -1) * there,
        terms=rng.integers(low, high, shape) * there,
    )


def _among(keys: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each key is one of the known ones, which are sorted."""
    import numpy as np

    return known[np.minimum(np.searchsorted(known, keys), known.size - 1)] == keys


@functools.lru_cache(maxsize=4)
def held_out_keys(recipe: Recipe) -> NDArray[np.int64]:
    """Keys of the benchmark's problems and exemplars that are not trained on, sorted."""
    import numpy as np

    return np.unique(chains_of(held_out_problems(recipe), recipe).keys(recipe.digits))


def held_out_problems(recipe: Recipe) -> list[Problem]:
    """What ``arithmetic`` draws under the recipe's seeds, from ``least_held_out`` operations up."""
    sets = [
        Arithmetic(
            steps=steps, digits=recipe.digits, operators=operators, seed=seed, n=recipe.held_out_n
        )
        for steps in range(recipe.least_held_out, recipe.max_steps + 1)
        for operators in _OPERATORS
        for seed in recipe.held_out_seeds
    ]
    return [one for bench in sets for one in (*bench.problems(), *bench.exemplar_pool())]


def chains_of(problems: list[Problem], recipe: Recipe) -> Chains:
    """Problems of the benchmark as numbers."""
    import numpy as np

    start = np.zeros(len(problems), dtype=np.int64)
    signs, terms = np.zeros((2, len(problems), recipe.max_steps), dtype=np.int64)
    for row, problem in enumerate(problems):
        text = problem.question.text
        found = _START.search(text)
        assert found is not None  # every chain has one
        start[row] = int(found[1])
        for column, (word, term) in enumerate(_TERM.findall(text)):
            signs[row, column] = 1 if word == "add" else -1
            terms[row, column] = int(term)
    return Chains(start=start, signs=signs, terms=terms)
