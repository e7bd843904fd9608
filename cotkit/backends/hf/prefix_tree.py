"""The prefixes that prompts share, each computed once: runs of tokens with their keys and values.

Prompts are compared token by token as wholes, so what is shared is cut where their tokens part and
prefix and rest together are always the tokens of the whole text. Where a run is worth a node is
decided when sequences arrive (:meth:`PrefixTree.plan`); a prompt is then matched with the nodes
that exist, and those that are planned and missing are computed and inserted.
"""

from __future__ import annotations

import itertools
from collections import abc, deque
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from cotkit.backends.hf.sequence import Sequence

SHORTEST_NODE = 16
"""Tokens; every node costs some work at every step of the sequences under it."""
_WORTH_TOKENS = 32  # that a new node must save over all its sequences
_RECENT = 8  # prompts seen last: requests that come one by one share too

Layers: TypeAlias = Any
"""Of each layer, keys and values [heads, columns, width]; of a dense context, its whole cache."""


class Node:
    """A run of tokens that follows its parent's."""

    def __init__(self, tokens: tuple[int, ...], start: int, layers: Layers) -> None:
        self.tokens = tokens
        self.start = start
        self.layers = layers
        self.children: list[Node] = []
        self.last_used = 0

    @property
    def end(self) -> int:
        """Position after its last token."""
        return self.start + len(self.tokens)

    def split(self, n: int) -> Node:
        """Return a node of the first ``n`` tokens over one of the others; both share memory."""
        head, tail = (
            Node(
                self.tokens[part],
                self.start + (part.start or 0),
                {i: (k[:, part], v[:, part]) for i, (k, v) in self.layers.items()},
            )
            for part in (slice(None, n), slice(n, None))
        )
        head.last_used = tail.last_used = self.last_used
        tail.children = self.children
        head.children = [tail]
        return head


class PrefixTree:
    """All nodes, up to a number of tokens; those used longest ago are dropped."""

    def __init__(self, most_tokens: int, *, splits: bool = True) -> None:
        self._most_tokens = most_tokens
        self._splits = splits  # False: what a node holds is of all tokens up to its end
        self._root = Node((), 0, {})
        self._clock = itertools.count(1)
        self._recent: deque[tuple[int, ...]] = deque(maxlen=_RECENT)

    def plan(self, sequences: abc.Sequence[Sequence]) -> None:
        """Plan where nodes of new sequences end, by what they share with others and recent ones."""
        texts = [sequence.tokens for sequence in sequences]
        cuts = plan_nodes([*texts, *self._recent])
        for sequence, ends in zip(sequences, cuts, strict=False):
            sequence.cuts = ends
        self._recent.extend(dict.fromkeys(texts))

    def match(self, tokens: tuple[int, ...], cuts: abc.Sequence[int]) -> list[Node]:
        """Return the path of nodes that a prompt begins with; it never covers the last token."""
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
            closest = lengths.index(n)
            if n < len(node.children[closest].tokens):
                if not self._splits:
                    return path
                if n < (SHORTEST_NODE if node.end + n in cuts else _WORTH_TOKENS):
                    return path
                node.children[closest] = node.children[closest].split(n)
            node = node.children[closest]
            node.last_used = now
            path.append(node)

    def insert(self, path: abc.Sequence[Node], tokens: tuple[int, ...], layers: Layers) -> Node:
        """Add a node under the last of a path; drop the oldest if there are too many tokens."""
        parent = path[-1] if path else self._root
        node = Node(tokens, parent.end, layers)
        node.last_used = next(self._clock)
        parent.children.append(node)
        while self._n_tokens() > self._most_tokens:
            leaves = [pair for pair in self._nodes() if not pair[0].children]
            oldest, above = min(leaves, key=lambda pair: pair[0].last_used)
            above.children.remove(oldest)
        return node

    def clear(self) -> None:
        """Drop all nodes."""
        self._root = Node((), 0, {})

    def _n_tokens(self) -> int:
        nodes = [node for node, _ in self._nodes()]
        return sum(len(node.tokens) if self._splits else node.end for node in nodes)

    def _nodes(self) -> Iterator[tuple[Node, Node]]:
        """Yield every node with its parent."""
        above = [self._root]
        while above:
            parent = above.pop()
            for node in parent.children:
                yield node, parent
                above.append(node)


def plan_nodes(texts: abc.Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return for each text after how many tokens a node of it should end, ascending.

    A node is worth having where the sequences under it together save :data:`_WORTH_TOKENS`; it
    leaves each of its texts at least one token.
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


def common_prefix_length(a: abc.Sequence[int], b: abc.Sequence[int]) -> int:
    """Return how many leading tokens two texts have in common."""
    return _common_length(np.asarray(a), np.asarray(b))


def _common_length(a: np.ndarray, b: np.ndarray) -> int:
    n = min(len(a), len(b))
    differ = np.flatnonzero(a[:n] != b[:n])
    return int(differ[0]) if differ.size else n
