"""The forward pass of models that cannot be packed: rows beside each other, with their own caches.

Each prompt is read alone, from a copy of what it shares, so nothing is padded inside a text and a
recurrent state sees the text's own tokens only. Then the caches are joined, shorter ones filled up
on the left and hidden by the mask, and all rows get their next token in one pass. Caches are those
of transformers: keys and values (all, or of a sliding window) and the states of recurrent layers.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import pad
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer

from cotkit.errors import ModelLoadError

if TYPE_CHECKING:
    from cotkit.backends.hf.forward import Network
    from cotkit.backends.hf.prefix_tree import Node

_STATE_NAMES = (
    "cache",
    "past_key_values",
    "cache_params",
    "state",
)  # as versions and models call it
_JOINABLE = frozenset(
    {
        "DynamicLayer",
        "DynamicSlidingWindowLayer",
        "LinearAttentionLayer",
        "LinearAttentionAndFullAttentionLayer",
        "LinearAttentionAndSlidingWindowAttentionLayer",
        "DummyLayer",
    }
)
"""Layers of transformers' caches whose rows can be taken apart and put together."""


@dataclass(slots=True)
class _Row:
    """What one slot has read: a row of a cache, which several slots may be in."""

    state: Any
    """The cache, or whatever else the model returns as its state; None: nothing is read."""
    index: int
    """Which row of the cache."""
    length: int
    """How many tokens were read."""


class DenseContext:
    """What has been read so far, of slots 0, 1, ...; the same methods as ``forward.Context``."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._rows: list[_Row] = []
        takes = inspect.signature(network.model.forward).parameters
        self._takes = frozenset(takes)
        self._state_name = next((name for name in _STATE_NAMES if name in takes), "")
        self.windows: set[int | None] = set()  # nothing is known of them, nothing has to be

    def __len__(self) -> int:
        """Return how many slots are in use."""
        return len(self._rows)

    def add(self, path: Sequence[Node] = ()) -> None:
        """Add a slot at the end that has read what the last node of a path holds."""
        if not path:
            self._rows.append(_Row(None, 0, 0))
            return
        self._rows.append(_Row(copy.deepcopy(path[-1].layers), 0, path[-1].end))

    def add_copy(self, slot: int) -> None:
        """Add a slot at the end that has read what another has."""
        row = self._rows[slot]
        self._rows.append(_Row(_select(row), 0, row.length))

    def drop(self, slot: int) -> None:
        """Forget a slot; the last one moves into its place."""
        self._rows[slot] = self._rows[-1]
        self._rows.pop()

    def layers(self, slot: int) -> Any:  # noqa: ANN401 - a cache of any kind
        """Return a copy of the cache of a slot."""
        return _select(self._rows[slot])

    def forward(self, texts: Sequence[Sequence[int]], first: int = 0) -> torch.Tensor:
        """Read a text each, of at least one token, in consecutive slots from ``first``.

        Returns:
            Logits after the last token of each, float32, shape [texts, vocabulary].
        """
        rows = self._rows[first : first + len(texts)]
        is_step = all(len(text) == 1 and row.length for text, row in zip(texts, rows, strict=True))
        if is_step and len(rows) > 1:
            return self._step(rows, texts)
        return torch.cat(
            [self._read(row, text)[-1:] for row, text in zip(rows, texts, strict=True)]
        )

    def score(self, texts: Sequence[Sequence[int]], first: int = 0) -> list[list[float]]:
        """Read texts as :meth:`forward` does, but for the last token of each.

        Returns:
            For each text, the log-probability of each token but its first, given all before it.
        """
        scores: list[list[float]] = []
        for row, text in zip(self._rows[first : first + len(texts)], texts, strict=True):
            logits = torch.cat([self._read(row, [token]) for token in text[:-1]])
            index = torch.tensor(text[1:], device=logits.device)[:, None]
            scores.append(logits.log_softmax(dim=-1).gather(-1, index)[:, 0].tolist())
        return scores

    def _read(self, row: _Row, text: Sequence[int]) -> torch.Tensor:
        """Read a text in one row; return the logits after its last token, [1, vocabulary]."""
        if row.state is not None and (row.index or _n_rows(row.state) != 1):
            row.state, row.index = _select(row), 0
        logits, row.state = self._run(torch.tensor([text]), row.state, [row.length], None)
        row.length += len(text)
        return logits

    def _step(self, rows: Sequence[_Row], texts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Read one token in each of the rows, which are in one cache from then on."""
        state = rows[0].state
        lengths = [row.length for row in rows]
        is_joined = all(row.state is state and row.index == i for i, row in enumerate(rows))
        if not is_joined or _n_rows(state) != len(rows):
            state = join(rows)
        columns = torch.arange(max(lengths) + 1)
        mask = columns >= torch.tensor([max(lengths) - n for n in lengths])[:, None]
        has_keys = any(isinstance(layer, DynamicLayer) for layer in state.layers)
        logits, state = self._run(
            torch.tensor(texts), state, lengths, mask.long() if has_keys else None
        )
        for i, row in enumerate(rows):
            row.state, row.index, row.length = state, i, row.length + 1
        return logits

    def _run(
        self,
        ids: torch.Tensor,
        state: Any,  # noqa: ANN401 - a cache of any kind
        lengths: Sequence[int],
        mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, Any]:
        """Run the model over ids [rows, n]; return logits [rows, vocabulary] and the new state."""
        model, device = self._network.model, self._network.device
        if not self._network.keeps_state:
            tokens = torch.cat([state, ids], dim=1) if state is not None else ids
            out: Any = model(input_ids=tokens.to(device), use_cache=False)
            return out.logits[:, -1].float(), tokens
        arguments: dict[str, Any] = {"use_cache": True, "logits_to_keep": 1}
        if mask is not None:
            arguments["attention_mask"] = mask.to(device)
        if self._state_name:
            arguments[self._state_name] = state
        positions = torch.tensor(lengths)[:, None] + torch.arange(ids.shape[1])
        arguments["position_ids"] = positions.to(device)
        accepted = {k: v for k, v in arguments.items() if k in self._takes}
        out = model(input_ids=ids.to(device), **accepted)
        state = out.get(self._state_name)
        if state is None:
            kind = model.config.model_type
            raise ModelLoadError(f"models of type {kind} keep their state in a way not supported")
        return out.logits[:, -1].float(), state


def is_joinable(state: Any) -> bool:  # noqa: ANN401 - a cache of any kind
    """Return whether rows of a model's state can be taken apart and put together."""
    return (
        type(state) is not Cache
        and hasattr(state, "layers")
        and all(type(layer).__name__ in _JOINABLE for layer in state.layers)
    )


def count_bytes(state: Any) -> int:  # noqa: ANN401 - a cache of any kind
    """Return the bytes of a state whose layers are known; others: 0."""
    tensors: list[torch.Tensor] = []
    for layer in getattr(state, "layers", ()):
        tensors += _states(layer, "conv_states").values()
        tensors += _states(layer, "recurrent_states").values()
        if isinstance(layer, DynamicLayer) and layer.is_initialized:
            tensors += [tensor for tensor in (layer.keys, layer.values) if tensor is not None]
    return sum(tensor.nbytes for tensor in tensors)


def _n_rows(state: Any) -> int:  # noqa: ANN401 - a cache of any kind
    """Return how many rows a state has; 1 where nothing is known of it."""
    for layer in getattr(state, "layers", ()):
        if isinstance(layer, DynamicLayer) and layer.is_initialized:
            return len(layer.keys) if layer.keys is not None else 0
        for tensor in _states(layer, "conv_states").values():
            return tensor.shape[0]
        for tensor in _states(layer, "recurrent_states").values():
            return tensor.shape[0]
    return 1


def _select(row: _Row) -> Any:  # noqa: ANN401 - a cache of any kind
    """Return a copy of a row's state, alone."""
    if row.state is None or not is_joinable(row.state):
        return copy.deepcopy(row.state)
    return join([row])


def join(rows: Sequence[_Row]) -> Any:  # noqa: ANN401 - a cache of any kind
    """Return one cache of several rows, as if their texts had been padded on the left."""
    most = max(row.length for row in rows)
    joined: Any = copy.copy(rows[0].state)
    joined.layers = [
        _join_layers([row.state.layers[i] for row in rows], [row.index for row in rows], most)
        for i in range(len(joined.layers))
    ]
    return joined


def _join_layers(layers: Sequence[Any], indices: Sequence[int], most: int) -> Any:  # noqa: ANN401 - a layer
    """Join one row each of some layers; ``most``: tokens read by the longest of the rows."""
    joined: Any = copy.copy(layers[0])
    for name in ("conv_states", "recurrent_states"):
        states = {
            key: torch.cat(
                [
                    _states(layer, name)[key][i : i + 1]
                    for layer, i in zip(layers, indices, strict=True)
                ]
            )
            for key in _states(layers[0], name)
        }
        if hasattr(joined, name):
            setattr(joined, name, {**getattr(joined, name), **states})
    for name, value in vars(joined).items():
        if isinstance(value, dict) and name not in ("conv_states", "recurrent_states"):
            setattr(joined, name, dict(value))
    if isinstance(joined, DynamicLayer) and joined.is_initialized:
        n = most
        if isinstance(joined, DynamicSlidingWindowLayer):
            joined.cumulative_length = most
            n = min(most, joined.sliding_window - 1)
        for name in ("keys", "values"):
            tensors = [
                getattr(layer, name)[i : i + 1] for layer, i in zip(layers, indices, strict=True)
            ]
            setattr(joined, name, torch.cat([_fit(tensor, n) for tensor in tensors]))
    return joined


def _fit(tensor: torch.Tensor, n: int) -> torch.Tensor:
    """Return the last ``n`` columns of keys or values [1, heads, columns, width], zeros before."""
    return pad(tensor[:, :, max(0, tensor.shape[2] - n) :], (0, 0, max(0, n - tensor.shape[2]), 0))


def _states(layer: Any, name: str) -> dict[int, torch.Tensor]:  # noqa: ANN401 - a layer
    """Return the states of a recurrent layer that it has so far."""
    states: dict[int, torch.Tensor | None] = getattr(layer, name, None) or {}
    return {key: state for key, state in states.items() if state is not None}
