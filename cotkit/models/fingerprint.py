"""Which weights lie in a folder, how many, and how long a text they take: no torch, no guess.

A folder that cotkit made is known by its manifest. Any other is hashed once; the hash of each file
is remembered by path, size and time of change, because hashing gigabytes takes a while.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from cotkit import resources
from cotkit.errors import ModelLoadError
from cotkit.models import manifest
from cotkit.models.safetensors_file import count_elements

_COUNTED = (".safetensors", ".json", ".jinja", ".model", ".txt", ".tiktoken")
"""Suffixes of the files that decide what a model says; notes and pictures beside them do not."""

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))


def check_folder(folder: Path) -> None:
    """Demand what a transformers folder needs.

    Raises:
        ModelLoadError: a file is missing; the first such file is named.
    """
    if not folder.is_dir():
        raise ModelLoadError(f"{folder}: no such folder")
    if not (folder / "config.json").is_file():
        raise ModelLoadError(f"{folder / 'config.json'} is missing")
    if not any(all((folder / name).is_file() for name in names) for names in _TOKENIZERS):
        raise ModelLoadError(
            f"{folder / 'tokenizer.json'} is missing",
            hint="copy the tokenizer's files into the folder of the weights",
        )
    _weight_files(folder)


def folder_fingerprint(folder: Path) -> str:
    """The identity of a folder's weights, config and tokenizer: 64 hex digits.

    Raises:
        ModelLoadError: cotkit made the folder and it is no longer whole.
    """
    if (made := manifest.read(folder)) is not None:
        return made.fingerprint
    names = [
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.suffix in _COUNTED and path.name != manifest.NAME
    ]
    return manifest.fingerprint_of({name: file_hash(folder / name) for name in names})


def n_params(folder: Path) -> int:
    """Numbers stored in the folder's safetensors files; tied ones are stored once.

    Raises:
        ModelLoadError: the weights are missing or unreadable.
    """
    return sum(count_elements(path) for path in _weight_files(folder))


def context_window(folder: Path) -> int | None:
    """Tokens the model can attend to, prompt and completion together; None if not stated.

    Raises:
        ModelLoadError: ``config.json`` is missing or is not JSON.
    """
    config = _read_object(folder / "config.json")
    inner = config.get("text_config") or {}  # models that see pictures keep it one level down
    for key in ("max_position_embeddings", "n_positions", "seq_length"):
        for place in (config, inner):
            if isinstance(place.get(key), int):
                return place[key]
    return None


def file_hash(path: Path) -> str:
    """SHA-256 of a file in hex, remembered as long as its size and time of change stay."""
    stat = path.stat()
    memory_path = resources.cache_dir() / "fingerprints.json"
    memory = _remembered(memory_path)
    key, state = str(path.resolve()), [stat.st_size, stat.st_mtime_ns]
    if key in memory and memory[key][:2] == state:
        return memory[key][2]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    memory[key] = [*state, digest]
    _remember(memory_path, memory)
    return digest


def _remembered(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # only a memory: without it files are hashed again
        return {}


def _remember(path: Path, memory: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".fingerprints")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(memory, file)
    Path(name).replace(path)


def _weight_files(folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if not (folder / _INDEX).is_file():
        raise ModelLoadError(
            f"{folder / _WEIGHTS} is missing", hint="weights must be in safetensors format"
        )
    index = _read_object(folder / _INDEX)
    paths = [folder / str(name) for name in sorted(set(index.get("weight_map", {}).values()))]
    for path in paths:
        if not path.is_file():
            raise ModelLoadError(f"{path} is missing", hint=f"{_INDEX} names it")
    return paths


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelLoadError(f"{path} is missing") from None
    except ValueError as broken:
        raise ModelLoadError(f"{path}: not valid JSON") from broken
    if not isinstance(content, dict):
        raise ModelLoadError(f"{path}: not a JSON object")
    return content
