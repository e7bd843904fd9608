"""What a GGUF file says about its model, as ``config.json`` and ``generation_config.json``."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

from cotkit.errors import ModelLoadError

ARCHITECTURES = ("gemma3", "llama", "qwen2")
"""What can be converted."""

_GEMMA_LAYERS_PER_GLOBAL = 6  # every sixth layer attends globally; the files do not say it
_GEMMA_LOCAL_ROPE_THETA = 10_000.0  # of the sliding layers; the files do not say it
_GEMMA_27B_LAYERS = 62  # the one size whose attention is scaled by hidden size over heads

_END_TOKENS = (
    *("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>"),
    *("<|eom_id|>", "<|return|>", "<|call|>", "<|end|>", "<|EOT|>", "<｜end▁of▁sentence｜>"),
)
"""Control tokens that end a text whatever the file calls its end token (as llama.cpp does)."""


class HeadCounts(NamedTuple):
    """Attention heads."""

    queries: int
    keys: int
    width: int


class Metadata:
    """The metadata of one GGUF file, read on demand, each lack a one-line error."""

    def __init__(self, path: Path, contents: Mapping[str, Callable[[], object]]) -> None:
        self.path = path
        self._contents = contents
        self.architecture = self.text("general.architecture")

    def unsupported(self, why: str) -> ModelLoadError:
        """Return the error of a file that is whole, but not of a kind that can be converted."""
        return ModelLoadError(
            f"{self.path}: {why}",
            hint=f"--model serve/llama.cpp:{self.path} runs it by llama.cpp; or give the folder or "
            "hub id of its safetensors",
        )

    def get(self, key: str) -> object | None:
        """Return a value, or None where the file has none."""
        try:
            return self._contents[key]() if key in self._contents else None
        except UnicodeDecodeError as broken:
            raise ModelLoadError(f"{self.path}: {key} holds text that is not UTF-8") from broken

    def _need(self, key: str, kinds: type | tuple[type, ...]) -> object:
        value = self.get(key)
        if value is None:
            raise ModelLoadError(f"{self.path}: metadata has no {key}")
        if not isinstance(value, kinds):
            raise ModelLoadError(f"{self.path}: {key} has an unexpected type")
        return value

    def text(self, key: str) -> str:
        """Return a required string."""
        return cast("str", self._need(key, str))

    def integer(self, key: str) -> int:
        """Return a required whole number; ``{a}`` in a key stands for the architecture."""
        return cast("int", self._need(key.format(a=self.architecture), int))

    def number(self, key: str) -> float:
        """Return a required number, to the seven digits that float32 holds."""
        value = cast("float", self._need(key.format(a=self.architecture), (int, float)))
        return float(f"{value:.7g}")

    def items(self, key: str) -> list[object]:
        """Return a required array."""
        return cast("list[object]", self._need(key, list))

    def heads(self) -> HeadCounts:
        """Return the numbers of query and key/value heads, and the width of one."""
        queries = self.integer("{a}.attention.head_count")
        keys = f"{self.architecture}.attention.head_count_kv"
        width = f"{self.architecture}.attention.key_length"
        return HeadCounts(
            queries=queries,
            keys=self.integer(keys) if self.get(keys) is not None else queries,
            width=self.integer(width)
            if self.get(width) is not None
            else self.integer("{a}.embedding_length") // queries,
        )

    def tokens(self) -> list[str]:
        """Return the vocabulary, by id."""
        tokens = self.items("tokenizer.ggml.tokens")
        odd = next((i for i, token in enumerate(tokens) if not isinstance(token, str)), None)
        if odd is not None or not tokens:
            why = "is empty" if odd is None else f"{odd} is no text: {str(tokens[odd])[:20]}"
            raise ModelLoadError(f"{self.path}: tokenizer.ggml.tokens: {why}")
        return cast("list[str]", tokens)

    def token_id(self, name: str) -> int | None:
        """Return the id of a special token, such as ``eos``; None: the file names none."""
        key = f"tokenizer.ggml.{name}_token_id"
        if self.get(key) is None:
            return None
        value, n_tokens = self.integer(key), len(self.items("tokenizer.ggml.tokens"))
        if not 0 <= value < n_tokens:
            raise ModelLoadError(f"{self.path}: {key} is {value}, and there are {n_tokens} tokens")
        return value

    def end_tokens(self) -> list[int]:
        """Return the ids of every token that ends a text, the file's own end token first."""
        tokens, own = self.tokens(), self.token_id("eos")
        if own is None:
            raise ModelLoadError(f"{self.path}: metadata has no tokenizer.ggml.eos_token_id")
        later = [self.token_id(name) for name in ("eot", "eom") if self.token_id(name) is not None]
        ends = [text for text in _END_TOKENS if text in tokens]
        if "<|channel|>" in tokens and "<|end|>" in ends:  # of harmony: ends a message, not a turn
            ends.remove("<|end|>")
        others = [tokens.index(text) for text in ends]
        return list(dict.fromkeys([own, *(i for i in later if i is not None), *others]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFiles:
    """The two JSON files of a model."""

    config: Mapping[str, object]
    """``config.json`` without the vocabulary size, which only the embedding knows."""
    generation: Mapping[str, object]
    """``generation_config.json``: which tokens begin, end and pad a text."""

    def write(self, folder: Path, *, vocab_size: int) -> dict[str, str]:
        """Write both; return name -> SHA-256 in hex."""
        return {
            "config.json": write_json(
                folder / "config.json", {**self.config, "vocab_size": vocab_size}
            ),
            "generation_config.json": write_json(
                folder / "generation_config.json", self.generation
            ),
        }


def write_json(path: Path, content: object) -> str:
    """Write a JSON file; return its SHA-256 in hex."""
    data = (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def model_config(
    metadata: Metadata, *, tied: bool, rope_factors: list[float] | None
) -> ConfigFiles:
    """Make both config files; ``tied``: the file has no output head of its own.

    ``rope_factors``: what each rotary frequency is divided by, as files of Llama 3 say it.

    Raises:
        ModelLoadError: a key is missing or says something the converter does not know.
    """
    heads = metadata.heads()
    specials = {
        f"{name}_token_id": metadata.token_id(key)
        for name, key in (("bos", "bos"), ("pad", "padding"))
    }
    rotated = metadata.get(f"{metadata.architecture}.rope.dimension_count")
    if rotated not in (None, heads.width):
        raise metadata.unsupported(f"rotates {rotated} of {heads.width} dimensions")
    ends = metadata.end_tokens()
    config = {
        "dtype": "float32",
        "hidden_size": metadata.integer("{a}.embedding_length"),
        "intermediate_size": metadata.integer("{a}.feed_forward_length"),
        "num_hidden_layers": metadata.integer("{a}.block_count"),
        "num_attention_heads": heads.queries,
        "num_key_value_heads": heads.keys,
        "head_dim": heads.width,
        "max_position_embeddings": metadata.integer("{a}.context_length"),
        "rms_norm_eps": metadata.number("{a}.attention.layer_norm_rms_epsilon"),
        "tie_word_embeddings": tied,
        "eos_token_id": ends[0],
        **specials,
    }
    own = (
        _gemma_config(metadata, heads)
        if metadata.architecture == "gemma3"
        else _base_config(metadata)
    )
    if rope_factors is not None:
        own["rope_parameters"] = _llama3_rope(metadata, heads, rope_factors)
    return ConfigFiles(config=config | own, generation=specials | {"eos_token_id": ends})


def _base_config(metadata: Metadata) -> dict[str, object]:
    model_type = metadata.architecture
    config: dict[str, object] = {
        "model_type": model_type,
        "architectures": [f"{model_type.capitalize()}ForCausalLM"],
        "hidden_act": "silu",
        "rope_parameters": _rope_parameters(metadata),
    }
    return config


def _gemma_config(metadata: Metadata, heads: HeadCounts) -> dict[str, object]:
    n_layers = metadata.integer("{a}.block_count")
    hidden = metadata.integer("{a}.embedding_length")
    local = {"rope_type": "default", "rope_theta": _GEMMA_LOCAL_ROPE_THETA}
    return {
        "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"],
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": (
            hidden // heads.queries if n_layers == _GEMMA_27B_LAYERS else heads.width
        ),
        "sliding_window": metadata.integer("{a}.attention.sliding_window"),
        "layer_types": [
            "sliding_attention" if (layer + 1) % _GEMMA_LAYERS_PER_GLOBAL else "full_attention"
            for layer in range(n_layers)
        ],
        "rope_parameters": {
            "full_attention": _rope_parameters(metadata),
            "sliding_attention": local,
        },
    }


def _rope_parameters(metadata: Metadata) -> dict[str, object]:
    theta = metadata.number("{a}.rope.freq_base")
    kind = metadata.get(f"{metadata.architecture}.rope.scaling.type")
    if kind in (None, "none"):
        return {"rope_type": "default", "rope_theta": theta}
    if kind == "linear":
        factor = metadata.number("{a}.rope.scaling.factor")
        return {"rope_type": "linear", "rope_theta": theta, "factor": factor}
    raise metadata.unsupported(f"cannot convert rope scaling {kind!r}")


def _llama3_rope(metadata: Metadata, heads: HeadCounts, factors: list[float]) -> dict[str, object]:
    """Return the rule of Llama 3 that gives these factors; a file has them, and not the rule."""
    theta, window = metadata.number("{a}.rope.freq_base"), 8192
    waves = [2 * math.pi * theta ** (2 * i / heads.width) for i in range(heads.width // 2)]
    largest = max(factors)
    shares = [min(1.0, max(0.0, (window / wave - 1) / 3)) for wave in waves]
    expected = [1 / ((1 - share) / largest + share) for share in shares]
    is_rule = len(factors) == len(waves) and all(
        math.isclose(factor, value, rel_tol=1e-3)
        for factor, value in zip(factors, expected, strict=True)
    )
    if metadata.architecture != "llama" or not is_rule:
        raise metadata.unsupported("cannot convert rotary factors other than those of Llama 3")
    return {
        "rope_type": "llama3",
        "rope_theta": theta,
        "factor": largest,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": window,
    }
