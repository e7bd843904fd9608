"""Members of a zip archive, those that zstandard compressed included.

Inspect compresses so; Python's own ``zipfile`` reads that from 3.14 on.
"""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

from cotkit.errors import BadInputError

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
