"""What of a trained model is shipped: half-precision weights, the tokenizer, how it was trained."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from cotkit.errors import MissingDataError
from cotkit.lab.checkpoint import is_done
from cotkit.lab.pocket.recipe import Size

_KEPT = ("recipe.json", "loss.csv", "log.jsonl")


def pack(sizes: Iterable[Size], seed: int, trained: Path, out: Path) -> list[Path]:
    """Write ``out/pocket-SIZE`` for the model of each size in ``trained/pocket-SIZE-seedN``.

    Weights are float16, rounded from the float32 of training: two bytes for each parameter.

    Raises:
        MissingDataError: a model is not there or not trained to its end; nothing is written.
    """
    folders = {size.name: trained / f"pocket-{size.name}-seed{seed}" for size in sizes}
    for name, folder in folders.items():
        if not is_done(folder):
            hint = f"cotkit lab train pocket --sizes {name} --seeds {seed} --out {trained}"
            raise MissingDataError(f"{folder} holds no trained model", hint=hint)
    return [_packed(folder, out / f"pocket-{name}") for name, folder in folders.items()]


def _packed(folder: Path, target: Path) -> Path:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16).save_pretrained(target)
    AutoTokenizer.from_pretrained(folder).save_pretrained(target)
    (target / "model.safetensors").chmod(0o644)  # as every other file of a package
    for name in _KEPT:
        shutil.copyfile(folder / name, target / name)
    return target
