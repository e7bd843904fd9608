"""Tiny random models of many families: how each runs here, how exact, and how fast in a batch.

    python -m perf.families [FAMILY ...]        # prints the table of docs/local.md

Greedy logits of every step are compared with those of transformers' own loop, one prompt at a time,
on prompts that share a beginning; "speed-up" is processor time one by one over that together, on
one thread, for models so small that it says how many steps are saved, not what a large one gains.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from cotkit.backends.hf import Hf, batch
from cotkit.types import Completion, Decoding, Message, Request
from tests.tiny_model import END, build_tiny_model

_SHARED = "Example one: two apples. Example two: three pears.\n"
PROMPTS = tuple(
    _SHARED + ending
    for ending in ("Q: x", "Q: how many apples do Ann, Ben and Carla have? A:", "one plus two", "é")
)
N_TOKENS = 12

_SIZES: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.4,
    "eos_token_id": END,
    "bos_token_id": END + 1,
    "pad_token_id": None,
}
_HEADS: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48}
_FEED: dict[str, Any] = {"intermediate_size": 48}
_EXPERTS: dict[str, Any] = {
    **_HEADS,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
}
_LINEAR: dict[str, Any] = {
    **_EXPERTS,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
_MAMBA2: dict[str, Any] = {"num_heads": 8, "head_dim": 8, "n_groups": 2, "state_size": 8}
_HYBRID: dict[str, Any] = {
    **_HEADS,
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_n_groups": 2,
    "mamba_d_state": 8,
}

FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "llama": _HEADS,
    "mistral": {**_HEADS, "sliding_window": 16},
    "mixtral": {**_EXPERTS, "sliding_window": None},
    "qwen2": _HEADS,
    "qwen2_moe": _EXPERTS,
    "qwen3": _HEADS,
    "qwen3_moe": _EXPERTS,
    "qwen3_next": _LINEAR,
    "qwen3_5_text": _LINEAR,
    "gemma": _HEADS,
    "gemma2": {**_HEADS, "attn_logit_softcapping": 5.0},
    "gemma3_text": {**_HEADS, "sliding_window": 16},
    "gpt_oss": {**_EXPERTS, "sliding_window": 16},
    "llama4_text": {**_EXPERTS, "intermediate_size_mlp": 48, "attention_chunk_size": 32},
    "gpt2": {"n_positions": 512},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 16},
    "gpt_neox": _FEED,
    "gptj": {"rotary_dim": 4},
    "gpt_bigcode": {"n_positions": 512},
    "codegen": {"rotary_dim": 4, "n_head": 4},
    "biogpt": _FEED,
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "bloom": {},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2},
    "falcon": {},
    "phi": _FEED,
    "phi3": _HEADS,
    "stablelm": _HEADS,
    "starcoder2": _HEADS,
    "olmo": _HEADS,
    "olmo2": _HEADS,
    "olmoe": _EXPERTS,
    "granite": _HEADS,
    "granitemoe": _EXPERTS,
    "cohere": _HEADS,
    "cohere2": {**_HEADS, "sliding_window": 16},
    "glm4": _HEADS,
    "exaone4": {**_HEADS, "sliding_window": 16},
    "smollm3": _HEADS,
    "nemotron": _HEADS,
    "deepseek_v3": {
        **_HEADS,
        "num_key_value_heads": 4,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
        "n_routed_experts": 8,
        "n_group": 2,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "first_k_dense_replace": 1,
    },
    "mamba": {"state_size": 4},
    "mamba2": _MAMBA2,
    "falcon_mamba": {"state_size": 4},
    "jamba": {**_EXPERTS, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8},
    "bamba": {**_HYBRID, "attn_layer_indices": [1]},
    "falcon_h1": {**_HYBRID, "mamba_d_ssm": 64},
    "granitemoehybrid": {**_HYBRID, **_EXPERTS, "layer_types": ["mamba", "attention"]},
    "lfm2": {**_HEADS, "layer_types": ["conv", "full_attention"]},
    "recurrent_gemma": {
        **_HEADS,
        "lru_width": 32,
        "attention_window_size": 16,
        "block_types": ["recurrent", "attention"],
    },
}
"""Model type -> what its config says besides the common sizes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyResult:
    """How one family runs here."""

    family: str
    """Model type."""
    mode: str
    """``packed``, ``dense`` (padded), or ``alone``, as the check at load decided."""
    difference: float
    """Largest difference of a logit in parts of the range of all, up to the first other token."""
    same_texts: bool
    """Whether all greedy texts are those of transformers' own loop."""
    speed_up: float
    """Processor time one by one over that together, on one thread."""


def build(family: str, folder: Path) -> Path:
    """Write a tiny random model of a family; returns its folder."""
    build_tiny_model(folder)
    torch.manual_seed(1)
    config = AutoConfig.for_model(family, **{**_SIZES, **FAMILIES[family]})
    model: Any = AutoModelForCausalLM.from_config(config)
    model.generation_config = GenerationConfig(eos_token_id=END)
    model.save_pretrained(folder)
    return folder


def examine(family: str, folder: Path) -> FamilyResult:
    """Build a model of a family and compare the engine with transformers' own loop on it."""
    expected = _generate_natively(build(family, folder))
    together = Hf(model=str(folder), dtype="float32", device="cpu")
    texts, seen, mode, together_s = _run(together, warm=True)
    alone_s = _run(Hf(model=str(folder), dtype="float32", device="cpu", batch_size=1), warm=True)[3]
    difference = 0.0
    for prompt, (tokens, logits) in zip(PROMPTS, expected, strict=True):
        for token, own, native in zip(tokens, seen[prompt], logits, strict=False):
            spread = float(native.max() - native.min())
            difference = max(difference, float((own - native).abs().max()) / spread)
            if int(own.argmax()) != token:
                break
    decoded = [_decode(folder, tokens) for tokens, _ in expected]
    return FamilyResult(
        family=family,
        mode=mode,
        difference=difference,
        same_texts=texts == decoded,
        speed_up=alone_s / together_s,
    )


def _generate_natively(folder: Path) -> list[tuple[list[int], list[torch.Tensor]]]:
    """Return tokens and logits of each prompt alone, by ``generate``."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    results: list[tuple[list[int], list[torch.Tensor]]] = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt")
        out = model.generate(
            **ids,
            do_sample=False,
            max_new_tokens=N_TOKENS,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_logits=True,
        )
        tokens = out.sequences[0, ids["input_ids"].shape[1] :].tolist()
        results.append((tokens, [step[0].float() for step in out.logits]))
    return results


def _decode(folder: Path, tokens: Sequence[int]) -> str:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    return str(tokenizer.decode([t for t in tokens if t != END], skip_special_tokens=True))


def _run(backend: Hf, *, warm: bool) -> tuple[list[str], dict[str, list[torch.Tensor]], str, float]:
    """Return texts, logits before each token by prompt, the mode, and seconds without loading."""
    seen: dict[str, list[torch.Tensor]] = {}
    choose = batch.choose_tokens

    def record(logits: torch.Tensor, sequences: Sequence[Any]) -> list[int]:
        for row, sequence in zip(logits, sequences, strict=True):
            seen.setdefault(sequence.request.messages[0].content, []).append(row.clone())
        return choose(logits, sequences)

    async def work() -> tuple[list[tuple[Completion, ...]], str, float]:
        if warm:
            await backend.generate(_request("warm", 1))
        begin = time.process_time()
        answers = await asyncio.gather(*(backend.generate(_request(p, N_TOKENS)) for p in PROMPTS))
        seconds = time.process_time() - begin
        engine: Any = backend._engine  # noqa: SLF001 - what it decided at load
        mode = engine._scheduler._network.mode  # noqa: SLF001
        await backend.close()
        return list(answers), mode, seconds

    batch.choose_tokens = record
    try:
        answers, mode, seconds = asyncio.run(work())
    finally:
        batch.choose_tokens = choose
    return [answer[0].text for answer in answers], seen, mode, seconds


def _request(prompt: str, max_tokens: int) -> Request:
    return Request(
        messages=(Message(role="user", content=prompt),),
        decoding=Decoding(max_tokens=max_tokens, temperature=0.0),
        samples=(0,),
    )


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    names = sys.argv[1:] or list(FAMILIES)
    lines = [
        "| family | rows | difference of a logit, of their range | texts | speed-up |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = examine(name, Path(folder))
            except Exception as fault:  # noqa: BLE001 - said in the table
                lines.append(f"| {name} | {type(fault).__name__}: {str(fault)[:80]} | | | |")
                print(lines[-1], file=sys.stderr, flush=True)
                continue
        texts = "equal" if result.same_texts else "differ"
        numbers = f"{result.difference:.0e} | {texts} | {result.speed_up:.1f}"
        lines.append(f"| {name} | {result.mode} | {numbers} |")
        print(lines[-1], file=sys.stderr, flush=True)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
