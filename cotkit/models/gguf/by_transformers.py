"""GGUF files of architectures that cotkit does not convert, by transformers' own reader."""

from __future__ import annotations

import importlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cotkit.errors import MissingDependencyError, ModelLoadError
from cotkit.inputs import first_line
from cotkit.models.gguf.config import Metadata
from cotkit.models.rounding import LAYOUTS


def write_folder(metadata: Metadata, folder: Path, dtype: str) -> None:
    """Write config, tokenizer and weights as transformers reads them; int8 and q4: in float32.

    Raises:
        MissingDependencyError: torch or transformers is not installed.
        ModelLoadError: transformers does not read this file, or not all of it.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging
    except ImportError:
        raise MissingDependencyError("torch and transformers", "hf") from None
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    extra: dict[str, Any] = {}
    utils = importlib.import_module("transformers.utils.quantization_config")
    if hasattr(utils, "GgufConfig"):  # since 5.24, which may keep weights packed
        extra["quantization_config"] = utils.GgufConfig(dequantize=True)
    with TemporaryDirectory() as alone:  # whatever lies beside the file is not its own
        Path(alone, "model.gguf").symlink_to(metadata.path.resolve())
        source: dict[str, Any] = {"gguf_file": "model.gguf", "local_files_only": True}
        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(alone, **source)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                alone,
                dtype=torch.float32 if dtype in LAYOUTS else getattr(torch, dtype),
                output_loading_info=True,
                **source,
                **extra,
            )
        except Exception as fault:
            raise metadata.unsupported(
                f"neither cotkit nor transformers reads architecture {metadata.architecture!r}: "
                f"{first_line(fault)}"
            ) from fault
    model, report = loaded
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    if unset := sorted(set(report["missing_keys"]) - tied):
        raise metadata.unsupported(f"transformers finds no {unset[0]} in it")
    template = metadata.get("tokenizer.chat_template")
    if tokenizer.chat_template is None and isinstance(template, str):
        tokenizer.chat_template = template
    model.generation_config.eos_token_id = metadata.end_tokens()
    for name in ("gguf_file", "quantization_config"):
        vars(model.config).pop(name, None)
    model.save_pretrained(folder, max_shard_size="1000GB")
    tokenizer.save_pretrained(folder)
    if not (folder / "model.safetensors").is_file():
        raise ModelLoadError(f"{metadata.path}: transformers wrote no weights of it")
