"""Linear layers in few bits on a CPU: less memory to hold and to read, for some loss.

int8: weights are rounded once, with one scale for each output channel; activations at every call,
with one scale for each token. Products are summed exactly, in 32 bits.

All else is float32. The rounding of a token depends on no other; but where float32's last digits
depend on the batch, rounding magnifies them.

q4: weights of four bits, with a scale and a zero for each 32 of them, in a model that is bfloat16
else. A few tokens go through torch's kernel for packed weights, many through weights that are
unpacked a piece at a time. The head, which four bits would cost most, has eight.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from cotkit.backends.hf.products import multiply_by_pieces
from cotkit.models.rounding import (
    INT8,
    INT8_HEAD,
    NOTHING_FITS_Q4,
    Q4,
    Q4_GROUP,
    Rounding,
    fits_q4,
)

_ROWS = 8192  # rounded at a time: the head of a large vocabulary is a gigabyte in float32
_INT8_MAX = 127  # of the 8-bit numbers; -128 stays unused, so that the scale is the same both ways
_FEW_TOKENS = 40  # up to so many the kernel for packed weights is the faster one
_PACKED_AT_ONCE = 64  # rows, which take eight times their memory meanwhile
_ALIGNMENT = 64  # bytes, of the memory that torch allocates


class RoundedLinear(nn.Module, ABC):
    """A linear layer whose weights are whole numbers with scales."""

    rounding: ClassVar[Rounding]
    """How the weights are stored."""
    weight: torch.Tensor
    bias: nn.Parameter | None
    n_weights: int

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        numbers, scales = _round(layer.weight.detach(), self.rounding)
        self.register_buffer("weight", numbers)
        self.register_buffer(self.rounding.scale_name, scales)
        self.bias, self.n_weights = layer.bias, layer.weight.numel()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map shape [..., in] to [..., out].

        Raises:
            ValueError: the model's code has made the input whole numbers, as the weights are.
        """
        if not x.is_floating_point():
            raise ValueError("it casts to the kind of numbers of a layer's weights")
        out = self.multiply(x.reshape(-1, x.shape[-1]))
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], -1)

    @abstractmethod
    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        """Map shape [tokens, in] to [tokens, out]."""


class Int8Linear(RoundedLinear):
    """Eight bits, [in, out], and a scale for each output, [1, out]."""

    rounding = INT8
    scale: torch.Tensor

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        """Round each token, too."""
        scale = rows.abs().amax(dim=-1, keepdim=True).clamp_(min=1e-30) / _INT8_MAX
        rounded = (rows / scale).round_().to(torch.int8)
        out: torch.Tensor = torch.ops.aten._int_mm(rounded, self.weight).float()  # noqa: SLF001 - it has no public name
        return out.mul_(scale).mul_(self.scale)


class Int8Head(RoundedLinear):
    """A head of which only the weights are rounded: eight bits, [out, in], and a scale each."""

    rounding = INT8_HEAD
    scale: torch.Tensor

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        """Take tokens in bfloat16, and return such."""
        rows = rows.bfloat16().contiguous()
        return torch.ops.aten._weight_int8pack_mm(rows, self.weight, self.scale)  # noqa: SLF001 - as above

    def align(self) -> None:
        """Copy weights that a file holds where the kernel cannot read: AVX-512 would crash."""
        if self.weight.data_ptr() % _ALIGNMENT:
            self.weight = self.weight.clone()


class Q4Linear(RoundedLinear):
    """Four bits, [out, in / 2], pairs of a row or as packed; scales and zeros [groups, out, 2]."""

    rounding = Q4
    scale_and_zero: torch.Tensor

    def pack(self) -> None:
        """Put the weights in the order of this processor's kernel, once they are loaded."""
        packed = torch.empty_like(self.weight)
        parts = (tensor.split(_PACKED_AT_ONCE) for tensor in (self.weight, packed))
        for rows, out in zip(*parts, strict=True):
            pairs = rows.view(len(rows), -1, 1, Q4_GROUP // 2)
            out.copy_(_pack(torch.cat([pairs & 15, pairs >> 4], 2).flatten(1)))
        self.weight = packed

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        """Take tokens in bfloat16, and return such; the faster way for so many."""
        rows = rows.bfloat16().contiguous()
        if len(rows) > _FEW_TOKENS:
            return multiply_by_pieces(rows, self._fill_piece, len(self.weight))
        kernel = torch.ops.aten._weight_int4pack_mm_for_cpu  # noqa: SLF001 - as above
        return kernel(rows, self.weight, Q4_GROUP, self.scale_and_zero)

    def _fill_piece(self, part: slice, piece: torch.Tensor) -> None:
        groups = piece.view(len(piece), -1, Q4_GROUP)
        scale, zero = self.scale_and_zero[:, part].permute(2, 1, 0)[..., None]
        groups.copy_(_unpack(self.weight[part]).view_as(groups)).sub_(8).mul_(scale).add_(zero)


_KINDS = {
    "I8": torch.int8,
    "U8": torch.uint8,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
}


def _round(weight: torch.Tensor, rounding: Rounding) -> tuple[torch.Tensor, torch.Tensor]:
    """Return numbers and scales of a weight as a file holds them, without values if it has none."""
    entries = rounding.entries(*weight.shape)
    if weight.is_meta:
        numbers, scales = (weight.new_empty(shape, dtype=_KINDS[kind]) for kind, shape in entries)
        return numbers, scales
    blocks = [rounding.round_rows(rows.float().numpy()) for rows in weight.split(_ROWS)]
    numbers, scales = (
        torch.from_numpy(np.ascontiguousarray(array.swapaxes(0, 1) if transposed else array))
        .view(_KINDS[kind])
        .view(shape)
        for array, transposed, (kind, shape) in zip(
            map(np.concatenate, zip(*blocks, strict=True)),
            rounding.transposed,
            entries,
            strict=True,
        )
    )
    return numbers, scales


# The order in which torch's kernel reads weights of four bits is that of the processor's vectors:
# of so many rows the numbers of each column lie together. Packing known numbers shows it.


def _pack(numbers: torch.Tensor) -> torch.Tensor:
    """Return numbers [out, in] in the order of the kernel, [out, in / 2]."""
    return torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers.int(), 1)  # noqa: SLF001 - as above


def _unpack(packed: torch.Tensor) -> torch.Tensor:
    """Return the numbers [out, in] of some rows in the order of the kernel."""
    rows_together, places = _kernel_order()
    pairs = packed.view(-1, packed.shape[1] * 2, rows_together // 2).transpose(1, 2).contiguous()
    numbers = torch.cat([pairs & 15, pairs >> 4], 1)  # [blocks, rows together, in]
    in_order = numbers if places is None else numbers[:, places]
    return in_order.view(len(packed), -1)


@functools.cache
def _kernel_order() -> tuple[int, torch.Tensor | None]:
    """Return how many rows lie together, and where each of them lies; None: first to last."""
    columns = torch.arange(32).expand(64, -1) % 2
    rows_together = 2 * int((_pack(columns).flatten() == 0).long().argmin())  # all of column 0
    rows = torch.arange(64)[:, None].expand(-1, 32)
    halves: list[torch.Tensor] = []
    for half in (rows & 15, rows >> 4):
        pairs = _pack(half).flatten()[: rows_together // 2].long()
        halves.append(torch.cat([pairs & 15, pairs >> 4]))
    places = (halves[0] + 16 * halves[1]).argsort()
    is_in_order = torch.equal(places, torch.arange(rows_together))
    return rows_together, None if is_in_order else places


def round_layers(model: PreTrainedModel, dtype: str) -> None:
    """Replace the linear layers of a model by rounded ones, whose weights may be loaded into them.

    Raises:
        ValueError: q4 fits no layer of it.
    """
    head = model.get_output_embeddings()
    n_rounded = 0
    for module in list(model.modules()):
        for name, child in module.named_children():
            if not isinstance(child, nn.Linear):
                continue
            if dtype == "int8":
                setattr(module, name, Int8Linear(child))
            elif child is head:
                if child.in_features % Q4_GROUP == 0:  # else its kernel reads beyond the end
                    setattr(module, name, Int8Head(child))
            elif fits_q4(child.out_features, child.in_features):
                setattr(module, name, Q4Linear(child))
                n_rounded += 1
    if dtype == "q4" and not n_rounded:
        raise ValueError(NOTHING_FITS_Q4)


def pack_layers(model: nn.Module) -> frozenset[str]:
    """Bring weights that are loaded into the order of this processor; return their names."""
    layers = [(name, part) for name, part in model.named_modules() if isinstance(part, Q4Linear)]
    for _, layer in layers:
        layer.pack()
    return frozenset(f"{name}.weight" for name, _ in layers)


def rounded_share(model: PreTrainedModel) -> float:
    """Return the share (0..1) of a model's weights, input embeddings apart, that are rounded."""
    embeddings: Any = model.get_input_embeddings()
    n_exact = sum(part.numel() for part in model.parameters()) - embeddings.weight.numel()
    layers = [part for part in model.modules() if isinstance(part, RoundedLinear)]
    n_rounded = sum(layer.n_weights for layer in layers)
    return n_rounded / (n_rounded + n_exact)
