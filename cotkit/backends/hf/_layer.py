"""Keys and values of one layer, appended in place.

transformers' own layer copies everything it holds for every token; with a long prefix in many rows
that copy takes longer than the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers.cache_utils import DynamicLayer

_SPARE = 64  # columns of room taken at a time: a copy of everything once in so many tokens


class RoomyLayer(DynamicLayer):
    """``keys`` and ``values`` are views, shape [rows, heads, columns, width], of larger buffers."""

    def __init__(self) -> None:
        super().__init__()
        self._buffers: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append columns; returns all keys and all values."""
        if not self.is_initialized:
            self.dtype, self.device = key_states.dtype, key_states.device
            self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
            self.is_initialized = True
        held = self._held()
        begin = held[0].shape[2]
        end = begin + key_states.shape[2]
        if not self._buffers or end > self._buffers[0].shape[2]:
            self._buffers = [_roomy(one, end + _SPARE) for one in held]
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, begin:end] = new
        self.keys, self.values = (buffer[:, :, :end] for buffer in self._buffers)
        return self._held()

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows in this order; a row may be named more than once."""
        self._buffers = []
        if len(set(rows)) == 1:  # a view: copied when the next token is appended
            spread = slice(rows[0], rows[0] + 1)
            self.keys, self.values = (
                one[spread].expand(len(rows), -1, -1, -1) for one in self._held()
            )
            return
        index = torch.tensor(rows, device=self.device)
        self.keys, self.values = (one[index] for one in self._held())

    def head(self, length: int) -> RoomyLayer:
        """A new layer of the first columns of the first row; shares memory, changes nothing."""
        new = RoomyLayer()
        new.dtype, new.device, new.is_initialized = self.dtype, self.device, True
        new.keys, new.values = (one[:1, :, :length] for one in self._held())
        return new

    def _held(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values


def _roomy(held: torch.Tensor, n_columns: int) -> torch.Tensor:
    rows, heads, n, width = held.shape
    buffer = held.new_empty((rows, heads, n_columns, width))
    buffer[:, :, :n] = held
    return buffer
