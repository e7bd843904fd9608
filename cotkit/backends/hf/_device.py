"""Which device and number format a run will use, found out without importing torch.

``info`` is part of every key and is asked at every start, and importing torch takes seconds. The
engine compares what was found here with what torch says before it loads a weight.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from cotkit.errors import MissingDependencyError, UsageError

DTYPES = ("float32", "bfloat16", "float16", "int8")
"""What ``dtype`` may say besides ``auto``."""

_MAJOR = 75  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
_BFLOAT16_SINCE = 8  # compute capability (Ampere)
_SMALL = 10_000_000  # parameters
_CPU_FILE = Path("/proc/cpuinfo")
_FAST_BFLOAT16 = frozenset({"amx_bf16", "avx512_bf16"})  # Intel since 2020, AMD since Zen 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where and in what numbers a model runs."""

    device: str
    """``cpu``, ``cuda``, ``mps`` or another torch device, with an index if the user gave one."""
    dtype: str
    """``float32``, ``bfloat16``, ``float16`` or ``int8``."""
    spread: bool
    """Whether accelerate may spread the model over all devices of this type."""


def place(device: str, dtype: str, n_params: int) -> Placement:
    """Resolve ``auto``: an accelerator if there is one, and the numbers that it is fast in.

    Networks below 10 million parameters are float32 everywhere: they gain nothing from less, and
    round their answers away. Else on a CPU bfloat16 where it has instructions for it (2 to 7 times
    as fast as float32, as measured) and float32 where it has none (several times faster than
    bfloat16 there); GPUs before Ampere get float16.

    Raises:
        UsageError: an unknown dtype, or int8 on anything but a CPU.
        MissingDependencyError: torch is not installed.
    """
    if dtype not in ("auto", *DTYPES):
        raise UsageError(f"unknown dtype {dtype!r}", hint=f"one of auto, {', '.join(DTYPES)}")
    major = _cuda_major()
    found = "cuda" if major else "mps" if _is_apple() else "cpu"
    where = found if device == "auto" else device
    if dtype == "auto":
        kind = where.partition(":")[0]
        old = kind == "cuda" and 0 < major < _BFLOAT16_SINCE
        slow = kind == "cpu" and not _FAST_BFLOAT16 & _cpu_flags()
        small = n_params < _SMALL
        dtype = "float32" if slow or small else "float16" if old else "bfloat16"
    if dtype == "int8" and where != "cpu":
        raise UsageError(f"dtype=int8 is for CPUs, not for {where}", hint="add device=cpu")
    return Placement(device=where, dtype=dtype, spread=device == "auto" and where != "cpu")


def versions() -> dict[str, str]:
    """Versions of the packages that compute, by name.

    Raises:
        MissingDependencyError: one of them is not installed.
    """
    try:
        return {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    except importlib.metadata.PackageNotFoundError as missing:
        raise MissingDependencyError("torch and transformers", "hf") from missing


def _cpu_flags() -> frozenset[str]:
    """What the CPU can do, as Linux says it; empty elsewhere."""
    try:
        lines = _CPU_FILE.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())


def _is_apple() -> bool:
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def _cuda_major() -> int:
    """Major compute capability of the first visible NVIDIA or AMD GPU that torch can use; 0: none.

    Asks the driver, which is what torch does.
    """
    build = versions()["torch"].partition("+")[2]
    if build.startswith("cpu") or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return 0
    if build.startswith("rocm"):
        return _BFLOAT16_SINCE if Path("/dev/kfd").exists() else 0
    name = "nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return 0
    count, major = ctypes.c_int(0), ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return 0
    driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, 0)
    return major.value
