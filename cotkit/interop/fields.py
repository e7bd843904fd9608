"""Read JSON of other programs field by field: an error names the field and its place."""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from cotkit.errors import BadInputError, Location

_WORDS: Mapping[type, str] = {dict: "an object", list: "a list", str: "a text"}


def read_object(text: str | bytes, place: Location, hint: str) -> Mapping[str, object]:
    """Parse a text as a JSON object.

    Raises:
        BadInputError: it is no JSON object.
    """
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as broken:  # UnicodeDecodeError is a ValueError
        raise place.make_error(f"not JSON: {broken}", hint=hint) from broken
    if not isinstance(value, dict):
        raise place.make_error("not a JSON object", hint=hint)
    return cast("dict[str, object]", value)


def read_file(path: Path, hint: str) -> Mapping[str, object]:
    """Read a file as a JSON object.

    Raises:
        BadInputError: it cannot be read or is no JSON object.
    """
    try:
        content = path.read_bytes()
    except OSError as refused:
        raise BadInputError(path, f"cannot be read: {refused.strerror}", hint=hint) from refused
    return read_object(content, Location(file=str(path)), hint)


def read_lines(path: Path, hint: str) -> Iterator[tuple[Location, Mapping[str, object]]]:
    """Yield the objects of a JSON-lines file, one at a time; blank lines are skipped.

    Raises:
        BadInputError: a line is no JSON object.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                place = Location(file=str(path), line=number)
                yield place, read_object(line, place, hint)


def need(
    data: Mapping[str, object], names: Sequence[str], kind: type[object], place: Location
) -> object:
    """Return a field that must be there and of a kind, by its path (``["eval", "model"]``).

    Raises:
        BadInputError: it is missing or of another kind.
    """
    field = ".".join(names)
    value: object = data
    for name in names:
        if not isinstance(value, dict) or name not in value:
            raise place.make_error("missing", field=field, hint=f"must be {_WORDS[kind]}")
        value = value[name]
    if not isinstance(value, kind):
        raise place.make_error(
            f"must be {_WORDS[kind]}", field=field, hint=f"it is {str(value)[:40]!r}"
        )
    return value


def need_object(data: Mapping[str, object], place: Location, *names: str) -> Mapping[str, object]:
    """Return a field that must be an object."""
    return cast("Mapping[str, object]", need(data, names, dict, place))


def need_text(data: Mapping[str, object], place: Location, *names: str) -> str:
    """Return a field that must be a text."""
    return cast("str", need(data, names, str, place))


def need_list(data: Mapping[str, object], place: Location, *names: str) -> list[object]:
    """Return a field that must be a list."""
    return cast("list[object]", need(data, names, list, place))


def find_field(data: object, *names: str) -> object:
    """Return a field by its path; None where it is missing."""
    value = data
    for name in names:
        if not isinstance(value, dict):
            return None
        value = cast("dict[str, object]", value).get(name)
    return value


def find_object(data: object, *names: str) -> Mapping[str, object]:
    """Return a field as an object; an empty one where it is missing or of another kind."""
    value = find_field(data, *names)
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def as_number(value: object) -> float | None:
    """Return a value as a finite number (true is 1); None: it is none."""
    if not isinstance(value, (bool, int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return None
    return number if math.isfinite(number) else None


# Inspect compresses the members of its logs by zstandard, which ``zipfile`` reads from 3.14 on.
_ZSTANDARD = 93
_LOCAL_HEADER = struct.Struct("<26xHH")


def read_member(archive: zipfile.ZipFile, path: Path, name: str) -> bytes:
    """Return the content of a member of a zip archive.

    Raises:
        BadInputError: it is damaged, or compressed by zstandard, which is not installed.
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
    """Return the command that makes JSON of a log."""
    return f"inspect log convert {path} --to json --output-dir json"
