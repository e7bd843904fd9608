"""Attention over a tree: rows are packed end to end, and what they share is attended to once.

A row reads ``[node | node | ... | own tokens]``. Nodes are runs of tokens that several rows begin
with; their keys and values lie in memory once. Each node is one matrix product for the queries of
all rows under it, the own tokens of all rows are another, and the parts are merged by their largest
scores and sums of exponentials: the softmax over everything, exactly, without a copy or padding of
what is shared (Juravsky et al. 2024, arXiv:2402.05099, and Dao's merge of blocks).

Every key has its true position, so a sliding window hides what it would hide in a row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface

from cotkit.backends.hf.kv_cache import KVCache

if TYPE_CHECKING:
    from cotkit.backends.hf.prefix_tree import Node

NAME = "cotkit"
"""What transformers calls this attention."""

_BLOCK = 128  # new tokens of a row whose attention to its own tokens is computed at once


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSpan:
    """A row's new tokens in one forward pass."""

    slot: int
    """Where its own keys and values lie."""
    path: tuple[Node, ...]
    """What it shares, from position 0 on."""
    base: int
    """Position of its first own token: the end of the path."""
    start: int
    """Position of its first new token."""
    n: int
    """How many new tokens, at least 1."""


@dataclass(frozen=True, slots=True)
class _SharedNode:
    """A node as the queries of one forward pass see it through one window."""

    node: Node
    index: torch.Tensor | None  # which of the packed tokens attend to it; None: all
    begin: int  # columns before it are out of sight for all of them
    hidden: torch.Tensor | None  # [tokens, columns]; None: all is seen


@dataclass(frozen=True, slots=True)
class _PartialAttention:
    """Attention over some of the keys: [..., queries, width] and [..., queries, 1], float32."""

    out: torch.Tensor  # sum of exp(score - top) * value
    top: torch.Tensor  # largest score
    total: torch.Tensor  # sum of exp(score - top)

    def merged(self, other: _PartialAttention) -> _PartialAttention:
        top = torch.maximum(self.top, other.top)
        mine, its = (self.top - top).exp_(), (other.top - top).exp_()
        return _PartialAttention(
            self.out * mine + other.out * its, top, self.total * mine + other.total * its
        )


class ForwardPass:
    """One forward pass: whose tokens are packed in it and what each of them may see."""

    def __init__(self, tails: KVCache, spans: Sequence[TokenSpan]) -> None:
        self._tails = tails
        self._spans = spans
        self._single = all(span.n == 1 for span in spans)
        # made once for all layers of a device
        self._at: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}
        self._seen: dict[tuple[int | None, torch.device], list[_SharedNode]] = {}
        self._own: dict[tuple[int | None, torch.device], list[torch.Tensor | None]] = {}
        self.windows: set[int | None] = set()

    @cached_property
    def positions(self) -> list[int]:
        """Of each packed token."""
        return [at for span in self._spans for at in range(span.start, span.start + span.n)]

    @cached_property
    def _blocks(self) -> list[TokenSpan]:
        """Rows cut to few tokens, so that little is computed of what the first may not see."""
        return [
            replace(span, start=at, n=min(_BLOCK, span.start + span.n - at))
            for span in self._spans
            for at in range(span.start, span.start + span.n, _BLOCK)
        ]

    def attend(
        self,
        layer: int,
        qkv: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        window: int | None,
        softcap: float | None,
    ) -> torch.Tensor:
        """Append keys and values, and attend; query [heads, T, d] is scaled already.

        Returns:
            Shape [T, heads, width].
        """
        query, key, value = qkv
        self.windows.add(window)
        keys, values = self._tails.append(layer, key, value, self._places(query.device))
        n_heads, n_tokens, d = query.shape
        groups = query.view(key.shape[0], n_heads // key.shape[0], n_tokens, d)
        found = self._attend_own(groups, (keys, values), window, softcap)
        for shared in self._shared(window, query.device):
            k, v = (one[:, shared.begin :] for one in shared.node.layers[layer])
            if shared.index is None:
                found = found.merged(_attend(groups, (k, v), shared.hidden, softcap))
                continue
            part = _attend(groups[:, :, shared.index], (k, v), shared.hidden, softcap)
            before = _PartialAttention(*(one[:, :, shared.index] for one in _part_tensors(found)))
            for old, new in zip(
                _part_tensors(found), _part_tensors(before.merged(part)), strict=True
            ):
                old[:, :, shared.index] = new
        out = (found.out / found.total).to(query.dtype)
        return out.permute(2, 0, 1, 3).reshape(n_tokens, n_heads, -1)

    def _attend_own(
        self,
        groups: torch.Tensor,
        held: tuple[torch.Tensor, torch.Tensor],
        window: int | None,
        softcap: float | None,
    ) -> _PartialAttention:
        """Over each row's own tokens. One new token each: all rows at once; else some at a time."""
        hidden = self._hidden(window, groups.device)
        if self._single:
            first, width = self._spans[0].slot, max(s.start - s.base for s in self._spans) + 1
            k, v = (one[first : first + len(self._spans), :, :width] for one in held)
            part = _attend(groups.permute(2, 0, 1, 3)[:, :, :, None], (k, v), hidden[0], softcap)
            return _PartialAttention(
                *(one[:, :, :, 0].permute(1, 2, 0, 3) for one in _part_tensors(part))
            )
        parts: list[_PartialAttention] = []
        at = 0
        for span, hides in zip(self._blocks, hidden, strict=True):
            end = span.start + span.n - span.base
            k, v = (one[span.slot, :, :end] for one in held)
            parts.append(_attend(groups[:, :, at : at + span.n], (k, v), hides, softcap))
            at += span.n
        return _PartialAttention(
            *(torch.cat(one, dim=2) for one in zip(*map(_part_tensors, parts), strict=True))
        )

    def _places(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Slot and column of each packed token."""
        made = self._at.get(device)
        if made is None:
            slots = [span.slot for span in self._spans for _ in range(span.n)]
            bases = [span.base for span in self._spans for _ in range(span.n)]
            columns = [at - base for at, base in zip(self.positions, bases, strict=True)]
            made = torch.tensor(slots, device=device), torch.tensor(columns, device=device)
            self._at[device] = made
        return made

    def _hidden(self, window: int | None, device: torch.device) -> list[torch.Tensor | None]:
        """What is hidden of the own tokens: one mask for all single tokens, else one a row."""
        made = self._own.get((window, device))
        if made is None and self._single:
            offsets = [[span.start - span.base] for span in self._spans]
            mask = _mask_columns(
                torch.tensor(offsets, device=device), max(map(max, offsets)), window
            )
            made = [None if mask is None else mask[:, None, None, None, :]]
        elif made is None:
            made = []
            for span in self._blocks:
                first = span.start - span.base
                offsets = torch.arange(first, first + span.n, device=device)[:, None]
                made.append(_mask_columns(offsets, first + span.n - 1, window))
        self._own[window, device] = made
        return made

    def _shared(self, window: int | None, device: torch.device) -> list[_SharedNode]:
        made = self._seen.get((window, device))
        if made is None:
            made = [
                one
                for node, tokens in self._under.items()
                if (one := self._view(node, tokens, window, device)) is not None
            ]
            self._seen[window, device] = made
        return made

    @cached_property
    def _under(self) -> dict[Node, list[int]]:
        """Which packed tokens attend to each node."""
        found: dict[Node, list[int]] = {}
        at = 0
        for span in self._spans:
            for node in span.path:
                found.setdefault(node, []).extend(range(at, at + span.n))
            at += span.n
        return found

    def _view(
        self, node: Node, tokens: list[int], window: int | None, device: torch.device
    ) -> _SharedNode | None:
        begin, hidden = 0, None
        if window is not None:
            ahead = [self.positions[i] - window + 1 - node.start for i in tokens]
            begin = max(0, min(ahead))  # first column that anyone sees
            if begin >= len(node.tokens):
                return None
            if max(ahead) > begin:
                columns = torch.arange(begin, len(node.tokens), device=device)
                hidden = columns < torch.tensor(ahead, device=device)[:, None]
        everyone = len(tokens) == len(self.positions)
        index = None if everyone else torch.tensor(tokens, device=device)
        return _SharedNode(node, index, begin, hidden)


def _attend(
    query: torch.Tensor,
    held: tuple[torch.Tensor, torch.Tensor],
    hidden: torch.Tensor | None,
    softcap: float | None,
) -> _PartialAttention:
    """Query [*, groups, n, d] over keys and values [*, m, width]."""
    k, v = held
    *lead, n_groups, n, d = query.shape
    m = k.shape[-2]
    scores = torch.matmul(query.reshape(*lead, n_groups * n, d), k.transpose(-1, -2)).float()
    if softcap is not None:
        scores = (scores / softcap).tanh_() * softcap
    scores = scores.view(*lead, n_groups, n, m)
    if hidden is not None:  # not minus infinity: a row that sees nothing here weighs nothing
        scores.masked_fill_(hidden, torch.finfo(scores.dtype).min)
    top = scores.amax(-1, keepdim=True)
    weights = scores.sub_(top).exp_()
    total = weights.sum(-1, keepdim=True)
    out = torch.matmul(weights.view(*lead, n_groups * n, m).to(v.dtype), v).float()
    return _PartialAttention(out.view(*lead, n_groups, n, -1), top, total)


def _mask_columns(offsets: torch.Tensor, last: int, window: int | None) -> torch.Tensor | None:
    """Which of the columns 0 to ``last`` each offset [n, 1] may not see; None: it sees all."""
    columns = torch.arange(last + 1, device=offsets.device)
    hidden = columns > offsets
    if window is not None:
        hidden |= columns <= offsets - window
    return hidden if bool(hidden.any()) else None


def _part_tensors(part: _PartialAttention) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return part.out, part.top, part.total


def _transformers_attention(
    module: Any,  # noqa: ANN401 - any attention layer of any architecture
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: object,
    *,
    cotkit_step: ForwardPass,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    s_aux: object = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """The interface of transformers: [1, heads, T, d] in, [1, T, heads, width] out."""
    if s_aux is not None:
        raise TypeError("attention sinks are not supported")
    scaled = query[0] * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    qkv = scaled, key[0], value[0]
    return cotkit_step.attend(module.layer_idx, qkv, sliding_window, softcap)[None], None


AttentionInterface.register(NAME, _transformers_attention)
