"""Keep a training's state on disk, whatever kills the process; and one process at it at a time.

A folder is known by its recipe's fingerprint from the moment it is begun, so that nothing of one
recipe is continued under another.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from cotkit.errors import BadInputError, UsageError
from cotkit.identity import canonical_json
from cotkit.paths import write_atomically

_RECIPE = "recipe.json"
_STATE = "checkpoint.pt"
_WEIGHTS = "model.safetensors"


@contextlib.contextmanager
def claim_folder(folder: Path) -> Generator[bool]:
    """Lock a folder, and yield whether that worked; a lock ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        for partial in folder.glob(".*.part"):  # of a process that was killed while it wrote
            partial.unlink()
        yield True


def check_folder(folder: Path, fingerprint: str) -> None:
    """Demand that a folder holds nothing, or something of this recipe.

    Raises:
        UsageError: it holds something of another recipe, or a model without any.
        BadInputError: it holds a recipe file that cannot be read.
    """
    path = folder / _RECIPE
    if not path.exists():
        if is_done(folder):
            raise UsageError(f"{folder} holds a model of no known recipe", hint="another --out")
        return
    try:
        other = json.loads(path.read_text(encoding="utf-8"))["fingerprint"]
    except (ValueError, KeyError, TypeError):
        raise BadInputError(
            path, "is no recipe of cotkit", hint="remove the folder, or choose another --out"
        ) from None
    if other != fingerprint:
        raise UsageError(
            f"{folder} holds a model of another recipe ({other[:12]}, this is {fingerprint[:12]})",
            hint="another --out, or the options it was begun with",
        )


def begin_training(
    folder: Path, fingerprint: str, recipe: object, *, step: int | None = None
) -> None:
    """Write down in the folder what is trained there; raises as :func:`check_folder` does.

    ``step``: that it holds the model as it was after so many steps; None: the trained one.
    """
    check_folder(folder, fingerprint)
    content = {"fingerprint": fingerprint, "recipe": recipe}
    text = canonical_json(content if step is None else {**content, "step": step})
    write_atomically(folder / _RECIPE, f"{text}\n".encode())


def is_done(folder: Path) -> bool:
    """Return whether the trained weights are there."""
    return weights_of(folder).exists()


def count_steps(folder: Path) -> int:
    """Return after how many steps the checkpoint of a folder was saved; 0: there is none."""
    state = load_checkpoint(folder)
    return 0 if state is None else len(state["losses"])


def weights_of(folder: Path) -> Path:
    """Return where trained weights lie."""
    return folder / _WEIGHTS


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint at once: a kill leaves the old one or the new one."""
    import io

    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomically(folder / _STATE, buffer.getvalue())


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the state last saved, on the CPU; None if there is none.

    Raises:
        BadInputError: the file is not a checkpoint.
    """
    import pickle
    import zipfile

    path = folder / _STATE
    if not path.exists():
        return None
    import torch

    hint = "remove it to train from the beginning"
    if not zipfile.is_zipfile(path):
        raise BadInputError(path, "is not a checkpoint", hint=hint)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as broken:
        raise BadInputError(path, "is not a checkpoint", hint=hint) from broken


def drop_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a finished training."""
    (folder / _STATE).unlink(missing_ok=True)
