"""What a model folder holds: weights, their number, the context window; no torch, no guess.

A folder that cotkit made is known by its manifest. Any other is hashed once; the hash of each file
is remembered by path, size and time of change, because hashing gigabytes takes a while.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cotkit import paths
from cotkit.errors import ModelLoadError
from cotkit.identity import content_hash

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


_HASHED_SUFFIXES = (".safetensors", ".json", ".jinja", ".model", ".txt", ".tiktoken")
"""Suffixes of the files that decide what a model says; notes and pictures beside them do not."""

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))


def check_folder(folder: Path) -> None:
    """Demand what a transformers folder needs.

    Raises:
        ModelLoadError: a file is missing; the first such file is named.
    """
    if not folder.is_dir():
        raise ModelLoadError(f"{folder}: no such folder")
    if not (folder / "config.json").is_file():
        raise ModelLoadError(f"{folder / 'config.json'} is missing")
    if not any(all((folder / name).is_file() for name in names) for names in _TOKENIZERS):
        raise ModelLoadError(
            f"{folder / 'tokenizer.json'} is missing",
            hint="copy the tokenizer's files into the folder of the weights",
        )
    _weight_files(folder)


def folder_fingerprint(folder: Path) -> str:
    """Return the identity of a folder's weights, config and tokenizer: 64 hex digits.

    Raises:
        ModelLoadError: cotkit made the folder and it is no longer whole.
    """
    if (manifest := read_manifest(folder)) is not None:
        return manifest.fingerprint
    names = [
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.suffix in _HASHED_SUFFIXES and path.name != MANIFEST_NAME
    ]
    return fingerprint_of({name: file_hash(folder / name) for name in names})


def n_params(folder: Path) -> int:
    """Count the numbers in the folder's safetensors files; tied ones are stored once.

    Raises:
        ModelLoadError: the weights are missing or unreadable.
    """
    return sum(count_elements(path) for path in _weight_files(folder))


def context_window(folder: Path) -> int | None:
    """Return how many tokens the model can attend to, in all; None if not stated.

    Raises:
        ModelLoadError: ``config.json`` is missing or is not JSON.
    """
    config = _read_object(folder / "config.json")
    inner = config.get("text_config") or {}  # models that see pictures keep it one level down
    for key in ("max_position_embeddings", "n_positions", "seq_length"):
        for place in (config, inner):
            if isinstance(place.get(key), int):
                return place[key]
    return None


def file_hash(path: Path) -> str:
    """Return the hex SHA-256 of a file, remembered until its size or time of change differ."""
    stat = path.stat()
    memory_path = paths.cache_dir() / "fingerprints.json"
    memory = _load_hashes(memory_path)
    key, state = str(path.resolve()), [stat.st_size, stat.st_mtime_ns]
    if key in memory and memory[key][:2] == state:
        return memory[key][2]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    memory[key] = [*state, digest]
    _save_hashes(memory_path, memory)
    return digest


def _load_hashes(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # only a cache: without it files are hashed again
        return {}


def _save_hashes(path: Path, memory: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    paths.write_atomically(path, json.dumps(memory).encode())


def _weight_files(folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if not (folder / _INDEX).is_file():
        raise ModelLoadError(
            f"{folder / _WEIGHTS} is missing", hint="weights must be in safetensors format"
        )
    index = _read_object(folder / _INDEX)
    paths = [folder / str(name) for name in sorted(set(index.get("weight_map", {}).values()))]
    for path in paths:
        if not path.is_file():
            raise ModelLoadError(f"{path} is missing", hint=f"{_INDEX} names it")
    return paths


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelLoadError(f"{path} is missing") from None
    except ValueError as broken:
        raise ModelLoadError(f"{path}: not valid JSON") from broken
    if not isinstance(content, dict):
        raise ModelLoadError(f"{path}: not a JSON object")
    return content


# The manifest of a folder that cotkit made: written last, it proves that the folder is complete.


MANIFEST_NAME = "manifest.json"

_FORMAT = "cotkit-model-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The content of a model folder, by hash."""

    source: Mapping[str, object]
    """Where the weights came from: packages or a file, and the SHA-256 of the GGUF."""
    converter_version: int
    """``gguf.CONVERTER_VERSION`` when it was made."""
    n_params: int
    """Numbers stored in the weights."""
    files: Mapping[str, str]
    """File name -> SHA-256 in hex."""
    sizes: Mapping[str, int]
    """File name -> bytes."""

    @property
    def fingerprint(self) -> str:
        """The identity of the weights with their config and tokenizer."""
        return fingerprint_of(self.files)


def fingerprint_of(files: Mapping[str, str]) -> str:
    """Return one hash (64 hex digits) for file names and the SHA-256 of each."""
    return content_hash("weights", dict(files))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into the folder it describes."""
    content = {
        "format": _FORMAT,
        "fingerprint": manifest.fingerprint,
        "source": dict(manifest.source),
        "converter_version": manifest.converter_version,
        "n_params": manifest.n_params,
        "files": {
            name: {"sha256": digest, "bytes": manifest.sizes[name]}
            for name, digest in sorted(manifest.files.items())
        },
    }
    (folder / MANIFEST_NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """Read cotkit's manifest of a folder; None: it has none. Sizes are checked, contents not.

    Raises:
        ModelLoadError: a file is missing, or is not as long as when it was made.
    """
    path = folder / MANIFEST_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as broken:
        raise ModelLoadError(f"{path}: not valid JSON", hint=_repair_hint(folder)) from broken
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        return None
    files = content["files"]
    manifest = Manifest(
        source=content["source"],
        converter_version=content["converter_version"],
        n_params=content["n_params"],
        files={name: entry["sha256"] for name, entry in files.items()},
        sizes={name: entry["bytes"] for name, entry in files.items()},
    )
    for name, expected in manifest.sizes.items():
        file = folder / name
        if not file.is_file():
            raise ModelLoadError(f"{file} is missing", hint=_repair_hint(folder))
        if (n_bytes := file.stat().st_size) != expected:
            raise ModelLoadError(
                f"{file} has {n_bytes} bytes instead of {expected}", hint=_repair_hint(folder)
            )
    return manifest


def _repair_hint(folder: Path) -> str:
    return f"delete {folder} and fetch the model again"


# A safetensors file written tensor by tensor, and read by its header: no torch, flat memory.
#
# The format: eight bytes with the header's length, the header (JSON: name -> dtype, shape,
# offsets), then the tensors' bytes, one after the other.


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
    """Write tensors in the given order; return the file's SHA-256 in hex."""
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
        n_written = file.tell()
    if n_written != 8 + len(head) + end:
        raise ModelLoadError(f"{path}: wrote {n_written} bytes, not {8 + len(head) + end}")
    return digest.hexdigest()


def count_elements(path: Path) -> int:
    """Count the numbers that a safetensors file stores, from its header alone.

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
