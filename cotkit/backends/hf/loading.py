"""Load a model folder as a network, and check that batching changes nothing."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.utils import logging as transformers_logging

from cotkit.backends.hf.attention import NAME
from cotkit.backends.hf.forward import Context, Network
from cotkit.backends.hf.prefix_tree import Node
from cotkit.backends.hf.sequence import first_line
from cotkit.backends.hf.source import Placement
from cotkit.errors import BackendError, ModelLoadError
from cotkit.types import Notify


def load_network(folder: Path, placement: Placement, notify: Notify) -> Network:
    """Load weights for inference.

    Raises:
        ModelLoadError: the folder cannot be loaded, or its weights leave parameters unset.
        BackendError: torch does not see the device.
    """
    _check_device(placement)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    notify(f"loading {folder.name} ({placement.dtype}, {placement.device})")
    device_map: Any = "auto" if placement.spread else {"": placement.device}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32 if placement.dtype == "int8" else getattr(torch, placement.dtype),
            device_map=None if placement.device == "cpu" else device_map,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as fault:
        raise ModelLoadError(f"{folder}: cannot be loaded: {first_line(fault)}") from fault
    model, report = loaded
    if unset := sorted(report["missing_keys"]):
        raise ModelLoadError(f"{folder}: the weights lack {unset[0]} (and {len(unset) - 1} more)")
    model.eval()
    if placement.dtype == "int8":
        to_int8(model)
    device = model.get_input_embeddings().weight.device
    if _has_plain_cache(model) and _packing_is_exact(model, device):
        return Network(model=model, device=device, packable=True)
    notify(f"{folder.name}: batching would not be exact for this kind of model; one row at a time")
    return Network(model=model, device=device, packable=False)


def end_ids(network: Network, tokenizer: Any) -> frozenset[int]:  # noqa: ANN401 - as Prompter's
    """Return every token that ends a text: of the generation config and of the tokenizer."""
    configured: Any = getattr(network.model.generation_config, "eos_token_id", None)
    several = configured if isinstance(configured, list) else [configured]
    return frozenset(int(i) for i in (*several, tokenizer.eos_token_id) if i is not None)


def _check_device(placement: Placement) -> None:
    kind = placement.device.partition(":")[0]
    backend = getattr(torch, kind, None)
    if kind != "cpu" and not (backend is not None and backend.is_available()):
        raise BackendError(f"torch sees no {kind} device here", hint="use device=cpu")


def _has_plain_cache(model: PreTrainedModel) -> bool:
    """Return whether all state is plain keys and values, all positions from ``position_ids``.

    Not so: recurrent and chunked layers, layers that share keys, ALiBi, positions that are
    computed in another way when some sequence of the batch is long.
    """
    config = model.config.get_text_config(decoder=True)
    rope: Any = getattr(config, "rope_parameters", None) or {}
    layers = DynamicCache(config=config).layers
    return (
        len(layers) > 0
        and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
        and "chunked_attention" not in (getattr(config, "layer_types", None) or ())
        and not getattr(config, "alibi", False)
        and not any(kind in str(rope) for kind in ("dynamic", "longrope"))
        and {"position_ids", "logits_to_keep"} <= set(inspect.signature(model.forward).parameters)
    )


def _sliding_windows(model: PreTrainedModel) -> set[int]:
    """Return the sliding windows, in tokens, of the layers' caches."""
    layers = DynamicCache(config=model.config.get_text_config(decoder=True)).layers
    return {
        layer.sliding_window for layer in layers if isinstance(layer, DynamicSlidingWindowLayer)
    }


@torch.inference_mode()
def _packing_is_exact(model: PreTrainedModel, device: torch.device) -> bool:
    """Give the model our attention and return whether packed sequences get their own logits.

    If not, the model has its own attention again.
    """
    native: Any = model.config._attn_implementation  # noqa: SLF001 - it has no public name
    embeddings: Any = model.get_input_embeddings()
    vocabulary: int = embeddings.weight.shape[0]
    texts = [[(7 * i + 3) % vocabulary for i in range(n)] for n in (9, 12)]
    alone = [
        model(input_ids=torch.tensor([text], device=device), use_cache=False).logits[0, -1].float()
        for text in texts
    ]
    try:
        model.set_attn_implementation(NAME)
        packed, windows = _packed_logits(Network(model=model, device=device, packable=True), texts)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError):
        exact = False  # the model does not take this kind of attention
    else:
        loose = 1e-3 if model.dtype == torch.float32 and not is_int8(model) else 0.1
        exact = _sliding_windows(model) <= windows and all(
            _largest_difference(logits, native_logits) <= loose * _spread(native_logits)
            for logits, native_logits in zip(packed, alone, strict=True)
        )
    if not exact:
        model.set_attn_implementation(native)
    return exact


def _largest_difference(logits: torch.Tensor, reference: torch.Tensor) -> float:
    return float((logits - reference.to(logits.device)).abs().max())


def _spread(logits: torch.Tensor) -> float:
    return float(logits.max() - logits.min())


def _packed_logits(
    network: Network, texts: list[list[int]]
) -> tuple[torch.Tensor, set[int | None]]:
    """Return logits after texts that share five tokens, the last read apart, and windows met."""
    first = Context(network)
    first.add()
    first.forward([texts[0][:5]])
    node = Node(tuple(texts[0][:5]), 0, first.layers(0))
    context = Context(network)
    for _ in texts:
        context.add([node])
    context.forward([text[5:-1] for text in texts])
    return context.forward([text[-1:] for text in texts]), context.windows


# Linear layers in 8-bit whole numbers on a CPU: a quarter of the memory to read, for some loss.
#
# Weights are rounded once, with one scale for each output channel; activations at every call, with
# one scale for each token. Products are summed exactly, in 32 bits. Everything else stays float32.
# The rounding of a token depends on no other token, so that sequences do not depend on their batch.


_INT8_MAX = 127  # of the 8-bit numbers; -128 stays unused, so that the scale is the same both ways


class Int8Linear(nn.Module):
    """A linear layer, rounded."""

    weight: torch.Tensor
    scale: torch.Tensor
    bias: nn.Parameter | None

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        rounded, scale = _round_to_int8(layer.weight.detach().float())
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.register_buffer("weight", rounded.t().contiguous())  # [in, out]
        self.register_buffer("scale", scale.t())  # [1, out]
        self.bias = layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map shape [..., in] to [..., out], float32."""
        rounded, scale = _round_to_int8(x.reshape(-1, x.shape[-1]))
        out: torch.Tensor = torch.ops.aten._int_mm(rounded, self.weight).float()  # noqa: SLF001 - it has no public name
        out = out.mul_(scale).mul_(self.scale)
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], -1)


def to_int8(model: nn.Module) -> None:
    """Replace all linear layers by rounded ones."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear):
                setattr(module, name, Int8Linear(child))


def is_int8(model: nn.Module) -> bool:
    """Return whether a model has rounded layers."""
    return any(isinstance(module, Int8Linear) for module in model.modules())


def _round_to_int8(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return whole numbers and the scale of each row, [rows, 1]."""
    scale = x.abs().amax(dim=-1, keepdim=True).clamp_(min=1e-30) / _INT8_MAX
    return (x / scale).round_().to(torch.int8), scale
