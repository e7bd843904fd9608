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
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

from cotkit.errors import BadInputError, Location, ModelLoadError
from cotkit.inputs import first_line, parse_object

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Float32Array: TypeAlias = "npt.NDArray[np.float32]"

BYTES_EACH: Mapping[str, float] = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1.7}
"""Number format of weights -> bytes on disk for each of them; int8, which keeps embeddings in
float32, and a head that is tied to them apart: about."""

INT8_LAYOUT = 2
"""Version of what int8 stores: from 2 on a head that is tied to the embedding, too."""

_KINDS = {"float32": "F32", "bfloat16": "BF16", "float16": "F16", "int8": "F32"}
_SIZES = {"F32": 4, "BF16": 2, "F16": 2, "I8": 1}
_Entry = tuple[str, tuple[int, ...]]  # the kind of a tensor's numbers, its shape
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
        """Whether it is the weight of a linear layer, which int8 rounds."""
        return self.name.endswith("_proj.weight") or self.name == _HEAD


def write_weights(path: Path, tensors: Sequence[Tensor], dtype: str = "float32") -> tuple[str, str]:
    """Write tensors in a number format, each number rounded to the nearest as torch does.

    int8: each row of a linear layer has a scale of its own, ``scale`` [1, out] beside its
    ``weight``, which is stored as [in, out]; all else is float32. A head that is tied to the
    embedding is stored rounded beside it: to round it at loading would read all of the embedding,
    of which a run needs few rows.

    Returns:
        The SHA-256 in hex of the file, and of the file that float32 would have made.
    """
    exact = hashlib.sha256()
    exact.update(_make_head({tensor.name: ("F32", tensor.shape) for tensor in tensors})[0])
    rounded_names = _name_rounded(tensors) if dtype == "int8" else {}
    head, places = _make_head(_list_entries(tensors, dtype, rounded_names))
    with path.open("wb") as file:
        file.write(head)
        for tensor in tensors:
            rounded_name = rounded_names.get(tensor.name)
            rounded: list[tuple[Any, Any]] = []
            n_elements = 0
            file.seek(places[tensor.name])
            for chunk in tensor.chunks:
                n_elements += chunk.size
                exact.update(chunk.astype("<f4", copy=False).tobytes())
                if rounded_name is not None:
                    rounded.append(_round_to_int8(chunk))
                if rounded_name != tensor.name:
                    file.write(_encode(chunk, _KINDS[dtype]))
            if n_elements != tensor.n_elements:
                raise ModelLoadError(f"{path}: {tensor.name} has not the size that it should have")
            if rounded_name is not None:
                _write_int8(file, places[rounded_name], places[_scale_name(rounded_name)], rounded)
    if dtype == "float32":
        return exact.hexdigest(), exact.hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), exact.hexdigest()


def _list_entries(
    tensors: Sequence[Tensor], dtype: str, rounded_names: Mapping[str, str]
) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for tensor in tensors:
        rounded_name = rounded_names.get(tensor.name)
        if rounded_name != tensor.name:
            entries[tensor.name] = _KINDS[dtype], tensor.shape
        if rounded_name is not None:
            entries[rounded_name] = "I8", tensor.shape[::-1]
            entries[_scale_name(rounded_name)] = "F32", (1, tensor.shape[0])
    return entries


def _name_rounded(tensors: Sequence[Tensor]) -> dict[str, str]:
    """Return the tensors that int8 rounds, and the names under which it stores them rounded."""
    names = {tensor.name: tensor.name for tensor in tensors if tensor.is_linear}
    return names if _HEAD in names else {**names, _EMBEDDING: _HEAD}


def _scale_name(name: str) -> str:
    """Return the name of the scales of a weight's rows."""
    return f"{name.removesuffix('weight')}scale"


def _make_head(entries: Mapping[str, _Entry]) -> tuple[bytes, dict[str, int]]:
    """Return a file's first bytes, and where each tensor begins: long numbers first, aligned."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    starts: dict[str, int] = {}
    end = 0
    for name, (kind, shape) in sorted(entries.items(), key=lambda pair: -_SIZES[pair[1][0]]):
        starts[name], end = end, end + _SIZES[kind] * math.prod(shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [starts[name], end]}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)  # the data starts aligned
    places = {name: 8 + len(head) + start for name, start in starts.items()}
    return len(head).to_bytes(8, "little") + head, places


def _encode(chunk: Float32Array, kind: str) -> bytes:
    """Return the bytes of numbers in a format, rounded to the nearest, ties to even."""
    import numpy as np

    if kind != "BF16":
        return chunk.astype("<f4" if kind == "F32" else "<f2").tobytes()
    bits = np.ascontiguousarray(chunk, dtype="<f4").view("<u4")
    halves = ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype("<u2")
    return np.where(np.isnan(chunk), np.uint16(0x7FC0), halves).tobytes()


def _round_to_int8(rows: Float32Array) -> tuple[Any, Any]:
    """Return whole numbers [rows, columns] and the scale of each row [rows]."""
    import numpy as np

    scale = np.maximum(np.abs(rows).max(-1), np.float32(1e-30)) / np.float32(127)
    return np.rint(rows / scale[:, None]).astype(np.int8), scale.astype("<f4")


def _write_int8(file: BinaryIO, place: int, place_of_scale: int, rows: list[Any]) -> None:
    import numpy as np

    file.seek(place_of_scale)
    file.write(np.concatenate([scale for _, scale in rows]).tobytes())
    file.seek(place)
    columns = np.concatenate([numbers for numbers, _ in rows]).T
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
    r"(^|[._])((weight_)?scale(s|_inv|_2)?|SCB|qzeros|g_idx|biases|weight_(shape|g_idx|zero_point"
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
    if is_bitsandbytes or is_nvfp4 or name.endswith(("weight_packed", "_blocks")):
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
