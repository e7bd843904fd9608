"""Linear layers in 8-bit whole numbers on a CPU: a quarter of the memory to read, for some loss.

Weights are rounded once, with one scale for each output channel; activations at every call, with
one scale for each token. Products are summed exactly, in 32 bits. Everything else stays float32.
The rounding of a token depends on no other token, so that rows do not depend on their batch.
"""

from __future__ import annotations

import torch
from torch import nn

_MOST = 127  # of the 8-bit numbers; -128 stays unused, so that the scale is the same both ways


class Int8Linear(nn.Module):
    """A linear layer, rounded."""

    weight: torch.Tensor
    scale: torch.Tensor
    bias: nn.Parameter | None

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        rounded, scale = _rounded(layer.weight.detach().float())
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.register_buffer("weight", rounded.t().contiguous())  # [in, out]
        self.register_buffer("scale", scale.t())  # [1, out]
        self.bias = layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape [..., in] to [..., out], float32."""
        rounded, scale = _rounded(x.reshape(-1, x.shape[-1]))
        out: torch.Tensor = torch.ops.aten._int_mm(rounded, self.weight).float()  # noqa: SLF001 - it has no public name
        out = out.mul_(scale).mul_(self.scale)
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], -1)


def to_int8(model: nn.Module) -> None:
    """Put rounded layers in place of all linear ones."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear):
                setattr(module, name, Int8Linear(child))


def is_int8(model: nn.Module) -> bool:
    """Whether :func:`to_int8` was at work."""
    return any(isinstance(module, Int8Linear) for module in model.modules())


def _rounded(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole numbers of each row and what one of them is worth, [rows, 1]."""
    scale = x.abs().amax(dim=-1, keepdim=True).clamp_(min=1e-30) / _MOST
    return (x / scale).round_().to(torch.int8), scale
