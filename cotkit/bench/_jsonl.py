"""JSON lines, one after the other: an error names the file, the line and the field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import cast

from cotkit.errors import BadInputError

MAX_LINE_BYTES = 4 * 1024 * 1024
"""No question is longer; a longer line is refused before the rest of it is read."""

_SHAPE = 'one object per line, at least {"question": "...", "answer": "..."}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a file, as an object that still has to be checked field by field."""

    path: Path
    """The file."""
    number: int
    """Line number from 1."""
    fields: Mapping[str, object]
    """What the line holds; numbers with a point are ``Decimal``, so no digit is lost."""

    def bad(self, problem: str, *, field: str | None = None, hint: str = _SHAPE) -> BadInputError:
        """An error at this line."""
        return BadInputError(self.path, problem, line=self.number, field=field, hint=hint)

    def text(self, field: str) -> str:
        """A text that must be there and not be blank."""
        if field not in self.fields:
            raise self.bad("missing", field=field)
        value = self.fields[field]
        if not isinstance(value, str):
            raise self.bad(f"must be text, not {named(value)}", field=field, hint="quote it")
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise self.bad("half a surrogate pair", field=field, hint="write the character itself")
        if not value.strip():
            raise self.bad("empty", field=field, hint="fill it in or delete the line")
        return value

    def optional_text(self, field: str) -> str | None:
        """A text, or None where the field is absent or null."""
        return None if self.fields.get(field) is None else self.text(field)


def read_lines(path: Path) -> tuple[Line, ...]:
    """The objects of a file, blank lines skipped; raises as :func:`each_line` does."""
    return tuple(each_line(path))


def each_line(path: Path) -> Iterator[Line]:
    """The objects of a file, each read when it is asked for; blank lines skipped.

    Raises:
        BadInputError: no such file, not UTF-8, not JSON, not an object, a field twice, a line above
            ``MAX_LINE_BYTES``, or nothing in it.
    """
    if not path.is_file():
        raise BadInputError(path, "no such file", hint="write a path that ends in .jsonl")
    found = False
    for number, content in enumerate(_pieces(path), start=1):
        if len(content) > MAX_LINE_BYTES:
            raise BadInputError(
                path, f"longer than {MAX_LINE_BYTES >> 20} MiB", line=number, hint=_SHAPE
            )
        try:
            text = content.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as broken:
            hint = "save it as UTF-8"
            raise BadInputError(path, "not UTF-8", line=number, hint=hint) from broken
        if text.strip():
            found = True
            yield Line(path=path, number=number, fields=_parse(path, number, text))
    if not found:
        raise BadInputError(path, "no problems in it", hint=_SHAPE)


def _pieces(path: Path) -> Iterator[bytes]:
    """Lines, cut one byte beyond the longest that is read; only a line feed ends one."""
    try:
        with path.open("rb") as file:
            while piece := file.readline(MAX_LINE_BYTES + 1):
                yield piece
    except OSError as refused:
        hint = "check its permissions"
        raise BadInputError(path, f"cannot be read: {refused.strerror}", hint=hint) from refused


def _parse(path: Path, number: int, line: str) -> Mapping[str, object]:
    try:
        value: object = json.loads(line, parse_float=Decimal, object_pairs_hook=_object)
    except (ValueError, RecursionError) as broken:  # also: an endless integer, endless nesting
        raise BadInputError(path, f"not JSON: {broken}", line=number, hint=_SHAPE) from broken
    if not isinstance(value, dict):
        raise BadInputError(path, f"{named(value)}, not an object", line=number, hint=_SHAPE)
    return cast("dict[str, object]", value)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object; JSON itself would keep the last of two values of one name silently."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return fields


def named(value: object) -> str:
    """What a JSON value is, in words."""
    names: dict[type[object], str]
    names = {list: "a list", dict: "an object", str: "a text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")
