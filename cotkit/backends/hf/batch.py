"""The rows that generate at the moment: joined at any time, each leaving when it is done.

Accounting: prompt tokens are counted for the row they are computed for; a shared node is paid by
the first row that needs it, and equal prompts that come together are paid by the first. Wall time
is split at every step over the tokens computed in it, so rows that run longer pay more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cotkit.backends.hf.forward import Context, Network
from cotkit.backends.hf.prefix_tree import SHORTEST_NODE, Node, PrefixTree
from cotkit.backends.hf.sequence import Row
from cotkit.errors import BackendError


class TimeSplitter:
    """Splits the time since the last split over rows."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def split(self, rows: Sequence[Row], weights: Sequence[int]) -> None:
        """Charge each row by its weight, the tokens computed for it."""
        now = time.perf_counter()
        total = sum(weights)
        for row, weight in zip(rows, weights, strict=True):
            row.seconds += (now - self._since) * weight / total
        self._since = now


class Batch:
    """Rows at work. After a fault they keep the tokens they have, and can join another batch."""

    def __init__(self, network: Network, tree: PrefixTree, end_ids: frozenset[int]) -> None:
        self._network = network
        self._tree = tree
        self._end_ids = end_ids
        self._context = Context(network)
        self.rows: list[Row] = []

    def join(self, rows: Sequence[Row]) -> None:
        """Read the prompts of rows and choose their first tokens."""
        clock, first = TimeSplitter(), len(self.rows)
        self.rows.extend(rows)  # a fault finds them here
        read = read_prompts(self._network, self._context, rows, self._tree)
        self.rows[first:] = read.rows
        for prompt in read.back[len(read.logits) :]:
            self._context.add_copy(first + prompt)
        self._take(first, read.logits[read.back], clock, read.n_computed)

    def step(self) -> None:
        """One more token for every row."""
        clock = TimeSplitter()
        logits = self._context.feed([row.out[-1:] for row in self.rows])
        self._take(0, logits, clock, [1] * len(self.rows))

    def _take(
        self, first: int, logits: torch.Tensor, clock: TimeSplitter, weights: list[int]
    ) -> None:
        """Give each of the rows from ``first`` its next token; rows that are done leave."""
        rows = self.rows[first:]
        chosen = choose_tokens(logits, rows)
        broken = logits.isnan().any(dim=-1).tolist()
        clock.split(rows, weights)
        for row, token, is_broken in zip(rows, chosen, broken, strict=True):
            if is_broken:
                row.fail(nan_error(self._network))
            else:
                row.take(token, self._end_ids)
        for i in reversed(range(len(self.rows))):
            if self.rows[i].over:
                self._context.drop(i)
                self.rows[i] = self.rows[-1]
                self.rows.pop()
        if not self.rows:
            self._context = Context(self._network)  # as short as its next rows


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillResult:
    """Prompts that were read, each distinct one into a row of a context."""

    rows: list[Row]
    """Those of distinct prompts first, in the order of the context's rows."""
    logits: torch.Tensor
    """After each distinct prompt, [prompts, vocabulary]."""
    back: list[int]
    """For each row, which of the prompts is its own."""
    n_computed: list[int]
    """For each row, how many tokens were computed for it now."""


def read_prompts(
    network: Network, context: Context, rows: Sequence[Row], tree: PrefixTree
) -> PrefillResult:
    """Add a row to the context for each distinct prompt and read them."""
    alike: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault(row.tokens, []).append(row)
    first = len(context)
    n_computed: list[int] = []
    rests: list[tuple[int, ...]] = []
    for text, (payer, *_) in alike.items():
        path, n_new = _grow_path(network, text, payer.cuts, tree)
        context.add(path)
        rests.append(text[path[-1].end if path else 0 :])
        n_computed.append(n_new + len(rests[-1]))
    logits = context.feed(rests, first)
    ordered = [group[0] for group in alike.values()]
    back = list(range(len(alike)))
    for i, (_, *twins) in enumerate(alike.values()):
        ordered += twins
        back += [i] * len(twins)
    n_computed += [0] * (len(rows) - len(alike))
    for row, n in zip(ordered, n_computed, strict=True):
        if not row.prefilled:
            row.n_computed, row.prefilled = n, True
    return PrefillResult(rows=ordered, logits=logits, back=back, n_computed=n_computed)


def _grow_path(
    network: Network, text: tuple[int, ...], cuts: Sequence[int], tree: PrefixTree
) -> tuple[list[Node], int]:
    """The nodes that a text stands on, and how many tokens were computed for new ones."""
    path, n_new = tree.follow(text, cuts), 0
    for cut in cuts:
        begin = path[-1].end if path else 0
        if cut - begin < SHORTEST_NODE:
            continue
        alone = Context(network)
        alone.add(path)
        alone.feed([text[begin:cut]])
        path.append(tree.grow(path, text[begin:cut], alone.layers(0)))
        n_new += cut - begin
    return path, n_new


def nan_error(network: Network) -> BackendError:
    """What to tell whose row has logits that are NaN."""
    dtype = str(network.model.dtype).removeprefix("torch.")
    return BackendError(
        f"the model's output is not a number in {dtype}",
        hint="use dtype=float32" if dtype != "float32" else "the weights may be damaged",
    )


# The next token of every row: the likeliest, or a seeded draw by the inverse distribution.
#
# A draw takes one uniform number from the row's own generator and looks it up in the cumulative
# distribution, so its outcome depends on the row's seed and logits and on no other row. Order of
# the filters as in transformers: temperature, top-k, top-p.


def choose_tokens(logits: torch.Tensor, rows: Sequence[Row]) -> list[int]:
    """Next token ids from logits of shape [rows, vocabulary], in the order of the rows."""
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    for i, row in enumerate(rows):
        if row.generator is not None:
            chosen[i] = _sample_token(logits[i], row, row.generator)
    return chosen


def _sample_token(logits: torch.Tensor, row: Row, generator: torch.Generator) -> int:
    decoding = row.request.decoding
    probabilities = torch.softmax(logits.float() / decoding.temperature, dim=-1)
    order = None
    if decoding.top_k or decoding.top_p < 1:
        probabilities, order = probabilities.sort(descending=True, stable=True)
        if decoding.top_k:
            probabilities[decoding.top_k :] = 0
        # the nucleus: every token before which less than top_p of the mass has passed
        share = probabilities / probabilities.sum()
        probabilities = probabilities * (share.cumsum(-1) - share < decoding.top_p)
    mass = probabilities.cumsum(-1)
    at = torch.rand(1, generator=generator).to(mass.device) * mass[-1]
    # right=True never lands on a token of probability 0; the clamp is for rounding at the end
    index = int(torch.searchsorted(mass, at, right=True).clamp(max=mass.numel() - 1))
    return index if order is None else int(order[index])
