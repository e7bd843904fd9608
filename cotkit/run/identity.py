"""What a run is identified by: the arms of its content, and how the contents of two runs differ.

Runs of cotkit 0.1 have a content of another form and keep the id that they were stored under: it is
trusted, never computed again.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from cotkit import strategies
from cotkit.identity import canonical_json, code_text
from cotkit.prompting import locked_files
from cotkit.protocols import OracleStrategy, Strategy

Content: TypeAlias = Mapping[str, Any]
"""``Plan.content``, as JSON keeps it."""

MODEL_FIELDS = frozenset({"backend", "margin", "pairs", "likelihood"})
"""Parts of a content that may differ between the runs of one ladder: none of them changes a row."""

_LONGEST = 40  # characters of a value that is quoted in a sentence
_BUILT_IN = f"{strategies.__name__}."


def arm_content(name: str, strategy: Strategy | OracleStrategy) -> dict[str, object]:
    """Return what identifies an arm: name, version, fields, prompts; for a user's, its source."""
    content: dict[str, object] = {"strategy": name, "fields": strategy}
    if any(cls.__module__.startswith(_BUILT_IN) for cls in type(strategy).__mro__):
        prompts: tuple[str, ...] = getattr(strategy, "prompts", ())
        content["version"] = getattr(strategy, "version", None)
        content["prompts"] = {file: locked_files().get(file) for file in prompts}
    if not is_built_in(strategy):
        content["source"] = source_hash(strategy)
    return content


def is_built_in(strategy: Strategy | OracleStrategy) -> bool:
    """Return whether a strategy is one of cotkit's own."""
    return type(strategy).__module__.startswith(_BUILT_IN)


def source_hash(strategy: Strategy | OracleStrategy) -> str:
    """Return the hash of a strategy's file, without comments and docstrings."""
    source = _source(strategy)
    try:
        code = code_text(source.decode()).encode()
    except (SyntaxError, UnicodeDecodeError):  # compiled, or in another encoding
        code = source
    return hashlib.sha256(code).hexdigest()


def is_of_0_1(content: Content) -> bool:
    """Return whether cotkit 0.1 wrote a content; its first versions wrote none."""
    return not content or "scorer" in content


def difference(
    content: Content, other: Content, *, may_differ: frozenset[str] = MODEL_FIELDS
) -> str | None:
    """Return the first field in which two runs differ, with its values where short; None: in none.

    Arms that only one has are not compared, and of a run of 0.1 only what later ones record, too.
    """
    if is_of_0_1(content) and not is_of_0_1(other):
        content = _converted(content, other)
    elif is_of_0_1(other) and not is_of_0_1(content):
        other = _converted(other, content)
    shared = content["arms"].keys() & other["arms"].keys()
    fields, other_fields = (_fields(each, shared, may_differ) for each in (content, other))
    for name in dict.fromkeys((*fields, *other_fields)):
        if fields.get(name) != other_fields.get(name):
            values = [json.dumps(each.get(name)) for each in (fields, other_fields)]
            is_short = all(len(value) <= _LONGEST for value in values)
            return f"{name}, {' and '.join(values)}" if is_short else name
    return None


def change_since_0_1(
    content: Content, now: Mapping[str, object], arms: Mapping[str, Strategy | OracleStrategy]
) -> str | None:
    """Return the first field in which a run of 0.1 differs from what would be run now.

    Args:
        content: Of the stored run; empty: nothing is known, so nothing differs.
        now: ``Plan.content`` of its spec.
        arms: Arm of the plan -> its strategy.
    """
    if not content:
        return None
    if content["arms"].keys() != arms.keys():
        return "arms"
    for name, strategy in arms.items():
        source = hashlib.sha256(_source(strategy)).hexdigest
        if not is_built_in(strategy) and content["arms"][name][1] != source():
            return f"the code of {name}"
    return difference(content, json.loads(canonical_json(now)), may_differ=frozenset())


def trust_note(run_ids: Sequence[str]) -> str:
    """Return the note on runs that cotkit 0.1 made."""
    runs = f"run {run_ids[0]} was" if len(run_ids) == 1 else f"runs {', '.join(run_ids)} were"
    return f"{runs} made by cotkit 0.1: id and spec are taken as stored, not computed again"


def _source(strategy: Strategy | OracleStrategy) -> bytes:
    return Path(inspect.getfile(type(strategy))).read_bytes()


def _converted(content: Content, later: Content) -> Content:
    """Return a content of 0.1 in the form of a later run, as far as 0.1 recorded it.

    Every built-in strategy of 0.1 is of version 1. Its hash of a source is of another kind than the
    later one, so sources are not compared.
    """
    arms: dict[str, object] = {}
    for name, (fields, _) in content["arms"].items():
        arm: dict[str, Any] = dict(later["arms"].get(name, {})) | {"fields": fields}
        if "version" in arm:
            arm["version"] = 1
            arm["prompts"] = {file: content["prompts"].get(file) for file in arm["prompts"]}
        arms[name] = arm
    same = {key: value for key, value in content.items() if key not in {"scorer", "prompts"}}
    return {**same, "arms": arms, "reader": content["scorer"][1]}


def _fields(content: Content, arms: set[str], may_differ: frozenset[str]) -> dict[str, object]:
    """Return everything that must be the same, worded as in a sentence."""
    fields: dict[str, object] = {
        "benchmark": content["bench"][0],
        "benchmark version": content["bench"][1],
        "problems": content["problems"],
    }
    if "scorer" in content:
        fields["scorer version"], fields["reader"] = content["scorer"]
    for arm in sorted(arms):
        if isinstance(content["arms"][arm], Mapping):
            parts: dict[str, Any] = dict(content["arms"][arm])
            values: dict[str, Any] = parts.pop("fields")
            code = {f"the {part} of {arm}": value for part, value in parts.items()}
        else:  # of 0.1
            values, source = content["arms"][arm]
            code = {f"the code of {arm}": source}
        fields |= {f"the {field} of {arm}": value for field, value in values.items()}
        fields |= code
    skipped = may_differ | {"bench", "problems", "scorer", "arms"}
    return fields | {key: content[key] for key in content if key not in skipped}
