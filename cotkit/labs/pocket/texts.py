"""Problems as tokens: exactly what our strategies render, with the answers that should follow.

Everything is an array over all problems at once: each place of the longest text is a column, and
-1 stands where a problem has nothing there. Python loops run over columns only.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cotkit.benchmarks.arithmetic import Arithmetic
from cotkit.labs.pocket import recipe as v

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from cotkit.labs.pocket.recipe import PocketRecipe
    from cotkit.types import Problem


_ABSENT = -1
_SHORTEST = 8  # tokens of any problem with its answer, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingBatch:
    """Sequences to train on; every one begins with the header and is cut at its end."""

    ids: NDArray[np.int64]
    """Tokens, shape [B, L]."""
    learned: NDArray[np.bool_]
    """Where a token is part of a rationale or answer, shape [B, L]: only these are learned."""


def make_batch(recipe: PocketRecipe, seed: int, step: int) -> TrainingBatch:
    """The sequences of one step: a function of recipe, seed and step alone."""
    import numpy as np

    rng = np.random.default_rng([recipe.generator_version, seed, step])
    is_long = step % recipe.long_every == recipe.long_every - 1
    length = recipe.long_tokens if is_long else recipe.short_tokens
    n_rows = recipe.batch_tokens // length
    reasoned = rng.random(n_rows) < recipe.reasoned
    steps = rng.integers(1, recipe.max_steps + 1, n_rows)
    mixed = rng.random(n_rows) < recipe.mixed
    row = np.repeat(np.arange(n_rows), length // _SHORTEST + 1)
    n_steps = np.where(mixed[row], rng.integers(1, recipe.max_steps + 1, row.size), steps[row])
    n_tokens = _least_tokens(n_steps, reasoned[row])
    needed = _tokens_before(n_tokens, row) < length  # no more than surely fill the row
    row, n_steps = row[needed], n_steps[needed]
    ids, learned = encode(draw_chains(rng, n_steps, recipe), reasoned[row])
    return _pack_rows(ids, learned, row, (n_rows, length))


def encode(
    chains: ChainBatch, reasoned: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Tokens of each problem with its answer, and whether they are learned.

    Both have shape [N, columns]; -1 where there is no token.
    """
    import numpy as np

    question, answer = list(_question_columns(chains)), list(_answer_columns(chains, reasoned))
    ids = np.column_stack(question + answer)
    learned = np.arange(ids.shape[1]) >= len(question)
    return ids, np.broadcast_to(learned, ids.shape)


def _question_columns(chains: ChainBatch) -> Iterator[NDArray[np.int64]]:
    import numpy as np

    yield np.full_like(chains.start, v.ID[v.START])
    yield from _number_columns(chains.start)
    for at, (sign, term) in enumerate(zip(chains.signs.T, chains.terms.T, strict=True)):
        add, subtract = (v.ADD, v.SUBTRACT) if at else (v.ADD_FIRST, v.SUBTRACT_FIRST)
        yield _sign_tokens(sign, add, subtract)
        yield from _number_columns(term, sign != 0)
    yield np.full_like(chains.start, v.ID[v.ASK])


def _answer_columns(chains: ChainBatch, reasoned: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    import numpy as np

    values, signs = chains.values, chains.signs * reasoned[:, None]
    single = (chains.signs != 0).sum(axis=1) == 1
    for at, (sign, term) in enumerate(zip(signs.T, chains.terms.T, strict=True)):
        there = sign != 0
        first = np.where(single, v.ID[v.SPACE], v.ID[v.FIRST]) if at == 0 else v.ID[v.THEN]
        yield np.where(there, first, _ABSENT)
        yield from _number_columns(values[:, at], there)
        yield _sign_tokens(sign, v.PLUS, v.MINUS)
        yield from _number_columns(term, there)
        yield np.where(there, v.ID[v.EQUALS], _ABSENT)
        yield from _number_columns(values[:, at + 1], there)
        yield np.where(there, v.ID[v.STOP], _ABSENT)
    for piece in (v.ANSWER, v.SPACE):
        yield np.full_like(chains.start, v.ID[piece])
    yield from _number_columns(values[:, -1])
    for piece in (v.STOP, v.BLANK):
        yield np.full_like(chains.start, v.ID[piece])


def _number_columns(
    value: NDArray[np.int64], there: NDArray[np.bool_] | None = None
) -> Iterator[NDArray[np.int64]]:
    """A column for the sign and one for each digit of the largest, the highest first."""
    import numpy as np

    size = np.abs(value)
    there = np.ones(value.shape, dtype=np.bool_) if there is None else there
    yield np.where(there & (value < 0), v.ID[v.NEGATIVE], _ABSENT)
    for power in range(len(str(size.max(initial=0))) - 1, -1, -1):
        shown = there & ((size >= 10**power) if power else True)
        yield np.where(shown, v.ID["0"] + size // 10**power % 10, _ABSENT)


def _sign_tokens(sign: NDArray[np.int64], add: str, subtract: str) -> NDArray[np.int64]:
    import numpy as np

    return np.where(sign > 0, v.ID[add], np.where(sign < 0, v.ID[subtract], _ABSENT))


def _least_tokens(n_steps: NDArray[np.int64], reasoned: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Tokens of a problem whose numbers have one digit each, answer included."""
    return _SHORTEST + 2 * n_steps + reasoned * 7 * n_steps


def _tokens_before(n_tokens: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tokens that the same row holds before each problem; rows stand in order."""
    import numpy as np

    before = np.cumsum(n_tokens) - n_tokens
    return before - before[np.searchsorted(row, row)]


def _pack_rows(
    ids: NDArray[np.int64],
    learned: NDArray[np.bool_],
    row: NDArray[np.int64],
    shape: tuple[int, int],
) -> TrainingBatch:
    """Problems one after the other behind a header, row by row, each row cut at its length."""
    import numpy as np

    there = ids != _ABSENT
    n_tokens = there.sum(axis=1)
    row_of = np.repeat(row, n_tokens)
    at = 1 + _tokens_before(np.ones_like(row_of), row_of)
    fits = at < shape[1]
    packed, flags = np.full(shape, v.ID[v.HEADER]), np.zeros(shape, dtype=np.bool_)
    packed[row_of[fits], at[fits]] = ids[there][fits]
    flags[row_of[fits], at[fits]] = learned[there][fits]
    return TrainingBatch(ids=packed, learned=flags)


# Chains of additions and subtractions, many at once, and which of them may be trained on.


_TERM = re.compile(r"(add|subtract) (\d+)")
_START = re.compile(r"Start with (\d+)")
_OPERATORS = ("+", "-", "+-")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainBatch:
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


def draw_chains(
    rng: np.random.Generator, n_steps: NDArray[np.int64], recipe: PocketRecipe
) -> ChainBatch:
    """A problem for each number of steps, shape [N]; held-out ones are drawn again."""
    import numpy as np

    chains = _draw_unchecked(rng, n_steps, recipe)
    held_out = held_out_keys(recipe)
    while (at := np.flatnonzero(_is_among(chains.keys(recipe.digits), held_out))).size:
        again = _draw_unchecked(rng, n_steps[at], recipe)
        chains.start[at], chains.signs[at], chains.terms[at] = again.start, again.signs, again.terms
    return chains


def _draw_unchecked(
    rng: np.random.Generator, n_steps: NDArray[np.int64], recipe: PocketRecipe
) -> ChainBatch:
    import numpy as np

    shape = (n_steps.size, recipe.max_steps)
    low, high = 10 ** (recipe.digits - 1), 10**recipe.digits
    there = np.arange(recipe.max_steps) < n_steps[:, None]
    return ChainBatch(
        start=rng.integers(low, high, n_steps.size),
        signs=np.where(rng.integers(0, 2, shape) == 0, 1, -1) * there,
        terms=rng.integers(low, high, shape) * there,
    )


def _is_among(keys: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each key is one of the known ones, which are sorted."""
    import numpy as np

    return known[np.minimum(np.searchsorted(known, keys), known.size - 1)] == keys


@functools.lru_cache(maxsize=4)
def held_out_keys(recipe: PocketRecipe) -> NDArray[np.int64]:
    """Keys of the benchmark's problems and exemplars that are not trained on, sorted."""
    import numpy as np

    return np.unique(chains_of(held_out_problems(recipe), recipe).keys(recipe.digits))


def held_out_problems(recipe: PocketRecipe) -> list[Problem]:
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


def chains_of(problems: list[Problem], recipe: PocketRecipe) -> ChainBatch:
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
    return ChainBatch(start=start, signs=signs, terms=terms)
