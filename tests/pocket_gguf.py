"""A model of the pocket ladder as a GGUF file that llama.cpp reads as transformers reads ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from tests.tiny_gguf import LLAMA_NAMES

_TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}


def write_pocket(folder: Path, path: Path) -> None:
    """Convert a folder of ``weights/`` in full precision.

    Its tokenizer takes the longest token at each place, as llama.cpp's of RWKV does; that one needs
    a token for every first letter, so such letters become further names of the unknown token.
    """
    from gguf import GGUFWriter

    config = json.loads((folder / "config.json").read_text())
    tokens = [*json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]]
    alone = sorted({token[0] for token in tokens[2:]}.difference(tokens))  # else it never ends
    n_heads = config["num_attention_heads"]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(n_heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(len(tokens) + len(alone))
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list([token.replace("\n", "\\n") for token in (*tokens, *alone)])
    writer.add_token_types(
        [3, 2, *[1] * (len(tokens) + len(alone) - 2)]
    )  # control, unknown, normal
    writer.add_eos_token_id(0)
    writer.add_unk_token_id(1)
    for name, weight in load_file(folder / "model.safetensors").items():
        data, stem = weight.astype(np.float32), name.removesuffix(".weight")
        if stem == "model.embed_tokens":
            data = np.concatenate([data, *[data[1:2]] * len(alone)])
        if stem in _TOP:
            writer.add_tensor(f"{_TOP[stem]}.weight", data)
            continue
        _, _, layer, part = stem.split(".", 3)
        if part in {"self_attn.q_proj", "self_attn.k_proj"}:  # llama.cpp rotates neighbours
            halves = data.reshape(n_heads, 2, len(data) // n_heads // 2, -1)
            data = np.ascontiguousarray(halves.swapaxes(1, 2).reshape(data.shape))
        writer.add_tensor(f"blk.{layer}.{LLAMA_NAMES[part]}.weight", data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
