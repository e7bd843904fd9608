"""Random two-layer models with a byte-level tokenizer, made on disk in under a second.

Every byte is one token, so a character beyond ASCII takes several: what real tokenizers do rarely,
these do always. Weights are drawn wide enough that greedy texts are not all alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

Kind = Literal["llama", "qwen2", "gemma3", "mistral"]

CHAT_TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}[/]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
"""Bracketed turns; the template of a model with ``chat=True``."""

WINDOW = 16
"""Sliding window of the gemma3 and mistral kinds, in tokens: smaller than the tests' prompts."""

END = 256
"""The end token's id."""


def build_tiny_model(
    folder: Path,
    kind: Kind = "llama",
    *,
    chat_template: str | None = None,
    has_pad: bool = False,
    has_bos: bool = False,
    has_tokenizer: bool = True,
    context_tokens: int = 2048,
    inner: int = 48,
    seed: int = 0,
) -> Path:
    """Write config, weights and tokenizer; returns the folder (created if need be).

    Of its layers q4 fits those of ``inner`` rows if they are a multiple of 64.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if has_tokenizer:
        _tokenizer(chat_template, has_pad=has_pad, has_bos=has_bos).save_pretrained(folder)
    torch.manual_seed(seed)
    model = _model(kind, context_tokens, inner)
    model.generation_config = GenerationConfig(eos_token_id=END)
    model.save_pretrained(folder)
    return folder


def _tokenizer(
    chat_template: str | None, *, has_pad: bool, has_bos: bool
) -> PreTrainedTokenizerFast:
    # ByteLevel spells printable bytes as themselves and the others from 256 on: ids are the bytes
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    moved = iter(range(256, 512))
    letters = [chr(b) if chr(b) in alphabet else chr(next(moved)) for b in range(256)]
    vocabulary = {letter: byte for byte, letter in enumerate(letters)}
    tokens = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokens.decoder = decoders.ByteLevel()
    specials: dict[str, Any] = {"eos_token": "<end>", "bos_token": "<begin>"}
    if has_pad:
        specials["pad_token"] = "<pad>"
    tokens.add_special_tokens(list(specials.values()))
    if has_bos:
        tokens.post_processor = processors.TemplateProcessing(
            single="<begin> $A", special_tokens=[("<begin>", END + 1)]
        )
    made = PreTrainedTokenizerFast(tokenizer_object=tokens, **specials)
    if chat_template is not None:
        made.chat_template = chat_template
    return made


def _model(kind: Kind, context_tokens: int, inner: int) -> PreTrainedModel:
    common: dict[str, Any] = {
        "vocab_size": 260,
        "hidden_size": 32,
        "intermediate_size": inner,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": context_tokens,
        "initializer_range": 0.4,
        "bos_token_id": END + 1,
        "eos_token_id": END,
        "pad_token_id": None,
        "tie_word_embeddings": False,
    }
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**common))
    if kind == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**common))
    if kind == "mistral":
        return MistralForCausalLM(MistralConfig(**common, sliding_window=WINDOW))
    layer_types = ["sliding_attention", "full_attention"]
    config = Gemma3TextConfig(**common, sliding_window=WINDOW, layer_types=layer_types)
    return Gemma3ForCausalLM(config)
