"""A safetensors file written tensor by tensor, and read by its header: no torch, flat memory.

The format: eight bytes with the header's length, the header (JSON: name -> dtype, shape, offsets),
then the tensors' bytes, one after the other.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from cotkit.errors import ModelLoadError

if TYPE_CHECKING:  # numpy comes with the hf extra; reading a header must not need it
    import numpy as np
    import numpy.typing as npt

Float32Array: TypeAlias = "npt.NDArray[np.float32]"

_MAX_HEADER_BYTES = 100_000_000  # the format's own limit; beyond it the file is something else


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor to be written, made while it is written."""

    name: str
    """Its name in transformers."""
    shape: tuple[int, ...]
    """Its shape, rows first."""
    chunks: Iterable[Float32Array]
    """Its elements in order, in pieces of any size; iterated once."""

    @property
    def n_elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def write_float32(path: Path, tensors: Sequence[Tensor]) -> str:
    """Write tensors in the given order; returns the file's SHA-256 in hex."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + 4 * tensor.n_elements
        header[tensor.name] = {
            "dtype": "F32",
            "shape": tensor.shape,
            "data_offsets": [start, end],
        }
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)  # the data starts aligned
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in (len(head).to_bytes(8, "little"), head):
            digest.update(piece)
            file.write(piece)
        for tensor in tensors:
            for chunk in tensor.chunks:
                data = chunk.astype("<f4", copy=False).tobytes()
                digest.update(data)
                file.write(data)
        written = file.tell()
    if written != 8 + len(head) + end:
        raise ModelLoadError(f"{path}: wrote {written} bytes, not {8 + len(head) + end}")
    return digest.hexdigest()


def count_elements(path: Path) -> int:
    """How many numbers a safetensors file stores, read from its header alone.

    Raises:
        ModelLoadError: the file is cut short or no safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _MAX_HEADER_BYTES:
                raise ModelLoadError(f"{path}: not a safetensors file")
            header = json.loads(file.read(length))
        shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
        return sum(math.prod(shape) for shape in shapes)
    except (ValueError, TypeError, KeyError, AttributeError) as broken:
        raise ModelLoadError(f"{path}: not a safetensors file") from broken
