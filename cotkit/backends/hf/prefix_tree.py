"""What prompts begin with, computed once: a tree of runs of tokens with their keys and values.

Prompts are compared token by token as wholes, so what is shared is cut where their tokens part and
prefix and rest together are always the tokens of the whole text. Where a run is worth a node is
decided when rows arrive (:func:`plan`); a row then follows the nodes that are there and computes
those that are planned and missing.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from cotkit.backends.hf.sequence import Row

SHORTEST_NODE = 16
"""Tokens; every node costs some work at every step of the rows under it."""
_WORTH_TOKENS = 32  # that a new node must save over all its rows
_RECENT = 8  # prompts seen last: requests that come one by one share too

Layers = dict[int, tuple[torch.Tensor, torch.Tensor]]
"""Of each layer, keys and values [heads, columns, width]."""


class Node:
    """A run of tokens under its parent."""

    def __init__(self, tokens: tuple[int, ...], start: int, layers: Layers) -> None:
        self.tokens = tokens
        self.start = start
        self.layers = layers
        self.children: list[Node] = []
        self.used = 0

    @property
    def end(self) -> int:
        """Position after its last token."""
        return self.start + len(self.tokens)

    def split(self, n: int) -> Node:
        """A new node of the first ``n`` tokens over one of the others; shares memory."""
        head, rest = (
            Node(
                self.tokens[part],
                self.start + (part.start or 0),
                {i: (k[:, part], v[:, part]) for i, (k, v) in self.layers.items()},
            )
            for part in (slice(None, n), slice(n, None))
        )
        head.used = rest.used = self.used
        rest.children = self.children
        head.children = [rest]
        return head


class PrefixTree:
    """The nodes that are kept; those used longest ago go when there are too many tokens."""

    def __init__(self, most_tokens: int) -> None:
        self._most_tokens = most_tokens
        self._root = Node((), 0, {})
        self._clock = itertools.count(1)
        self._recent: deque[tuple[int, ...]] = deque(maxlen=_RECENT)

    def plan(self, rows: Sequence[Row]) -> None:
        """Tell new rows where what they share with each other, or with the last ones, ends."""
        texts = [row.tokens for row in rows]
        cuts = plan_nodes([*texts, *self._recent])
        for row, found in zip(rows, cuts, strict=False):
            row.cuts = found
        self._recent.extend(dict.fromkeys(texts))

    def follow(self, tokens: tuple[int, ...], cuts: Sequence[int]) -> list[Node]:
        """The nodes that are there for a prompt; at least its last token is left over."""
        node, path, now = self._root, list[Node](), next(self._clock)
        while True:
            ahead = tokens[node.end : len(tokens) - 1]
            lengths = [
                common_prefix_length(child.tokens, ahead) if child.tokens[:1] == ahead[:1] else 0
                for child in node.children
            ]
            n = max(lengths, default=0)
            if n == 0:
                return path
            at = lengths.index(n)
            if n < len(node.children[at].tokens):
                if n < (SHORTEST_NODE if node.end + n in cuts else _WORTH_TOKENS):
                    return path
                node.children[at] = node.children[at].split(n)
            node = node.children[at]
            node.used = now
            path.append(node)

    def grow(self, path: Sequence[Node], tokens: tuple[int, ...], layers: Layers) -> Node:
        """Keep a node of these tokens under the last of a path."""
        parent = path[-1] if path else self._root
        node = Node(tokens, parent.end, layers)
        node.used = next(self._clock)
        parent.children.append(node)
        while sum(len(one.tokens) for one, _ in self._all()) > self._most_tokens:
            leaves = [pair for pair in self._all() if not pair[0].children]
            oldest, above = min(leaves, key=lambda pair: pair[0].used)
            above.children.remove(oldest)
        return node

    def clear(self) -> None:
        """Give the memory back."""
        self._root = Node((), 0, {})

    def _all(self) -> Iterator[tuple[Node, Node]]:
        """Every node with its parent."""
        above = [self._root]
        while above:
            parent = above.pop()
            for node in parent.children:
                yield node, parent
                above.append(node)


def plan_nodes(texts: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """For each text, after how many tokens a node of it should end, in order.

    A node is worth having where the rows under it together save :data:`_WORTH_TOKENS`; it leaves
    each of its texts at least one token.
    """
    cuts: list[tuple[int, ...]] = [()] * len(texts)
    arrays = [np.asarray(text, dtype=">u4") for text in texts]
    order = sorted(range(len(texts)), key=lambda i: arrays[i].tobytes())  # as the tokens sort
    common = [_common_length(arrays[a], arrays[b]) for a, b in itertools.pairwise(order)]
    groups = [(0, len(order), ())]  # texts order[low:high] share the nodes that end at the cuts
    while groups:
        low, high, ends = groups.pop()
        if high - low == 1:
            cuts[order[low]] = ends
            continue
        least = min(common[low : high - 1])
        depth = min(least, *(len(texts[i]) - 1 for i in order[low:high]))
        n_new = depth - (ends[-1] if ends else 0)
        if n_new >= SHORTEST_NODE and n_new * (high - low - 1) >= _WORTH_TOKENS:
            ends = (*ends, depth)
        if common[low : high - 1].count(least) == high - low - 1:  # nothing more in common
            for i in order[low:high]:
                cuts[i] = ends
            continue
        borders = [low, *(i + 1 for i in range(low, high - 1) if common[i] == least), high]
        groups += [(a, b, ends) for a, b in itertools.pairwise(borders)]
    return cuts


def common_prefix_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading tokens two texts have in common."""
    return _common_length(np.asarray(a), np.asarray(b))


def _common_length(a: np.ndarray, b: np.ndarray) -> int:
    n = min(len(a), len(b))
    differ = np.flatnonzero(a[:n] != b[:n])
    return int(differ[0]) if differ.size else n
