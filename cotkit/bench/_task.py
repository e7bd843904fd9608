"""Benchmark files that are one JSON document: a list of examples, each checked field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import cast

from cotkit.bench._jsonl import Line
from cotkit.errors import BadInputError, MissingDataError
from cotkit.resources import data_dir


class Repeated(dict[str, object]):
    """An object of a file in which one name stands twice; JSON would keep the last silently."""

    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example(Line):
    """One example of a file; ``number`` is its place in the list, from 0."""

    def bad(
        self, problem: str, *, field: str | None = None, hint: str | None = None
    ) -> BadInputError:
        """An error at this example."""
        place = f"examples[{self.number}]" + (f".{field}" if field else "")
        return BadInputError(self.path, problem, field=place, hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A file: what it says of itself, and its examples."""

    path: Path
    """The file."""
    fields: Mapping[str, object]
    """Everything beside the examples; empty where the file is only their list."""
    examples: tuple[Example, ...]
    """At least one."""

    def text(self, field: str, default: str) -> str:
        """A field of the task, or what it means if it is left out.

        Raises:
            BadInputError: it is there and is no text.
        """
        value = self.fields.get(field, default)
        if not isinstance(value, str):
            raise BadInputError(self.path, "must be text", field=field)
        return value


def read_task(path: Path) -> Task:
    """Read ``{"examples": [{...}, ...], ...}``, or only the list. Numbers with a point: Decimal.

    Raises:
        BadInputError: no such file, empty, not UTF-8, not JSON, or no examples in it.
    """
    document = _document(path)
    fields = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    found = fields.get("examples") if isinstance(document, dict) else document
    if not isinstance(found, list) or not found:
        raise BadInputError(
            path, "no examples in it", field="examples", hint='{"examples": [{...}, ...]}'
        )
    items = cast("list[object]", found)
    for at, item in enumerate(items):
        if not isinstance(item, dict):
            raise BadInputError(path, "must be an object", field=f"examples[{at}]")
    return Task(
        path=path,
        fields={name: value for name, value in fields.items() if name != "examples"},
        examples=tuple(
            Example(path=path, number=at, fields=cast("dict[str, object]", item))
            for at, item in enumerate(items)
        ),
    )


def find_user_file(folder: str, *names: str) -> Path:
    """The first of ``names`` that is in ``$COTKIT_DATA_DIR/<folder>``.

    Raises:
        MissingDataError: there is none; says where it was looked for.
    """
    root = data_dir()
    for name in names:
        if root and (path := root / folder / name).is_file():
            return path
    wanted = " or ".join(f"{folder}/{name}" for name in names)
    raise MissingDataError(
        f"{wanted} is not in $COTKIT_DATA_DIR ({root or 'not set'})",
        hint=f"cotkit show bench {folder} says where to get it",
    )


def _document(path: Path) -> object:
    if not path.is_file():
        raise BadInputError(path, "no such file")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        line = content.count(b"\n", 0, broken.start) + 1
        raise BadInputError(path, "not UTF-8", line=line, hint="save it as UTF-8") from broken
    if not text.strip():
        raise BadInputError(path, "empty")
    try:
        return json.loads(text, parse_float=Decimal, object_pairs_hook=_object)
    except json.JSONDecodeError as broken:
        raise BadInputError(path, f"not JSON: {broken.msg}", line=broken.lineno) from broken
    except (ValueError, RecursionError) as broken:  # an endless integer, endless nesting
        raise BadInputError(path, f"not JSON: {broken}") from broken


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    repeated = Repeated(fields)
    names = [name for name, _ in pairs]
    repeated.name = next(name for name in names if names.count(name) > 1)
    return repeated
