"""The lock on released prompt files: ``prompts/LOCK.toml``, file name -> SHA-256 of its bytes.

``python -m cotkit.prompting.lock`` adds new files and refuses to change the entry of a released
one.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import tomllib
from pathlib import Path

from cotkit.errors import BadInputError, CotkitError
from cotkit.resources import resource

LOCKED_SUFFIXES = (".jinja", ".jsonl")


def read_locked(name: str) -> str:
    """Text of a released file in ``prompts/``.

    Raises:
        BadInputError: the file is not locked, or is not what was locked.
    """
    path = resource(f"prompts/{name}")
    data = path.read_bytes()
    locked = released().get(name)
    if locked is None:
        raise BadInputError(path, "not in LOCK.toml", hint="python -m cotkit.prompting.lock")
    if hashlib.sha256(data).hexdigest() != locked:
        raise BadInputError(
            path, "a released prompt was edited", hint="undo the edit and copy it to a new version"
        )
    return data.decode()


def released() -> dict[str, str]:
    """Every released file and its SHA-256: what runs depend on."""
    return _lock(resource("prompts/LOCK.toml"))


def header(name: str, text: str) -> dict[str, object]:
    """The TOML header of a prompt file ``<id>.v<version>.jinja``: id, version, source, changes.

    Raises:
        BadInputError: there is none, it is not TOML, or a field is missing or contradicts the name.
    """
    body, closed, _ = text.removeprefix("{#").partition("#}")
    if not text.startswith("{#") or not closed:
        raise BadInputError(name, "has no header", line=1, hint="begin the file with {# ... #}")
    try:
        found = tomllib.loads(body)
    except tomllib.TOMLDecodeError as broken:
        raise BadInputError(name, f"header is not TOML: {broken}", line=1) from broken
    prompt_id, version, _ = name.rsplit(".", 2)
    wanted = {"id": prompt_id, "version": int(version.removeprefix("v"))}
    for field in ("id", "version", "source", "changes"):
        if field not in found or found[field] != wanted.get(field, found[field]):
            raise BadInputError(name, f"should be {wanted.get(field, 'there')!r}", field=field)
    return found


def add_new_files(folder: Path) -> list[str]:
    """Lock the files of a prompts folder that are not locked yet; their names, sorted.

    Raises:
        BadInputError: a locked file was edited or is gone.
    """
    path = folder / "LOCK.toml"
    locked = _lock(path) if path.exists() else {}
    files = {p.name: p for p in folder.iterdir() if p.suffix in LOCKED_SUFFIXES}
    sums = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    for name, old in locked.items():
        if sums.get(name) != old:
            raise BadInputError(folder / name, "a released prompt was edited or removed")
    for name in set(sums) - set(locked):
        if name.endswith(".jinja"):
            header(name, files[name].read_text(encoding="utf-8"))
    lines = [f'"{name}" = "{sums[name]}"\n' for name in sorted(sums)]
    path.write_text("# Written by python -m cotkit.prompting.lock\n" + "".join(lines))
    return sorted(set(sums) - set(locked))


@functools.cache
def _lock(path: Path) -> dict[str, str]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    try:
        added = add_new_files(resource("prompts"))
    except CotkitError as refused:
        sys.exit(str(refused))
    sys.stdout.write("".join(f"locked {name}\n" for name in added) or "nothing new\n")
