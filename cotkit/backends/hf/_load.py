"""A model folder to a network that runs, with a check that batching changes nothing."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from cotkit.backends.hf._device import Placement
from cotkit.backends.hf._rows import first_line
from cotkit.errors import BackendError, MissingDependencyError, ModelLoadError
from cotkit.types import Notify

try:
    import torch
    from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
    from transformers.utils import logging as transformers_logging
except ImportError as missing:
    raise MissingDependencyError("torch and transformers", "hf") from missing

from cotkit.backends.hf._context import Context, Network


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
    where: Any = "auto" if placement.spread else {"": placement.device}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, placement.dtype),
            device_map=None if placement.device == "cpu" else where,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as fault:
        raise ModelLoadError(f"{folder}: cannot be loaded: {first_line(fault)}") from fault
    model, report = loaded
    if unset := sorted(report["missing_keys"]):
        raise ModelLoadError(f"{folder}: the weights lack {unset[0]} (and {len(unset) - 1} more)")
    model.eval()
    network = Network(
        model=model,
        device=model.get_input_embeddings().weight.device,
        windows=_windows(model),
        batchable=_has_plain_cache(model),
    )
    if network.batchable and _batching_is_exact(network):
        return network
    notify(f"{folder.name}: batching would not be exact for this kind of model; one row at a time")
    return Network(model=model, device=network.device, windows={}, batchable=False)


def end_ids(network: Network, tokenizer: Any) -> frozenset[int]:  # noqa: ANN401 - as Prompter's
    """Every token that ends a text: of the generation config and of the tokenizer."""
    configured: Any = getattr(network.model.generation_config, "eos_token_id", None)
    several = configured if isinstance(configured, list) else [configured]
    return frozenset(int(i) for i in (*several, tokenizer.eos_token_id) if i is not None)


def _check_device(placement: Placement) -> None:
    kind = placement.device.partition(":")[0]
    backend = getattr(torch, kind, None)
    if kind != "cpu" and not (backend is not None and backend.is_available()):
        raise BackendError(f"torch sees no {kind} device here", hint="use device=cpu")


def _has_plain_cache(model: PreTrainedModel) -> bool:
    """Whether all state is plain keys and values and all positions are given by ``position_ids``.

    Not so: recurrent and chunked layers, layers that share keys, ALiBi.
    """
    config = model.config.get_text_config(decoder=True)
    layers = DynamicCache(config=config).layers
    return (
        len(layers) > 0
        and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
        and "chunked_attention" not in (getattr(config, "layer_types", None) or ())
        and not getattr(config, "alibi", False)
        and {"position_ids", "logits_to_keep"} <= set(inspect.signature(model.forward).parameters)
    )


def _windows(model: PreTrainedModel) -> dict[str, int | None]:
    """Kind of attention layer -> window. One entry: the model takes one mask; more: by kind."""
    config = model.config.get_text_config(decoder=True)
    layers = DynamicCache(config=config).layers
    found = {one.sliding_window for one in layers if isinstance(one, DynamicSlidingWindowLayer)}
    if not found:
        return {"full_attention": None}
    window: int = min(found)
    if getattr(config, "layer_types", None) is None:
        return {"sliding_attention": window}
    return {"sliding_attention": window, "full_attention": None}


@torch.inference_mode()
def _batching_is_exact(network: Network) -> bool:
    """Whether a padded row after a shared prefix gives the logits that it gives alone."""
    embeddings: Any = network.model.get_input_embeddings()
    vocabulary: int = embeddings.weight.shape[0]
    texts = [[(7 * i + 3) % vocabulary for i in range(n)] for n in (9, 12)]
    try:
        context = Context(network)
        context.feed([texts[0][:5]], [0])
        context.select([0, 0])
        batched = context.feed([text[5:] for text in texts], [5, 5])
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
        return False  # the model does not take this kind of mask or cache
    for text, logits in zip(texts, batched, strict=True):
        ids = torch.tensor([text], device=network.device)
        alone = network.model(input_ids=ids, use_cache=False).logits[0, -1].float()
        loose = 1e-3 if network.model.dtype == torch.float32 else 0.1
        spread = float(alone.max() - alone.min())
        if float((logits - alone.to(logits.device)).abs().max()) > loose * spread:
            return False
    return True
