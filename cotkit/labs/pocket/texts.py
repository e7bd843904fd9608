"""Write problems as tokens: what our strategies render, with the answers that should follow.

Everything is an array over all problems at once: each place of the longest text is a column, and
-1 stands where a problem has nothing there. Python loops run over columns only.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotkit.benchmarks.arithmetic import Arithmetic
from cotkit.labs.pocket.recipe import (
    ADD,
    ADD_FIRST,
    ANSWER,
    ASK,
    ASSISTANT,
    BLANK,
    END,
    END_THINK,
    EQUALS,
    FIRST,
    HEADER,
    ID,
    MINUS,
    NEGATIVE,
    NEWLINE,
    PLUS,
    SPACE,
    START,
    STOP,
    SUBTRACT,
    SUBTRACT_FIRST,
    THEN,
    THINK,
    USER,
    WAIT,
    PocketRecipe,
    ThoughtRecipe,
)
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
    """Return the sequences of one step: a function of recipe, seed and step alone."""
    rng = np.random.default_rng([recipe.generator_version, seed, step])
    is_long = step % recipe.long_every == recipe.long_every - 1
    length = recipe.long_tokens if is_long else recipe.short_tokens
    n_rows = recipe.batch_tokens // length
    if recipe.thought is not None:
        slot_row = np.repeat(np.arange(n_rows), length // _SHORTEST + 1)
        ids, learned = _draw_conversations(rng, recipe, recipe.thought, slot_row, is_long=is_long)
        return _pack_rows(ids, learned, slot_row, (n_rows, length), first=ID[USER])
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
    """Return the tokens of each problem with its answer, and whether they are learned.

    Both have shape [N, columns]; -1 where there is no token.
    """
    question, answer = list(_question_columns(chains)), list(_answer_columns(chains, reasoned))
    ids = np.column_stack(question + answer)
    learned = np.arange(ids.shape[1]) >= len(question)
    return ids, np.broadcast_to(learned, ids.shape)


def _question_columns(chains: ChainBatch) -> Iterator[NDArray[np.int64]]:
    yield np.full_like(chains.start, ID[START])
    yield from _number_columns(chains.start)
    for i, (sign, term) in enumerate(zip(chains.signs.T, chains.terms.T, strict=True)):
        add, subtract = (ADD, SUBTRACT) if i else (ADD_FIRST, SUBTRACT_FIRST)
        yield _sign_tokens(sign, add, subtract)
        yield from _number_columns(term, sign != 0)
    yield np.full_like(chains.start, ID[ASK])


def _answer_columns(chains: ChainBatch, reasoned: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    for i in range(chains.signs.shape[1]):
        yield from _step_columns(chains, i, reasoned)
    for piece in (ANSWER, SPACE):
        yield np.full_like(chains.start, ID[piece])
    yield from _number_columns(chains.values[:, -1])
    for piece in (STOP, BLANK):
        yield np.full_like(chains.start, ID[piece])


def _step_columns(
    chains: ChainBatch, i: int, exists: NDArray[np.bool_]
) -> Iterator[NDArray[np.int64]]:
    """Yield the columns of step ``i`` (from 0) where it exists and the problem has it."""
    values, sign = chains.values, chains.signs[:, i] * exists
    exists = sign != 0
    opening = np.where(chains.n_steps == 1, ID[SPACE], ID[FIRST]) if i == 0 else ID[THEN]
    yield np.where(exists, opening, _ABSENT)
    yield from _number_columns(values[:, i], exists)
    yield _sign_tokens(sign, PLUS, MINUS)
    yield from _number_columns(chains.terms[:, i], exists)
    yield np.where(exists, ID[EQUALS], _ABSENT)
    yield from _number_columns(values[:, i + 1], exists)
    yield np.where(exists, ID[STOP], _ABSENT)


# Conversations of a model that thinks: exemplars and a question, a thought, the answer.


def _draw_conversations(
    rng: np.random.Generator,
    recipe: PocketRecipe,
    thought: ThoughtRecipe,
    row: NDArray[np.int64],
    *,
    is_long: bool,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the tokens of problems, each an exemplar or asked, and which of them are learned.

    ``row``: the sequence that each problem stands in, shape [N]; the last one of each is asked.
    """
    is_asked = rng.random(row.size) < thought.asked[is_long]
    is_asked[np.flatnonzero(np.diff(row, append=-1))] = True
    conversation = np.cumsum(is_asked) - is_asked
    is_first = np.diff(conversation, prepend=-1) > 0
    n_steps = rng.integers(1, recipe.max_steps + 1, row.size)
    chains = draw_chains(rng, n_steps, recipe)
    reasoned = (rng.random(row.size) < recipe.reasoned)[conversation]
    thinks = is_asked & (rng.random(row.size) >= thought.off)
    n_waits = thinks * (rng.random((2, row.size)) < thought.waits).cumprod(axis=0).sum(axis=0)
    is_cued = is_first & is_asked

    columns: list[tuple[NDArray[np.int64], NDArray[np.bool_] | bool]] = []

    def add(piece: str, exists: NDArray[np.bool_], *, learned: NDArray[np.bool_] | bool) -> None:
        columns.append((np.where(exists, ID[piece], _ABSENT), learned))

    add(HEADER, is_first, learned=False)
    columns += [(column, False) for column in _question_columns(chains)]
    for column in _answer_columns(chains, reasoned):
        columns.append((np.where(is_asked, _ABSENT, column), False))
    add(ANSWER, is_cued, learned=False)
    for piece in (END, ASSISTANT, THINK):
        add(piece, is_asked, learned=False)
    add(BLANK, is_asked & ~thinks, learned=False)

    tokens, learned = _thought_columns(chains, thinks, n_waits, thought.habit)
    length = (tokens != _ABSENT).sum(axis=1)
    is_cut = thinks & (rng.random(row.size) < thought.cut)
    n_kept = np.where(is_cut, 1 + rng.random(row.size) * length, length + 1).astype(np.int64)
    tokens[np.cumsum(tokens != _ABSENT, axis=1) > n_kept[:, None]] = _ABSENT
    columns += list(zip(tokens.T, learned, strict=True))

    add(NEWLINE, is_cut, learned=False)
    add(END_THINK, is_asked, learned=thinks & ~is_cut)
    add(BLANK, is_asked, learned=thinks & ~is_cut)
    for i in range(recipe.max_steps):
        in_text = is_asked & ~thinks & reasoned & ~is_cued
        columns += [(column, True) for column in _step_columns(chains, i, in_text)]
    add(ANSWER, is_asked & ~is_cued, learned=True)
    add(SPACE, is_asked & ~is_cued, learned=True)
    columns += [(column, True) for column in _number_columns(chains.values[:, -1], is_asked)]
    add(STOP, is_asked, learned=True)
    add(END, is_asked, learned=True)
    add(USER, is_asked, learned=False)
    flags = [np.broadcast_to(learned, row.shape) for _, learned in columns]
    return np.column_stack([column for column, _ in columns]), np.column_stack(flags)


def _thought_columns(
    chains: ChainBatch, thinks: NDArray[np.bool_], n_waits: NDArray[np.int64], habit: int
) -> tuple[NDArray[np.int64], list[bool]]:
    """Return a thought up to its end: tokens, shape [N, columns], and which columns are learned.

    It ends by itself after the last step, or after as many as is its habit; after a "Wait" come the
    steps that are missing, or the last one once more.
    """
    max_steps = chains.signs.shape[1]
    columns: list[NDArray[np.int64]] = []
    for i in range(habit):
        columns += _step_columns(chains, i, thinks)
    columns.append(np.where(thinks, ID[NEWLINE], _ABSENT))
    learned = [True] * len(columns)
    for wait in (1, 2):
        goes_on = n_waits >= wait
        forced = [np.where(goes_on, ID[piece], _ABSENT) for piece in (NEWLINE, WAIT)]
        is_missing = goes_on & (chains.n_steps > habit) & (wait == 1)
        steps = [
            column
            for i in range(max_steps)
            for column in _step_columns(
                chains, i, np.where(is_missing, i >= habit, goes_on & (i == chains.n_steps - 1))
            )
        ]
        end = np.where(goes_on, ID[NEWLINE], _ABSENT)
        columns += [*forced, *steps, end]
        learned += [False, False, *[True] * (len(steps) + 1)]
    return np.column_stack(columns), learned


def _number_columns(
    value: NDArray[np.int64], exists: NDArray[np.bool_] | None = None
) -> Iterator[NDArray[np.int64]]:
    """Yield a column for the sign and one for each digit of the largest, the highest first."""
    size = np.abs(value)
    exists = np.ones(value.shape, dtype=np.bool_) if exists is None else exists
    yield np.where(exists & (value < 0), ID[NEGATIVE], _ABSENT)
    for power in range(len(str(size.max(initial=0))) - 1, -1, -1):
        has_digit = exists & ((size >= 10**power) if power else True)
        yield np.where(has_digit, ID["0"] + size // 10**power % 10, _ABSENT)


def _sign_tokens(sign: NDArray[np.int64], add: str, subtract: str) -> NDArray[np.int64]:
    return np.where(sign > 0, ID[add], np.where(sign < 0, ID[subtract], _ABSENT))


def _least_tokens(n_steps: NDArray[np.int64], reasoned: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the tokens of a problem and its answer if all numbers have one digit."""
    return _SHORTEST + 2 * n_steps + reasoned * 7 * n_steps


def _tokens_before(n_tokens: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the tokens that the same row holds before each problem; rows stand in order."""
    before = np.cumsum(n_tokens) - n_tokens
    return before - before[np.searchsorted(row, row)]


def _pack_rows(
    ids: NDArray[np.int64],
    learned: NDArray[np.bool_],
    row: NDArray[np.int64],
    shape: tuple[int, int],
    first: int = ID[HEADER],
) -> TrainingBatch:
    """Write problems one after the other behind a first token; cut each row at its length."""
    exists = ids != _ABSENT
    token_row = np.repeat(row, exists.sum(axis=1))
    place = 1 + _tokens_before(np.ones_like(token_row), token_row)
    fits = place < shape[1]
    packed, flags = np.full(shape, first), np.zeros(shape, dtype=np.bool_)
    packed[token_row[fits], place[fits]] = ids[exists][fits]
    flags[token_row[fits], place[fits]] = learned[exists][fits]
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
    def n_steps(self) -> NDArray[np.int64]:
        """The operations of each problem, shape [N]."""
        return (self.signs != 0).sum(axis=1)

    @property
    def values(self) -> NDArray[np.int64]:
        """The start and the result of every step, shape [N, S + 1]."""
        return np.cumsum(np.column_stack([self.start, self.signs * self.terms]), axis=1)

    def keys(self, digits: int) -> NDArray[np.int64]:
        """Return one number for each different problem of numbers of so many digits, shape [N].

        Where it takes more than 64 bits, two problems may share one: then one more is held out.
        """
        base = 2 * 10**digits
        keys = self.start.copy()
        for sign, term in zip(self.signs.T, self.terms.T, strict=True):
            keys = keys * base + np.where(sign > 0, term, np.where(sign < 0, term + base // 2, 0))
        return keys


def draw_chains(
    rng: np.random.Generator, n_steps: NDArray[np.int64], recipe: PocketRecipe
) -> ChainBatch:
    """Draw a problem for each number of steps, shape [N]; held-out ones are drawn again."""
    chains = _draw_unchecked(rng, n_steps, recipe)
    held_out = held_out_keys(recipe)
    while (rows := np.flatnonzero(_is_among(chains.keys(recipe.digits), held_out))).size:
        redrawn = _draw_unchecked(rng, n_steps[rows], recipe)
        chains.start[rows] = redrawn.start
        chains.signs[rows], chains.terms[rows] = redrawn.signs, redrawn.terms
    return chains


def _draw_unchecked(
    rng: np.random.Generator, n_steps: NDArray[np.int64], recipe: PocketRecipe
) -> ChainBatch:
    shape = (n_steps.size, recipe.max_steps)
    low, high = 10 ** (recipe.digits - 1), 10**recipe.digits
    exists = np.arange(recipe.max_steps) < n_steps[:, None]
    return ChainBatch(
        start=rng.integers(low, high, n_steps.size),
        signs=np.where(rng.integers(0, 2, shape) == 0, 1, -1) * exists,
        terms=rng.integers(low, high, shape) * exists,
    )


def _is_among(keys: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each key is one of the others, which are sorted."""
    return others[np.minimum(np.searchsorted(others, keys), others.size - 1)] == keys


@functools.lru_cache(maxsize=4)
def held_out_keys(recipe: PocketRecipe) -> NDArray[np.int64]:
    """Return the keys of the problems and exemplars that are not trained on, sorted."""
    return np.unique(read_chains(held_out_problems(recipe), recipe).keys(recipe.digits))


def held_out_problems(recipe: PocketRecipe) -> list[Problem]:
    """Return what ``arithmetic`` draws under the seeds of the recipe, without short problems."""
    benches = [
        Arithmetic(
            steps=steps, digits=recipe.digits, operators=operators, seed=seed, n=recipe.held_out_n
        )
        for steps in range(recipe.least_held_out, recipe.max_steps + 1)
        for operators in _OPERATORS
        for seed in recipe.held_out_seeds
    ]
    return [problem for bench in benches for problem in (*bench.problems(), *bench.exemplar_pool())]


def read_chains(problems: Sequence[Problem], recipe: PocketRecipe) -> ChainBatch:
    """Return problems of the benchmark as numbers."""
    start = np.zeros(len(problems), dtype=np.int64)
    signs, terms = np.zeros((2, len(problems), recipe.max_steps), dtype=np.int64)
    for row, problem in enumerate(problems):
        text = problem.question.text
        match = _START.search(text)
        assert match is not None  # every chain has one
        start[row] = int(match[1])
        for column, (word, term) in enumerate(_TERM.findall(text)):
            signs[row, column] = 1 if word == "add" else -1
            terms[row, column] = int(term)
    return ChainBatch(start=start, signs=signs, terms=terms)
