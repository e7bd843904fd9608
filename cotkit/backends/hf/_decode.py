"""Prefill and the token-by-token loop of one batch.

Accounting: prompt tokens are counted for the row they are computed for; a shared prefix is paid by
the first row of the batch that needs it, and equal prompts are computed once and paid by the first.
Wall time is split at every step over the tokens computed in it, so rows that run longer pay more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from cotkit.backends.hf._context import Context, Network
from cotkit.backends.hf._prefix import Prefixes
from cotkit.backends.hf._rows import Row
from cotkit.backends.hf._sample import choose
from cotkit.errors import BackendError


class Clock:
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


def run_batch(
    network: Network, rows: Sequence[Row], prefixes: Prefixes, end_ids: frozenset[int]
) -> None:
    """Generate until every row is done or nobody waits for it; each answers as soon as it is done.

    A fault of the model (out of memory above all) propagates: rows that are not done keep the
    tokens they have and can be run again, where they go on.
    """
    clock = Clock()
    live = list(rows)
    context, logits, weights = _prefill(live, prefixes)
    while True:
        chosen = choose(logits, live)
        broken = logits.isnan().any(dim=-1).tolist()
        clock.split(live, weights)
        for row, token, is_broken in zip(live, chosen, broken, strict=True):
            if is_broken:
                row.fail(not_a_number(network))
            else:
                row.take(token, end_ids)
        keep = [i for i, row in enumerate(live) if not (row.done or row.abandoned)]
        if not keep:
            return
        if len(keep) < len(live):
            context.select(keep)
            live = [live[i] for i in keep]
        weights = [1] * len(live)
        logits = context.feed([row.out[-1:] for row in live], [len(row.tokens) - 1 for row in live])


def _prefill(rows: Sequence[Row], prefixes: Prefixes) -> tuple[Context, torch.Tensor, list[int]]:
    """Read the prompts: context, logits [rows, vocabulary], tokens computed for each row."""
    context, logits, back, computed = read_prompts(rows, prefixes)
    context.select(back)
    return context, logits[back], computed


def read_prompts(
    rows: Sequence[Row], prefixes: Prefixes, *, again: bool = False
) -> tuple[Context, torch.Tensor, list[int], list[int]]:
    """Read each distinct prompt once; a single one is kept where it may come ``again``.

    Returns:
        Context of the distinct prompts, their logits [prompts, vocabulary]; for each row, which of
        the prompts is its own, and how many tokens were computed for it.
    """
    texts = [row.tokens for row in rows]
    unique = list(dict.fromkeys(texts))
    payers = [texts.index(text) for text in unique]
    context, n_paid = prefixes.shared(unique, again=again)
    n_shared = len(context)
    computed = [0] * len(rows)
    for payer, text in zip(payers, unique, strict=True):
        computed[payer] = len(text) - n_shared
    computed[0] += n_paid
    context.select([0] * len(unique))
    logits = context.feed([text[n_shared:] for text in unique], [n_shared] * len(unique))
    for row, n in zip(rows, computed, strict=True):
        if not row.prefilled:
            row.n_computed, row.prefilled = n, True
    return context, logits, [unique.index(text) for text in texts], computed


def not_a_number(network: Network) -> BackendError:
    """What to tell whose row has logits that are NaN."""
    dtype = str(network.model.dtype).removeprefix("torch.")
    return BackendError(
        f"the model's output is not a number in {dtype}",
        hint="use dtype=float32" if dtype != "float32" else "the weights may be damaged",
    )
