"""Load a model folder as a network, and check that batching changes nothing."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    DynamicCache,
    GenerationConfig,
    PreTrainedModel,
)
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.utils import logging as transformers_logging

from cotkit.backends.hf.attention import NAME
from cotkit.backends.hf.dense import DenseContext, count_bytes, is_joinable
from cotkit.backends.hf.forward import Network, make_context
from cotkit.backends.hf.prefix_tree import Node
from cotkit.backends.hf.products import replace_slow_layers
from cotkit.backends.hf.rounded_layers import (
    Int8Head,
    Int8Linear,
    pack_layers,
    round_layers,
    rounded_share,
)
from cotkit.backends.hf.sequence import first_line
from cotkit.backends.hf.source import DEFAULTS, LoadOptions, Placement
from cotkit.errors import BackendError, ModelLoadError
from cotkit.models.folder import WEIGHTS_NAME, stored_rounding
from cotkit.models.rounding import LAYOUTS
from cotkit.types import Notify


def load_network(
    folder: Path, placement: Placement, notify: Notify, options: LoadOptions = DEFAULTS
) -> Network:
    """Load weights for inference.

    Raises:
        ModelLoadError: the folder cannot be loaded, or its weights leave parameters unset.
        BackendError: torch does not see the device.
    """
    _check_device(placement)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    notify(f"loading {folder.name} ({placement.dtype}, {placement.device})")
    try:
        stored = stored_rounding(folder)
        if stored is None:
            model = _load_folder(folder, placement, options)
        elif stored == placement.dtype and options.adapter is None:
            model = _load_rounded(folder, stored, options)
        else:
            raise ModelLoadError(
                f"{folder} holds weights in {stored} alone",
                hint=f"take dtype={stored} and no adapter, or the model that it was made of",
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as fault:
        raise ModelLoadError(f"{folder}: cannot be loaded: {first_line(fault)}") from fault
    model.eval()
    replace_slow_layers(model)
    try:
        reference = _read_reference(model)
    except _UNFIT as fault:
        if placement.dtype not in LAYOUTS:
            raise
        code = f"the code of this kind of model cannot run in {placement.dtype}"
        raise ModelLoadError(
            f"{folder}: {code}: {first_line(fault)}", hint="take another dtype"
        ) from fault
    if placement.dtype in LAYOUTS and (share := rounded_share(model)) < _FEW:
        notify(
            f"{folder.name}: {share:.0%} of its weights are in {placement.dtype}, the others "
            f"(experts, say) in {str(_OTHER_DTYPE[placement.dtype]).removeprefix('torch.')}"
        )
    may_pack = not options.attn_implementation
    return _choose_mode(model, folder.name, reference, notify, may_pack=may_pack)


_FEW = 0.5  # of the weights
_OTHER_DTYPE = {"int8": torch.float32, "q4": torch.bfloat16}  # of all but the rounded layers


def _load_folder(folder: Path, placement: Placement, options: LoadOptions) -> PreTrainedModel:
    """Load a folder; numbers that are stored as they are used are mapped and not copied."""
    device_map: Any = "auto" if placement.spread else {"": placement.device}
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype="auto" if placement.dtype in LAYOUTS else getattr(torch, placement.dtype),
        device_map=None if placement.device == "cpu" else device_map,
        output_loading_info=True,
        trust_remote_code=options.trust_remote_code,  # None: it asks on the terminal
        local_files_only=True,  # a folder names no other place to load from
        **_attention(options),
    )
    model, report = loaded
    if unset := sorted(report["missing_keys"]):
        raise ModelLoadError(f"{folder}: the weights lack {unset[0]} (and {len(unset) - 1} more)")
    if options.adapter is not None:
        peft = importlib.import_module("peft")
        model = peft.PeftModel.from_pretrained(model, str(options.adapter)).merge_and_unload()
    if placement.dtype in LAYOUTS:
        round_layers(model, placement.dtype)
        pack_layers(model)
        model.config.dtype = _OTHER_DTYPE[placement.dtype]
        exact = model._keep_in_fp32_modules_strict or ()  # noqa: SLF001 - it has no public name
        for name, parameter in model.named_parameters():  # no buffers: positions stay float32
            if not any(part in name for part in exact):
                parameter.data = parameter.data.to(model.config.dtype)
    return model


def _attention(options: LoadOptions) -> dict[str, str]:
    return {"attn_implementation": name} if (name := options.attn_implementation) else {}


def _load_rounded(folder: Path, dtype: str, options: LoadOptions) -> PreTrainedModel:
    """Load what cotkit stored rounded: mapped, and copied only where a kernel has its own order."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with init_empty_weights(include_buffers=False):
        model: Any = AutoModelForCausalLM.from_config(
            config, dtype=_OTHER_DTYPE[dtype], **_attention(options)
        )
    round_layers(model, dtype)
    state = load_file(folder / WEIGHTS_NAME)
    unset, unknown = model.load_state_dict(state, strict=False, assign=True)
    if unset or unknown:
        raise ModelLoadError(f"{folder}: the weights lack {[*unset, *unknown][0]}")
    if packed := pack_layers(model):
        del state  # and with it the pages that were read only to be packed
        mapped = load_file(folder / WEIGHTS_NAME)
        others = {name: part for name, part in mapped.items() if name not in packed}
        model.load_state_dict(others, strict=False, assign=True)
    head = model.get_output_embeddings()
    if isinstance(head, Int8Head):
        head.align()  # after the layers were packed, whose pages are free by now
    model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model


def _choose_mode(
    model: PreTrainedModel, name: str, reference: _Reference, notify: Notify, *, may_pack: bool
) -> Network:
    """Return the model in the first of the modes that gives each sequence its own logits."""
    device = reference.device
    most = _most_positions(model)
    n_bytes = _packed_bytes(model, reference) if may_pack and _has_plain_cache(model) else None
    if n_bytes is not None:
        packed = Network(model=model, device=device, most_positions=most, bytes_per_token=n_bytes)
        is_int8 = any(isinstance(module, Int8Linear) for module in model.modules())
        return replace(packed, tokens_at_once=_INT8_TOKENS) if is_int8 else packed
    for shares in (True, False):
        dense = Network(
            model=model, device=device, mode="dense", shares=shares, most_positions=most
        )
        if (sizes := _dense_sizes(dense, reference)) is not None:
            return replace(dense, bytes_per_token=sizes[0], bytes_per_row=sizes[1])
    alone = Network(model=model, device=device, mode="alone", shares=False)
    if _reading_alone_is_exact(alone, reference):
        notify(f"{name}: batching would not be exact for this kind of model; one row at a time")
        return alone
    notify(
        f"{name}: the state of this kind of model is kept in a way not supported: one row at a "
        "time, and each token from the whole text before it, which is slow"
    )
    return replace(alone, keeps_state=False)


_INT8_TOKENS = 128  # of a prefill, at once: activations of 512 are 0.2 GB more


@torch.inference_mode()
def _reading_alone_is_exact(network: Network, reference: _Reference) -> bool:
    if any(bool(logits.isnan().any()) for logits in reference.logits):
        return True  # nothing can be compared; the first token will say so
    try:
        logits = torch.cat([_logits_together(network, [text])[0] for text in reference.texts])
    except _UNFIT:
        return False
    return _agree(network.model, logits, reference)


@torch.inference_mode()
def _dense_sizes(network: Network, reference: _Reference) -> tuple[int, int] | None:
    """Return the bytes of state per token and per row; None: dense rows are not exact."""
    texts = reference.texts
    try:
        together, *_ = _logits_together(network, texts)
        short, long = _state_bytes(network, texts[0][:6]), _state_bytes(network, texts[0][:8])
    except _UNFIT:
        return None
    if not _agree(network.model, together, reference):
        return None
    per_token = (long - short) // 2
    return per_token, max(0, short - 6 * per_token)


def _state_bytes(network: Network, text: list[int]) -> int:
    context = DenseContext(network)
    context.add()
    context.forward([text])
    state = context.layers(0)
    if not is_joinable(state):
        raise TypeError("a state of unknown form")
    return count_bytes(state)


def end_ids(
    network: Network,
    tokenizer: Any,  # noqa: ANN401 - as Prompter's
    texts: tuple[str, ...],
) -> frozenset[int]:
    """Return every token that ends a text: of generation config, tokenizer, and these texts."""
    configured: Any = getattr(network.model.generation_config, "eos_token_id", None)
    several = configured if isinstance(configured, list) else [configured]
    others = tokenizer.convert_tokens_to_ids(list(texts))
    return frozenset(int(i) for i in (*several, tokenizer.eos_token_id, *others) if i is not None)


def _check_device(placement: Placement) -> None:
    kind = placement.device.partition(":")[0]
    backend = getattr(torch, kind, None)
    if kind != "cpu" and not (backend is not None and backend.is_available()):
        raise BackendError(f"torch sees no {kind} device here", hint="use device=cpu")


def _has_plain_cache(model: PreTrainedModel) -> bool:
    """Return whether all state is plain keys and values, all positions from ``position_ids``.

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


def _most_positions(model: PreTrainedModel) -> int | None:
    """Return how long a text may be before its positions are computed in another way.

    Some models turn long texts in another way than short ones; packed with others, each text has to
    be short.
    """
    config: Any = model.config.get_text_config(decoder=True)
    rope: Any = getattr(config, "rope_parameters", None) or {}
    kinds = rope.values() if all(isinstance(each, dict) for each in rope.values()) else [rope]
    limits = [
        kind.get("original_max_position_embeddings")
        or getattr(config, "original_max_position_embeddings", None)
        or config.max_position_embeddings
        for kind in kinds
        if kind.get("rope_type") in ("dynamic", "longrope")
    ]
    return min(limits, default=None)


def _sliding_windows(model: PreTrainedModel) -> set[int]:
    """Return the sliding windows, in tokens, of the layers' caches."""
    layers = DynamicCache(config=model.config.get_text_config(decoder=True)).layers
    return {
        layer.sliding_window for layer in layers if isinstance(layer, DynamicSlidingWindowLayer)
    }


_UNFIT = (
    *(RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError),
    *(NotImplementedError, ModelLoadError),
)
"""What a model raises that cannot be run in some way."""


@torch.inference_mode()
def _packed_bytes(model: PreTrainedModel, reference: _Reference) -> int | None:
    """Give the model our attention; return the bytes of keys and values of a token.

    None: packed sequences would not get their own logits; the model has its own attention again.
    """
    native: Any = model.config._attn_implementation  # noqa: SLF001 - it has no public name
    try:
        model.set_attn_implementation(NAME)
        network = Network(model=model, device=reference.device)
        packed, windows, n_bytes = _logits_together(network, reference.texts)
    except _UNFIT:
        exact, n_bytes = False, 0  # the model does not take this kind of attention
    else:
        exact = _sliding_windows(model) <= windows and _agree(model, packed, reference)
    if not exact:
        model.set_attn_implementation(native)
    return n_bytes if exact else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reference:
    """What a model's own code makes of short texts, each alone."""

    device: torch.device
    """Where its input goes."""
    texts: list[list[int]]
    """Two texts, in tokens."""
    logits: list[torch.Tensor]
    """After each of them, float32."""


@torch.inference_mode()
def _read_reference(model: PreTrainedModel) -> _Reference:
    embeddings: Any = model.get_input_embeddings()
    device, vocabulary = embeddings.weight.device, embeddings.weight.shape[0]
    texts = [[(7 * i + 3) % vocabulary for i in range(n)] for n in (9, 12)]
    logits = [
        model(input_ids=torch.tensor([text], device=device), use_cache=False).logits[0, -1].float()
        for text in texts
    ]
    return _Reference(device=device, texts=texts, logits=logits)


def _agree(model: PreTrainedModel, together: torch.Tensor, reference: _Reference) -> bool:
    is_exact = model.dtype == torch.float32 and not rounded_share(model)
    loose = 1e-3 if is_exact else 0.1
    return all(
        _largest_difference(logits, native) <= loose * _spread(native)
        for logits, native in zip(together, reference.logits, strict=True)
    )


def _largest_difference(logits: torch.Tensor, reference: torch.Tensor) -> float:
    return float((logits - reference.to(logits.device)).abs().max())


def _spread(logits: torch.Tensor) -> float:
    return float(logits.max() - logits.min())


def _logits_together(
    network: Network, texts: list[list[int]]
) -> tuple[torch.Tensor, set[int | None], int]:
    """Read texts that share five tokens, the last two of each token by token.

    Returns:
        Logits after the texts, the sliding windows met, bytes of keys and values of a token.
    """
    begin, path, n_bytes = 0, list[Node](), 0
    if network.shares:
        begin, first = 5, make_context(network)
        first.add()
        first.forward([texts[0][:begin]])
        path = [Node(tuple(texts[0][:begin]), 0, first.layers(0))]
        if network.mode == "packed":
            pairs = path[0].layers.values()
            n_bytes = sum(tensor.nbytes for pair in pairs for tensor in pair) // begin
    context = make_context(network)
    for _ in texts:
        context.add(path)
    context.forward([text[begin:-2] for text in texts])
    context.forward([text[-2:-1] for text in texts])
    return context.forward([text[-1:] for text in texts]), context.windows, n_bytes
