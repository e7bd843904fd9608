"""The lock on built-in strategies: ``tests/cases/strategies.lock.toml``, name -> version, source.

``python -m tests.lock_strategies`` writes it anew: after a strategy's version was raised, or to say
that a changed source behaves as before.
"""

from __future__ import annotations

import ast
import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cotkit import strategies
from cotkit.identity import code_text
from cotkit.registry import entries, load_class

LOCK = Path(__file__).parent / "cases" / "strategies.lock.toml"
FOLDER = Path(strategies.__file__).parent
COMMAND = ".venv/bin/python -m tests.lock_strategies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """One line of the lock."""

    version: int
    """``version`` of the class."""
    source: str
    """SHA-256 of the code of its module and of all modules of the folder that it imports."""


def built_in() -> list[str]:
    """Return the names of cotkit's own strategies, sorted."""
    return [entry.name for entry in entries("strategy") if entry.origin == "cotkit"]


def locked_strategies() -> dict[str, Locked]:
    """Return what the lock says."""
    lines = tomllib.loads(LOCK.read_text(encoding="utf-8"))
    return {name: Locked(**line) for name, line in lines.items()}


def current_strategies(folder: Path = FOLDER) -> dict[str, Locked]:
    """Return what the lock would say now."""
    return {
        name: Locked(
            version=vars(load_class("strategy", name))["version"],
            source=source_hash(name.replace("-", "_"), folder),
        )
        for name in built_in()
    }


def source_hash(module: str, folder: Path = FOLDER) -> str:
    """Return the hash of a module of the folder with all that it imports from there."""
    codes: dict[str, str] = {}
    to_read = [module]
    while to_read:
        stem = to_read.pop()
        if stem not in codes:
            source = (folder / f"{stem}.py").read_text(encoding="utf-8")
            codes[stem] = code_text(source)
            to_read += _imports(source)
    return hashlib.sha256(repr(sorted(codes.items())).encode()).hexdigest()


def changed_strategies(
    locked: Mapping[str, Locked], current: Mapping[str, Locked]
) -> dict[str, str]:
    """Return each strategy whose lock does not fit, and why."""
    changes: dict[str, str] = {}
    for name in sorted(locked.keys() | current.keys()):
        before, now = locked.get(name), current.get(name)
        if before is None or now is None:
            changes[name] = "is new" if before is None else "is gone"
        elif now.version < before.version:
            changes[name] = f"went back from version {before.version} to {now.version}"
        elif now.source != before.source and now.version == before.version:
            changes[name] = f"changed, and is still of version {now.version}"
        elif now != before:
            changes[name] = f"is of version {now.version} now"
    return changes


def _imports(source: str) -> list[str]:
    package = f"{strategies.__name__}."
    return [
        node.module.removeprefix(package)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(package)
    ]


def main() -> None:
    """Write the lock of the strategies as they are now."""
    lines = [
        f'{name} = {{ version = {line.version}, source = "{line.source}" }}\n'
        for name, line in current_strategies().items()
    ]
    LOCK.write_text(f"# Written by {COMMAND}\n{''.join(lines)}", encoding="utf-8")


if __name__ == "__main__":
    main()
