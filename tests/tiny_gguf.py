"""Tiny GGUF files with known random weights, written the way llama.cpp's converter writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HIDDEN, INNER, HEADS, KEYS = 32, 64, 4, 2
WIDTHS = {"llama": 8, "qwen2": 8, "gemma3": 16}
LAYERS = {"llama": 2, "qwen2": 2, "gemma3": 7}  # the sixth of gemma3 is the first that sees all
CONTEXT, WINDOW = 64, 4

Weights = dict[str, npt.NDArray[np.float32]]

_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
LLAMA_NAMES = _NAMES | {"post_attention_layernorm": "ffn_norm"}

_NORMS = {
    "llama": {"post_attention_layernorm": "ffn_norm"},
    "qwen2": {"post_attention_layernorm": "ffn_norm"},
    "gemma3": {
        "post_attention_layernorm": "post_attention_norm",
        "pre_feedforward_layernorm": "ffn_norm",
        "post_feedforward_layernorm": "post_ffw_norm",
    },
}


def write_llama(path: Path) -> Path:
    """A whole llama file; returns its path."""
    write(path, "llama")
    return path


def write(
    path: Path,
    architecture: str,
    *,
    head_apart: bool = False,
    without: Sequence[str] = (),
    extra: Mapping[str, object] | None = None,
    factors: Sequence[float] = (),
) -> Weights:
    """Write a file; returns its weights as transformers names them, rounded as stored.

    ``without``: keys and tensors to leave out; ``extra``: metadata to add or change;
    ``factors``: of the rotary frequencies.
    """
    from gguf import GGMLQuantizationType, GGUFWriter, dequantize, quantize

    writer = GGUFWriter(path, architecture)
    values: dict[str, Any] = _metadata(architecture) | dict(extra or {})
    for key, value in values.items():
        if key not in without and key != "general.architecture":
            _add(writer, key, value)
    expected: Weights = {}
    kinds = (GGMLQuantizationType.Q8_0, GGMLQuantizationType.F16, GGMLQuantizationType.F32)
    n_tokens = len(values["tokenizer.ggml.tokens"])
    for i, (name, shape) in enumerate(_shapes(architecture, n_tokens, head_apart).items()):
        rng = np.random.default_rng(i)
        kind = kinds[i % 3] if len(shape) == 2 else GGMLQuantizationType.F32
        data = quantize(rng.normal(0, 0.3, shape).astype(np.float32), kind)
        expected[name] = np.array(dequantize(data, kind), dtype=np.float32).reshape(shape)
        stored, source = _stored(architecture, name, data)
        if source not in without:
            writer.add_tensor(source, stored, raw_dtype=kind)
    if factors:
        writer.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))
    _finish(writer)
    return expected


def _finish(writer: Any) -> None:  # noqa: ANN401  gguf is optional
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_parts(folder: Path, architecture: str) -> None:
    """The same file as ``write`` makes, in two parts: ``tiny-0000?-of-00002.gguf``."""
    from gguf import GGUFReader, GGUFWriter

    write(folder / "tiny.gguf", architecture)
    tensors = GGUFReader(folder / "tiny.gguf").tensors
    for number, part in enumerate((tensors[:5], tensors[5:]), 1):
        writer = GGUFWriter(folder / f"tiny-{number:05d}-of-00002.gguf", architecture)
        for key, value in _metadata(architecture).items() if number == 1 else ():
            if key != "general.architecture":
                _add(writer, key, value)
        writer.add_uint16("split.count", 2)
        for tensor in part:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        _finish(writer)


def write_gpt2(path: Path) -> None:
    """A model of an architecture that transformers reads and cotkit does not convert."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "gpt2")
    tokens, kinds, merges = _byte_tokens()
    for key, value in {
        "gpt2.context_length": 1024,  # else transformers has not its own
        "gpt2.embedding_length": HIDDEN,
        "gpt2.block_count": 1,
        "gpt2.feed_forward_length": 4 * HIDDEN,
        "gpt2.attention.head_count": HEADS,
        "gpt2.attention.layer_norm_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.bos_token_id": 0,
    }.items():
        _add(writer, key, value)
    norms = {f"{name}.{kind}": (HIDDEN,) for name in ("attn_norm", "ffn_norm") for kind in BOTH}
    layer = {
        **norms,
        "attn_qkv.weight": (3 * HIDDEN, HIDDEN),
        "attn_qkv.bias": (3 * HIDDEN,),
        "attn_output.weight": (HIDDEN, HIDDEN),
        "attn_output.bias": (HIDDEN,),
        "ffn_up.weight": (4 * HIDDEN, HIDDEN),
        "ffn_up.bias": (4 * HIDDEN,),
        "ffn_down.weight": (HIDDEN, 4 * HIDDEN),
        "ffn_down.bias": (HIDDEN,),
    }
    shapes = {
        "token_embd.weight": (len(tokens), HIDDEN),
        "position_embd.weight": (1024, HIDDEN),
        **{f"blk.0.{name}": shape for name, shape in layer.items()},
        "output_norm.weight": (HIDDEN,),
        "output_norm.bias": (HIDDEN,),
    }
    for name, shape in shapes.items():
        writer.add_tensor(name, np.random.default_rng(1).normal(0, 0.3, shape).astype(np.float32))
    _finish(writer)


BOTH = ("weight", "bias")


def _shapes(architecture: str, n_tokens: int, head_apart: bool) -> dict[str, tuple[int, ...]]:
    width = WIDTHS[architecture]
    linear = {
        "self_attn.q_proj": (HEADS * width, HIDDEN),
        "self_attn.k_proj": (KEYS * width, HIDDEN),
        "self_attn.v_proj": (KEYS * width, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HEADS * width),
        "mlp.gate_proj": (INNER, HIDDEN),
        "mlp.up_proj": (INNER, HIDDEN),
        "mlp.down_proj": (HIDDEN, INNER),
    }
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (n_tokens, HIDDEN)}
    for layer in range(LAYERS[architecture]):
        at = f"model.layers.{layer}"
        for name, shape in linear.items():
            shapes[f"{at}.{name}.weight"] = shape
            if architecture == "qwen2" and name[-6:] in ("q_proj", "k_proj", "v_proj"):
                shapes[f"{at}.{name}.bias"] = shape[:1]
        for name in ("input_layernorm", *_NORMS[architecture]):
            shapes[f"{at}.{name}.weight"] = (HIDDEN,)
        if architecture == "gemma3":
            shapes[f"{at}.self_attn.q_norm.weight"] = (width,)
            shapes[f"{at}.self_attn.k_norm.weight"] = (width,)
    shapes["model.norm.weight"] = (HIDDEN,)
    if head_apart:
        shapes["lm_head.weight"] = (n_tokens, HIDDEN)
    return shapes


def _stored(architecture: str, name: str, data: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], str]:
    """The array and the name that the file has for a tensor of transformers."""
    top = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if architecture == "gemma3" and "norm" in name:
        data = data + np.float32(1)
    if name in top:
        return data, top[name]
    _, _, layer, inner = name.split(".", 3)
    part, _, kind = inner.rpartition(".")
    n_heads = {"self_attn.q_proj": HEADS, "self_attn.k_proj": KEYS}.get(part)
    if architecture == "llama" and n_heads:
        halves = data.reshape(n_heads, 2, data.shape[0] // n_heads // 2, *data.shape[1:])
        data = np.ascontiguousarray(halves.swapaxes(1, 2).reshape(data.shape))
    return data, f"blk.{layer}.{(_NAMES | _NORMS[architecture])[part]}.{kind}"


def _metadata(architecture: str) -> dict[str, Any]:
    tokens, kinds, merges = _gemma_tokens() if architecture == "gemma3" else _byte_tokens()
    values: dict[str, Any] = {
        "general.architecture": architecture,
        "context_length": CONTEXT,
        "embedding_length": HIDDEN,
        "block_count": LAYERS[architecture],
        "feed_forward_length": INNER,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KEYS,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 5000.0,
    }
    if architecture == "gemma3":
        values |= {"attention.key_length": WIDTHS["gemma3"], "attention.sliding_window": WINDOW}
    values = {
        k if "." in k and k[0] == "g" else f"{architecture}.{k}": v for k, v in values.items()
    }
    values |= {
        "tokenizer.ggml.model": "llama" if architecture == "gemma3" else "gpt2",
        "tokenizer.ggml.pre": {"llama": "smollm", "qwen2": "qwen2"}.get(architecture, "default"),
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.padding_token_id": 0,
    }
    if architecture == "gemma3":
        return values | {"tokenizer.ggml.bos_token_id": 2, "tokenizer.ggml.add_bos_token": True}
    return values | {"tokenizer.ggml.merges": merges}


def _byte_tokens() -> tuple[list[str], list[int], list[str]]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]  # GPT-2's byte alphabet
    alphabet = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    tokens = ["<|endoftext|>", "<|im_end|>", *alphabet, "ĠĠ", "12", "<call>"]
    kinds = [3, 3, *[1] * (len(tokens) - 3), 4]
    return tokens, kinds, ["Ġ Ġ", "1 2"]


def _gemma_tokens() -> tuple[list[str], list[int], list[str]]:
    specials = ["<pad>", "<eos>", "<bos>", "<unk>"]
    in_bytes = [f"<0x{b:02X}>" for b in range(256)]
    pieces = ["  ", "ab", "▁ab", "a", "b", "▁"]
    return [*specials, *in_bytes, *pieces], [3] * 4 + [6] * 256 + [4] + [1] * 5, []


def _add(writer: Any, key: str, value: Any) -> None:  # noqa: ANN401  what GGUF can hold
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
