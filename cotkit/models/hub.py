"""Weights from the Hugging Face hub, in the hub's own cache, which other tools share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cotkit.errors import MissingDataError, MissingDependencyError, ModelLoadError
from cotkit.models.fingerprint import check_folder
from cotkit.models.shelf import in_words, require_space
from cotkit.types import Notify

_WANTED = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.tiktoken"]
_UNWANTED = ["*/*", "*consolidated*"]  # other formats of the same weights

_REPLY_SECONDS = 10


def snapshot(hub_id: str, *, revision: str | None = None, notify: Notify) -> Path:
    """The folder of a hub model; its name is the commit. The hub is asked only if it is not here.

    Raises:
        MissingDependencyError: the ``huggingface_hub`` package is not installed.
        MissingDataError: not here, and the hub cannot be reached or refuses.
        ModelLoadError: the repository lacks a file that a model needs.
    """
    try:
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise MissingDependencyError("huggingface_hub", "hf") from None
    asked: dict[str, Any] = {
        "repo_id": hub_id,
        "revision": revision,
        "allow_patterns": _WANTED,
        "ignore_patterns": _UNWANTED,
        "etag_timeout": _REPLY_SECONDS,
    }
    try:
        folder = Path(str(snapshot_download(**asked, local_files_only=True)))
        check_folder(folder)
    except (OSError, ModelLoadError):  # not here, or only in part
        pass
    else:
        return folder
    try:
        plan: list[Any] = list(snapshot_download(**asked, dry_run=True))
        n_bytes = sum(file.file_size for file in plan if file.will_download)
        require_space(Path(constants.HF_HUB_CACHE), n_bytes, hub_id)
        notify(f"fetching {hub_id} from the hub: {in_words(n_bytes)}")
        folder = Path(str(snapshot_download(**asked)))
    except (HfHubHTTPError, OSError) as fault:
        said = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        is_answer = isinstance(fault, HfHubHTTPError)  # else nobody answered
        why = f"the hub did not give it: {said}" if is_answer else "the hub cannot be reached"
        raise MissingDataError(
            f"{hub_id} is not on this machine and {why}",
            hint="a local folder or an embedded model such as smollm2-135m works offline",
        ) from fault
    check_folder(folder)
    return folder
