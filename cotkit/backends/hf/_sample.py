"""The next token of every row: the likeliest, or a seeded draw by the inverse distribution.

A draw takes one uniform number from the row's own generator and looks it up in the cumulative
distribution, so its outcome depends on the row's seed and logits and on no other row. Order of the
filters as in transformers: temperature, top-k, top-p.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cotkit.backends.hf._rows import Row


def choose(logits: torch.Tensor, rows: Sequence[Row]) -> list[int]:
    """Next token ids from logits of shape [rows, vocabulary], in the order of the rows."""
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    for i, row in enumerate(rows):
        if row.generator is not None:
            chosen[i] = _draw(logits[i], row, row.generator)
    return chosen


def _draw(logits: torch.Tensor, row: Row, generator: torch.Generator) -> int:
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
