"""A model's name to a folder on this machine and the fingerprint of its weights, without torch."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotkit.backends.hf._rows import first_line
from cotkit.errors import ModelLoadError, UnknownNameError
from cotkit.identity import content_hash
from cotkit.models import catalogue, fetch, fingerprint, hub
from cotkit.models.catalogue import Entry
from cotkit.types import Notify

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A model that lies on this machine."""

    folder: Path
    """A complete transformers folder."""
    fingerprint: str
    """The hub's commit, or a hash of the folder's content."""


def resolve(model: str, *, revision: str | None, accept_terms: bool, notify: Notify) -> Source:
    """Find a model: folder, GGUF file, catalogue name, or hub name; fetches it if need be.

    Raises:
        UnknownNameError: none of these.
        UsageError: the terms of a catalogue model must be accepted first.
        MissingDataError: it is not on this machine and cannot be reached.
        ModelLoadError: the folder or file is not usable; names what is missing.
    """
    entry, path = known(model), Path(model).expanduser()
    if entry is not None and revision is None:
        folder = fetch.ensure(entry.name, notify=notify, accept_terms=accept_terms)
    elif path.is_dir():
        folder = path
    elif path.suffix == ".gguf":
        folder = fetch.ensure_gguf(path, notify=notify)
    elif _HUB_NAME.fullmatch(model):
        folder = hub.snapshot(model, revision=revision, notify=notify)
    elif path.is_absolute() or model.startswith((".", "~")):
        raise ModelLoadError(f"{model}: no such folder")
    else:
        raise UnknownNameError("model", model, [one.name for one in catalogue.entries()])
    fingerprint.check_folder(folder)
    if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name):
        return Source(folder=folder, fingerprint=folder.name)  # of the hub's cache: the commit
    return Source(folder=folder, fingerprint=fingerprint.folder_fingerprint(folder))


def known(model: str) -> Entry | None:
    """What the catalogue knows of a model; None if it does not have the name."""
    try:
        return catalogue.find(model)
    except UnknownNameError:
        return None


def chat_template_hash(folder: Path) -> str:
    """Hash of a folder's chat template.

    Raises:
        ModelLoadError: it has none.
    """
    own = folder / "chat_template.jinja"
    config = read_json(folder / "tokenizer_config.json")
    template = own.read_text(encoding="utf-8") if own.is_file() else config.get("chat_template")
    if not template:
        raise ModelLoadError(
            f"{folder}: the model has no chat template", hint="use chat=false for a base model"
        )
    return content_hash("chat-template", template)[:16]


def quantisation(folder: Path) -> str:
    """How the folder's weights are quantised, as its config says; ``none`` if they are not."""
    config: dict[str, Any] = read_json(folder / "config.json").get("quantization_config") or {}
    return str(config.get("quant_method", "none")) if config else "none"


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file; empty if there is no such file.

    Raises:
        ModelLoadError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as broken:
        raise ModelLoadError(f"{path}: not valid JSON: {first_line(broken)}") from broken
