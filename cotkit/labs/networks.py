"""Networks that read pairs: a, b, a, b, ...; at each a they predict its b."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import GPT2Model


def make_blocks(
    *,
    width: int,
    n_positions: int,
    n_layers: int,
    n_heads: int,
    initializer_range: float = 0.02,
) -> GPT2Model:
    """Return GPT-2's blocks without its words, untrained and without dropout."""
    from transformers import GPT2Config, GPT2Model

    config = GPT2Config(
        vocab_size=1,
        n_positions=n_positions,
        n_embd=width,
        n_layer=n_layers,
        n_head=n_heads,
        initializer_range=initializer_range,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    blocks = GPT2Model(config)
    del blocks.wte  # nothing here is a word
    return blocks


def weave_pairs(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Put a, b, a, b, ... into one: two of [sequences x pairs x width] -> twice as many places."""
    n, n_pairs, width = first.shape
    return torch.stack([first, second], dim=2).reshape(n, 2 * n_pairs, width)


def read_firsts(blocks: GPT2Model, woven: torch.Tensor) -> torch.Tensor:
    """Return the state at each a, before its b is read: [sequences x pairs x width]."""
    output: Any = blocks(inputs_embeds=woven[:, :-1])
    return output.last_hidden_state[:, ::2]
