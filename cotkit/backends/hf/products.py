"""Products in bfloat16 on a CPU that has no instructions for them.

torch adds such products up one by one. Here the weight of a linear layer becomes float32 a piece at
a time, of a size that stays in the processor's cache: the sums of the same products, in float32. It
takes no more time than in a float32 model, whose weights are twice as much to read. What is no
linear layer (experts in one tensor, convolutions, attention of the model's own) stays torch's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from cotkit.backends.hf.source import is_fast_in_bfloat16

_PIECE = 1 << 21  # weights that are float32 at a time: 8 MB
_ROWS_TOGETHER = 64  # of a piece: a multiple of these, as packed weights need
_FEW_TOKENS = 3  # up to so many torch's own product is the faster one


def is_slow(tensor: torch.Tensor) -> bool:
    """Return whether torch has no fast product of such a tensor here."""
    is_half = tensor.dtype is torch.bfloat16 and tensor.device.type == "cpu"
    return is_half and not is_fast_in_bfloat16()


def multiply(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return the matrix product of activations [..., n, k] and [..., k, m], float32."""
    if is_slow(rows):
        return torch.matmul(rows.float(), columns.float())
    return torch.matmul(rows, columns).float()


def multiply_by_pieces(
    rows: torch.Tensor,
    fill_piece: Callable[[slice, torch.Tensor], object],
    n_out: int,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Map shape [tokens, in] to [tokens, out], both bfloat16; rounded once, after the bias.

    ``fill_piece``: writes some rows of the weight to a tensor, [rows, in], float32.
    """
    n_tokens, n_in = rows.shape
    n_each = max(_ROWS_TOGETHER, _PIECE // n_in // _ROWS_TOGETHER * _ROWS_TOGETHER)
    columns = (rows.float() if is_slow(rows) else rows).t()
    piece = columns.new_empty(n_each, n_in, dtype=torch.float32)
    out = columns.new_empty(n_out, n_tokens)  # that way around, a piece is written in one run
    for begin in range(0, n_out, n_each):
        part = slice(begin, min(begin + n_each, n_out))
        weight = piece[: part.stop - begin]
        fill_piece(part, weight)
        torch.mm(weight.to(columns.dtype), columns, out=out[part])
    if bias is not None:
        out += bias[:, None]
    return out.to(rows.dtype).t().contiguous()


class LinearByPieces(nn.Linear):
    """A linear layer in bfloat16, with the weight of the one it stands for (GPT-2's: turned)."""

    def __init__(self, layer: nn.Linear | Conv1D) -> None:
        is_linear = isinstance(layer, nn.Linear)
        weight = layer.weight if is_linear else nn.Parameter(layer.weight.t().contiguous())
        super().__init__(weight.shape[1], weight.shape[0], bias=False, device="meta")
        self.weight, self.bias = weight, layer.bias

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name for it
        """Map shape [..., in] to [..., out]."""
        rows = input.reshape(-1, input.shape[-1])
        if len(rows) <= _FEW_TOKENS:
            return linear(input, self.weight, self.bias)
        out = multiply_by_pieces(rows, self._fill_piece, len(self.weight), self.bias)
        return out.view(*input.shape[:-1], -1)

    def _fill_piece(self, part: slice, piece: torch.Tensor) -> None:
        piece.copy_(self.weight[part])


def replace_slow_layers(model: PreTrainedModel) -> None:
    """Replace the linear layers whose products torch has no fast way for."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            layer: Any = child
            if type(layer) in (nn.Linear, Conv1D) and is_slow(layer.weight):
                setattr(module, name, LinearByPieces(layer))
