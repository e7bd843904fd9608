"""Prompt prefixes that were computed once and are kept for the rows to come."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from cotkit.backends.hf._context import Context, Network

_KEPT = 4  # prefixes: two arms and their two-stage follow-ups; a few MB to a few hundred MB each
_WORTH_TOKENS = 16  # a shorter gain is not worth a forward pass of its own


class Prefixes:
    """A small least-recently-used store of contexts, by the tokens they hold."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._kept: OrderedDict[tuple[int, ...], Context] = OrderedDict()
        self._last: tuple[int, ...] = ()

    def shared(
        self, texts: Sequence[tuple[int, ...]], *, again: bool = False
    ) -> tuple[Context, int]:
        """The context of what all texts begin with, and how many tokens had to be computed for it.

        At least one token of each text is left to be read. A single text is compared with the last
        one seen, so that requests which come one by one share too; or kept but for its last token
        where it may come ``again``. ``texts`` are distinct.
        """
        lead = texts[0]
        others = texts[1:] or [lead if again else self._last]
        self._last = lead
        common = min(*(overlap(lead, other) for other in others), *(len(t) - 1 for t in texts))
        held = max(self._kept, key=lambda ids: overlap(ids, lead), default=())
        known = min(overlap(held, lead), common)
        if not self._network.batchable or max(known, common) < _WORTH_TOKENS:
            return Context(self._network), 0
        if common - known < _WORTH_TOKENS:
            self._kept.move_to_end(held)
            return self._kept[held].head(known), 0
        context = self._kept[held].head(known) if known else Context(self._network)
        context.feed([lead[known:common]], [known])
        self._kept[lead[:common]] = context
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return context.head(common), common - known

    def clear(self) -> None:
        """Give the memory back."""
        self._kept.clear()


def overlap(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading tokens two texts have in common."""
    n = min(len(a), len(b))
    differ = np.flatnonzero(np.asarray(a[:n]) != np.asarray(b[:n]))
    return int(differ[0]) if differ.size else n
