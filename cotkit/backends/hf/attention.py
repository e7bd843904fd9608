"""Attention over a tree: sequences are packed end to end, and what they share is attended to once.

A sequence reads ``[node | node | ... | own tokens]``. Nodes are runs of tokens that several
sequences begin with; their keys and values lie in memory once. Each node is one matrix product for
the queries of all sequences under it, the own tokens of all sequences are another, and the parts
are merged by their largest scores and sums of exponentials: the softmax over everything, exactly,
without a copy or padding of what is shared (Juravsky et al. 2024, arXiv:2402.05099, and Dao's merge
of blocks).

Every key has its true position, so a sliding window hides what it would hide in a sequence alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import AttentionInterface

from cotkit.backends.hf.kv_cache import KVCache, round_up
from cotkit.backends.hf.products import multiply

if TYPE_CHECKING:
    from cotkit.backends.hf.prefix_tree import Node

NAME = "cotkit"
"""What transformers calls this attention."""

_BLOCK = 128  # new tokens of a sequence whose attention to its own tokens is computed at once


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSpan:
    """A sequence's new tokens in one forward pass."""

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


class _PartialAttention(NamedTuple):
    """Attention over some of the keys: [..., queries, width] and [..., queries, 1], float32."""

    out: torch.Tensor  # sum of exp(score - top) * value
    top: torch.Tensor  # largest score
    total: torch.Tensor  # sum of exp(score - top)

    def merge(self, other: _PartialAttention) -> _PartialAttention:
        top = torch.maximum(self.top, other.top)
        scale, other_scale = (self.top - top).exp_(), (other.top - top).exp_()
        return _PartialAttention(
            self.out * scale + other.out * other_scale,
            top,
            self.total * scale + other.total * other_scale,
        )


class ForwardPass:
    """One forward pass: whose tokens are packed in it and what each of them may see."""

    def __init__(self, kv_cache: KVCache, spans: Sequence[TokenSpan]) -> None:
        self._kv_cache = kv_cache
        self._spans = spans
        self._single = all(span.n == 1 for span in spans)
        # built once for all layers of a device
        self._places: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}
        self._views: dict[tuple[int | None, torch.device], list[_SharedNode]] = {}
        self._masks: dict[tuple[int | None, torch.device], list[torch.Tensor | None]] = {}
        self.windows: set[int | None] = set()

    @cached_property
    def positions(self) -> list[int]:
        """Return the position of each packed token."""
        return [
            position for span in self._spans for position in range(span.start, span.start + span.n)
        ]

    @cached_property
    def _blocks(self) -> list[TokenSpan]:
        """Cut spans to few tokens, so that little is computed of what the first may not see."""
        return [
            replace(span, start=start, n=min(_BLOCK, span.start + span.n - start))
            for span in self._spans
            for start in range(span.start, span.start + span.n, _BLOCK)
        ]

    def attend(
        self,
        layer: int,
        qkv: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        window: int | None,
        softcap: float | None,
        sinks: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Append keys and values, and attend; query [heads, T, d] is scaled already.

        ``sinks``: of each head, the score of a key that weighs and has no value.

        Returns:
            Shape [T, heads, width].
        """
        query, key, value = qkv
        self.windows.add(window)
        keys, values = self._kv_cache.append(
            layer, key, value, self._slots_and_columns(query.device)
        )
        n_heads, n_tokens, d = query.shape
        groups = query.view(key.shape[0], n_heads // key.shape[0], n_tokens, d)
        attention = self._attend_own(groups, (keys, values), window, softcap)
        for shared in self._shared_nodes(window, query.device):
            k, v = (tensor[:, shared.begin :] for tensor in shared.node.layers[layer])
            if shared.index is None:
                attention = attention.merge(_attend(groups, (k, v), shared.hidden, softcap))
                continue
            part = _attend(groups[:, :, shared.index], (k, v), shared.hidden, softcap)
            before = _PartialAttention(*(tensor[:, :, shared.index] for tensor in attention))
            for old, new in zip(attention, before.merge(part), strict=True):
                old[:, :, shared.index] = new
        if sinks is not None:
            none = torch.zeros_like(attention.out[..., :1])
            score = none + sinks.float().view(key.shape[0], -1, 1, 1)
            sink = _PartialAttention(torch.zeros_like(attention.out), score, none + 1)
            attention = attention.merge(sink)
        out = (attention.out / attention.total).to(query.dtype)
        return out.permute(2, 0, 1, 3).reshape(n_tokens, n_heads, -1)

    def _attend_own(
        self,
        groups: torch.Tensor,
        keys_values: tuple[torch.Tensor, torch.Tensor],
        window: int | None,
        softcap: float | None,
    ) -> _PartialAttention:
        """Attend to the sequences' own tokens: at once with one new token each, else in blocks."""
        hidden = self._own_masks(window, groups.device)
        if self._single:
            first, n_columns = self._spans[0].slot, self._n_single_columns(groups.device)
            slots = slice(first, first + len(self._spans))
            k, v = (tensor[slots, :, :n_columns] for tensor in keys_values)
            part = _attend(groups.permute(2, 0, 1, 3)[:, :, :, None], (k, v), hidden[0], softcap)
            return _PartialAttention(*(tensor[:, :, :, 0].permute(1, 2, 0, 3) for tensor in part))
        parts: list[_PartialAttention] = []
        begin = 0
        for span, hides in zip(self._blocks, hidden, strict=True):
            end = span.start + span.n - span.base
            k, v = (tensor[span.slot, :, :end] for tensor in keys_values)
            parts.append(_attend(groups[:, :, begin : begin + span.n], (k, v), hides, softcap))
            begin += span.n
        return _PartialAttention(
            *(torch.cat(tensors, dim=2) for tensors in zip(*parts, strict=True))
        )

    def _n_single_columns(self, device: torch.device) -> int:
        """Return how many columns are read where each sequence has one new token."""
        n_columns = max(span.start - span.base for span in self._spans) + 1
        return round_up(n_columns) if device.type == "cpu" else n_columns

    def _slots_and_columns(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the slot and the column of each packed token."""
        places = self._places.get(device)
        if places is None:
            slots = [span.slot for span in self._spans for _ in range(span.n)]
            bases = [span.base for span in self._spans for _ in range(span.n)]
            columns = [
                position - base for position, base in zip(self.positions, bases, strict=True)
            ]
            places = torch.tensor(slots, device=device), torch.tensor(columns, device=device)
            self._places[device] = places
        return places

    def _own_masks(self, window: int | None, device: torch.device) -> list[torch.Tensor | None]:
        """Return masks of the own tokens: one for all single tokens, else one for each block."""
        masks = self._masks.get((window, device))
        if masks is None and self._single:
            offsets = [[span.start - span.base] for span in self._spans]
            n_columns = self._n_single_columns(device)
            mask = _mask_columns(torch.tensor(offsets), n_columns, window, device)
            masks = [None if mask is None else mask[:, None, None, None, :]]
        elif masks is None:
            masks = []
            for span in self._blocks:
                first = span.start - span.base
                offsets = torch.arange(first, first + span.n)[:, None]
                masks.append(_mask_columns(offsets, first + span.n, window, device))
        self._masks[window, device] = masks
        return masks

    def _shared_nodes(self, window: int | None, device: torch.device) -> list[_SharedNode]:
        views = self._views.get((window, device))
        if views is None:
            views = [
                view
                for node, tokens in self._tokens_by_node.items()
                if (view := self._view(node, tokens, window, device)) is not None
            ]
            self._views[window, device] = views
        return views

    @cached_property
    def _tokens_by_node(self) -> dict[Node, list[int]]:
        """Return for each node which packed tokens attend to it."""
        tokens_by_node: dict[Node, list[int]] = {}
        begin = 0
        for span in self._spans:
            for node in span.path:
                tokens_by_node.setdefault(node, []).extend(range(begin, begin + span.n))
            begin += span.n
        return tokens_by_node

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
    keys_values: tuple[torch.Tensor, torch.Tensor],
    hidden: torch.Tensor | None,
    softcap: float | None,
) -> _PartialAttention:
    """Attend from query [*, groups, n, d] to keys and values [*, m, width]."""
    k, v = keys_values
    *lead, n_groups, n, d = query.shape
    m = k.shape[-2]
    scores = multiply(query.reshape(*lead, n_groups * n, d), k.transpose(-1, -2))
    if softcap is not None:
        scores = (scores / softcap).tanh_() * softcap
    scores = scores.view(*lead, n_groups, n, m)
    if hidden is not None:  # not minus infinity: a sequence that sees nothing here weighs nothing
        scores.masked_fill_(hidden, torch.finfo(scores.dtype).min)
    top = scores.amax(-1, keepdim=True)
    weights = scores.sub_(top).exp_()
    total = weights.sum(-1, keepdim=True)
    out = multiply(weights.view(*lead, n_groups * n, m).to(v.dtype), v)
    return _PartialAttention(out.view(*lead, n_groups, n, -1), top, total)


def _mask_columns(
    offsets: torch.Tensor, n_columns: int, window: int | None, device: torch.device
) -> torch.Tensor | None:
    """Return which of the first columns each offset [n, 1] may not see; None: all are seen.

    Made on the CPU: to look whether anything is hidden, a GPU would have to finish its work first.
    """
    columns = torch.arange(n_columns)
    hidden = columns > offsets
    if window is not None:
        hidden |= columns <= offsets - window
    return hidden.to(device) if bool(hidden.any()) else None


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
    s_aux: torch.Tensor | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attend as transformers asks: [1, heads, T, d] in, [1, T, heads, width] out."""
    scaled = query[0] * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    qkv = scaled, key[0], value[0]
    out = cotkit_step.attend(module.layer_idx, qkv, sliding_window, softcap, s_aux)
    return out[None], None


AttentionInterface.register(NAME, _transformers_attention)
