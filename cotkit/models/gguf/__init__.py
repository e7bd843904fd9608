"""Convert a GGUF file to a transformers folder, without torch, in bounded memory.

Three architectures: llama (llama.cpp permutes its q and k rows), qwen2 (q, k and v have biases) and
gemma3 (norm weights are stored plus one). Every tensor of the file is used or the file is refused:
transformers would fill a missing one with random numbers and only warn. Files of other
architectures are left to transformers' own reader.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from cotkit.errors import MissingDependencyError, ModelLoadError
from cotkit.inputs import first_line
from cotkit.models.cache import format_bytes, require_space
from cotkit.models.content import file_hash
from cotkit.models.folder import WEIGHTS_NAME, fingerprint_of
from cotkit.models.gguf.config import ARCHITECTURES, HeadCounts, Metadata, model_config
from cotkit.models.gguf.tokenizer import write_tokenizer
from cotkit.models.weights import BYTES_EACH, Float32Array, Tensor, write_weights
from cotkit.types import Notify

if TYPE_CHECKING:  # both come with the hf extra
    import numpy as np
    import numpy.typing as npt
    from gguf import GGUFReader, ReaderTensor

CONVERTER_VERSION = 1
"""Raise when the same file would become another folder; users' own files are then redone."""

_LAYER = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}

_LAYER_OF: Mapping[str, Mapping[str, str]] = {
    "llama": _LAYER | {"ffn_norm.weight": "post_attention_layernorm.weight"},
    "qwen2": _LAYER
    | {
        "ffn_norm.weight": "post_attention_layernorm.weight",
        "attn_q.bias": "self_attn.q_proj.bias",
        "attn_k.bias": "self_attn.k_proj.bias",
        "attn_v.bias": "self_attn.v_proj.bias",
    },
    "gemma3": _LAYER
    | {
        "attn_q_norm.weight": "self_attn.q_norm.weight",
        "attn_k_norm.weight": "self_attn.k_norm.weight",
        "post_attention_norm.weight": "post_attention_layernorm.weight",
        "ffn_norm.weight": "pre_feedforward_layernorm.weight",
        "post_ffw_norm.weight": "post_feedforward_layernorm.weight",
    },
}
"""Architecture -> tensor of one layer in the file -> its name in transformers."""

_CHUNK_ELEMENTS = 1 << 23  # 32 MiB of float32 at a time; a quantised output head alone is 0.9 GB


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What a conversion made."""

    hashes: Mapping[str, str]
    """Name -> SHA-256 in hex of every file written."""
    n_params: int
    """Elements stored; an output head that the file carries apart counts."""
    fingerprint: str
    """Of the folder that float32 would have made: the same for every number format."""


def convert(path: Path, folder: Path, notify: Notify, dtype: str = "float32") -> Conversion:
    """Write config, tokenizer and weights of a GGUF file into an existing empty folder.

    ``dtype``: the number format of the weights, one of ``weights.BYTES_EACH``.

    Raises:
        MissingDependencyError: the ``gguf`` or ``tokenizers`` package is not installed.
        MissingDataError: the disk is too full.
        ModelLoadError: not a GGUF file, cut short, or of a kind that is not supported.
    """
    try:
        return _convert(path, folder, notify, dtype)
    except _PARSING_FAULTS as broken:
        raise _damaged(path, broken) from broken


def _convert(path: Path, folder: Path, notify: Notify, dtype: str) -> Conversion:
    readers = [_open(part) for part in split_parts(path)]
    fields = readers[0].fields
    metadata = Metadata(path, {name: field.contents for name, field in fields.items()})
    tensors = {tensor.name: tensor for reader in readers for tensor in reader.tensors}
    if metadata.architecture not in ARCHITECTURES:
        return _convert_by_transformers(metadata, readers, folder, notify, dtype)
    if metadata.integer("{a}.block_count") > len(tensors):
        raise ModelLoadError(f"{path}: {metadata.architecture}.block_count is above its tensors")
    tied = "output.weight" not in tensors
    files = model_config(metadata, tied=tied, rope_factors=_rope_factors(tensors))
    names = _map_names(metadata, tensors.keys(), tied=tied)
    _check_quantisations(metadata, tensors.values())
    heads = metadata.heads()
    plan = [
        Tensor(
            name=target,
            shape=tuple(int(n) for n in reversed(tensors[source].shape)),
            chunks=_iterate_chunks(metadata, tensors[source], heads),
        )
        for source, target in names.items()
    ]
    n_rows, n_tokens = plan[0].shape[0], len(metadata.tokens())
    if n_tokens > n_rows:
        raise ModelLoadError(f"{path}: {n_tokens} tokens, and an embedding of {n_rows}")
    n_params = sum(tensor.n_elements for tensor in plan)
    n_bytes = round(BYTES_EACH[dtype] * n_params)
    require_space(folder, n_bytes, path.name)
    notify(f"converting {path.name}: {len(plan)} tensors, {format_bytes(n_bytes)} in {dtype}")
    hashes = files.write(folder, vocab_size=n_rows)
    hashes |= write_tokenizer(metadata, folder)
    return write_folder_weights(folder, plan, dtype, hashes)


_SPLIT_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<n>\d{5})\.gguf")


def split_parts(path: Path) -> list[Path]:
    """Return the files of a model that is split over several, in order, by any of their names.

    Raises:
        ModelLoadError: one of them is missing.
    """
    match = _SPLIT_NAME.fullmatch(path.name)
    if match is None:
        return [path]
    n = int(match["n"])
    parts = [path.with_name(f"{match['stem']}-{i:05d}-of-{n:05d}.gguf") for i in range(1, n + 1)]
    if missing := next((part for part in parts if not part.is_file()), None):
        raise ModelLoadError(f"{missing}: no such file", hint=f"{path.name} is one part of {n}")
    return parts


def _convert_by_transformers(
    metadata: Metadata, readers: Sequence[GGUFReader], folder: Path, notify: Notify, dtype: str
) -> Conversion:
    from cotkit.models.gguf.by_transformers import write_folder

    path = metadata.path
    if len(readers) > 1 or any(t.name == "rope_freqs.weight" for t in readers[0].tensors):
        what = "split files" if len(readers) > 1 else "rotary factors"
        raise metadata.unsupported(f"cannot convert {what} of {metadata.architecture!r}")
    n_params = sum(int(tensor.n_elements) for tensor in readers[0].tensors)
    require_space(folder, round(BYTES_EACH[dtype] * n_params), path.name)
    notify(
        f"{path.name} is of architecture {metadata.architecture!r}: transformers reads it, once, "
        f"with up to {format_bytes(6 * n_params)} of memory"
    )
    write_folder(metadata, folder, dtype)
    hashes = {file.name: file_hash(file) for file in sorted(folder.iterdir())}
    fingerprint = fingerprint_of(hashes)
    return Conversion(hashes=hashes, n_params=n_params, fingerprint=fingerprint)


def _check_quantisations(metadata: Metadata, tensors: Iterable[ReaderTensor]) -> None:
    """Refuse a format of numbers that cannot be read, before anything is written."""
    from gguf import dequantize

    for tensor in {tensor.tensor_type: tensor for tensor in tensors}.values():
        try:
            dequantize(tensor.data[:1], tensor.tensor_type)
        except NotImplementedError as unknown:
            raise metadata.unsupported(f"{tensor.name}: {unknown}") from unknown


def _rope_factors(tensors: Mapping[str, ReaderTensor]) -> list[float] | None:
    """Return what the file divides rotary frequencies by (Llama 3); None: by nothing."""
    tensor = tensors.get("rope_freqs.weight")
    return None if tensor is None else [float(x) for x in tensor.data.ravel()]


def write_folder_weights(
    folder: Path, tensors: Sequence[Tensor], dtype: str, hashes: Mapping[str, str]
) -> Conversion:
    """Write the weights of a folder; ``hashes``: of its other files."""
    digest, exact = write_weights(folder / WEIGHTS_NAME, tensors, dtype)
    return Conversion(
        hashes={**hashes, WEIGHTS_NAME: digest},
        n_params=sum(tensor.n_elements for tensor in tensors),
        fingerprint=fingerprint_of({**hashes, WEIGHTS_NAME: exact}),
    )


def count_numbers(path: Path) -> int:
    """Count the numbers of all tensors of a GGUF file and its other parts, from their headers.

    Raises:
        ModelLoadError: not a GGUF file, cut short, or a part of it is missing.
    """
    return sum(_read_header(part)[0] for part in split_parts(path))


def _read_header(path: Path) -> tuple[int, set[int]]:
    """Return the number of numbers, and the kinds of numbers, that a file's header names."""
    try:
        with path.open("rb") as file:
            header = _Header(file, path.stat().st_size)
            return header.check(), header.kinds
    except OSError as unreadable:
        raise ModelLoadError(f"{path}: {unreadable.strerror}") from unreadable
    except _PARSING_FAULTS as broken:
        raise _damaged(path, broken) from broken


def _open(path: Path) -> GGUFReader:
    try:
        from gguf import GGMLQuantizationType, GGUFReader
    except ImportError:
        raise MissingDependencyError("gguf", "hf") from None
    _, kinds = _read_header(path)
    if unknown := sorted(kinds.difference(map(int, GGMLQuantizationType))):
        raise ModelLoadError(
            f"{path}: stored in a quantisation that the package gguf does not know (number "
            f"{unknown[0]})",
            hint="a newer gguf may: pip install -U gguf",
        )
    try:
        return GGUFReader(path)
    except (OSError, *_PARSING_FAULTS) as broken:
        raise _damaged(path, broken) from broken


_PARSING_FAULTS = (ValueError, LookupError, ArithmeticError, TypeError, struct.error, MemoryError)
"""What the parsing of raw bytes can raise."""


def _damaged(path: Path, fault: BaseException) -> ModelLoadError:
    return ModelLoadError(f"{path}: not a whole GGUF file: {first_line(fault)}")


_MOST_ENTRIES = 100_000
"""Metadata fields, tensors."""
_MOST_ELEMENTS = 1_500_000
"""Of all arrays of the metadata together: twice what the largest vocabularies have."""
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Type of a metadata value -> its bytes."""
_STRING, _ARRAY = 8, 9
_MOST_DIMENSIONS = 8


class _Header:
    """A walk over a file's metadata, so that one that lies is refused before it is believed.

    Its methods raise a ValueError or a struct.error where it claims more than a model has, or than
    the file holds.
    """

    def __init__(self, file: BinaryIO, n_bytes: int) -> None:
        self._file, self._n_bytes, self._n_elements = file, n_bytes, 0
        self.kinds: set[int] = set()  # of the tensors' numbers
        magic = file.read(8)
        if magic[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._order = ">" if magic[4:6] == b"\0\0" else "<"

    def check(self) -> int:
        """Walk over all fields and the entries of all tensors; count the numbers of these."""
        n_numbers = 0
        n_tensors, n_fields = self._read("Q"), self._read("Q")
        if max(n_tensors, n_fields) > _MOST_ENTRIES:
            raise ValueError("more tensors or fields than any model has")
        for _ in range(n_fields):
            self._skip(self._read("Q"))
            self._skip_value(self._read("I"), 0)
        for _ in range(n_tensors):
            self._skip(self._read("Q"))
            n_dimensions = self._read("I")
            if n_dimensions > _MOST_DIMENSIONS:
                raise ValueError("a tensor of more dimensions than any has")
            n_numbers += math.prod(self._read("Q") for _ in range(n_dimensions))
            self.kinds.add(self._read("I"))
            self._skip(8)
        return n_numbers

    def _read(self, form: str) -> int:
        (value,) = struct.unpack(self._order + form, self._file.read(struct.calcsize(form)))
        return value

    def _skip(self, n_bytes: int) -> None:
        if n_bytes > self._n_bytes - self._file.tell():
            raise ValueError("it ends within its header")
        self._file.seek(n_bytes, os.SEEK_CUR)

    def _skip_value(self, kind: int, depth: int) -> None:
        if kind == _STRING:
            self._skip(self._read("Q"))
        elif kind != _ARRAY:
            self._skip(_SIZES[kind])
        else:
            inner, n = self._read("I"), self._read("Q")
            self._n_elements += n
            if depth > 1 or self._n_elements > _MOST_ELEMENTS:
                raise ValueError("more metadata than any model has")
            if inner in _SIZES:
                self._skip(n * _SIZES[inner])
            else:
                for _ in range(n):
                    self._skip_value(inner, depth + 1)


def _map_names(metadata: Metadata, tensors: Iterable[str], *, tied: bool) -> dict[str, str]:
    """Map names in the file to names in transformers; demand exactly these tensors."""
    names = {"token_embd.weight": "model.embed_tokens.weight"}
    for layer in range(metadata.integer("{a}.block_count")):
        for source, target in _LAYER_OF[metadata.architecture].items():
            names[f"blk.{layer}.{source}"] = f"model.layers.{layer}.{target}"
    names["output_norm.weight"] = "model.norm.weight"
    if not tied:
        names["output.weight"] = "lm_head.weight"
    present = set(tensors) - {"rope_freqs.weight"}
    if missing := sorted(names.keys() - present):
        raise ModelLoadError(f"{metadata.path}: has no tensor {missing[0]}")
    if unknown := sorted(present - names.keys()):
        raise metadata.unsupported(f"cannot convert tensor {unknown[0]}")
    return names


def _iterate_chunks(
    metadata: Metadata, tensor: ReaderTensor, heads: HeadCounts
) -> Iterator[Float32Array]:
    """Yield the tensor's numbers in order, a block of rows at a time."""
    from gguf import dequantize

    data = tensor.data
    if metadata.architecture == "llama" and tensor.name.endswith("attn_q.weight"):
        data = data[_unpermute_rows(data.shape[0], heads.queries)]
    if metadata.architecture == "llama" and tensor.name.endswith("attn_k.weight"):
        data = data[_unpermute_rows(data.shape[0], heads.keys)]
    plus = 1 if metadata.architecture == "gemma3" and tensor.name.endswith("norm.weight") else 0
    step = max(1, _CHUNK_ELEMENTS * len(data) // tensor.n_elements)
    for start in range(0, len(data), step):
        yield dequantize(data[start : start + step], tensor.tensor_type) - plus


def _unpermute_rows(n_rows: int, n_heads: int) -> npt.NDArray[np.intp]:
    """Return row numbers in transformers' order: llama.cpp interleaves each head's halves."""
    import numpy as np

    return np.arange(n_rows).reshape(n_heads, -1, 2).swapaxes(1, 2).ravel()
