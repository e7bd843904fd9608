"""How many rows fit into the memory there is."""

from __future__ import annotations

from pathlib import Path

import torch

from cotkit.backends.hf._context import Network

_MOST_ROWS = {"cpu": 32, "cuda": 128}
_SHARE = 0.4  # of free memory: appending a token copies a layer, and activations need room too
_LIMIT_FILE = Path("/sys/fs/cgroup/memory.max")
_USED_FILE = Path("/sys/fs/cgroup/memory.current")


def affordable_rows(network: Network, n_tokens: int) -> int:
    """Rows of ``n_tokens`` keys and values each that fit, at least 1; at most 32 (GPU: 128)."""
    if not network.batchable:
        return 1
    per_row = kv_bytes_per_token(network) * n_tokens
    most = _MOST_ROWS.get(network.device.type, 32)
    return max(1, min(most, int(_free_bytes(network.device) * _SHARE) // per_row))


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
