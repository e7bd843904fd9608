"""The one device that a training runs on, and what it says when it is too small."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from typing import TYPE_CHECKING

from cotkit.errors import BackendError, MissingDependencyError, UsageError

if TYPE_CHECKING:
    from accelerate import Accelerator


def accelerator(device: str) -> Accelerator:
    """Accelerate, in float32, on ``cpu``, ``cuda:1``, ``mps`` or, with ``auto``, the best of them.

    On a CPU torch works with one thread from now on: small networks gain little from more, two
    trainings side by side gain all of it, and weights then do not depend on the number of cores.

    Raises:
        UsageError: there is no such device here.
        MissingDependencyError: torch or accelerate is not installed.
    """
    try:
        import torch
        from accelerate import Accelerator
    except ImportError as missing:
        raise MissingDependencyError(missing.name or "accelerate", "hf") from missing

    there = _devices()
    chosen = {"auto": there[0], "cuda": "cuda:0"}.get(device, device)
    if chosen not in there:
        raise UsageError(f"device {device} is not there", hint=f"here: {', '.join(there)}")
    if chosen == "cpu":
        torch.set_num_threads(1)
    os.environ["ACCELERATE_TORCH_DEVICE"] = chosen
    return Accelerator(cpu=chosen == "cpu", mixed_precision="no")


@contextlib.contextmanager
def memory_watched(what: str, n_bytes: int, device: str) -> Generator[None]:
    """Refuse what needs more memory than is free, and say it in one line if it runs out later.

    Raises:
        BackendError: the memory does not suffice.
    """
    import torch

    hint = "fewer other programs, a smaller size, or another --device"
    if (free := _free_bytes(device)) < n_bytes:
        raise BackendError(
            f"{what} needs about {n_bytes / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free",
            hint=hint,
        )
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as full:
        raise BackendError(f"{what}: memory ran out", hint=hint) from full
    except RuntimeError as failed:
        if "can't allocate memory" not in str(failed):  # torch has no class for it on a CPU
            raise
        raise BackendError(f"{what}: memory ran out", hint=hint) from failed


def _devices() -> list[str]:
    """The best first."""
    import torch

    found = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _free_bytes(device: str) -> int:
    import psutil
    import torch

    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
