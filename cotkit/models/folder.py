"""What a model folder holds: weights, their number, the context window; no torch, no guess.

A folder is known by the content of its files (``content.py``). A manifest of cotkit, or the names
of the hub's blobs, say what that must be; they are never taken for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from cotkit.errors import BadInputError, ModelLoadError, UnknownNameError
from cotkit.identity import content_hash
from cotkit.inputs import first_line, read_object
from cotkit.models.content import commit_of, file_hash, hash_snapshot, hashes_of_commit, weights_of
from cotkit.models.rounding import INT8, Q4
from cotkit.models.weights import count_parameters, read_header
from cotkit.types import Notify, say_nothing

_HASHED_SUFFIXES = (".safetensors", ".json", ".jinja", ".model", ".txt", ".tiktoken")
"""Suffixes of the files that decide what a model says; notes and pictures beside them do not."""

WEIGHTS_NAME = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_ADAPTER = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
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
    if (folder / _ADAPTER).is_file():
        check_adapter(folder)


def check_adapter(folder: Path) -> None:
    """Demand what a LoRA adapter needs.

    Raises:
        ModelLoadError: a file is missing, or the package that applies it.
    """
    if not (folder / _ADAPTER).is_file():
        raise ModelLoadError(f"{folder / _ADAPTER} is missing")
    if find_spec("peft") is None:
        raise ModelLoadError(
            f"{folder / _ADAPTER}: an adapter, and the package peft that applies it is not here",
            hint="pip install peft, or merge the adapter into the weights",
        )
    if not (folder / _ADAPTER_WEIGHTS).is_file():
        raise ModelLoadError(
            f"{folder / _ADAPTER_WEIGHTS} is missing", hint="weights must be in safetensors format"
        )


def describe_adapter(folder: Path) -> str:
    """Return what applies the folder's adapter, with its version; empty: there is none."""
    return f"peft {version('peft')}" if (folder / _ADAPTER).is_file() else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderIdentity:
    """What the files of a folder are, together."""

    fingerprint: str
    """The hub's commit; of any other folder the hash of its content."""
    content: str
    """The hash of weights, config and tokenizer, 64 hex digits: the same wherever they lie, and of
    what was made here from the same file in another number format."""


def identify_folder(folder: Path, notify: Notify = say_nothing) -> FolderIdentity:
    """Return the identity of a folder, from the content of every file that decides what it says.

    ``notify`` hears how far reading is, where it takes long.

    Raises:
        ModelLoadError: a file is not what the manifest of cotkit or the hub's name for it says, or
            is missing; names it.
    """
    manifest = read_manifest(folder)
    names = sorted({*_content_names(folder), *(manifest.files if manifest else ())})
    if (commit := commit_of(folder)) is not None:
        hashes = hash_snapshot(folder, names, notify)
    else:
        hashes = {name: file_hash(folder / name, notify) for name in names}
    for name, expected in manifest.files.items() if manifest else ():
        if hashes[name] != expected:
            raise ModelLoadError(
                f"{folder / name} is not what it was when the model was made: "
                f"its SHA-256 is {hashes[name][:12]}..., not {expected[:12]}...",
                hint=_repair_hint(folder),
            )
    content = weights_of(fingerprint_of(hashes))
    return FolderIdentity(fingerprint=commit or content, content=content)


def folder_fingerprint(folder: Path) -> str:
    """Return the fingerprint of a folder; see :func:`identify_folder`."""
    return identify_folder(folder).fingerprint


def content_of_commit(commit: str) -> str | None:
    """Return the content of a hub's commit as it was first seen here; None: it was not."""
    hashes = hashes_of_commit(commit)
    return fingerprint_of(hashes) if hashes else None


def _content_names(folder: Path) -> set[str]:
    """Return the files that decide what a model says, shards in folders below included."""
    names = {
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.suffix in _HASHED_SUFFIXES and path.name != MANIFEST_NAME
    }
    if (folder / _INDEX).is_file() and not (folder / WEIGHTS_NAME).is_file():
        names |= {path.relative_to(folder).as_posix() for path in _weight_files(folder)}
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderTraining:
    """How a folder's model was trained, by the recipe that ``cotkit lab train`` wrote there."""

    family: str
    """Of the lab."""
    tokens: int
    """Read in training, up to this checkpoint."""


def read_training(folder: Path) -> FolderTraining | None:
    """Return how the model of a folder was trained; None: no recipe of cotkit says so."""
    path = folder / "recipe.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        recipe = content["recipe"]["recipe"]
        step = content.get("step", recipe["n_steps"])
        return FolderTraining(family="pocket", tokens=int(step) * int(recipe["batch_tokens"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def checkpoint_folder(folder: Path, revision: str) -> Path:
    """Return the folder of a checkpoint that lies in the folder of its model.

    Raises:
        UnknownNameError: there is no such checkpoint; names those there are.
    """
    path = folder / revision
    if not (path / "config.json").is_file():
        names = sorted(each.parent.name for each in folder.glob("*/config.json"))
        raise UnknownNameError(f"checkpoint of {folder.name}", revision, names)
    return path


def n_params(folder: Path) -> int | None:
    """Count the parameters of a folder's language model; None: it cannot be known.

    Raises:
        ModelLoadError: the weights or the config are missing or unreadable.
    """
    return count_parameters(_read_headers(folder), _read_object(folder / "config.json"))


def stored_rounding(folder: Path) -> str | None:
    """Return the format in which cotkit stored the folder's linear layers rounded; None: exact."""
    if read_manifest(folder) is None:
        return None
    header = read_header(folder / WEIGHTS_NAME)
    stems = {name.removesuffix(".weight") for name in header if name.endswith(".weight")}
    for dtype, rounding in (("q4", Q4), ("int8", INT8)):
        if any(f"{stem}.{rounding.scale_name}" in header for stem in stems):
            return dtype
    return None


def _read_headers(folder: Path) -> dict[str, Any]:
    """Return what the headers of all weight files of a folder say, by tensor."""
    headers = [read_header(path) for path in _weight_files(folder)]
    return {name: entry for header in headers for name, entry in header.items()}


def context_window(folder: Path) -> int | None:
    """Return how many tokens the model can attend to, in all; None if not stated.

    Raises:
        ModelLoadError: ``config.json`` is missing or is not JSON.
    """
    config = _read_object(folder / "config.json")
    inner = config.get("text_config")  # models that see pictures keep it one level down
    for key in ("max_position_embeddings", "n_positions", "seq_length"):
        for place in (config, inner if isinstance(inner, dict) else {}):
            value = cast("dict[str, object]", place).get(key)
            if value is None:
                continue
            if type(value) is not int or not 0 < value <= _MOST_TOKENS:
                where = f"{folder / 'config.json'}:{key}"
                raise ModelLoadError(f"{where}: {str(value)[:40]} is no number of tokens")
            return value
    return None


_MOST_TOKENS = 10**9


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS_NAME).is_file():
        return [folder / WEIGHTS_NAME]
    if not (folder / _INDEX).is_file():
        raise ModelLoadError(
            f"{folder / WEIGHTS_NAME} is missing", hint="weights must be in safetensors format"
        )
    names = _read_object(folder / _INDEX).get("weight_map")
    if not isinstance(names, dict) or not all(map(_is_inner_path, names.values())):
        raise ModelLoadError(f"{folder / _INDEX}:weight_map: must map tensors to files beside it")
    paths = [folder / name for name in sorted(set(names.values()))]
    for path in paths:
        if not path.is_file():
            raise ModelLoadError(f"{path} is missing", hint=f"{_INDEX} names it")
    return paths


def _is_inner_path(name: object) -> bool:
    """Return whether a name is the path of a file below the folder that names it."""
    if not isinstance(name, str) or not name or "\0" in name:
        return False
    return not Path(name).is_absolute() and ".." not in Path(name).parts


def _read_object(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        raise ModelLoadError(f"{path} is missing")
    try:
        return read_object(path)
    except BadInputError as broken:
        raise ModelLoadError(broken.message) from broken


# The manifest of a folder that cotkit made: written last, it proves that the folder is complete.


MANIFEST_NAME = "manifest.json"

_FORMAT = "cotkit-model-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The content of a model folder, by hash."""

    source: Mapping[str, object]
    """Where the weights came from: packages or a file, and the SHA-256 of the GGUF."""
    converter_version: int
    """``gguf.CONVERTER_VERSION`` when it was made; of what is rounded ``rounding.LAYOUTS``."""
    n_params: int
    """Numbers stored in the weights."""
    files: Mapping[str, str]
    """File name -> SHA-256 in hex."""
    sizes: Mapping[str, int]
    """File name -> bytes."""
    weights: str = ""
    """Fingerprint that the folder would have in float32; empty: its own, it is in float32."""

    @property
    def fingerprint(self) -> str:
        """The identity of the weights with their config and tokenizer, in any number format."""
        return self.weights or fingerprint_of(self.files)


def fingerprint_of(files: Mapping[str, str]) -> str:
    """Return one hash (64 hex digits) for file names and the SHA-256 of each."""
    return content_hash("weights", dict(files))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into the folder it describes."""
    content = {
        "format": _FORMAT,
        "fingerprint": manifest.fingerprint,
        "source": dict(manifest.source),
        "converter_version": manifest.converter_version,
        "n_params": manifest.n_params,
        "files": {
            name: {"sha256": digest, "bytes": manifest.sizes[name]}
            for name, digest in sorted(manifest.files.items())
        },
    }
    (folder / MANIFEST_NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """Read cotkit's manifest of a folder; None: it has none.

    Sizes are checked here, contents by :func:`identify_folder`.

    Raises:
        ModelLoadError: a file is missing, or is not as long as when it was made.
    """
    path = folder / MANIFEST_NAME
    if not path.exists():
        return None
    try:
        content = read_object(path)
    except BadInputError as broken:
        raise ModelLoadError(broken.message, hint=_repair_hint(folder)) from broken
    if content.get("format") != _FORMAT:
        return None
    try:
        manifest = _make_manifest(content)
    except (KeyError, TypeError, ValueError, AttributeError) as broken:
        problem = f"{path}: not a manifest of cotkit: {first_line(broken)}"
        raise ModelLoadError(problem, hint=_repair_hint(folder)) from broken
    for name, expected in manifest.sizes.items():
        file = folder / name
        if not file.is_file():
            raise ModelLoadError(f"{file} is missing", hint=_repair_hint(folder))
        if (n_bytes := file.stat().st_size) != expected:
            raise ModelLoadError(
                f"{file} has {n_bytes} bytes instead of {expected}", hint=_repair_hint(folder)
            )
    return manifest


def _make_manifest(content: Mapping[str, Any]) -> Manifest:
    """Make the manifest of a file's content.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: a field is missing, or of another kind.
    """
    files = content["files"]
    manifest = Manifest(
        source=dict(content["source"]),
        converter_version=content["converter_version"],
        n_params=content["n_params"],
        files={name: entry["sha256"] for name, entry in files.items()},
        sizes={name: entry["bytes"] for name, entry in files.items()},
        weights=str(content["fingerprint"]),
    )
    numbers = (manifest.converter_version, manifest.n_params, *manifest.sizes.values())
    if not all(type(number) is int and 0 <= number < 10**18 for number in numbers):
        raise ValueError("a number is none")
    digests: list[object] = list(manifest.files.values())
    if not all(isinstance(digest, str) for digest in digests):
        raise ValueError("a SHA-256 is none")
    if not all(map(_is_inner_path, files)):
        raise ValueError("a file is not beside it")
    return manifest


def _repair_hint(folder: Path) -> str:
    return f"delete {folder} and fetch the model again"
