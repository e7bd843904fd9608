"""One network of the family and its optimizer; torch and transformers are imported here only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cotkit.lab.pocket.vocabulary import END, ID, PIECES

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM

    from cotkit.lab.pocket.recipe import Recipe, Size
    from cotkit.lab.pocket.texts import Batch


def network(recipe: Recipe, size: Size, seed: int) -> LlamaForCausalLM:
    """Untrained, float32, on the CPU: the weights depend on size and seed alone."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(PIECES),
        hidden_size=size.width,
        intermediate_size=2 * size.width,
        num_hidden_layers=size.n_layers,
        num_attention_heads=size.n_heads,
        num_key_value_heads=size.n_heads,
        head_dim=size.head_width,
        max_position_embeddings=recipe.context_tokens,
        initializer_range=recipe.spread / math.sqrt(size.width),
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=ID[END],
        pad_token_id=ID[END],
    )
    torch.manual_seed(seed)
    made = LlamaForCausalLM(config)
    made.generation_config = GenerationConfig(eos_token_id=ID[END], pad_token_id=ID[END])
    assert made.num_parameters() == size.n_params
    return made


def optimizer(recipe: Recipe, made: torch.nn.Module) -> torch.optim.AdamW:
    """AdamW; norms do not decay. The rate is set at each step."""
    import torch

    matrices = [p for p in made.parameters() if p.ndim > 1]
    vectors = [p for p in made.parameters() if p.ndim == 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        betas=recipe.betas,
    )


def rate(recipe: Recipe, size: Size, step: int) -> float:
    """Learning rate of a step, counted from 0: a linear rise, then a cosine."""
    peak = recipe.peak_rate * math.sqrt(64 / size.width)
    n_warm = max(1, round(recipe.warmup * recipe.n_steps))
    if step < n_warm:
        return peak * (step + 1) / n_warm
    done = (step - n_warm) / max(1, recipe.n_steps - n_warm)
    return peak * (recipe.floor + (1 - recipe.floor) * (1 + math.cos(math.pi * done)) / 2)


def loss(made: torch.nn.Module, batch: Batch, device: torch.device) -> torch.Tensor:
    """Mean cross-entropy, in nats, over the tokens that are learned."""
    import torch

    ids = torch.from_numpy(batch.ids).to(device)
    labels = ids.masked_fill(~torch.from_numpy(batch.learned).to(device), -100)
    return made(input_ids=ids, labels=labels, use_cache=False).loss
