"""A model's name to a folder on this machine and the fingerprint of its weights, without torch."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotkit.backends.hf._rows import first_line
from cotkit.errors import (
    MissingDataError,
    MissingDependencyError,
    ModelLoadError,
    UnknownNameError,
)
from cotkit.identity import content_hash
from cotkit.models import catalogue, fetch, fingerprint, gguf
from cotkit.types import Notify

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_WANTED = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.tiktoken"]
_UNWANTED = ["original/*", "onnx/*", "*consolidated*"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A model that lies on this machine."""

    folder: Path
    """A complete transformers folder."""
    fingerprint: str
    """The hub's commit, or a hash of the folder's content."""


def resolve(model: str, *, revision: str | None, accept_terms: bool, notify: Notify) -> Source:
    """Find a model: catalogue name, folder, GGUF file, or hub name; fetches it if need be.

    Raises:
        UnknownNameError: none of these.
        MissingDataError: it is not on this machine and cannot be reached.
        ModelLoadError: the folder or file is not usable; names what is missing.
    """
    if catalogue.find(model) is not None:
        folder = fetch.ensure(model, notify=notify, accept_terms=accept_terms)
    elif (path := Path(model).expanduser()).is_dir():
        folder = path
    elif path.suffix == ".gguf":
        folder = gguf.ensure_gguf(path)
    elif _HUB_NAME.fullmatch(model):
        return _from_hub(model, revision, notify)
    else:
        raise UnknownNameError("model", model, [entry.name for entry in catalogue.entries()])
    fingerprint.check_folder(folder)
    return Source(folder=folder, fingerprint=fingerprint.folder_fingerprint(folder))


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


def _from_hub(model: str, revision: str | None, notify: Notify) -> Source:
    """A snapshot of a hub repository; what is already here is used without asking the hub."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as missing:
        raise MissingDependencyError("huggingface_hub", "hf") from missing

    def snapshot(*, here: bool) -> Path:
        return Path(
            snapshot_download(
                model,
                revision=revision,
                allow_patterns=_WANTED,
                ignore_patterns=_UNWANTED,
                local_files_only=here,
            )
        )

    try:
        folder = snapshot(here=True)
        fingerprint.check_folder(folder)
    except (LocalEntryNotFoundError, ModelLoadError):  # not here, or only in part
        notify(f"fetching {model} from the hub")
        try:
            folder = snapshot(here=False)
        except (HfHubHTTPError, OSError) as fault:
            raise MissingDataError(
                f"{model} is not on this machine and could not be fetched from the Hugging Face "
                f"hub: {first_line(fault).rstrip('.')}",
                hint="a local folder or a catalogue name such as smollm2-135m works offline",
            ) from fault
        fingerprint.check_folder(folder)
    return Source(folder=folder, fingerprint=folder.name)  # the snapshot folder is the commit
