"""Linear layers in few bits: how int8 and q4 round the rows of a weight, and what a file holds.

No torch. ``backends/hf/rounded_layers.py`` computes with what is stored here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Float32Array: TypeAlias = "npt.NDArray[np.float32]"
Bfloat16Bits: TypeAlias = "npt.NDArray[np.uint16]"
Entry: TypeAlias = tuple[str, tuple[int, ...]]
"""The kind of a tensor's numbers as safetensors calls it, and its shape."""

LAYOUTS: Mapping[str, int] = {"int8": 2, "q4": 2}
"""Format that rounds linear layers -> version of what is stored (int8: a tied head from 2 on, q4:
all else in bfloat16)."""

Q4_GROUP = 32
"""Neighbours in a row of q4 that share a scale and a zero, as in most 4-bit GGUF files."""

NOTHING_FITS_Q4 = (
    "q4 needs linear layers whose columns are a multiple of 32 and whose rows are one of 64, which "
    "this model has not: take another dtype"
)
"""What is said of a model that is too small for it."""

_INT8_MAX = 127  # -128 stays unused, so that the scale is the same both ways
_NOT_A_NUMBER = 0x7FC0  # in bfloat16
_Q4_STEPS = (15, 14, 13, 12)  # between the numbers of a group, of which 15 is the largest
_GROUPS_AT_ONCE = 2048  # they stay in the processor's cache
_Q4_MIDDLE = 8  # the number whose value is the zero
_Q4_ROWS_EACH = 64  # the widest kernel takes so many together


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """One way to store the weight of a linear layer, [out, in]: whole numbers, and their scales."""

    scale_name: str
    """What stands in the name of the scales for ``weight``."""
    entries: Callable[[int, int], tuple[Entry, Entry]]
    """(out, in) -> what a file holds of numbers and of scales."""
    round_rows: Callable[[Float32Array], tuple[Any, Any]]
    """Some rows -> their numbers and their scales, rows first."""
    transposed: tuple[bool, bool]
    """Whether numbers are stored columns first, and whether scales are."""


def round_to_int8(rows: Float32Array) -> tuple[Any, Any]:
    """Return whole numbers from -127 to 127, [rows, columns], and the scale of each row, [rows]."""
    import numpy as np

    scale = _scale_of(rows)
    return np.rint(rows / scale[:, None]).astype(np.int8), scale.astype("<f4")


def round_head(rows: Float32Array) -> tuple[Any, Any]:
    """Return whole numbers, as :func:`round_to_int8` does, and the bits of scales in bfloat16."""
    import numpy as np

    bits = to_bfloat16(_scale_of(rows))
    numbers = np.rint(rows / from_bfloat16(bits)[:, None]).clip(-_INT8_MAX, _INT8_MAX)
    return numbers.astype(np.int8), bits


def _scale_of(rows: Float32Array) -> Float32Array:
    import numpy as np

    return np.maximum(np.abs(rows).max(-1), np.float32(1e-30)) / np.float32(_INT8_MAX)


def round_to_q4(rows: Float32Array) -> tuple[Any, Any]:
    """Round each group of :data:`Q4_GROUP` neighbours to at most 16 even steps.

    A number q of a group stands for ``(q - 8) * scale + zero``. Of the steps from the least to the
    most, 12 to 15 are tried and the closest taken: most of what has been in four bits before, and
    does not use all of them, nearly stays as it is. Of the 16 columns on the left of a group and
    the 16 on the right, two share a byte: the left one has its low half.

    Returns:
        Bytes [rows, columns / 2]; scale and zero of each group as the bits of bfloat16, [rows,
        columns / 32, 2].
    """
    import numpy as np

    groups = rows.reshape(-1, Q4_GROUP)
    blocks = range(0, len(groups), _GROUPS_AT_ONCE)
    with np.errstate(invalid="ignore"):  # of weights that are no numbers
        parts = [_round_groups(groups[begin : begin + _GROUPS_AT_ONCE]) for begin in blocks]
    numbers, scales = (np.concatenate(each) for each in zip(*parts, strict=True))
    half = Q4_GROUP // 2
    packed = numbers[:, :half] | numbers[:, half:] << 4
    return packed.reshape(len(rows), -1), scales.reshape(len(rows), -1, 2)


def _round_groups(groups: Float32Array) -> tuple[Any, Any]:
    """Return the numbers of groups [groups, 32], and the bits of scale and zero [groups, 2]."""
    import numpy as np

    low, high = groups.min(-1), groups.max(-1)
    numbers = np.zeros(groups.shape, np.uint8)
    scales = np.full((len(groups), 2), _NOT_A_NUMBER, np.uint16)  # stays so if a weight is none
    least = np.full(len(groups), np.inf, np.float32)
    for n_steps in _Q4_STEPS:
        step = np.maximum((high - low) / np.float32(n_steps), np.float32(1e-30))
        bits = to_bfloat16(np.stack([step, low + _Q4_MIDDLE * step], -1))
        scale, zero = from_bfloat16(bits).T[..., None]
        steps = ((groups - zero) / scale).round() + _Q4_MIDDLE
        steps = steps.clip(0, _Q4_STEPS[0])
        loss = np.square((steps - _Q4_MIDDLE) * scale + zero - groups).sum(-1)
        closer = loss < least
        numbers[closer], scales[closer], least[closer] = steps[closer], bits[closer], loss[closer]
    return numbers, scales


def fits_q4(n_out: int, n_in: int) -> bool:
    """Return whether a linear layer of this shape can be in q4; else it is not rounded."""
    return n_in % Q4_GROUP == 0 and n_out % _Q4_ROWS_EACH == 0


def to_bfloat16(numbers: Float32Array) -> Bfloat16Bits:
    """Return the bits of numbers in bfloat16, rounded to the nearest, ties to even."""
    import numpy as np

    bits = np.ascontiguousarray(numbers, dtype="<f4").view("<u4")
    halves = ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype("<u2")
    return np.where(np.isnan(numbers), np.uint16(_NOT_A_NUMBER), halves)


def from_bfloat16(bits: Bfloat16Bits) -> Float32Array:
    """Return the numbers that bits in bfloat16 stand for."""
    import numpy as np

    return (bits.astype("<u4") << 16).view("<f4").astype(np.float32, copy=False)


INT8 = Rounding(
    scale_name="scale",
    entries=lambda n_out, n_in: (("I8", (n_in, n_out)), ("F32", (1, n_out))),
    round_rows=round_to_int8,
    transposed=(True, False),
)
"""A scale for each row."""
INT8_HEAD = Rounding(
    scale_name="scale",
    entries=lambda n_out, n_in: (("I8", (n_out, n_in)), ("BF16", (n_out,))),
    round_rows=round_head,
    transposed=(False, False),
)
"""The head of q4: the numbers of int8 in the order of the kernel that multiplies by them alone."""
Q4 = Rounding(
    scale_name="scale_and_zero",
    entries=lambda n_out, n_in: (
        ("U8", (n_out, n_in // 2)),
        ("BF16", (n_in // Q4_GROUP, n_out, 2)),
    ),
    round_rows=round_to_q4,
    transposed=(False, True),
)
"""A scale and a zero for each group of neighbours in a row."""
