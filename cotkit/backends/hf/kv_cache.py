"""Keys and values of the rows' own tokens: two buffers a layer, rows of any length side by side."""

from __future__ import annotations

import torch

_SPARE_COLUMNS = 64  # room taken at a time: a copy of everything once in so many tokens


class KVCache:
    """Buffers [slots, heads, columns, width] of each layer; how long a row is, its owner knows."""

    def __init__(self) -> None:
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._n_slots = 0
        self._n_columns = 0

    def reserve(self, n_slots: int, n_columns: int) -> None:
        """Make room."""
        if n_slots <= self._n_slots and n_columns <= self._n_columns:
            return
        self._n_slots = max(self._n_slots, n_slots)
        if n_columns > self._n_columns:
            self._n_columns = n_columns + _SPARE_COLUMNS
        for layer, (keys, values) in self._layers.items():  # one at a time: little is held twice
            self._layers[layer] = (self._grown(keys), self._grown(values))

    def append(
        self,
        layer: int,
        key: torch.Tensor,
        value: torch.Tensor,
        at: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write packed tokens [heads, T, width] to slots and columns [T]; returns the buffers."""
        if layer not in self._layers:
            self._layers[layer] = (self._new(key), self._new(value))
        slots, columns = at
        for buffer, new in zip(self._layers[layer], (key, value), strict=True):
            buffer[slots, :, columns] = new.transpose(0, 1)
        return self._layers[layer]

    def copy(self, source: int, target: int, n_columns: int) -> None:
        """Copy a row's first columns to another slot."""
        for pair in self._layers.values():
            for buffer in pair:
                buffer[target, :, :n_columns] = buffer[source, :, :n_columns]

    def wipe(self, slot: int) -> None:
        """Forget a row: what is hidden must still be a number, for it is multiplied by zero."""
        for _, values in self._layers.values():
            values[slot] = 0

    def taken(self, slot: int, n_columns: int) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
        """A copy of a row's first columns, [heads, columns, width] of each layer."""
        return {
            layer: (keys[slot, :, :n_columns].clone(), values[slot, :, :n_columns].clone())
            for layer, (keys, values) in self._layers.items()
        }

    def _new(self, like: torch.Tensor) -> torch.Tensor:
        return like.new_zeros((self._n_slots, like.shape[0], self._n_columns, like.shape[2]))

    def _grown(self, held: torch.Tensor) -> torch.Tensor:
        buffer = held.new_zeros((self._n_slots, held.shape[1], self._n_columns, held.shape[3]))
        buffer[: held.shape[0], :, : held.shape[2]] = held
        return buffer
