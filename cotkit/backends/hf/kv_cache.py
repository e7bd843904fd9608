"""Keys and values of the sequences' own tokens: two buffers a layer, any lengths side by side."""

from __future__ import annotations

import torch

_COLUMNS_TOGETHER = 32  # a buffer has a multiple of these, and as many to spare when it grows


def round_up(n_columns: int) -> int:
    """Return the columns to read where so many are in use: room that a buffer always has.

    On a CPU torch makes and keeps a program for every new shape of a product in bfloat16: a
    megabyte for each token generated, if each had a column of its own.
    """
    return -(-n_columns // _COLUMNS_TOGETHER) * _COLUMNS_TOGETHER


class KVCache:
    """Buffers [slots, heads, columns, width] of each layer; the caller knows how long each is."""

    def __init__(self) -> None:
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._n_slots = 0
        self._n_columns = 0

    def reserve(self, n_slots: int, n_columns: int) -> None:
        """Make room for so many slots and columns; others than the first slots may be dropped."""
        if n_slots <= self._n_slots and n_columns <= self._n_columns:
            return
        self._n_slots = n_slots
        if n_columns > self._n_columns:
            self._n_columns = round_up(n_columns + _COLUMNS_TOGETHER)
        for layer, (keys, values) in self._layers.items():  # one at a time: little is held twice
            self._layers[layer] = (self._enlarge(keys), self._enlarge(values))

    def append(
        self,
        layer: int,
        key: torch.Tensor,
        value: torch.Tensor,
        places: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write packed tokens [heads, T, width] to slots and columns [T]; return the buffers."""
        if layer not in self._layers:
            self._layers[layer] = (self._allocate(key), self._allocate(value))
        slots, columns = places
        for buffer, new in zip(self._layers[layer], (key, value), strict=True):
            buffer[slots, :, columns] = new.transpose(0, 1)
        return self._layers[layer]

    def copy(self, source: int, target: int, n_columns: int) -> None:
        """Copy the first columns of a slot to another."""
        for pair in self._layers.values():
            for buffer in pair:
                buffer[target, :, :n_columns] = buffer[source, :, :n_columns]

    def write(
        self, slot: int, layers: dict[int, tuple[torch.Tensor, torch.Tensor]], n_columns: int
    ) -> None:
        """Write the first columns of what :meth:`read` returned to a slot."""
        for layer, pair in layers.items():
            if layer not in self._layers:
                self._layers[layer] = (self._allocate(pair[0]), self._allocate(pair[1]))
            for buffer, source in zip(self._layers[layer], pair, strict=True):
                buffer[slot, :, :n_columns] = source[:, :n_columns]

    def wipe(self, slot: int) -> None:
        """Zero the values of a slot: hidden ones are multiplied by zero, so none may be NaN."""
        for _, values in self._layers.values():
            values[slot] = 0

    def read(self, slot: int, n_columns: int) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
        """Return a copy of the first columns of a slot, [heads, columns, width] of each layer."""
        return {
            layer: (keys[slot, :, :n_columns].clone(), values[slot, :, :n_columns].clone())
            for layer, (keys, values) in self._layers.items()
        }

    def _allocate(self, like: torch.Tensor) -> torch.Tensor:
        return like.new_zeros((self._n_slots, like.shape[0], self._n_columns, like.shape[2]))

    def _enlarge(self, old: torch.Tensor) -> torch.Tensor:
        buffer = old.new_zeros((self._n_slots, old.shape[1], self._n_columns, old.shape[3]))
        buffer[: len(old), :, : old.shape[2]] = old[: self._n_slots]
        return buffer
