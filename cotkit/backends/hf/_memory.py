"""How many tokens' keys and values fit into the memory there is."""

from __future__ import annotations

from pathlib import Path

import torch

from cotkit.backends.hf._context import Network

_FOR_ROWS = 0.4  # of free memory, for the rows' own keys and values; growing copies a layer
_FOR_SHARED = 0.2  # of free memory, for what prompts begin with
_LIMIT_FILE = Path("/sys/fs/cgroup/memory.max")
_USED_FILE = Path("/sys/fs/cgroup/memory.current")


def tokens_for_rows(network: Network) -> int:
    """How many tokens the running rows may have of their own, all together."""
    return int(_free_bytes(network.device) * _FOR_ROWS) // kv_bytes_per_token(network)


def tokens_to_share(network: Network) -> int:
    """How many tokens may be kept because prompts begin with them."""
    return int(_free_bytes(network.device) * _FOR_SHARED) // kv_bytes_per_token(network)


def kv_bytes_per_token(network: Network) -> int:
    """Bytes of keys and values that one token takes over all layers."""
    config = network.model.config.get_text_config(decoder=True)
    n_heads: int = config.num_attention_heads
    n_kv_heads: int = getattr(config, "num_key_value_heads", None) or n_heads
    head_dim: int = getattr(config, "head_dim", None) or config.hidden_size // n_heads
    return 2 * config.num_hidden_layers * n_kv_heads * head_dim * network.model.dtype.itemsize


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        n = torch.cuda.device_count()  # layers, and so keys and values, are spread evenly
        return min(torch.cuda.mem_get_info(i)[0] for i in range(n)) * n
    import psutil

    free: int = psutil.virtual_memory().available
    if _LIMIT_FILE.is_file() and (limit := _LIMIT_FILE.read_text().strip()) != "max":
        free = min(free, int(limit) - int(_USED_FILE.read_text()))
    return max(0, free)
