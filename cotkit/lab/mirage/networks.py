"""The networks, untrained; torch is imported here and in ``measuring.py`` only."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cotkit.lab.mirage.recipe import Family


def network(family: Family, width: int, side: int, n_classes: int) -> nn.Module:
    """One network for square images; its weights depend on torch's seed alone."""
    match family.kind:
        case "lenet":
            return lenet(width, side, n_classes)
        case "autoencoder":
            return autoencoder(width, side)
        case "transformer":
            return Transformer(width, side, n_classes)


def lenet(width: int, side: int, n_classes: int) -> nn.Module:
    """Two convolutions of 3x3 with pooling and two full layers (after LeCun 1998: tanh).

    [images x side x side] -> [images x classes], logits.
    """
    last = side // 4
    return nn.Sequential(
        nn.Unflatten(1, (1, side)),
        nn.Conv2d(1, width, 3, padding=1),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * width * last * last, 4 * width),
        nn.Tanh(),
        nn.Linear(4 * width, n_classes),
    )


def autoencoder(width: int, side: int) -> nn.Module:
    """One hidden layer of ``width`` units, nonlinear: [images x side x side], the same back."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(side * side, width),
        nn.LeakyReLU(0.2),  # a unit of a narrow one that died would take its whole size along
        nn.Linear(width, side * side),
        nn.Unflatten(1, (side, side)),
    )


class Transformer(nn.Module):
    """Reads image, label, image, label, ...; at each image it names its label.

    GPT-2's blocks, two of them; images come through a convolution, as in the paper.
    """

    def __init__(self, width: int, side: int, n_classes: int) -> None:
        from transformers import GPT2Config, GPT2Model

        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * ((side + 1) // 2) ** 2, width),
        )
        self.label = nn.Embedding(n_classes, width)
        config = GPT2Config(
            vocab_size=1,
            n_positions=64,
            n_embd=width,
            n_layer=2,
            n_head=max(1, width // 16),
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=None,
            eos_token_id=None,
        )
        self.blocks = GPT2Model(config)
        del self.blocks.wte  # nothing here is a word
        self.head = nn.Linear(width, n_classes)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """[sequences x length x side x side], [sequences x length] -> logits of each label."""
        n, length, side, _ = images.shape
        seen = self.image(images.reshape(n * length, 1, side, side)).reshape(n, length, -1)
        woven = torch.stack([seen, self.label(labels)], dim=2).reshape(n, 2 * length, -1)
        read: Any = self.blocks(inputs_embeds=woven[:, :-1])
        return self.head(read.last_hidden_state[:, ::2])


def n_params(made: nn.Module) -> int:
    """Numbers trained."""
    return sum(p.numel() for p in made.parameters())
