"""A safetensors file: written in a number format, read by its header, its parameters counted.

No torch, flat memory. The format: eight bytes with the header's length, the header (JSON: name ->
dtype, shape, offsets), then the tensors' bytes, one after the other.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from cotkit.errors import BadInputError, Location, ModelLoadError
from cotkit.inputs import first_line, parse_object
from cotkit.models.rounding import (
    INT8,
    INT8_HEAD,
    LAYOUTS,
    NOTHING_FITS_Q4,
    Q4,
    Entry,
    Float32Array,
    Rounding,
    fits_q4,
    to_bfloat16,
)

BYTES_EACH: Mapping[str, float] = {
    "float32": 4,
    "bfloat16": 2,
    "float16": 2,
    "int8": 1.7,
    "q4": 1.1,
}
"""Number format of weights -> bytes on disk for each of them; int8 and q4, which do not round
embeddings, and store a head that is tied to them apart: about."""

_KINDS = {"float32": "F32", "bfloat16": "BF16", "float16": "F16", "int8": "F32", "q4": "BF16"}
_SIZES = {"F32": 4, "BF16": 2, "F16": 2, "I8": 1, "U8": 1}
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"

_MAX_HEADER_BYTES = 32 * 1024 * 1024  # a hundred times that of the largest models


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor to be written, made while it is written."""

    name: str
    """Its name in transformers."""
    shape: tuple[int, ...]
    """Its shape, rows first."""
    chunks: Iterable[Float32Array]
    """Its elements in order, in pieces of whole rows; iterated once."""

    @property
    def n_elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def is_linear(self) -> bool:
        """Whether it is the weight of a linear layer, which int8 and q4 round."""
        return self.name.endswith("_proj.weight") or self.name == _HEAD


def write_weights(path: Path, tensors: Sequence[Tensor], dtype: str = "float32") -> tuple[str, str]:
    """Write tensors in a number format, each number rounded to the nearest as torch does.

    int8: linear layers are stored as ``rounding.INT8``; all else is float32. A head that is tied to
    the embedding is stored rounded beside it: to round it at loading would read all of the
    embedding, of which a run needs few rows. q4: the head as ``rounding.INT8_HEAD``, other
    linear layers as ``rounding.Q4`` where :func:`fits_q4`; all else is bfloat16.

    Returns:
        The SHA-256 in hex of the file, and of the file that float32 would have made.

    Raises:
        ModelLoadError: a tensor has not its size, or no layer fits q4.
    """
    exact = hashlib.sha256()
    exact.update(_make_head({tensor.name: ("F32", tensor.shape) for tensor in tensors}, 8)[0])
    rounded = _choose_rounded(tensors, dtype)
    alignment = 8 if dtype == "float32" else 64  # in float32 the file's hash is the fingerprint
    head, places = _make_head(_list_entries(tensors, dtype, rounded), alignment)
    with path.open("wb") as file:
        file.write(head)
        for tensor in tensors:
            stored, rounding = rounded.get(tensor.name, (None, INT8))
            parts: list[tuple[Any, Any]] = []
            n_elements = 0
            if stored != tensor.name:
                file.seek(places[tensor.name])
            for chunk in tensor.chunks:
                n_elements += chunk.size
                exact.update(chunk.astype("<f4", copy=False).tobytes())
                if stored is not None:
                    parts.append(rounding.round_rows(chunk))
                if stored != tensor.name:
                    file.write(_encode(chunk, _KINDS[dtype]))
            if n_elements != tensor.n_elements:
                raise ModelLoadError(f"{path}: {tensor.name} has not the size that it should have")
            if stored is not None:
                names = (stored, _scale_name(stored, rounding))
                arrays = zip(*parts, strict=True)
                for name, part, transposed in zip(names, arrays, rounding.transposed, strict=True):
                    file.seek(places[name])
                    _write_parts(file, part, transposed=transposed)
    if dtype == "float32":
        return exact.hexdigest(), exact.hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), exact.hexdigest()


_Rounded = Mapping[str, tuple[str, Rounding]]  # tensor -> its name when rounded, and the way


def _choose_rounded(tensors: Sequence[Tensor], dtype: str) -> _Rounded:
    """Return the tensors that a format rounds."""
    if dtype not in LAYOUTS:
        return {}
    names = {tensor.name: tensor.name for tensor in tensors if tensor.is_linear}
    if _HEAD not in names:
        names[_EMBEDDING] = _HEAD
    if dtype == "int8":
        return {name: (stored, INT8) for name, stored in names.items()}
    fitting = {tensor.name for tensor in tensors if tensor.is_linear and fits_q4(*tensor.shape)}
    if not fitting & {name for name, stored in names.items() if stored != _HEAD}:
        raise ModelLoadError(NOTHING_FITS_Q4)
    return {
        name: (stored, INT8_HEAD if stored == _HEAD else Q4)
        for name, stored in names.items()
        if stored == _HEAD or name in fitting
    }


def _list_entries(tensors: Sequence[Tensor], dtype: str, rounded: _Rounded) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for tensor in tensors:
        stored, rounding = rounded.get(tensor.name, (None, INT8))
        if stored != tensor.name:
            entries[tensor.name] = _KINDS[dtype], tensor.shape
        if stored is not None:
            n_out, n_in = tensor.shape
            entries[stored], entries[_scale_name(stored, rounding)] = rounding.entries(n_out, n_in)
    return entries


def _scale_name(name: str, rounding: Rounding) -> str:
    """Return the name of the scales of a weight."""
    return f"{name.removesuffix('weight')}{rounding.scale_name}"


def _make_head(entries: Mapping[str, Entry], alignment: int) -> tuple[bytes, dict[str, int]]:
    """Return a file's first bytes, and where each tensor begins: long numbers first, aligned.

    Args:
        entries: name of a tensor -> its kind and shape.
        alignment: the data begins at a multiple of so many bytes.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    starts: dict[str, int] = {}
    end = 0
    for name, (kind, shape) in sorted(entries.items(), key=lambda pair: -_SIZES[pair[1][0]]):
        starts[name], end = end, end + _SIZES[kind] * math.prod(shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [starts[name], end]}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-(8 + len(head)) % alignment)
    places = {name: 8 + len(head) + start for name, start in starts.items()}
    return len(head).to_bytes(8, "little") + head, places


def _encode(chunk: Float32Array, kind: str) -> bytes:
    """Return the bytes of numbers in a format, rounded to the nearest, ties to even."""
    if kind == "BF16":
        return to_bfloat16(chunk).tobytes()
    return chunk.astype("<f4" if kind == "F32" else "<f2").tobytes()


def _write_parts(file: BinaryIO, parts: Sequence[Any], *, transposed: bool) -> None:
    """Write arrays of rows, one after the other, or all of them with their columns first."""
    import numpy as np

    if not transposed:
        file.writelines(part.tobytes() for part in parts)
        return
    columns = np.concatenate(parts).swapaxes(0, 1)
    starts = range(0, len(columns), _COLUMNS)  # few at a time: the head of a large model is large
    file.writelines(columns[start : start + _COLUMNS].tobytes() for start in starts)


_COLUMNS = 64


def read_tensors(path: Path) -> list[Tensor]:
    """Return the tensors of a safetensors file of float32 that cotkit wrote, in its order."""
    import numpy as np

    header = read_header(path)
    begin = path.stat().st_size - 4 * sum(math.prod(each["shape"]) for each in header.values())

    def chunks(start: int, end: int, columns: int) -> Iterator[Float32Array]:
        step = max(1, _CHUNK_ELEMENTS // columns) * columns
        with path.open("rb") as file:  # read, not mapped: what was mapped counts as in use
            file.seek(begin + 4 * start)
            for i in range(start, end, step):
                rows = np.fromfile(file, np.float32, min(step, end - i))
                yield rows.reshape(-1, columns)

    return [
        Tensor(
            name=name,
            shape=tuple(entry["shape"]),
            chunks=chunks(begin_byte // 4, end_byte // 4, entry["shape"][-1]),
        )
        for name, entry in header.items()
        for begin_byte, end_byte in [entry["data_offsets"]]
    ]


_CHUNK_ELEMENTS = 1 << 23  # 32 MiB of float32


# What a file holds, by its header alone.


def read_header(path: Path) -> Mapping[str, Any]:
    """Return the header of a safetensors file: name -> dtype, shape, data_offsets.

    Raises:
        ModelLoadError: the file is cut short or no safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = parse_object(file.read(min(length, _MAX_HEADER_BYTES)), Location(file=path))
        n_bytes = path.stat().st_size
        _check_header(header, most=8 * n_bytes, n_bytes=n_bytes - 8 - length)
    except (BadInputError, ValueError, TypeError, LookupError, AttributeError) as broken:
        raise ModelLoadError(f"{path}: not a safetensors file: {first_line(broken)}") from broken
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def _check_header(header: Mapping[str, object], most: int, n_bytes: int) -> None:
    """Check the entries of a header; ``n_bytes``: what comes after it in the file.

    Raises:
        ValueError, TypeError, KeyError: it is not one, or the tensors do not fill the file.
    """
    entries = [cast("Any", entry) for name, entry in header.items() if name != "__metadata__"]
    numbers = [number for entry in entries for number in entry["shape"]]
    if not all(type(number) is int and 0 <= number < 2**31 for number in numbers):
        raise ValueError("a dimension is no number")
    if not all(isinstance(entry["dtype"], str) for entry in entries):
        raise ValueError("a format is no name")
    if sum(math.prod(entry["shape"]) for entry in entries) > most:
        raise ValueError("more numbers than the file can hold")
    end = max((int(entry["data_offsets"][1]) for entry in entries), default=0)
    if end != n_bytes:
        raise ValueError(f"{n_bytes} bytes of tensors, not {end}: cut short, or not whole")


_NO_PARAMETER = re.compile(
    r"(^|\.)(rotary_emb\.inv_freq|inv_freq|masked_bias|position_ids|num_batches_tracked)$|^mtp\."
)
"""Buffers that older files hold, and layers that guess ahead, which nothing here runs."""
_MASK = re.compile(r"\.(attn|attention|self_attn)\.(bias|attn_mask)$")  # of four dimensions
_OTHER_SENSES = re.compile(
    r"(^|\.)[^.]*(vision|visual|audio|image|img_|speech|multi_?modal|mm_proj|connector)[^.]*\."
)
"""Towers that see or hear, and what joins them to the language model."""
_COMPANION = re.compile(
    r"(^|[._])((weight_)?scale(s|_inv|_2|_and_zero)?|SCB|qzeros|g_idx|biases|weight_(shape|g_idx|zero_point"
    r"|global_scale|format)|input_(scale(_ub)?|global_scale|zero_point)|[kqv]_scale"
    r"|weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..*))$"
)
"""What stands beside a packed weight to unpack it."""
_PACKED = re.compile(r"(^|[._])(qweight|weight_packed|blocks|weight)$")
_PLAIN = ("F64", "F32", "F16", "BF16")
_NO_WEIGHTS = ("I64", "U64", "BOOL")


def count_parameters(
    headers: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any]
) -> int | None:
    """Count a language model's parameters: packed ones one by one, tied ones once.

    Towers that see or hear are apart. ``headers``: the entries of all its files together.

    Returns:
        None where it cannot be known: a packing that says nothing of how many it holds.
    """
    text_config = config.get("text_config")
    configs = [config, text_config] if isinstance(text_config, dict) else [config]
    sees = any(key.endswith("_config") and key != "quantization_config" for key in config)
    tied = any(each.get("tie_word_embeddings") is True for each in configs)
    stems = {_stem(name) for name, entry in headers.items() if entry["dtype"] not in _PLAIN}
    n_params = 0
    for name, entry in headers.items():
        n = math.prod(entry["shape"])
        is_companion = _COMPANION.search(name) is not None and _stem(name) in stems
        if _NO_PARAMETER.search(name) or is_companion or (sees and _OTHER_SENSES.search(name)):
            continue
        if entry["dtype"] in _NO_WEIGHTS or (_MASK.search(name) and len(entry["shape"]) == 4):
            continue
        if tied and name.endswith("lm_head.weight") and len(headers) > 1:
            continue
        each = _numbers_in_one(name, entry["dtype"], headers, config)
        if each is None:
            return None
        n_params += round(n * each)
    return n_params


def _stem(name: str) -> str:
    """Return the name of the layer to which a weight, packed or not, or its scales belong."""
    stem = _COMPANION.sub("", name)
    return _PACKED.sub("", name) if stem == name else stem


def _numbers_in_one(
    name: str, dtype: str, headers: Mapping[str, object], config: Mapping[str, Any]
) -> float | None:
    """Return how many parameters one element of a tensor holds; None: it cannot be known."""
    if dtype.startswith(("F", "BF")):
        return 1
    if dtype in ("I32", "U32"):
        bits = _packed_bits(config)
        return 32 / bits if bits is not None and _PACKED.search(name) else None
    if dtype == "I8" and name.endswith("weight"):
        return 1
    if dtype != "U8":
        return None
    is_bitsandbytes = any(other.startswith(f"{name}.quant_state.") for other in headers)
    is_nvfp4 = f"{name}_scale_2" in headers
    is_q4 = _scale_name(name, Q4) in headers
    if is_bitsandbytes or is_nvfp4 or is_q4 or name.endswith(("weight_packed", "_blocks")):
        return 2  # of four bits
    is_bitnet = _quantisation_of(config).get("quant_method") == "bitnet"
    return 4 if is_bitnet and name.endswith("weight") else None


def _quantisation_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    content = config.get("quantization_config") or config.get("quantization")
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def _packed_bits(config: Mapping[str, Any]) -> int | None:
    """Return the bits of a packed number as the config says; None: it does not, or says several."""
    content = _quantisation_of(config)
    groups: Any = content.get("config_groups")
    widths = [content.get("bits"), content.get("w_bit")]
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        widths.append(weights.get("num_bits") if isinstance(weights, dict) else None)
    numbers = {width for width in widths if type(width) is int and 1 <= width <= 8}
    return numbers.pop() if len(numbers) == 1 else None
