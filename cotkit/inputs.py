"""Read what other programs and people wrote: strictly, and never more of it than fits.

Whatever a file or a server may hold is read here: bytes, UTF-8, JSON, JSON lines, CSV, TOML, zip
members, numbers. What is said twice is refused, digits are ASCII, and everything has a limit, so
that the worst file ends in one line that names it. Nothing here knows what the content means.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import math
import re
import stat
import sys
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Protocol, Self, TypeAlias, cast
from urllib.parse import urlsplit

from cotkit.errors import BadInputError, CotkitError, Location

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Of a file, or of what one part of an archive unpacks to, that is read as a whole."""
MAX_LINE_BYTES = 8 * 1024 * 1024
"""Of one line of a file that is read by lines."""
MAX_DEPTH = 200
"""Objects and lists within each other in one JSON document."""
MAX_VALUES = 4_000_000
"""Values of one JSON document, cells of one CSV."""
MAX_DIGITS = 400
"""Of one number, and of its exponent's value: nobody's answer is longer."""
MAX_UNPACKED = 40
"""A whole archive unpacks to at most so many times its own size, or to ``MAX_FILE_BYTES``."""

Pairs: TypeAlias = list[tuple[str, object]]
"""Names and values of one JSON object, in their order; a name may stand there twice."""


# Addresses.


def is_below(url: str, base: str) -> bool:
    """Return whether an address is that of a base or below it: same scheme, host, port, path first.

    Texts that begin alike are not enough: ``https://api.openai.com.evil/`` is nobody's but evil's.
    """
    try:
        parts, of_base = urlsplit(url), urlsplit(base)
        origins = [
            (each.scheme, each.hostname, each.port or _PORTS.get(each.scheme))
            for each in (parts, of_base)
        ]
    except ValueError:
        return False
    root = of_base.path.rstrip("/")
    return (
        origins[0] == origins[1]
        and bool(parts.hostname)
        and ".." not in parts.path.split("/")
        and (parts.path.rstrip("/") == root or parts.path.startswith(f"{root}/"))
    )


_PORTS = {"http": 80, "https": 443}


# Bytes and text.


def read_bytes(path: Path, *, limit: int = MAX_FILE_BYTES, hint: str | None = None) -> bytes:
    """Return the content of an ordinary file.

    Raises:
        BadInputError: no such file, no ordinary one (a pipe, a device), unreadable, or longer than
            ``limit`` bytes.
    """
    with open_file(path, hint=hint) as file:
        return read_limited(file, Location(file=path, hint=hint), limit)


def open_file(path: Path, *, hint: str | None = None) -> io.BufferedReader:
    """Open an ordinary file; nothing waits for a pipe that nobody writes to.

    One whose name ends in ``.gz`` is unpacked as it is read.

    Raises:
        BadInputError: as :func:`read_bytes`.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "no ordinary file"
            raise BadInputError(path, f"no such file: it is {what}", hint=hint)
        is_packed = path.suffix.lower() == ".gz"
        return io.BufferedReader(_GzipStream(path)) if is_packed else path.open("rb")
    except FileNotFoundError:
        raise BadInputError(path, "no such file", hint=hint) from None
    except (OSError, ValueError) as refused:  # ValueError: a NUL in the path
        reason = refused.strerror if isinstance(refused, OSError) else refused
        raise BadInputError(path, f"cannot be read: {reason}", hint=hint) from refused


class _GzipStream(io.RawIOBase):
    """What a gzip file unpacks to, within the limit of an archive; any damage is an OSError."""

    def __init__(self, path: Path) -> None:
        self._file = gzip.open(path)  # noqa: SIM115 - closed by close()
        self._budget = max(MAX_FILE_BYTES, MAX_UNPACKED * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - whatever has a buffer
        try:
            n_bytes = self._file.readinto(buffer)
        except (EOFError, zlib.error) as broken:
            raise OSError(first_line(broken)) from broken
        self._budget -= n_bytes
        if self._budget < 0:
            raise OSError(f"unpacks to more than {MAX_UNPACKED} times its size")
        return n_bytes

    def close(self) -> None:
        self._file.close()
        super().close()


@contextlib.contextmanager
def limited_memory(n_bytes: int) -> Generator[None]:
    """Let this process grow by no more than an archive of so many bytes may unpack to.

    For libraries that unpack by themselves: what they ask beyond it is a MemoryError. Where the
    system has no such limit (macOS, Windows), nothing is limited.
    """
    try:
        import resource

        size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    except (ImportError, OSError):
        yield
        return
    limit = size * resource.getpagesize() + max(_MAX_GROWTH, MAX_UNPACKED * n_bytes)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


_MAX_GROWTH = 256 * 1024 * 1024


class ByteStream(Protocol):
    """What bytes are read from, piece by piece."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at the end."""
        ...


def read_limited(stream: ByteStream, place: Location, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return all that a stream holds, a file or what unpacks one.

    Raises:
        BadInputError: there are more than ``limit`` bytes, or it is damaged.
    """
    pieces: list[bytes] = []
    n_bytes = 0
    try:
        while piece := stream.read(min(1 << 20, limit + 1 - n_bytes)):
            pieces.append(piece)
            n_bytes += len(piece)
            if n_bytes > limit:
                raise place.make_error(f"longer than {format_bytes(limit)}")
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as broken:
        raise place.make_error(f"damaged: {first_line(broken)}") from broken
    return b"".join(pieces)


def format_bytes(n_bytes: int) -> str:
    """Return a limit in MiB, or in KiB below one."""
    return f"{n_bytes >> 20} MiB" if n_bytes >> 20 else f"{n_bytes >> 10} KiB"


def first_line(fault: BaseException) -> str:
    """Return the first line of an error's message, at most 200 characters; its name without one."""
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0][:200]


def decode(content: bytes, place: Location) -> str:
    """Return UTF-8 as text, without its byte order mark.

    Raises:
        BadInputError: it is not UTF-8; names the line.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        line = place.line or content.count(b"\n", 0, broken.start) + 1
        raise replace(place, line=line).make_error("not UTF-8", hint="save it as UTF-8") from broken


def is_encodable(text: str) -> bool:
    """Return whether a text can be written as UTF-8: JSON may name half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# JSON.


def refuse_duplicates(pairs: Pairs) -> dict[str, object]:
    """Make an object of its pairs.

    Raises:
        ValueError: a name stands there twice.
    """
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError(f"{find_duplicate(pairs)!r} stands twice in one object")
    return fields


def find_duplicate(pairs: Pairs) -> str | None:
    """Return the first name that stands twice; None: each stands once."""
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            return name
        names.add(name)
    return None


def parse_json(
    content: bytes | str,
    place: Location,
    *,
    exact: bool = False,
    make_object: Callable[[Pairs], dict[str, object]] = refuse_duplicates,
) -> object:
    """Parse one JSON document.

    Args:
        content: The document; its length was checked where it was read.
        place: Where it stands; its hint is that of errors.
        exact: Whether numbers with a point become ``Decimal``, so that no digit is lost.
        make_object: Makes an object of its pairs; a ValueError of it is the problem.

    Raises:
        BadInputError: not UTF-8, not JSON, a name twice in one object, more than ``MAX_DEPTH``
            levels or ``MAX_VALUES`` values, a number that is too long.
    """
    text = decode(content, place) if isinstance(content, bytes) else content
    openers = text.count("[") + text.count("{")
    if openers + text.count(",") > MAX_VALUES:
        raise place.make_error(f"more than {MAX_VALUES // 1_000_000} million values")
    try:
        value: object = json.loads(
            text,
            parse_float=_parse_decimal if exact else None,
            parse_int=_parse_int,
            object_pairs_hook=make_object,
        )
    except json.JSONDecodeError as broken:
        line = place.line or broken.lineno
        problem = f"not JSON: {broken.msg} at character {broken.colno}"
        raise replace(place, line=line).make_error(problem) from broken
    except RecursionError as broken:
        raise place.make_error(f"not JSON: {_TOO_DEEP}") from broken
    except ValueError as broken:
        raise place.make_error(f"not JSON: {first_line(broken)}") from broken
    if openers > MAX_DEPTH and _is_deeper_than(value, MAX_DEPTH):
        raise place.make_error(f"not JSON: {_TOO_DEEP}")
    return value


_TOO_DEEP = f"more than {MAX_DEPTH} levels within each other"


def parse_object(
    content: bytes | str, place: Location, *, exact: bool = False
) -> Mapping[str, object]:
    """Parse a JSON document that must be an object.

    Raises:
        BadInputError: as :func:`parse_json`, or it is something else.
    """
    value = parse_json(content, place, exact=exact)
    if not isinstance(value, dict):
        raise place.make_error(f"{describe_json_value(value)}, not an object")
    return cast("dict[str, object]", value)


def read_object(path: Path, *, hint: str | None = None) -> Mapping[str, object]:
    """Read a file that holds one JSON object; raises as read_bytes and parse_object."""
    return parse_object(read_bytes(path, hint=hint), Location(file=path, hint=hint))


def iterate_lines(
    path: Path, *, limit: int = MAX_LINE_BYTES, hint: str | None = None
) -> Iterator[tuple[Location, str, int]]:
    """Yield place, text and end (in bytes from the file's beginning) of each line.

    Blank lines are skipped; only a line feed ends a line; one line is in memory at a time.

    Raises:
        BadInputError: as :func:`read_bytes`, not UTF-8, or a line longer than ``limit`` bytes.
    """
    number = end = 0
    with open_file(path, hint=hint) as file:
        while True:
            number += 1
            try:
                content = file.readline(limit + 1)
            except OSError as refused:
                reason = refused.strerror or first_line(refused)
                place = Location(file=path, line=number, hint=hint)
                raise place.make_error(f"cannot be read: {reason}") from refused
            if not content:
                return
            end += len(content)
            if len(content) <= 2 and content.isspace():
                continue
            place = Location(file=path, line=number, hint=hint)
            if len(content) > limit:
                way_out = "one object per line, one line per object"
                raise place.make_error(f"longer than {format_bytes(limit)}", hint=way_out)
            text = decode(content, place)
            if text.strip():
                yield place, text, end


def iterate_objects(
    path: Path, *, limit: int = MAX_LINE_BYTES, exact: bool = False, hint: str | None = None
) -> Iterator[tuple[Location, Mapping[str, object]]]:
    """Yield place and content of each line of a file of JSON objects.

    Raises:
        BadInputError: as :func:`iterate_lines` and :func:`parse_object`.
    """
    for place, text, _ in iterate_lines(path, limit=limit, hint=hint):
        yield place, parse_object(text, place, exact=exact)


def describe_json_value(value: object) -> str:
    """Return what kind of JSON value this is, in words."""
    names: dict[type[object], str]
    names = {list: "a list", dict: "an object", str: "a text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")


def _parse_decimal(text: str) -> Decimal:
    with contextlib.suppress(ArithmeticError):  # an exponent of twenty digits
        value = Decimal(text)
        if len(text) <= MAX_DIGITS and abs(value.adjusted()) <= MAX_DIGITS:
            return value
    raise ValueError(f"{text[:20]} is too long a number")


def _parse_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"{text[:20]}... is too long a number")
    return int(text)


def _is_deeper_than(value: object, depth: int) -> bool:
    level: list[Any] = [value]
    for _ in range(depth):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


# CSV.


def iterate_csv(
    path: Path, *, delimiter: str = ",", hint: str | None = None
) -> tuple[tuple[str, ...], Iterator[tuple[Location, Mapping[str, str]]]]:
    """Return the columns of a CSV, and its rows by column; names and cells are stripped.

    Blank lines are skipped; columns without a name are left out.

    Raises:
        BadInputError: as :func:`read_bytes`; empty; not CSV; a column stands there twice; a row of
            another length (while the rows are read); more than ``MAX_VALUES`` cells.
    """
    place = Location(file=path, hint=hint)
    text = decode(read_bytes(path, hint=hint), place)
    if text.count(delimiter) + text.count("\n") + text.count("\r") > MAX_VALUES:
        raise place.make_error(f"more than {MAX_VALUES // 1_000_000} million cells")
    rows = _iterate_cells(text, delimiter, place)
    first, cells = next(rows, (1, []))
    header = tuple(name.strip() for name in cells)
    names = [name for name in header if name]
    if (twice := find_duplicate([(name, None) for name in names])) is not None:
        place = Location(file=path, line=first, field=twice[:80])
        raise place.make_error("stands twice in the header", hint="leave one out, or rename it")

    def iterate() -> Iterator[tuple[Location, Mapping[str, str]]]:
        for line, cells in rows:
            place = Location(file=path, line=line)
            if len(cells) != len(header):
                problem = f"{len(cells)} fields, the header has {len(header)}"
                raise place.make_error(problem, hint="quote fields that hold commas")
            fields = zip(header, cells, strict=True)
            yield place, {name: cell.strip() for name, cell in fields if name}

    return tuple(names), iterate()


def _iterate_cells(text: str, delimiter: str, place: Location) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the last line, and the cells, of each row that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as broken:
        raise replace(place, line=reader.line_num).make_error(f"not CSV: {broken}") from broken


# TOML.


def parse_toml(content: bytes, place: Location) -> dict[str, Any]:
    """Parse a TOML document; the format itself refuses what is said twice.

    Raises:
        BadInputError: not UTF-8 or not TOML; names the line.
    """
    text = decode(content, place)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as broken:
        match = re.search(r"line ([0-9]+)", str(broken))
        place = replace(place, line=int(match[1]) if match else None)
        raise place.make_error(f"this is no TOML: {first_line(broken)}") from broken


def find_toml_line(text: str, *keys: str) -> int | None:
    """Return the line where a key of a TOML document begins, tables first; None: not known.

    Lines before it are a document without the key, and with it they are one that has it. Not known
    where the key is not there, or the document takes too long.
    """
    lines = text.split("\n")
    budget = _MAX_PARSED

    def has_key(n_lines: int) -> bool | None:
        """Return whether the first lines have the key; None: they end within a value."""
        nonlocal budget
        part = "\n".join(lines[:n_lines]) + "\n"
        budget -= len(part)
        try:
            value: Any = tomllib.loads(part if budget > 0 else "too long")
        except (ValueError, RecursionError):
            return None
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                return False
            value = cast("dict[str, Any]", value)[key]
        return True

    for number, line in enumerate(lines):
        if keys[-1] in line and has_key(number) is False:
            answers = (has_key(end) for end in range(number + 1, len(lines) + 1))
            if next((answer for answer in answers if answer is not None), False):
                return number + 1
    return None


_MAX_PARSED = 8_000_000
"""Characters parsed in search of one line."""


# Zip archives.


class _DirectoryLimit(io.FileIO):
    """A file of which no more than ``MAX_FILE_BYTES / 4`` is read at once: a zip's directory is."""

    def read(self, size: int | None = -1, /) -> bytes:
        limit = MAX_FILE_BYTES // 4
        content = super().read(limit + 1 if size is None or size < 0 else min(size, limit + 1))
        if len(content) > limit:
            raise zipfile.BadZipFile("its directory is too long")
        return content


class ZipFile:
    """A zip archive whose members may be read, each and all together within limits."""

    def __init__(self, path: Path, *, hint: str | None = None) -> None:
        """Open it.

        Raises:
            BadInputError: no archive, or one whose directory names a member twice.
        """
        self._place = Location(file=path, hint=hint)
        open_file(path, hint=hint).close()
        module, self._reads_zstandard, self._faults = _find_zipfile()
        try:
            self._archive = module.ZipFile(_DirectoryLimit(path))
        except (zipfile.BadZipFile, *self._faults, OSError, ValueError, RuntimeError) as broken:
            problem = f"not a zip archive: {first_line(broken)}"
            raise self._place.make_error(problem) from broken
        pairs: Pairs = [(info.filename, None) for info in self._archive.infolist()]
        if (twice := find_duplicate(pairs)) is not None:
            raise self._place.make_error(f"member {twice!r} stands twice in it")
        self.names = frozenset(name for name, _ in pairs)
        """Of its members."""
        self._budget = max(MAX_FILE_BYTES, MAX_UNPACKED * path.stat().st_size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def read(self, name: str) -> bytes:
        """Return the content of a member.

        Raises:
            BadInputError: it is damaged, unpacks to too much, or is compressed in a way that
                cannot be read here.
        """
        info = self._archive.getinfo(name)
        place = Location(file=f"{self._place.file}!{name}", hint=self._place.hint)
        try:
            with self._open(info, place) as stream:
                content = read_limited(stream, place)
        except CotkitError:
            raise
        except (*self._faults, OSError, EOFError, ValueError, RuntimeError) as broken:
            raise place.make_error(f"damaged: {first_line(broken)}") from broken
        self._budget -= len(content)
        if self._budget < 0:
            raise self._place.make_error(f"unpacks to more than {MAX_UNPACKED} times its size")
        return content

    def _open(self, info: zipfile.ZipInfo, place: Location) -> IO[bytes]:
        if info.compress_type == _ZSTANDARD and not self._reads_zstandard:
            hint = f"pip install 'cotkit[data]'{f', or {place.hint}' if place.hint else ''}"
            raise place.make_error("compressed by zstandard", hint=hint)
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, _ZSTANDARD}:
            raise place.make_error(
                f"compressed in a way that is not read (method {info.compress_type})"
            )
        return self._archive.open(info)


_ZSTANDARD = 93
"""Inspect compresses the members of its logs so."""


def _find_zipfile() -> tuple[Any, bool, tuple[type[Exception], ...]]:
    """Return a module like ``zipfile``, whether it reads zstandard, and its faults.

    Python's own does from 3.14 on, before that its copy in ``backports.zstd``.
    """
    try:
        if sys.version_info >= (3, 14):
            from compression.zstd import ZstdError

            return zipfile, True, (zipfile.BadZipFile, ZstdError)
        from backports.zstd import ZstdError
        from backports.zstd import zipfile as newer_zipfile
    except ImportError:
        return zipfile, False, (zipfile.BadZipFile,)
    return newer_zipfile, True, (newer_zipfile.BadZipFile, ZstdError)


# Numbers that are written as text.

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_COUNT = re.compile(
    r"(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?:_[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?"
    r"(?:[eE]\+?[0-9]{1,2})?)(?P<unit>[kmbtKMBT]?)"
)
_MOST = 10**18
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


def parse_number(text: str) -> float | None:
    """Return a finite number written in ASCII digits, with a point; None: it is none."""
    text = text.strip()
    if len(text) > MAX_DIGITS or _NUMBER.fullmatch(text) is None:
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def parse_count(text: str) -> int | None:
    """Read ``7B``, ``350M``, ``1.5e9``, ``1,319`` or digits; None: no whole number of 1 to 10^18.

    Commas (or underscores) stand before every group of three digits: ``1,23`` is no number.
    """
    text = text.strip()
    match = _COUNT.fullmatch(text) if len(text) <= MAX_DIGITS else None
    if match is None:
        return None
    number = Decimal(match["number"].replace(",", "").replace("_", ""))
    value = number * _UNITS[match["unit"].lower()]
    return int(value) if 1 <= value <= _MOST and value == value.to_integral_value() else None
