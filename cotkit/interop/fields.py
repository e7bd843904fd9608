"""JSON of other programs, taken field by field: whatever is missing is named with its place."""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from cotkit.errors import BadInputError
from cotkit.interop.results import FileLocation

_WORDS: Mapping[type, str] = {dict: "an object", list: "a list", str: "a text"}


def read_object(text: str | bytes, place: FileLocation, hint: str) -> Mapping[str, object]:
    """A text as a JSON object.

    Raises:
        BadInputError: it is none.
    """
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as broken:  # UnicodeDecodeError is a ValueError
        raise place.bad(f"not JSON: {broken}", hint=hint) from broken
    if not isinstance(value, dict):
        raise place.bad("not a JSON object", hint=hint)
    return cast("dict[str, object]", value)


def read_file(path: Path, hint: str) -> Mapping[str, object]:
    """A file as a JSON object.

    Raises:
        BadInputError: it cannot be read or is none.
    """
    try:
        content = path.read_bytes()
    except OSError as refused:
        raise BadInputError(path, f"cannot be read: {refused.strerror}", hint=hint) from refused
    return read_object(content, FileLocation(file=str(path)), hint)


def read_lines(path: Path, hint: str) -> Iterator[tuple[FileLocation, Mapping[str, object]]]:
    """The objects of a JSON-lines file, one at a time; blank lines are skipped.

    Raises:
        BadInputError: a line is none.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                place = FileLocation(file=str(path), line=number)
                yield place, read_object(line, place, hint)


def need(
    of: Mapping[str, object], names: Sequence[str], kind: type[object], place: FileLocation
) -> object:
    """A field of a kind, by its path (``["eval", "model"]``).

    Raises:
        BadInputError: it is missing or of another kind.
    """
    field = ".".join(names)
    value: object = of
    for name in names:
        if not isinstance(value, dict) or name not in value:
            raise place.bad("missing", field=field, hint=f"must be {_WORDS[kind]}")
        value = value[name]
    if not isinstance(value, kind):
        raise place.bad(f"must be {_WORDS[kind]}", field=field, hint=f"it is {str(value)[:40]!r}")
    return value


def need_object(of: Mapping[str, object], place: FileLocation, *names: str) -> Mapping[str, object]:
    """A field that must be an object."""
    return cast("Mapping[str, object]", need(of, names, dict, place))


def need_text(of: Mapping[str, object], place: FileLocation, *names: str) -> str:
    """A field that must be a text."""
    return cast("str", need(of, names, str, place))


def need_list(of: Mapping[str, object], place: FileLocation, *names: str) -> list[object]:
    """A field that must be a list."""
    return cast("list[object]", need(of, names, list, place))


def find_field(of: object, *names: str) -> object:
    """A field by its path; None where it or what should hold it is not there."""
    value = of
    for name in names:
        if not isinstance(value, dict):
            return None
        value = cast("dict[str, object]", value).get(name)
    return value


def find_object(of: object, *names: str) -> Mapping[str, object]:
    """A field that is an object; empty where it is not there or something else."""
    value = find_field(of, *names)
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def as_number(value: object) -> float | None:
    """A finite number or a yes or no; None: it is neither."""
    if not isinstance(value, (bool, int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return None
    return number if math.isfinite(number) else None


# Members of a zip archive, those that zstandard compressed included.
#
# Inspect compresses so; Python's own ``zipfile`` reads that from 3.14 on.


_ZSTANDARD = 93
_LOCAL_HEADER = struct.Struct("<26xHH")


def read_member(archive: zipfile.ZipFile, path: Path, name: str) -> bytes:
    """What a member holds.

    Raises:
        BadInputError: it is damaged, or compressed by zstandard, and nothing here reads that.
    """
    info = archive.getinfo(name)
    try:
        return archive.read(info)
    except NotImplementedError as unknown:
        if info.compress_type != _ZSTANDARD:
            raise BadInputError(path, f"{name}: {unknown}", hint=_convert(path)) from unknown
    except (zipfile.BadZipFile, EOFError, OSError) as broken:
        raise BadInputError(path, f"{name}: damaged: {broken}", hint=_convert(path)) from broken
    try:
        import zstandard
    except ModuleNotFoundError:
        hint = f"pip install zstandard, or {_convert(path)}"
        raise BadInputError(path, "compressed by zstandard", hint=hint) from None
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        file.seek(name_length + extra_length, io.SEEK_CUR)
        packed = io.BytesIO(file.read(info.compress_size))
    try:
        with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as reader:
            return reader.read()
    except zstandard.ZstdError as broken:
        raise BadInputError(path, f"{name}: damaged: {broken}", hint=_convert(path)) from broken


def _convert(path: Path) -> str:
    return f"inspect log convert {path} --to json --output-dir json"
