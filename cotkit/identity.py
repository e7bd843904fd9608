"""What makes two things the same: canonical JSON, tagged content hashes, per-sample seeds.

A completion is keyed by everything that can change it. A field missing here would serve one model's
answers to another; ``tests/test_identity.py`` changes every field and demands another key.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import io
import json
import tokenize
from collections.abc import Mapping, Sequence
from typing import cast

from cotkit.types import BackendInfo, Decoding, Request

COMPLETION_VERSION = 1
"""Raise when the meaning of a stored completion changes; old rows are then asked again."""


def canonical_json(value: object) -> str:
    """Write a value as its one text: sorted keys, no spaces, ASCII, floats by ``repr``, no NaN.

    Frozen dataclasses become objects of their fields, tuples become lists, sets sorted lists. A
    field marked by ``types.LATER`` is left out at its default, so that old results are found.

    Raises:
        TypeError: the value holds something that JSON cannot say.
        ValueError: the value holds NaN or infinity.
    """
    return json.dumps(value, default=_plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(tag: str, value: object) -> str:
    """Return the hex SHA-256 (64 characters) of a value; other tags never give the same hash."""
    return hashlib.sha256(f"{tag}\n{canonical_json(value)}".encode()).hexdigest()


def backend_key(info: BackendInfo) -> str:
    """Return the key of everything about a backend that can change a completion.

    Names and sizes for reports (family, parameter counts, limits) are left out.
    """
    return content_hash(
        "backend",
        {
            "backend": info.backend,
            "model": info.model,
            "fingerprint": info.fingerprint,
            "settings": dict(info.settings),
        },
    )


def request_key(request: Request) -> str:
    """Return the key of a request's content, without the samples that are requested."""
    content: dict[str, object] = {"messages": request.messages, "decoding": request.decoding}
    if request.options:
        content["options"] = request.options
    return content_hash("request", content)


def completion_key(backend: str, request: str, sample: int) -> str:
    """Return the key of one completion, from a backend key, a request key and a sample index."""
    return content_hash("completion", [COMPLETION_VERSION, backend, request, sample])


def sample_seed(decoding: Decoding, request: str, sample: int) -> int:
    """Return the seed in [0, 2**63) of one draw: independent of batch order and of other draws."""
    digest = content_hash("seed", [decoding.seed or 0, request, sample])
    return int(digest[:16], 16) >> 1


def code_text(source: str) -> str:
    """Return Python source without comments, docstrings, blank lines and trailing whitespace.

    A docstring is any statement that is only a string, so also the text below a field. The result
    is made of the source's own text, because what ``ast`` and ``tokenize`` write back differs
    between versions of Python. Inside strings nothing is left out.

    Raises:
        SyntaxError: the source is not Python.
    """
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    lines = source.split("\n")
    cuts = [
        (
            (node.lineno - 1, _column(lines, node.lineno, node.col_offset)),
            (node.end_lineno - 1, _column(lines, node.end_lineno, node.end_col_offset)),
        )
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        and node.end_lineno is not None
        and node.end_col_offset is not None
    ]
    in_string: set[int] = set()  # lines whose end is inside a string
    openings: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind, first, last = tokenize.tok_name[token.type], token.start[0] - 1, token.end[0] - 1
        if kind == "COMMENT":
            cuts.append(((first, token.start[1]), (last, token.end[1])))
        elif kind == "STRING":
            in_string.update(range(first, last))
        elif kind.endswith("STRING_START"):  # f-strings, from Python 3.12 on
            openings.append(first)
        elif kind.endswith("STRING_END"):
            in_string.update(range(openings.pop(), last))
    ends = [number in in_string for number in range(len(lines))]
    for (first, start), (last, end) in sorted(cuts, reverse=True):
        lines[first : last + 1] = [lines[first][:start] + lines[last][end:]]
        ends[first : last + 1] = [ends[last]]
    texts = [line if is_open else line.rstrip() for line, is_open in zip(lines, ends, strict=True)]
    return "\n".join(text for text, is_open in zip(texts, ends, strict=True) if text or is_open)


def _column(lines: Sequence[str], lineno: int, offset: int) -> int:
    """Return the column in characters of an offset in UTF-8 bytes."""
    return len(lines[lineno - 1].encode()[:offset].decode())


@functools.cache
def _fields(cls: type) -> tuple[tuple[str, object], ...]:
    """Return the names of a dataclass's fields, each with the default at which it is left out."""
    return tuple(
        (f.name, f.default if f.metadata.get("is_left_out_at_default") else dataclasses.MISSING)
        for f in dataclasses.fields(cls)
    )


def _plain(value: object) -> object:
    """Convert what :mod:`json` cannot write by itself, one level deep."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            name: inner
            for name, default in _fields(type(value))
            if (inner := getattr(value, name)) != default
        }
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, object]", value))
    if isinstance(value, (set, frozenset)):
        return sorted(cast("set[str]", value))
    raise TypeError(f"{type(value).__name__} has no canonical form")
