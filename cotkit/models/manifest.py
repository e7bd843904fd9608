"""What lies in a folder that cotkit made: written last, it says the folder is whole and ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cotkit.errors import ModelLoadError
from cotkit.identity import content_hash

NAME = "manifest.json"

_FORMAT = "cotkit-model-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The content of a model folder, by hash."""

    source: Mapping[str, object]
    """Where the weights came from: packages or a file, and the SHA-256 of the GGUF."""
    converter_version: int
    """``gguf.CONVERTER_VERSION`` when it was made."""
    n_params: int
    """Numbers stored in the weights."""
    files: Mapping[str, str]
    """File name -> SHA-256 in hex."""
    sizes: Mapping[str, int]
    """File name -> bytes."""

    @property
    def fingerprint(self) -> str:
        """The identity of the weights with their config and tokenizer."""
        return fingerprint_of(self.files)


def fingerprint_of(files: Mapping[str, str]) -> str:
    """One hash (64 hex digits) for file names and the SHA-256 of each."""
    return content_hash("weights", dict(files))


def write(folder: Path, manifest: Manifest) -> None:
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
    (folder / NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read(folder: Path) -> Manifest | None:
    """The folder's manifest, None if it has none of ours; sizes are checked, contents are not.

    Raises:
        ModelLoadError: a file is missing, or is not as long as when it was made.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as broken:
        raise ModelLoadError(f"{path}: not valid JSON", hint=_repair(folder)) from broken
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        return None
    files = content["files"]
    manifest = Manifest(
        source=content["source"],
        converter_version=content["converter_version"],
        n_params=content["n_params"],
        files={name: entry["sha256"] for name, entry in files.items()},
        sizes={name: entry["bytes"] for name, entry in files.items()},
    )
    for name, expected in manifest.sizes.items():
        file = folder / name
        if not file.is_file():
            raise ModelLoadError(f"{file} is missing", hint=_repair(folder))
        if (found := file.stat().st_size) != expected:
            raise ModelLoadError(
                f"{file} has {found} bytes instead of {expected}", hint=_repair(folder)
            )
    return manifest


def _repair(folder: Path) -> str:
    return f"delete {folder} and fetch the model again"
